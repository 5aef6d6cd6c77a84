"""Paths to handlers. Owns matching: any prefix before the version, with and without a trailing slash; knows no handler."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Generic, NamedTuple, TypeVar

from penstock.errors import ApiError
from penstock.http.exchange import unescape

H = TypeVar("H")

_CACHE = 4096
_VERSIONS = (b"v1", b"v2", b"v3", b"v3.0")


class Match(NamedTuple, Generic[H]):
    """A route's handler, and the path's parts by name, percent-decoded."""

    handler: H
    params: Mapping[str, str]


class Router(Generic[H]):
    """Finds the handler of a method and raw path. Paths seen before cost one dictionary look-up."""

    def __init__(self, routes: Iterable[tuple[str, str, H]]) -> None:
        self._by_length: dict[int, list[tuple[list[bytes], dict[str, H]]]] = {}
        for method, path, handler in routes:
            pattern = [part.encode() for part in path.strip("/").split("/")] if path.strip("/") else []
            rows = self._by_length.setdefault(len(pattern), [])
            for known, methods in rows:
                if known == pattern:
                    methods[method] = handler
                    break
            else:
                rows.append((pattern, {method: handler}))
        for rows in self._by_length.values():
            # Literal parts win over parameters: /stream/tags is not a stream of that name.
            rows.sort(key=lambda row: [part.startswith(b"{") for part in row[0]])
        self._seen: dict[tuple[str, bytes], Match[H]] = {}

    def match(self, method: str, path: bytes) -> Match[H]:
        """Raises 404 APIGW.0101 for an unknown path, 405 APIGW.0104 for a method it does not have."""
        key = (method, path)
        found = self._seen.get(key)
        if found is None:
            found = self._find(method, path)
            if len(self._seen) >= _CACHE:
                self._seen.clear()
            if len(path) <= 512:
                self._seen[key] = found
        return found

    def _find(self, method: str, path: bytes) -> Match[H]:
        parts = [part for part in path.split(b"/") if part]
        starts = [i for i, part in enumerate(parts) if part in _VERSIONS]
        allowed: set[str] = set()
        # Pages without a version (the root, the management pages) take no prefix.
        for start in starts or [0]:
            for pattern, methods in self._by_length.get(len(parts) - start, ()):
                values = _bind(pattern, parts[start:])
                if values is None:
                    continue
                if method in methods:
                    params = {name: unescape(value, "the path") for name, value in values.items()}
                    return Match(methods[method], params)
                allowed |= methods.keys()
        shown = path[:200].decode("latin-1")
        if allowed:
            names = ", ".join(sorted(allowed))
            raise ApiError("APIGW.0104", f"[{method} {shown}, allowed: {names}]", headers=(("Allow", names),))
        raise ApiError("APIGW.0101", f"[{method} {shown}]")


def _bind(pattern: list[bytes], parts: list[bytes]) -> dict[str, bytes] | None:
    values: dict[str, bytes] = {}
    for wanted, part in zip(pattern, parts, strict=True):
        if wanted.startswith(b"{"):
            values[wanted[1:-1].decode()] = part
        elif wanted != part:
            return None
    return values
