"""Rows of the embedded IAM beside accounts, users, projects and keys: groups, memberships, policies, grants, agencies, revoked
tokens.

Owns the shapes and their tables; knows no rules of who may do what.
"""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.catalog.table import Table


class Group(msgspec.Struct, frozen=True):
    """A user group of an account: what policies are granted to."""

    group_id: str
    domain_id: str
    name: str
    description: str = ""
    created_ms: int = 0


class Membership(msgspec.Struct, frozen=True):
    """A user's place in a group."""

    group_id: str
    user_id: str


class CustomPolicy(msgspec.Struct, frozen=True):
    """A policy an account wrote. `text` is the policy as it was sent, JSON; `kind` is AX (the account) or XA (projects)."""

    policy_id: str
    domain_id: str
    name: str
    """What the IAM API calls display_name."""
    kind: str
    text: str
    description: str = ""
    description_cn: str = ""
    created_ms: int = 0
    updated_ms: int = 0


class Grant(msgspec.Struct, frozen=True, order=True):
    """A policy or role given to somebody somewhere. `subject` is `group:ID`, `user:ID` or `agency:ID`; `scope` is
    `project:ID`, `domain:ID` (what belongs to no project), `inherited:ID` (the account and all its projects) or
    `enterprise:ID`."""

    subject: str
    scope: str
    policy_id: str


class Agency(msgspec.Struct, frozen=True):
    """What an account lets another account, or a service, do in its name. `trust_domain_id` is empty for a service, which
    `trust_domain_name` names (`op_svc_dis`)."""

    agency_id: str
    domain_id: str
    name: str
    trust_domain_id: str
    trust_domain_name: str
    description: str = ""
    days: int = 0
    """How long it holds from its creation; 0: for ever."""
    created_ms: int = 0
    epoch: int = 0
    """Counts changes of whom it trusts: tokens made before do not hold."""

    @property
    def expires_ms(self) -> int | None:
        return self.created_ms + self.days * 86_400_000 if self.days else None


class RevokedToken(msgspec.Struct, frozen=True):
    """A token that ends before its time. Forgotten once it would have expired."""

    audit_id: str
    user_id: str
    expires_ms: int


GROUPS = Table(
    "user_groups", Group, ("group_id", "domain_id", "name"), lambda g: (g.group_id, g.domain_id, g.name)
)
MEMBERSHIPS = Table(
    "memberships", Membership, ("group_id", "user_id"), lambda m: (m.group_id, m.user_id), keys=2
)
POLICIES = Table(
    "policies", CustomPolicy, ("policy_id", "domain_id", "name"), lambda p: (p.policy_id, p.domain_id, p.name)
)
GRANTS = Table(
    "grants", Grant, ("subject", "scope", "policy_id"), lambda g: (g.subject, g.scope, g.policy_id), keys=3
)
AGENCIES = Table(
    "agencies", Agency, ("agency_id", "domain_id", "name"), lambda a: (a.agency_id, a.domain_id, a.name)
)
REVOKED = Table(
    "revoked_tokens",
    RevokedToken,
    ("audit_id", "user_id", "expires_ms"),
    lambda t: (t.audit_id, t.user_id, t.expires_ms),
)

TABLES: tuple[Table[Any], ...] = (GROUPS, MEMBERSHIPS, POLICIES, GRANTS, AGENCIES, REVOKED)
