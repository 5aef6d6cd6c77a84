"""Who a request is from: X-Auth-Token, or Authorization with X-Sdk-Date.

Owns the choice between them and what a failure is told; knows no HTTP framework. X-Auth-Token decides alone when it
is there (a proxy may add an Authorization of its own).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from penstock.errors import ApiError
from penstock.iam import signature
from penstock.iam.base import Principal, SentRequest
from penstock.iam.identity import Identity
from penstock.iam.keystone import Keystone
from penstock.iam.refused import Foreign, Refused
from penstock.iam.tokens import PREFIX

_ONCE = frozenset(
    {b"x-auth-token", b"authorization", b"x-sdk-date", b"x-security-token", b"x-project-id"}
)  # fmt: skip
"""Headers that decide who asks: sent twice, a proxy and this server could read different ones."""

_NO_KEY = "?"


class RequestAuthenticator:
    """The Authenticator (iam.base) of a server with `--auth on`."""

    def __init__(self, identity: Identity, keystone: Keystone | None = None) -> None:
        """With `keystone`, tokens that are not of this server are asked about there: see Foreign."""
        self._identity = identity
        self._keystone = keystone
        self._keys = signature.SigningKeys()
        self._authorizations = signature.Authorizations()

    def authenticate(self, request: SentRequest) -> Principal:
        """Raises ApiError APIGW.0301 (401) for anything wrong, DIS.4117 for an X-Project-Id that is not the
        account's, DIS.4309 for a failing request after too many failures from one address with one key."""
        found = request.first()
        if len(found) != len(request.headers):
            self._check_once(request)
        token = found.get(b"x-auth-token")
        if token:
            try:
                return self._identity.read_token(token)[1]
            except Refused as refused:
                if self._keystone is not None and not token.startswith(PREFIX):
                    raise Foreign(partial(self._ask, self._keystone, token, request.peer)) from refused
                # The prefix: a guesser changes the rest.
                self._identity.refuse(request.peer, "token:" + token[:16].decode("latin-1"), refused)
        return self._signed(request, found)

    def recognise(self, token: bytes) -> Principal | None:
        """See Authenticator.recognise."""
        return self._identity.known_token(token)

    def _check_once(self, request: SentRequest) -> None:
        seen = set()
        for name, _ in request.headers:
            if name in _ONCE:
                if name in seen:
                    self._identity.refuse(request.peer, _NO_KEY, Refused(f"{name.decode()} was sent twice"))
                seen.add(name)

    async def _ask(self, keystone: Keystone, token: bytes, peer: str) -> Principal:
        try:
            return await keystone.principal(token)
        except Refused as refused:
            self._identity.refuse(peer, "token:" + token[:16].decode("latin-1"), refused)

    def allows_project(self, principal: Principal, project_id: str) -> bool:
        """A token: its own project. A signature: any project of the account."""
        if principal.signed:
            return self._identity.owns(principal.domain_id, project_id)
        return principal.project_id == project_id

    def _signed(self, request: SentRequest, found: Mapping[bytes, bytes]) -> Principal:
        value = found.get(b"authorization")
        if not value:
            # Not counted: no key was tried, and clients probe like this to learn that they need one.
            raise ApiError("APIGW.0301", "[neither X-Auth-Token nor Authorization was sent]")
        key = _NO_KEY
        identity = self._identity
        try:
            authorization = self._authorizations.parse(value)
            key = authorization.access_key
            security_token = found.get(b"x-security-token")
            known = (
                identity.temporary_key(security_token, key) if security_token else identity.signing_key(key)
            )
            signature.verify(
                request,
                authorization,
                known.secret if known else None,
                self._keys,
                now_ms=identity.clock.now_ms(),
                skew_seconds=identity.limits.signature_skew_seconds,
            )
            assert known is not None  # verify refuses without a secret
            self._authorizations.keep(value, authorization)
        except Refused as refused:
            identity.refuse(request.peer, "key:" + key, refused)
        project_id = found.get(b"x-project-id", b"").decode("latin-1")
        if project_id and not identity.owns(known.principal.domain_id, project_id):
            raise ApiError("DIS.4117", "[X-Project-Id is not a project of the account of the access key]")
        return known.principal


class TrustingAuthenticator:
    """The Authenticator of a server with `--auth off`: everybody is the user made at first start."""

    def __init__(self, identity: Identity) -> None:
        self._principal = identity.principal(identity.first_user())

    def authenticate(self, request: SentRequest) -> Principal:
        """Never raises."""
        return self._principal

    def recognise(self, token: bytes) -> Principal | None:
        """See Authenticator.recognise."""
        return self._principal

    def allows_project(self, principal: Principal, project_id: str) -> bool:
        """Any project."""
        return True


def make_authenticator(
    identity: Identity, keystone: Keystone | None = None
) -> RequestAuthenticator | TrustingAuthenticator:
    """The authenticator `--auth` asks for."""
    return RequestAuthenticator(identity, keystone) if identity.auth else TrustingAuthenticator(identity)
