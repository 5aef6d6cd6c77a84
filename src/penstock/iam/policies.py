"""The policy language of IAM: reading a policy and deciding with it. Pure rules; knows nobody and no storage.

A policy is JSON of version 1.1: statements that allow or deny actions such as `dis:streams:get`, with `*` anywhere in them
and capitals and small letters the same. What cannot be evaluated here is refused when it is written, never ignored when it is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from penstock.errors import ApiError, invalid, malformed
from penstock.limits import UNLIMITED, Limits

VERSIONS = ("1.1", "1.0")
ATTRIBUTES = ("g:UserId", "g:UserName", "g:DomainId", "g:DomainName", "g:ProjectName")
"""What conditions may ask about: none of it changes from one request of a user to the next, so decisions are kept."""

_STORED = Limits(policy_bytes=UNLIMITED, statements_per_policy=UNLIMITED, actions_per_statement=UNLIMITED)
"""A policy outlives the limits it was written under."""

_ACTION = re.compile(r"[A-Za-z0-9*_-]{1,64}(:[A-Za-z0-9*_-]{1,64}){0,2}")
_EVERYTHING = re.compile(r"\*|[A-Za-z*]{1,32}(:\*){1,4}")
_AGENCY_URI = re.compile(r"/iam/agencies/([A-Za-z0-9_-]{1,64}|\*)")


class Statement(NamedTuple):
    """One statement, ready to be asked. `agencies` limits it to what concerns these (`/iam/agencies/ID`); empty: everything."""

    allow: bool
    actions: tuple[str, ...]
    """Lower case."""
    agencies: frozenset[str] = frozenset()
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    """Operator, attribute, values: all must hold, of the values one."""


Policy = tuple[Statement, ...]


class Statement_(msgspec.Struct):  # noqa: N801 the wire's form of the same word
    """A statement as it is written."""

    Effect: str
    Action: list[str]
    Resource: Any = None
    Condition: dict[str, dict[str, Any]] | None = None


class Document(msgspec.Struct):
    """A policy as it is written. `Depends` (of roles) is kept and means nothing here: what a policy allows is in its statements."""

    Version: str
    Statement: list[Statement_]
    Depends: Any = None


def read(document: Any, limits: Limits, field: str = "role.policy") -> Policy:
    """A policy that an account sent, checked. Raises ApiError DIS.4300 for a wrong type, DIS.4200 for anything else, naming
    the place."""
    size = len(msgspec.json.encode(document))
    if size > limits.policy_bytes:
        raise invalid(field, f"a policy has at most {limits.policy_bytes} bytes, not {size}")
    try:
        parsed = msgspec.convert(document, Document)
    except msgspec.ValidationError as error:
        reason, _, where = str(error).rpartition(" - at ")
        place = where.strip("`").removeprefix("$") if reason else ""
        reason = reason or str(error)
        if reason.startswith("Object missing required field"):
            raise invalid(
                field + place, reason.replace("Object missing", "missing").replace("`", "")
            ) from error
        raise malformed(field + place, reason) from error
    if parsed.Version not in VERSIONS:
        raise invalid(f"{field}.Version", f"must be {VERSIONS[0]}")
    if not 1 <= len(parsed.Statement) <= limits.statements_per_policy:
        raise invalid(f"{field}.Statement", f"1 to {limits.statements_per_policy} statements")
    return tuple(
        _statement(one, f"{field}.Statement[{number}]", limits) for number, one in enumerate(parsed.Statement)
    )


def read_stored(text: str) -> Policy:
    """A policy that was checked when it was stored."""
    return read(msgspec.json.decode(text), _STORED)


def _statement(written: Statement_, field: str, limits: Limits) -> Statement:
    effect = written.Effect.lower()
    if effect not in ("allow", "deny"):
        raise invalid(f"{field}.Effect", "must be Allow or Deny")
    if not 1 <= len(written.Action) <= limits.actions_per_statement:
        raise invalid(f"{field}.Action", f"1 to {limits.actions_per_statement} actions")
    for action in written.Action:
        if not _ACTION.fullmatch(action):
            raise invalid(f"{field}.Action", f"{action[:64]} is not of the form service:type:operation")
    agencies = _resources(written.Resource, f"{field}.Resource")
    return Statement(
        effect == "allow",
        tuple(action.lower() for action in written.Action),
        agencies,
        tuple(_conditions(written.Condition or {}, f"{field}.Condition")),
    )


def _resources(resource: Any, field: str) -> frozenset[str]:
    """Everything, or agencies by URI. Single streams are no resources of policies (table 6-1): they have policies of their own."""
    if resource is None:
        return frozenset()
    if isinstance(resource, dict) and set(resource) == {"uri"} and isinstance(resource["uri"], list):
        uris = resource["uri"]
        if all(isinstance(uri, str) and _AGENCY_URI.fullmatch(uri) for uri in uris) and 0 < len(uris) <= 20:
            return frozenset(uris)
        raise invalid(field, "uri: 1 to 20 of the form /iam/agencies/ID")
    if isinstance(resource, str):
        resource = [resource]
    if not isinstance(resource, list) or not all(isinstance(one, str) for one in resource):
        raise malformed(field, "expected a list of texts, or an object with uri")
    if not resource or not all(_EVERYTHING.fullmatch(one) for one in resource):
        raise invalid(
            field, "only * (every resource) can be named; single streams have policies of their own"
        )
    return frozenset()


def _equals(have: str, values: tuple[str, ...]) -> bool:
    return have in values


def _equals_folded(have: str, values: tuple[str, ...]) -> bool:
    return have.casefold() in {value.casefold() for value in values}


def _like(have: str, values: tuple[str, ...]) -> bool:
    return any(_pattern(value).fullmatch(have) for value in values)


_OPERATORS = {
    "StringEquals": (_equals, True),
    "StringNotEquals": (_equals, False),
    "StringEqualsIgnoreCase": (_equals_folded, True),
    "StringNotEqualsIgnoreCase": (_equals_folded, False),
    "StringLike": (_like, True),
    "StringNotLike": (_like, False),
    "StringMatch": (_like, True),
    "StringNotMatch": (_like, False),
}


def _conditions(written: dict[str, dict[str, Any]], field: str) -> Iterable[tuple[str, str, tuple[str, ...]]]:
    for operator, attributes in written.items():
        if operator not in _OPERATORS:
            raise invalid(
                f"{field}.{operator[:64]}", f"cannot be evaluated here: only {', '.join(_OPERATORS)} can"
            )
        for attribute, values in attributes.items():
            if attribute not in ATTRIBUTES:
                raise invalid(
                    f"{field}.{operator}.{attribute[:64]}",
                    f"cannot be evaluated here: only {', '.join(ATTRIBUTES)} can",
                )
            texts = values if isinstance(values, list) else [values]
            if not 1 <= len(texts) <= 10 or not all(isinstance(text, str) for text in texts):
                raise invalid(f"{field}.{operator}.{attribute}", "1 to 10 texts")
            yield operator, attribute, tuple(texts)


def decide(
    policies: Iterable[Policy], action: str, attributes: Mapping[str, str], resource: str = ""
) -> bool | None:
    """False when a statement denies `action`, True when one allows it and none denies it, None when none speaks of it.
    `resource` is what it is done to, where that is an agency (`/iam/agencies/ID`)."""
    wanted, answer = action.lower(), None
    for policy in policies:
        for statement in policy:
            if _speaks(statement, wanted, attributes, resource):
                if not statement.allow:
                    return False
                answer = True
    return answer


def _speaks(statement: Statement, action: str, attributes: Mapping[str, str], resource: str) -> bool:
    if not any(_matches(pattern, action) for pattern in statement.actions):
        return False
    if statement.agencies and not any(_pattern(uri).fullmatch(resource) for uri in statement.agencies):
        return False
    for operator, attribute, values in statement.conditions:
        test, expected = _OPERATORS[operator]
        if test(attributes.get(attribute, ""), values) is not expected:
            return False
    return True


def _matches(pattern: str, action: str) -> bool:
    """Part by part: `dis:*` is everything of the service, `dis:*:get*` ends with the third part."""
    parts, wanted = pattern.split(":"), action.split(":")
    if len(parts) > len(wanted) or (len(parts) < len(wanted) and parts[-1] != "*"):
        return False
    return all(
        part == "*" or _pattern(part).fullmatch(have) for part, have in zip(parts, wanted, strict=False)
    )


@lru_cache(maxsize=4096)
def _pattern(text: str) -> re.Pattern[str]:
    """`*` is any characters; nothing else means anything."""
    return re.compile(".*".join(re.escape(piece) for piece in text.split("*")), re.DOTALL)


def refusal(action: str) -> ApiError:
    """DIS.4116 naming the action."""
    return ApiError("DIS.4116", f"[{action}]")
