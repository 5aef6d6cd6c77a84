"""System-defined policies and roles: what every account has without writing it. Owns their names, ids and statements.

Table 6-1 names four policies of DIS; the others are the ones the cloud service's own documentation gives users.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

from penstock.iam.policies import Policy, Statement


class SystemPolicy(NamedTuple):
    """`name` is what the IAM API calls name, `display_name` what people call it. `kind` is XA (projects), AX (the account), AA
    (both)."""

    name: str
    display_name: str
    description: str
    kind: str
    catalog: str
    allowed: tuple[str, ...]
    """No system-defined policy denies anything: two of them together allow what either does."""

    @property
    def policy_id(self) -> str:
        """The same on every server, so that what is written for one works on another."""
        return hashlib.blake2s(f"penstock role {self.name}".encode(), digest_size=16).hexdigest()

    @property
    def policy(self) -> Policy:
        """What it allows."""
        return (Statement(True, tuple(action.lower() for action in self.allowed)),)

    @property
    def document(self) -> dict[str, Any]:
        """As the IAM API shows it."""
        return {"Version": "1.1", "Statement": [{"Effect": "Allow", "Action": list(self.allowed)}]}


_READ = ("dis:*:get*", "dis:*:list*")
_DATA = ("dis:records:*", "dis:checkpoints:*", "dis:apps:*", "dis:groups:*")

SYSTEM_POLICIES: tuple[SystemPolicy, ...] = (
    SystemPolicy(
        "system_dis_fullaccess", "DIS FullAccess", "All permissions of DIS.", "XA", "DIS", ("dis:*:*",)
    ),
    SystemPolicy(
        "system_dis_commonoperations",
        "DIS CommonOperations",
        "Everything of DIS but creating, changing and deleting streams, their policies and dump tasks.",
        "XA",
        "DIS",
        (*_READ, *_DATA, "dis:tagResources:*", "dis:eventEnumSubs:*"),
    ),
    SystemPolicy(
        "system_dis_readonlyaccess",
        "DIS ReadOnlyAccess",
        "Looking at streams, apps, dump tasks, checkpoints, tags, metrics and quotas; no records.",
        "XA",
        "DIS",
        _READ,
    ),
    SystemPolicy(
        "dis_user",
        "DIS User",
        "Uploading and downloading data, with the apps and checkpoints that takes; no management of streams.",
        "XA",
        "DIS",
        (*_READ, *_DATA),
    ),
    SystemPolicy(
        "dis_operator",
        "DIS Operator",
        "Management of streams, such as creating and deleting them; no uploading or downloading of data.",
        "XA",
        "DIS",
        (
            *_READ,
            "dis:streams:*",
            "dis:streamPolicies:*",
            "dis:transferTasks:*",
            "dis:tagResources:*",
            "dis:eventEnumSubs:*",
            "dis:apps:*",
        ),
    ),
    SystemPolicy("dis_adm", "DIS Administrator", "All permissions of DIS.", "XA", "DIS", ("dis:*:*",)),
    SystemPolicy(
        "te_admin",
        "Tenant Administrator",
        "All permissions but those of identity and access management.",
        "AA",
        "BASE",
        ("dis:*:*",),
    ),
    SystemPolicy(
        "readonly",
        "Tenant Guest",
        "Looking at everything but identity and access management.",
        "AA",
        "BASE",
        _READ,
    ),
    SystemPolicy(
        "secu_admin",
        "Security Administrator",
        "All permissions of identity and access management, and none of any other service.",
        "AX",
        "BASE",
        ("iam:*:*",),
    ),
    SystemPolicy(
        "te_agency",
        "Agent Operator",
        "Switching to an agency of another account.",
        "AX",
        "BASE",
        ("iam:agencies:assume", "iam:tokens:assume"),
    ),
    SystemPolicy(
        "system_all_fullaccess", "FullAccess", "All permissions of every service.", "AA", "BASE", ("*:*:*",)
    ),
    SystemPolicy(
        "system_all_readonly",
        "IAM ReadOnlyAccess",
        "Looking at identity and access management.",
        "AX",
        "IAM",
        ("iam:*:get*", "iam:*:list*", "iam:*:check*"),
    ),
)

BY_ID = {one.policy_id: one for one in SYSTEM_POLICIES}
BY_NAME = {one.name: one for one in SYSTEM_POLICIES} | {one.display_name: one for one in SYSTEM_POLICIES}
