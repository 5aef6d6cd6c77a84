"""Tags of streams (5.7.1 to 5.7.7): set, read, taken away, and streams found by them. Owns what is asked and answered; knows
no HTTP. What a filter means is `model.tag_filter`'s.

Tags are part of the stream: a change is one new state of it, so a batch is done as a whole or not at all.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from penstock.errors import ApiError, invalid, malformed
from penstock.limits import SEQUENCE_MAX, Limits
from penstock.model import validation
from penstock.model.streams import Stream, StreamStatus, Tag
from penstock.model.tag_filter import ANY, Condition, TagFilter
from penstock.service import lifecycle
from penstock.service.context import Context
from penstock.service.stream_types import Absent, TagField, given, tag_fields

RESOURCE_TYPE = "stream"
CREATE, DELETE = "create", "delete"
FILTER, COUNT = "filter", "count"
NAME_KEY = "resource_name"
_AT_ONCE = 500
"""Streams looked at before others get their turn."""


class AddTagRequest(Struct, frozen=True):
    """Body of POST …/stream/{stream_id}/tags (5.7.1 table 5-141)."""

    tag: TagField


class TagsActionRequest(Struct, frozen=True):
    """Body of POST …/stream/{stream_id}/tags/action (5.7.4 table 5-151, 5.7.7 table 5-165)."""

    action: Annotated[str, Meta(description="create or delete.")]
    tags: Annotated[list[TagField], Meta(description="At least one; values do not matter to delete.")]


class TagsReply(Struct, frozen=True):
    """Reply of GET …/stream/{stream_id}/tags (5.7.2 table 5-145)."""

    tags: list[TagField]


class TagValues(Struct, frozen=True):
    """A key and some of its values (5.7.5 table 5-156, 5.7.6 table 5-160)."""

    key: str
    values: Annotated[
        list[str] | Absent | None, Meta(description="One of these; empty: any. `*x`: any that contains x.")
    ] = None


class MatchField(Struct, frozen=True):
    """What a stream's name contains (5.7.6 table 5-159)."""

    key: Annotated[str, Meta(description="resource_name.")]
    value: str | None = None


class FilterRequest(Struct, frozen=True, kw_only=True):
    """Body of POST …/stream/resource_instances/action (5.7.6 table 5-159). `limit` and `offset` are texts in the reference, and
    numbers are taken too; `matches` is a text there and an array in its example."""

    action: Annotated[str, Meta(description="filter or count.")]
    limit: int | str | None = None
    offset: int | str | None = None
    tags: list[TagValues] | Absent | None = None
    tags_any: list[TagValues] | Absent | None = None
    not_tags: list[TagValues] | Absent | None = None
    not_tags_any: list[TagValues] | Absent | None = None
    matches: list[MatchField] | MatchField | str | None = None


class AllTags(Struct, frozen=True):
    """A key and all its values in a project (5.7.5 table 5-156)."""

    key: str
    values: list[str]


class AllTagsReply(Struct, frozen=True):
    """Reply of GET …/stream/tags (5.7.5 table 5-155)."""

    tags: list[AllTags]


class Resource(Struct, frozen=True):
    """A stream that was found (5.7.6, example)."""

    resource_detail: None
    resource_id: str
    resource_name: str
    tags: list[TagField]


class FilterReply(Struct, frozen=True, kw_only=True):
    """Reply of POST …/stream/resource_instances/action (5.7.6 table 5-161). `count` has no `resources`."""

    resources: list[Resource] | UnsetType = UNSET
    total_count: Annotated[int, Meta(description="Streams found, on this page or not.")]


class _Page(NamedTuple):
    limit: int
    offset: int


def check_type(resource_type: str) -> None:
    """DIS.4602 for anything but streams."""
    if resource_type != RESOURCE_TYPE:
        raise ApiError("DIS.4602", f"[{validation.shown(resource_type)}, only {RESOURCE_TYPE} is one]")


async def add_tag(context: Context, project_id: str, stream_id: str, request: AddTagRequest) -> None:
    """5.7.1. A key that is there already gets the new value. DIS.4603 (no stream), DIS.4200, DIS.4601."""
    stream, limits = find_stream(context, project_id, stream_id), context.limits
    tag = Tag(request.tag.key, request.tag.value or "")
    validation.tag_text("tag.key", tag.key, 1, limits.tag_key_length)
    validation.tag_text("tag.value", tag.value, 0, limits.tag_value_length)
    await _change(context, stream, lambda tags: _with(tags, [tag], limits))


async def act_on_tags(context: Context, project_id: str, stream_id: str, request: TagsActionRequest) -> None:
    """5.7.4 and 5.7.7: all of the tags or, when one is refused, none. Deleting goes by the key and takes what is not there for
    done. DIS.4605 (neither create nor delete), DIS.4603, DIS.4200 (no tags, no key, a key twice), DIS.4601."""
    if request.action not in (CREATE, DELETE):
        raise ApiError("DIS.4605", f"[{validation.shown(request.action)}, only {CREATE} and {DELETE} are]")
    stream, limits = find_stream(context, project_id, stream_id), context.limits
    if not request.tags:
        raise invalid("tags", "empty")
    if request.action == CREATE:
        added = validation.tags([Tag(tag.key, tag.value or "") for tag in request.tags], limits)
        await _change(context, stream, lambda tags: _with(tags, added, limits))
        return
    for index, tag in enumerate(request.tags):
        if not tag.key.strip():
            raise invalid(f"tags[{index}].key", "blank")
    gone = {tag.key for tag in request.tags}
    await _change(context, stream, lambda tags: [tag for tag in tags if tag.key not in gone])


async def delete_tag(context: Context, project_id: str, stream_id: str, key: str) -> None:
    """5.7.3. DIS.4603 (no stream), DIS.4604 (no such key)."""

    def without(tags: Sequence[Tag]) -> Iterable[Tag]:
        kept = [tag for tag in tags if tag.key != key]
        if len(kept) == len(tags):
            raise ApiError("DIS.4604", f"[{validation.shown(key)}]")
        return kept

    await _change(context, find_stream(context, project_id, stream_id), without)


def tags_of(context: Context, project_id: str, stream_id: str) -> TagsReply:
    """5.7.2. DIS.4603."""
    return TagsReply(tag_fields(find_stream(context, project_id, stream_id).tags))


async def all_tags(context: Context, project_id: str) -> AllTagsReply:
    """5.7.5. Every key of the project's streams, each with its values; both in order."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for some in _streams(context, project_id):
        for stream in some:
            for tag in stream.tags:
                found[tag.key].add(tag.value)
        await asyncio.sleep(0)
    return AllTagsReply([AllTags(key, sorted(found[key])) for key in sorted(found)])


async def find_by_tags(context: Context, project_id: str, request: FilterRequest) -> FilterReply:
    """5.7.6. Streams in order of their names. DIS.4605 (neither filter nor count), DIS.4200 (a rule of table 5-159)."""
    if request.action not in (FILTER, COUNT):
        raise ApiError("DIS.4605", f"[{validation.shown(request.action)}, only {FILTER} and {COUNT} are]")
    limits = context.limits
    wanted = _filter(request, limits)
    page = _page(request, limits) if request.action == FILTER else _Page(0, 0)
    total, found = 0, []
    for some in _streams(context, project_id):
        for stream in some:
            if wanted.lets_through(stream.name, {tag.key: tag.value for tag in stream.tags}):
                if page.offset <= total < page.offset + page.limit:
                    found.append(stream)
                total += 1
        await asyncio.sleep(0)
    if request.action == COUNT:
        return FilterReply(total_count=total)
    resources = [Resource(None, s.stream_id, s.name, tag_fields(s.tags)) for s in found]
    return FilterReply(resources=resources, total_count=total)


def find_stream(context: Context, project_id: str, stream_id: str) -> Stream:
    """The project's stream with that id, else of that name. DIS.4603."""
    directory = context.directory
    stream = directory.find_id(project_id, stream_id) or directory.get(project_id, stream_id)
    if stream is None or stream.status is StreamStatus.TERMINATING:
        raise _missing(stream_id)
    return stream


def _streams(context: Context, project_id: str) -> Iterator[list[Stream]]:
    """The project's streams but those that are being deleted, some at a time."""
    after, more = "", True
    while more:
        streams, more = context.directory.page(project_id, after, _AT_ONCE)
        yield [stream for stream in streams if stream.status is not StreamStatus.TERMINATING]
        if streams:
            after = streams[-1].name


async def _change(context: Context, seen: Stream, how: Callable[[Sequence[Tag]], Iterable[Tag]]) -> None:
    def tagged(stream: Stream) -> Stream:
        return msgspec.structs.replace(stream, tags=tuple(how(stream.tags)))

    if await lifecycle.change(context, seen, tagged) is None:
        raise _missing(seen.name)


def _with(tags: Sequence[Tag], added: Sequence[Tag], limits: Limits) -> Iterable[Tag]:
    """A key keeps its place when its value changes. DIS.4601."""
    merged = {tag.key: tag for tag in tags} | {tag.key: tag for tag in added}
    if len(merged) > limits.tag_count:
        raise ApiError("DIS.4601", f"[{len(merged)} tags, at most {limits.tag_count}]")
    return merged.values()


def _filter(request: FilterRequest, limits: Limits) -> TagFilter:
    return TagFilter(
        tags=_conditions("tags", given(request.tags), limits),
        tags_any=_conditions("tags_any", given(request.tags_any), limits),
        not_tags=_conditions("not_tags", given(request.not_tags), limits),
        not_tags_any=_conditions("not_tags_any", given(request.not_tags_any), limits),
        name=_name(request.matches, limits),
    )


def _conditions(field: str, fields: list[TagValues] | None, limits: Limits) -> list[Condition]:
    """At most 10 keys with at most 10 values each, none twice."""
    fields = fields or []
    if len(fields) > limits.tag_filter_keys:
        raise invalid(field, f"{len(fields)} keys, at most {limits.tag_filter_keys}")
    conditions: dict[str, Condition] = {}
    for index, one in enumerate(fields):
        where = f"{field}[{index}]"
        validation.tag_text(f"{where}.key", one.key, 1, limits.tag_key_length)
        if one.key in conditions:
            raise invalid(f"{where}.key", "used twice")
        values = given(one.values) or []
        if len(values) > limits.tag_filter_values:
            raise invalid(f"{where}.values", f"{len(values)} values, at most {limits.tag_filter_values}")
        if len(set(values)) < len(values):
            raise invalid(f"{where}.values", "one is there twice")
        for number, value in enumerate(values):
            at = f"{where}.values[{number}]"
            validation.tag_text(at, value.removeprefix(ANY), 0, limits.tag_value_length)
        conditions[one.key] = Condition(one.key, tuple(values))
    return list(conditions.values())


def _name(matches: list[MatchField] | MatchField | str | None, limits: Limits) -> str:
    """What names must contain. The one key there is may be given once; no value, or an empty one, is no condition."""
    if isinstance(matches, str):
        matches = _match_text(matches)
    if isinstance(matches, MatchField):
        matches = [matches]
    if not matches:
        return ""
    for index, one in enumerate(matches):
        if one.key != NAME_KEY:
            raise invalid(f"matches[{index}].key", f"not {NAME_KEY}")
        if index:
            raise invalid(f"matches[{index}].key", "used twice")
    name = matches[0].value or ""
    if len(name) > limits.stream_name_length:
        raise invalid("matches[0].value", f"longer than {limits.stream_name_length} characters")
    return name


def _match_text(text: str) -> list[MatchField] | MatchField:
    """A client whose field is a text, as in table 5-159, sends the JSON in it, or just the name."""
    if not text.startswith(("[", "{")):
        return MatchField(NAME_KEY, text)
    try:
        return msgspec.json.decode(text, type=list[MatchField] | MatchField)
    except (msgspec.DecodeError, RecursionError) as error:
        raise malformed("matches", str(error)) from error


def _page(request: FilterRequest, limits: Limits) -> _Page:
    """Absent and 0 are the default, as for every page size."""
    most = limits.tagged_streams_max
    limit = _number("limit", request.limit)
    return _Page(
        validation.within("limit", limit, 1, most) if limit else limits.tagged_streams_default,
        validation.within("offset", _number("offset", request.offset), 0, SEQUENCE_MAX),
    )


def _number(field: str, value: int | str | None) -> int:
    if not value:
        return 0
    if isinstance(value, int):
        return value
    digits = value.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 19:
        raise invalid(field, "not a whole number")
    return int(value)


def _missing(stream_id: str) -> ApiError:
    return ApiError("DIS.4603", f"[{validation.shown(stream_id)}]")
