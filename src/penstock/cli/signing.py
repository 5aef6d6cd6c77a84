"""Signs requests the way the official SDKs do (SDK-HMAC-SHA256, `Access=` form; docs/compatibility-notes.md).

Owns the client's half of the signature. Shares no code with the server's check on purpose: each proves the other.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Generator
from datetime import UTC, datetime
from urllib.parse import quote, unquote_to_bytes

import httpx

_SIGNED = ("content-type", "host", "x-project-id", "x-sdk-date")


def encode(text: str | bytes) -> str:
    """Percent-encoding of the canonical form: everything but `A-Z a-z 0-9 - . _ ~`, in capitals."""
    return quote(text, safe="-._~")


def canonical_path(path: bytes) -> str:
    """Each segment decoded and encoded again, always with a slash at the end."""
    text = "/".join(encode(unquote_to_bytes(segment)) for segment in path.split(b"/"))
    return text if text.endswith("/") else text + "/"


def canonical_query(query: bytes) -> str:
    """Pairs decoded, encoded again and sorted; `k` counts as `k=`; a plus is a plus."""
    pairs = []
    for piece in filter(None, query.split(b"&")):
        key, _, value = piece.partition(b"=")
        pairs.append(f"{encode(unquote_to_bytes(key))}={encode(unquote_to_bytes(value))}")
    return "&".join(sorted(pairs))


def authorization(
    access_key: str,
    secret_key: str,
    *,
    method: str,
    target: bytes,
    headers: dict[str, str],
    body: bytes,
) -> str:
    """The Authorization header. `headers` (lower-case names) are all signed and must hold `x-sdk-date`; `target` is
    path and query as sent."""
    path, _, query = target.partition(b"?")
    names = sorted(headers)
    canonical = "\n".join(
        [
            method.upper(),
            canonical_path(path),
            canonical_query(query),
            *(f"{name}:{' '.join(headers[name].split())}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(body).hexdigest(),
        ]
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"SDK-HMAC-SHA256\n{headers['x-sdk-date']}\n{digest}"
    signature = hmac.new(secret_key.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    return f"SDK-HMAC-SHA256 Access={access_key}, SignedHeaders={';'.join(names)}, Signature={signature}"


class Signer(httpx.Auth):
    """Signs what httpx is about to send, exactly as it will be sent."""

    requires_request_body = True

    def __init__(self, access_key: str, secret_key: str) -> None:
        self._access_key = access_key
        self._secret_key = secret_key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["X-Sdk-Date"] = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        request.headers["Authorization"] = authorization(
            self._access_key,
            self._secret_key,
            method=request.method,
            target=request.url.raw_path,
            headers={name: request.headers[name] for name in _SIGNED if name in request.headers},
            body=request.content,
        )
        yield request
