"""A client's half of the four signatures (clients.md 2.2), written apart from the server's check.

`sign` returns the headers to send; everything given is signed unless `signed` names fewer.
"""

from __future__ import annotations

import hashlib
import hmac
import string
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

Variant = Literal["A", "B", "C", "D"]
VARIANTS: tuple[Variant, ...] = ("A", "B", "C", "D")

_SAFE = set((string.ascii_letters + string.digits + "-_.~").encode())


def encode(text: str | bytes) -> str:
    """Percent-encoding, byte by byte."""
    raw = text.encode() if isinstance(text, str) else text
    return "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in raw)


def decode(text: str) -> bytes:
    """Percent-decoding; a `%` without two hex digits stays."""
    out, index = bytearray(), 0
    while index < len(text):
        digits = text[index + 1 : index + 3]
        if text[index] == "%" and len(digits) == 2 and all(digit in string.hexdigits for digit in digits):
            out.append(int(digits, 16))
            index += 3
        else:
            out += text[index].encode("latin-1")
            index += 1
    return bytes(out)


def canonical_request(
    method: str,
    target: str,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    *,
    payload: str | None = None,
    bare_empty: bool = False,
) -> str:
    """The canonical request over all of `headers`. `payload` replaces the body's hash; `bare_empty` writes empty
    query values as the old Python SDK does."""
    path, _, query = target.partition("?")
    segments = decode(path).split(b"/")
    canonical_path = "/".join(encode(segment) for segment in segments)
    if not canonical_path.endswith("/"):
        canonical_path += "/"
    pairs = []
    for piece in query.split("&"):
        if piece:
            name, _, value = piece.partition("=")
            text = encode(decode(name))
            pairs.append(text if bare_empty and not value else f"{text}={encode(decode(value))}")
    named = sorted((name.lower(), value.strip()) for name, value in headers)
    lines = [method.upper(), canonical_path, "&".join(sorted(pairs))]
    lines += [f"{name}:{value}" for name, value in named]
    lines += ["", ";".join(name for name, _ in named), payload or hashlib.sha256(body).hexdigest()]
    return "\n".join(lines)


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha256).digest()


def signature(
    variant: Variant, canonical: str, access_key: str, secret_key: str, date: str, scope: str
) -> str:
    """The signature in hex. `scope` is date/region/service, without `sdk_request`."""
    digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    secret = secret_key.encode()
    if variant == "A":
        return _hmac(secret, f"SDK-HMAC-SHA256\n{date}\n{digest}".encode()).hex()
    algorithm = "SDK-HMAC-SHA256" if variant == "C" else "V11-HMAC-SHA256"
    if variant in ("B", "D"):
        secret = _hmac(_hmac(access_key.encode(), secret), scope.encode() + b"\x01").hex().encode()
    if variant == "B":
        return _hmac(secret, f"{algorithm}\n{date}\n{scope}\n{digest}".encode()).hex()
    key = b"SDK" + secret
    for part in (*scope.split("/"), "sdk_request"):
        key = _hmac(key, part.encode())
    return _hmac(key, f"{algorithm}\n{date}\n{scope}/sdk_request\n{digest}".encode()).hex()


def sdk_date(now_ms: int) -> str:
    """X-Sdk-Date of a moment, milliseconds since the epoch."""
    return datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")


def sign(
    variant: Variant,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes = b"",
    *,
    access_key: str,
    secret_key: str,
    now_ms: int,
    signed: Sequence[str] | None = None,
    signed_host: str | None = None,
    region: str = "region1",
    service: str = "dis",
    payload: str | None = None,
    bare_empty: bool = False,
) -> list[tuple[str, str]]:
    """`headers` with X-Sdk-Date and Authorization added, in order. `signed` (lower case) limits what is signed
    besides x-sdk-date; `signed_host` is signed in place of the host sent."""
    date = sdk_date(now_ms)
    everything = [*headers.items(), ("X-Sdk-Date", date)]
    chosen = [
        (name, signed_host if signed_host is not None and name.lower() == "host" else value)
        for name, value in everything
        if signed is None or name.lower() in signed or name.lower() == "x-sdk-date"
    ]
    scope = f"{date[:8]}/{region}/{service}"
    canonical = canonical_request(method, target, chosen, body, payload=payload, bare_empty=bare_empty)
    text = signature(variant, canonical, access_key, secret_key, date, scope)
    algorithm = "SDK-HMAC-SHA256" if variant in ("A", "C") else "V11-HMAC-SHA256"
    who = f"Access={access_key}" if variant == "A" else f"Credential={access_key}/{scope}"
    if variant in ("C", "D"):
        who += "/sdk_request"
    names = ";".join(sorted(name.lower() for name, _ in chosen))
    return [*everything, ("Authorization", f"{algorithm} {who}, SignedHeaders={names}, Signature={text}")]
