"""Permission policies of streams (5.1.7, 5.1.8 and DELETE): who else may put, get or see. Owns what is asked and answered and
the forms of principals' names; knows no HTTP. What a policy lets somebody do is `service.access`'s.

Policies are part of the stream, so everybody who has the stream from the directory has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, NamedTuple

import msgspec
import structlog
from msgspec import Meta, Struct

from penstock.errors import ApiError, invalid, stream_missing
from penstock.iam.identity import Identity
from penstock.limits import Limits
from penstock.model import validation
from penstock.model.streams import Right, Stream, StreamPolicy, StreamStatus
from penstock.service import lifecycle
from penstock.service.context import Context

ACCEPT = "accept"
EVERYBODY = "*"
_log = structlog.get_logger("penstock.policies")

_PRINCIPALS = (
    "An account, `domain` or `domain.*`, or one of its users, `domain.user`; several separated by commas."
)


class AddPolicyRequest(Struct, frozen=True, kw_only=True):
    """Body of POST …/streams/{stream_name}/policies (5.1.7 table 5-32)."""

    stream_id: Annotated[str, Meta(description="The id of the stream in the path.")]
    principal_name: Annotated[str, Meta(description=_PRINCIPALS)]
    action_type: Annotated[str, Meta(extra_json_schema={"enum": list(Right)})]
    effect: Annotated[str, Meta(description="accept, in any letter case.")]


class RemovePoliciesRequest(Struct, frozen=True, kw_only=True):
    """Body of DELETE …/streams/{stream_name}/policies; all of it may be in the query instead, or left out for all policies."""

    stream_id: Annotated[str | None, Meta(description="The id of the stream in the path.")] = None
    principal_name: Annotated[
        str | None, Meta(description=f"{_PRINCIPALS} Ids, as listed in `principal`, are taken too.")
    ] = None
    action_type: Annotated[str | None, Meta(description="Of these policies, those for this action only.")] = (
        None
    )


class PrincipalRule(Struct, frozen=True):
    """One policy (5.1.8 table 5-36)."""

    principal: Annotated[str, Meta(description="`domain_id.*` or `domain_id.user_id`.")]
    principal_name: Annotated[str, Meta(description="`domain.*` or `domain.user`.")]
    action_type: str
    effect: str


class PoliciesReply(Struct, frozen=True):
    """Reply of GET …/streams/{stream_name}/policies (5.1.8 table 5-35; its example spells the id `streamId`)."""

    stream_id: str
    streamId: str  # noqa: N815 - the wire's name
    rules: list[PrincipalRule]


class _Principal(NamedTuple):
    domain_id: str
    domain_name: str
    user_id: str
    user_name: str


async def add_policies(
    context: Context, project_id: str, stream_name: str, request: AddPolicyRequest
) -> None:
    """5.1.7. One policy for each principal; those that are there already stay as they are.

    DIS.4301 (no stream), DIS.4200 (a field, an account or user that does not exist), DIS.4308 (too many policies).
    """
    stream = _stream(context, project_id, stream_name, request.stream_id or None)
    if not request.stream_id:
        raise invalid("stream_id", "missing")
    right = validation.member("action_type", request.action_type, Right)
    if request.effect.lower() != ACCEPT:
        raise invalid("effect", f"{validation.shown(request.effect)} is not {ACCEPT}")
    added = [
        StreamPolicy(who.domain_id, who.domain_name, who.user_id, who.user_name, right)
        for who in _principals(context.identity, request.principal_name, context.limits)
    ]

    def change(before: Stream) -> Stream:
        return msgspec.structs.replace(before, policies=_merged(before.policies, added, context.limits))

    await _change(context, stream, change, "stream policies added", [shown_name(policy) for policy in added])


async def remove_policies(
    context: Context, project_id: str, stream_name: str, request: RemovePoliciesRequest
) -> None:
    """Chapter 6. The policies of the principals, of the action, of both, or all of the stream's.

    Names are compared with those the policies were made with, so what an account or user that is gone was granted can be taken
    back. DIS.4301 (no stream), DIS.4200 (a field; a principal or action that no policy names: nothing is removed then).
    """
    stream = _stream(context, project_id, stream_name, request.stream_id)
    right = validation.member("action_type", request.action_type, Right) if request.action_type else None
    names = list(_names(request.principal_name, context.limits)) if request.principal_name else []

    def change(before: Stream) -> Stream:
        gone: set[StreamPolicy] = set()
        for name in names or [""]:
            found = [
                policy
                for policy in before.policies
                if (not name or name in _spellings(policy)) and right in (None, policy.action)
            ]
            if not found and (name or right):
                what = f"no policy for {validation.shown(name)}" if name else "no policy for this action"
                raise invalid("principal_name" if name else "action_type", what)
            gone.update(found)
        kept = tuple(policy for policy in before.policies if policy not in gone)
        return msgspec.structs.replace(before, policies=kept)

    await _change(context, stream, change, "stream policies removed", names)


def list_policies(context: Context, project_id: str, stream_name: str) -> PoliciesReply:
    """5.1.8. In the order in which they were added. DIS.4301."""
    stream = _stream(context, project_id, stream_name, None)
    rules = [
        PrincipalRule(
            f"{policy.domain_id}.{policy.user_id or EVERYBODY}", shown_name(policy), policy.action, ACCEPT
        )
        for policy in stream.policies
    ]
    return PoliciesReply(stream.stream_id, stream.stream_id, rules)


def shown_name(policy: StreamPolicy) -> str:
    """`domain.*` or `domain.user`."""
    return f"{policy.domain_name}.{policy.user_name if policy.user_id else EVERYBODY}"


def _stream(context: Context, project_id: str, name: str, stream_id: str | None) -> Stream:
    """The project's stream, with the id given beside its name."""
    stream = context.directory.find(project_id, name)
    if stream is None or stream.status is StreamStatus.TERMINATING:
        raise stream_missing(name[: context.limits.stream_name_length], project_id)
    if stream_id and stream_id != stream.stream_id:
        raise invalid("stream_id", f"{validation.shown(stream_id)} is not the id of {stream.name}")
    return stream


async def _change(
    context: Context, seen: Stream, how: lifecycle.How, event: str, principals: list[str]
) -> None:
    if await lifecycle.change(context, seen, how) is None:
        raise stream_missing(seen.name, seen.project_id)
    _log.info(event, stream=seen.name, stream_id=seen.stream_id, principals=principals)


def _merged(
    known: tuple[StreamPolicy, ...], added: list[StreamPolicy], limits: Limits
) -> tuple[StreamPolicy, ...]:
    """An account or user is the same under another name: the older policy stays."""
    merged = {(policy.domain_id, policy.user_id, policy.action): policy for policy in known}
    for policy in added:
        merged.setdefault((policy.domain_id, policy.user_id, policy.action), policy)
    if len(merged) > limits.policies_per_stream:
        raise ApiError("DIS.4308", f"[{len(merged)} policies, at most {limits.policies_per_stream}]")
    return tuple(merged.values())


def _names(text: str, limits: Limits) -> Iterator[str]:
    """The parts of a list with commas."""
    names = [part.strip() for part in text.split(",")]
    if len(names) > limits.policies_per_stream:
        raise ApiError("DIS.4308", f"[{len(names)} principals, at most {limits.policies_per_stream}]")
    for name in names:
        if not name:
            raise invalid("principal_name", "a name is missing" if text.strip() else "missing")
        yield name


def _principals(identity: Identity, text: str, limits: Limits) -> list[_Principal]:
    return [_principal(identity, name) for name in _names(text, limits)]


def _principal(identity: Identity, name: str) -> _Principal:
    """Who `domain`, `domain.*` or `domain.user` is. Names may hold points themselves: when that leaves more than one reading,
    none is guessed. DIS.4200."""
    if name.endswith(f".{EVERYBODY}"):
        name = name.removesuffix(f".{EVERYBODY}")
        readings = _accounts(identity, name)
    else:
        readings = [*_accounts(identity, name), *_users(identity, name)]
    if not readings:
        raise invalid("principal_name", f"there is no account or user {validation.shown(name)}")
    if len(readings) > 1:
        raise invalid("principal_name", f"{validation.shown(name)} may be an account or a user of another")
    return readings[0]


def _accounts(identity: Identity, name: str) -> list[_Principal]:
    domain = identity.domain(name=name)
    return [] if domain is None else [_Principal(domain.domain_id, domain.name, "", "")]


def _users(identity: Identity, name: str) -> list[_Principal]:
    found = []
    at = name.find(".")
    while at >= 0:
        domain = identity.domain(name=name[:at])
        if domain is not None:
            user = identity.user(name=name[at + 1 :], domain_id=domain.domain_id)
            if user is not None:
                found.append(_Principal(domain.domain_id, domain.name, user.user_id, user.name))
        at = name.find(".", at + 1)
    return found


def _spellings(policy: StreamPolicy) -> set[str]:
    """Every way to name a policy's principal."""
    if policy.user_id:
        return {f"{policy.domain_name}.{policy.user_name}", f"{policy.domain_id}.{policy.user_id}"}
    return {
        policy.domain_name,
        f"{policy.domain_name}.{EVERYBODY}",
        policy.domain_id,
        f"{policy.domain_id}.{EVERYBODY}",
    }
