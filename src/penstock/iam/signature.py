"""Verification of AK/SK request signatures, all four variants clients use (clients.md 2). No I/O, no clock.

Owns parsing of `Authorization`, the canonical request and the signing keys; knows no users and no error codes.

| | Authorization | string to sign after algorithm and date | key |
|---|---|---|---|
| A | SDK-HMAC-SHA256 Access=AK | hash | SK |
| B | V11-HMAC-SHA256 Credential=AK/date/region/service | scope, hash | SK' |
| C | SDK-HMAC-SHA256 Credential=AK/date/region/service/sdk_request | scope, hash | chain over "SDK" + SK |
| D | V11-HMAC-SHA256 Credential=AK/date/region/service/sdk_request | scope, hash | chain over "SDK" + SK' |

SK' = hex(HMAC(HMAC(AK, SK), "date/region/service" + 0x01)). The signature is over the path as sent, any prefix
included. What a request signs is checked as listed; only x-sdk-date has to be among it.

A request with an unknown key does the same work as one with a wrong signature and is told the same.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from penstock.iam.base import SentRequest
from penstock.iam.refused import Refused

UNSIGNED_PAYLOAD = b"UNSIGNED-PAYLOAD"

_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~"
_PATH_PLAIN = _UNRESERVED + b"/"
_SDK = b"SDK-HMAC-SHA256"
_V11 = b"V11-HMAC-SHA256"
_SCOPE_END = b"sdk_request"
_SCOPE_BYTES = 256
_SIGNATURE_IS = b"Signature="
_KEPT_BYTES = 1024
_NAMES = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+(?:;[A-Za-z0-9!#$%&'*+.^_`|~-]+)*")
_SIGNATURE = re.compile(rb"[0-9a-fA-F]{64}")
_DATE = re.compile(rb"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z")
_SPACES = re.compile(rb"[ \t]+")

_MISMATCH = "the access key or the signature is wrong"


class Authorization(NamedTuple):
    """A parsed `Authorization` header. `scope` is what follows the access key, None for variant A."""

    algorithm: bytes
    access_key: str
    scope: bytes | None
    names_text: bytes
    names: Sequence[bytes]
    signature: str


def parse(value: bytes) -> Authorization:
    """Read an `Authorization` header. Raises Refused saying which part is wrong."""
    algorithm, _, rest = value.strip().partition(b" ")
    if algorithm not in (_SDK, _V11):
        raise Refused("Authorization does not start with SDK-HMAC-SHA256 or V11-HMAC-SHA256")
    parts: dict[bytes, bytes] = {}
    for piece in rest.split(b",", 4):
        name, equals, text = piece.strip().partition(b"=")
        if (
            not equals
            or name in parts
            or name not in (b"Access", b"Credential", b"SignedHeaders", b"Signature")
        ):
            raise Refused("Authorization is not Access or Credential, SignedHeaders and Signature, each once")
        parts[name] = text
    for name in (b"SignedHeaders", b"Signature"):
        if name not in parts:
            raise Refused(f"Authorization has no {name.decode()}")
    names_text, signature = parts[b"SignedHeaders"], parts[b"Signature"]
    if not _NAMES.fullmatch(names_text):
        raise Refused("SignedHeaders is not a list of header names separated by ;")
    names = names_text.lower().split(b";")
    if len(set(names)) != len(names):
        raise Refused("SignedHeaders names a header twice")
    if b"x-sdk-date" not in names:
        raise Refused("SignedHeaders does not list x-sdk-date")
    if not _SIGNATURE.fullmatch(signature):
        raise Refused("Signature is not 64 hexadecimal digits")
    access_key, scope = _credential(algorithm, parts)
    if not access_key:
        raise Refused("Authorization has no access key")
    return Authorization(
        algorithm, access_key.decode("latin-1"), scope, names_text, names, signature.decode().lower()
    )


def _credential(algorithm: bytes, parts: dict[bytes, bytes]) -> tuple[bytes, bytes | None]:
    if (b"Access" in parts) == (b"Credential" in parts):
        raise Refused("Authorization needs one of Access and Credential")
    if b"Access" in parts:
        if algorithm == _V11:
            raise Refused("V11-HMAC-SHA256 goes with Credential, not with Access")
        return parts[b"Access"], None
    access_key, _, scope = parts[b"Credential"].partition(b"/")
    pieces = scope.split(b"/")
    if len(scope) > _SCOPE_BYTES:
        raise Refused(f"Credential is longer than {_SCOPE_BYTES} bytes")
    if len(pieces) == 4 and pieces[3] == _SCOPE_END:
        return access_key, scope
    if len(pieces) == 3 and algorithm == _V11:
        return access_key, scope
    raise Refused("Credential is not AK/date/region/service/sdk_request")


class Authorizations:
    """Headers of clients whose signatures were right: all but the signature stays the same for a day, and is read once."""

    def __init__(self, entries: int = 1024) -> None:
        self._entries = entries
        self._parsed: dict[bytes, Authorization] = {}

    def parse(self, value: bytes) -> Authorization:
        """See `parse`."""
        at = value.rfind(_SIGNATURE_IS) + len(_SIGNATURE_IS)
        known = self._parsed.get(value[:at])
        if known is None:
            return parse(value)
        signature = value[at:]
        if not _SIGNATURE.fullmatch(signature):
            return parse(value)  # refuses
        return Authorization(*known[:-1], signature.decode().lower())

    def keep(self, value: bytes, authorization: Authorization) -> None:
        """Know all of `value` before its signature, when that comes last, from now on."""
        at = value.rfind(_SIGNATURE_IS) + len(_SIGNATURE_IS)
        start, parsed = value[:at], self._parsed
        if (
            start in parsed
            or len(start) > _KEPT_BYTES
            or value[at:].decode("latin-1").lower() != authorization.signature
        ):
            return
        if len(parsed) >= self._entries:
            del parsed[next(iter(parsed))]
        parsed[start] = authorization


class SigningKeys:
    """Derived keys of recent scopes: a scope lasts a day, a derivation takes five HMACs."""

    def __init__(self, entries: int = 1024) -> None:
        self._entries = entries
        self._keys: dict[tuple[bytes, str, bytes, bytes], bytes] = {}
        self._nobody = secrets.token_bytes(40)

    def of(self, authorization: Authorization, secret: bytes | None) -> bytes:
        """The key of the outer HMAC. Without a secret (unknown access key) one that nobody can sign with, at the
        same cost."""
        access_key = authorization.access_key
        if secret is None:
            access_key, secret = "", self._nobody
        if authorization.scope is None:
            return secret
        entry = (authorization.algorithm, access_key, secret, authorization.scope)
        key = self._keys.get(entry)
        if key is None:
            key = derive(*entry)
            if len(self._keys) >= self._entries:
                del self._keys[next(iter(self._keys))]
            self._keys[entry] = key
        return key


def derive(algorithm: bytes, access_key: str, secret: bytes, scope: bytes) -> bytes:
    """The signing key of variants B, C and D (table above)."""
    pieces = scope.split(b"/")
    if algorithm == _V11:
        inner = hmac.digest(access_key.encode("latin-1"), secret, "sha256")
        secret = hmac.digest(inner, b"/".join(pieces[:3]) + b"\x01", "sha256").hex().encode()
        if len(pieces) == 3:
            return secret
    key = b"SDK" + secret
    for piece in pieces:
        key = hmac.digest(key, piece, "sha256")
    return key


def verify(
    request: SentRequest,
    authorization: Authorization,
    secret: bytes | None,
    keys: SigningKeys,
    *,
    now_ms: int,
    skew_seconds: int,
) -> None:
    """Raises Refused unless the request was signed with `secret` within `skew_seconds` of `now_ms`."""
    values = _signed_values(request, authorization.names)
    date = values[b"x-sdk-date"]
    _check_date(date, authorization.scope, now_ms, skew_seconds)
    head = b"\n".join((authorization.algorithm, date)) + b"\n"
    if authorization.scope is not None:
        head += authorization.scope + b"\n"
    key = keys.of(authorization, secret)
    for canonical in _canonical_requests(request, authorization, values):
        text = head + sha256(canonical).hexdigest().encode()
        computed = hmac.digest(key, text, "sha256").hex()
        if hmac.compare_digest(computed, authorization.signature) and secret is not None:
            return
    raise Refused(_MISMATCH)


def _signed_values(request: SentRequest, names: Sequence[bytes]) -> dict[bytes, bytes]:
    found = request.first()
    if len(found) != len(request.headers):
        sent = [name for name, _ in request.headers]
        for index, name in enumerate(sent):
            if name in names and name in sent[:index]:
                raise Refused(f"signed header {name.decode('latin-1')} was sent twice")
    try:
        return {name: found[name].strip() for name in names}
    except KeyError as missing:
        raise Refused(f"signed header {missing.args[0].decode('latin-1')} was not sent") from None


def _check_date(date: bytes, scope: bytes | None, now_ms: int, skew_seconds: int) -> None:
    try:
        moment_ms = _moment_ms(date)
    except ValueError:
        raise Refused("X-Sdk-Date is not a UTC time as yyyymmddThhmmssZ") from None
    if scope is not None and scope.partition(b"/")[0] != date[:8]:
        raise Refused("the date in Credential is not that of X-Sdk-Date")
    if abs(moment_ms - now_ms) > skew_seconds * 1000:
        raise Refused(f"X-Sdk-Date is more than {skew_seconds} seconds from the server's time")


@lru_cache(64)  # clients send the second they are in
def _moment_ms(date: bytes) -> float:
    parts = _DATE.fullmatch(date)
    if parts is None:
        raise ValueError
    # strptime alone would take as long as the rest of the check.
    year, month, day, hour, minute, second = map(int, parts.groups())
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp() * 1000


def _canonical_requests(
    request: SentRequest, authorization: Authorization, values: dict[bytes, bytes]
) -> Iterator[bytes]:
    """The canonical request, then those that differ in what some clients sign otherwise. The first matches for all
    but the old Python SDK."""
    start = request.method.upper().encode("latin-1") + b"\n" + canonical_path(request.path) + b"\n"
    pairs = query_pairs(request.query)
    names = authorization.names
    usual = start + canonical_query(pairs) + b"\n" + _block(names, _squeezed(values)) + b"\n"
    usual += authorization.names_text + b"\n" + _body_hash(request)
    yield usual
    for digest in _body_hashes(request):
        end = b"\n" + authorization.names_text + b"\n" + digest
        for query in _queries(pairs):
            for headers in _header_blocks(request, names, values):
                other = start + query + b"\n" + headers + end
                if other != usual:
                    yield other


def _body_hash(request: SentRequest) -> bytes:
    if not request.body_hash:
        request.body_hash = sha256(request.body).hexdigest()
    return request.body_hash.encode()


def _squeezed(values: dict[bytes, bytes]) -> dict[bytes, bytes]:
    for value in values.values():
        if b"  " in value or b"\t" in value:
            return {name: _SPACES.sub(b" ", value) for name, value in values.items()}
    return values


def _body_hashes(request: SentRequest) -> Iterator[bytes]:
    yield _body_hash(request)
    # Only a text the signer chose can match here: a request signed with a body's hash cannot be turned into this.
    if any(name == b"x-sdk-content-sha256" and value == UNSIGNED_PAYLOAD for name, value in request.headers):
        yield UNSIGNED_PAYLOAD


def _header_blocks(
    request: SentRequest, names: Sequence[bytes], values: dict[bytes, bytes]
) -> Iterator[bytes]:
    squeezed = _squeezed(values)
    yield _block(names, squeezed)
    if squeezed != values:
        yield _block(names, values)  # py3 trims only
    if b"host" in values:
        for host in _other_hosts(request, values[b"host"]):
            yield _block(names, squeezed | {b"host": host})


def _block(names: Sequence[bytes], values: dict[bytes, bytes]) -> bytes:
    return b"".join([b"%b:%b\n" % (name, values[name]) for name in names])


def _other_hosts(request: SentRequest, host: bytes) -> list[bytes]:
    """Host without its port (old Python SDK), then what a proxy says was asked for."""
    hosts = [_without_port(host)]
    for name, value in request.headers:
        if name == b"x-forwarded-host":
            forwarded = value.partition(b",")[0].strip()
            hosts += [forwarded, _without_port(forwarded)]
            break
    return [other for index, other in enumerate(hosts) if other != host and other not in hosts[:index]]


def _without_port(host: bytes) -> bytes:
    name, colon, port = host.rpartition(b":")
    return name if colon and port.isdigit() else host


def canonical_path(raw: bytes) -> bytes:
    """Each segment percent-decoded and encoded again; always ends in a slash."""
    if raw.translate(None, _PATH_PLAIN):
        raw = b"/".join([_encode(part) for part in unquote_to_bytes(raw).split(b"/")])
    return raw if raw.endswith(b"/") else raw + b"/"


def query_pairs(raw: bytes) -> list[tuple[bytes, bytes]]:
    """Names and values, percent-decoded (`+` stays), empty pieces dropped."""
    if not raw:
        return []
    pairs = []
    for piece in raw.split(b"&"):
        if piece:
            name, _, value = piece.partition(b"=")
            if b"%" in piece:
                name, value = unquote_to_bytes(name), unquote_to_bytes(value)
            pairs.append((name, value))
    return pairs


def canonical_query(pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    """`name=value` encoded, sorted, joined by `&`; a bare name counts as one with an empty value."""
    return b"&".join(sorted([_encode(name) + b"=" + _encode(value) for name, value in pairs]))


def _queries(pairs: Sequence[tuple[bytes, bytes]]) -> Iterator[bytes]:
    if not pairs:
        yield b""
        return
    first = canonical_query(pairs)
    yield first
    # The old Python SDK signs an empty value as a bare name.
    bare = b"&".join(
        sorted([_encode(name) + (b"=" + _encode(value) if value else b"") for name, value in pairs])
    )
    if bare != first:
        yield bare
    # py3 sorts by name, then value, before it encodes.
    by_name = b"&".join([_encode(name) + b"=" + _encode(value) for name, value in sorted(pairs)])
    if by_name != first:
        yield by_name


def _encode(text: bytes) -> bytes:
    if not text.translate(None, _UNRESERVED):
        return text
    return quote_from_bytes(text, safe="~").encode()
