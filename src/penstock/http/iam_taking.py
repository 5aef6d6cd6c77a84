"""Taking an agency over: who may, and with what they proved who they are. Owns the rule that temporary keys and tokens of an
agency share; knows no routes."""

from __future__ import annotations

import msgspec

from penstock.catalog.base import User
from penstock.catalog.tables.iam import Agency
from penstock.errors import ApiError, invalid
from penstock.http.call import Call
from penstock.iam import agencies
from penstock.iam.base import Principal
from penstock.iam.policies import refusal
from penstock.iam.refused import Foreign

ASSUME = "iam:agencies:assume"


class SessionUser(msgspec.Struct):
    """A name the client gives the session; nothing here depends on it."""

    name: str | None = None


class AssumeRole(msgspec.Struct):
    """The agency to take over, and the account that made it, by id or by name."""

    agency_name: str | None = None
    domain_id: str | None = None
    domain_name: str | None = None
    duration_seconds: int | None = None
    session_user: SessionUser | None = None


def agency_to_take(call: Call, principal: Principal, asked: AssumeRole) -> Agency:
    """The agency, which must trust the caller's account, and which the caller must be allowed to take over. Raises IAM.0004 for
    one that is not there, has run out or trusts somebody else, all told alike; DIS.4116."""
    field = "auth.identity.assume_role"
    name = asked.agency_name
    if not name:
        raise invalid(f"{field}.agency_name", "missing")
    if not asked.domain_id and not asked.domain_name:
        raise invalid(f"{field}.domain_name", "missing, and so is domain_id")
    identity = call.context.identity
    domain = identity.domain(domain_id=asked.domain_id or None, name=asked.domain_name or None)
    agency = identity.store.agency_named(domain.domain_id, name) if domain is not None else None
    if principal.assumed or principal.temporary:
        # A chain of them would outlive whatever it began with.
        raise refusal(ASSUME)
    if (
        agency is None
        or agency.trust_domain_id != principal.domain_id
        or not agencies.holds(agency, identity.clock.now_ms())
    ):
        raise ApiError("IAM.0004", f"[agency {name[:64]}]")
    if not identity.allows(principal, None, ASSUME, resource=agencies.resource(agency)):
        raise refusal(ASSUME)
    return agency


def taker(call: Call) -> Principal:
    """Who asks, on a route that is open to all. Raises what authentication does."""
    try:
        return call.context.authenticator.authenticate(call.sent)
    except Foreign as foreign:
        # Users of an external Keystone are of no account that an agency could trust.
        raise ApiError("APIGW.0301", "[X-Auth-Token is not a token of this server]") from foreign


def taking_user(call: Call, principal: Principal) -> tuple[User, str, int | None]:
    """Who takes over, what the result ends with (see temporary.Session.made_with) and, for a token, when."""
    identity = call.context.identity
    user = identity.store.users[principal.user_id]
    if principal.signed:
        return user, f"key:{principal.access_key}", None
    if not identity.auth:
        return user, "", None
    claims, _ = identity.read_token(call.header("x-auth-token").encode("latin-1"))
    return user, f"token:{claims.chain or claims.audit_id}", claims.expires_ms
