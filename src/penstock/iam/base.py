"""What the rest of the server sees of identity: who asks, and for which project.

Owns the types. Knows no HTTP framework: a request arrives as what was sent, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec


class Principal(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who a request is from. `project_id` is None for a signature (any project of the account) and for tokens
    that are not scoped to a project."""

    user_id: str
    user_name: str
    domain_id: str
    domain_name: str
    project_id: str | None = None
    project_name: str | None = None
    signed: bool = False
    assumed: str = ""
    """Whose grants count instead of the user's and the user's groups', as Grant.subject names it (`agency:ID`)."""
    owner: bool = False
    """An account's own user, who may do everything in it (chapter 6: "An account has all of the permissions")."""
    access_key: str = ""
    """The key a request was signed with."""
    temporary: bool = False
    """Whether that key is a temporary one: it manages no keys, and makes no others."""
    external: bool = False
    """Of an external Keystone: manages nothing here, and `roles` are what it may do."""
    roles: tuple[str, ...] = ()
    """Names of policies an external Keystone gave it in the project."""
    narrowed: str = ""
    """A policy that has to allow every action too, JSON; such a principal is never `owner`. Empty: none."""


class SentRequest(msgspec.Struct, gc=False):
    """A request as received. `path` and `query` are the raw bytes of the request target, still percent-encoded
    (`query` without the `?`); header names are lower case, in order, duplicates kept; `body` is what arrived, compressed or not."""

    method: str
    path: bytes
    query: bytes
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    peer: str
    """Address of the client's end, without the port."""
    named: Mapping[bytes, bytes] | None = None
    """See `by_name`; whoever has it already passes it."""
    body_hash: str = ""
    """SHA-256 of the body in hexadecimal; empty until somebody has taken it, who may be whoever saw the body arrive."""

    def first(self) -> Mapping[bytes, bytes]:
        """The first value of each header's name."""
        named = self.named
        if named is None:
            named = self.named = by_name(self.headers)
        return named


def by_name(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The first value of each name; as many entries as headers when none was sent twice."""
    named = dict(headers)
    return named if len(named) == len(headers) else dict(reversed(headers))


class Authenticator(Protocol):
    """Decides who a request is from."""

    def authenticate(self, request: SentRequest) -> Principal:
        """Raises ApiError APIGW.0301 (401) for anything wrong, DIS.4309 for a failing request after too many
        failures from one address with one key, DIS.4117 for a signed request whose X-Project-Id is not the
        account's."""

    def allows_project(self, principal: Principal, project_id: str) -> bool:
        """Whether the principal may act in the project named in the path: the token's own, or for signatures any
        project of the account."""

    def recognise(self, token: bytes) -> Principal | None:
        """Who sent a request with this X-Auth-Token (none: empty) that is otherwise nothing special, where that has been found out
        before and holds now. None: `authenticate` it."""
