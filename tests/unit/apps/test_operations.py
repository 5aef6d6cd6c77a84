"""Operations of 5.2 and 5.3 where time, groups, other accounts or a stream's end matter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from tests.support.catalogs import FREE, a_stream
from tests.support.streams import PRINCIPAL, PROJECT, make_context

from penstock.catalog.tables.apps import CHECKPOINTS
from penstock.errors import ApiError
from penstock.limits import Limits
from penstock.log.base import Batch, PartitionRef
from penstock.model.streams import PartitionStatus, Right, Stream, StreamPolicy, StreamStatus
from penstock.service import lifecycle
from penstock.service.apps import (
    CreateAppRequest,
    consuming_state,
    create_app,
    delete_app,
    list_apps,
    show_app,
)
from penstock.service.checkpoints import (
    CommitCheckpointRequest,
    commit_checkpoint,
    delete_checkpoints,
    show_checkpoint,
)
from penstock.service.context import Context


class Groups:
    """What the coordinator of consumer groups says."""

    def __init__(self) -> None:
        self.members = 0
        self.checked: list[tuple[object, ...]] = []
        self.refusal: ApiError | None = None

    def live_members(self, project_id: str, app_name: str) -> int:
        assert (project_id, app_name) == (PROJECT, "app")
        return self.members

    def check_commit(self, *args: object) -> None:
        self.checked.append(args)
        if self.refusal is not None:
            raise self.refusal


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[Context]:
    made = await make_context(tmp_path, limits=Limits(apps_per_project=5))
    made.directory.on_change(made.apps.stream_changed)
    made.groups = Groups()  # type: ignore[assignment]
    await create_app(made, PRINCIPAL, PROJECT, CreateAppRequest("app"))
    yield made
    await lifecycle.settle()
    await made.catalog.close()


def groups(context: Context) -> Groups:
    assert isinstance(context.groups, Groups)
    return context.groups


async def add(context: Context, stream: Stream) -> Stream:
    await context.catalog.insert_stream(stream, FREE)
    await context.log.create(lifecycle.references(stream, stream.partitions))
    context.directory.put(stream)
    return stream


@pytest.fixture
async def stream(context: Context) -> Stream:
    """Two ACTIVE partitions, one DELETED, one EXPIRED; four records in each but the last."""
    made = a_stream(project_id=PROJECT, deleted=2)
    *living, last = made.partitions
    expired = msgspec.structs.replace(last, status=PartitionStatus.EXPIRED)
    made = await add(context, msgspec.structs.replace(made, partitions=(*living, expired)))
    for partition in living:
        await context.log.append([Batch(PartitionRef(made.stream_id, partition.number), [b"x"] * 4, None)])
    return made


def request(**fields: Any) -> CommitCheckpointRequest:
    sent = {
        "app_name": "app",
        "checkpoint_type": "LAST_READ",
        "stream_name": "s1",
        "partition_id": "0",
        "sequence_number": "2",
    }
    return CommitCheckpointRequest(**sent | fields)


async def commit(context: Context, **fields: Any) -> None:
    await commit_checkpoint(context, PRINCIPAL, PROJECT, request(**fields))


def named(**fields: str) -> dict[str, str]:
    sent = {
        "app_name": "app",
        "stream_name": "s1",
        "stream_id": "",
        "partition_id": "0",
        "checkpoint_type": "LAST_READ",
    }
    return sent | fields


async def at(context: Context, **fields: str) -> str:
    return (await show_checkpoint(context, PRINCIPAL, PROJECT, **named(**fields))).sequence_number


async def delete(context: Context, **fields: str) -> None:
    await delete_checkpoints(context, PRINCIPAL, PROJECT, **named(**{"partition_id": ""} | fields))


async def refused(work: Any, code: str) -> str:
    with pytest.raises(ApiError) as error:
        await work
    assert error.value.code == code
    return error.value.message


async def states(context: Context, stream_name: str = "s1", **fields: Any) -> Any:
    sent: dict[str, Any] = {"checkpoint_type": "LAST_READ", "limit": 100} | fields
    return await consuming_state(context, PRINCIPAL, PROJECT, "app", stream_name, **sent)


class TestPartitionsThatAreNotActive:
    async def test_consumption_state_lists_the_readable_ones(self, context: Context, stream: Stream) -> None:
        await commit(context, partition_id="2", sequence_number="4")
        entries = (await states(context)).partition_consuming_states
        assert [(e.partition_id[-1], e.status, e.sequence_number, e.lag) for e in entries] == [
            ("0", "ACTIVE", "-1", 4),
            ("1", "ACTIVE", "-1", 4),
            ("2", "DELETED", "4", 0),
        ]

    async def test_an_expired_partition(self, context: Context, stream: Stream) -> None:
        """DIS.4319 in the form that the Kafka adapter retries at (clients.md section 5)."""
        expected = f"Partition is expired. [s1][{PROJECT}][shardId-0000000003]"
        assert await refused(commit(context, partition_id="3", sequence_number="0"), "DIS.4319") == expected
        assert await refused(at(context, partition_id="3"), "DIS.4319") == expected

    async def test_a_checkpoint_of_an_expired_partition_can_still_be_deleted(
        self, context: Context, stream: Stream
    ) -> None:
        await commit(context, partition_id="2", sequence_number="4")
        two = msgspec.structs.replace(stream.partitions[2], status=PartitionStatus.EXPIRED)
        parts = (*stream.partitions[:2], two, stream.partitions[3])
        context.directory.put(msgspec.structs.replace(stream, partitions=parts))
        assert [e.sequence_number for e in (await states(context)).partition_consuming_states] == ["-1"] * 2
        await delete(context, partition_id="2")
        await refused(delete(context, partition_id="2"), "DIS.4375")

    async def test_records_that_expired(self, context: Context, stream: Stream) -> None:
        """Numbers below the earliest record stay valid: the record was there when it was read."""
        ref = PartitionRef(stream.stream_id, 0)
        for _ in range(3):
            await context.log.append([Batch(ref, [b"x"] * 4, None)])
        await context.log.expire(ref, context.clock.now_ms() + 1)
        earliest = context.log.bounds(ref).earliest
        assert earliest > 0
        await commit(context, sequence_number="0")
        assert await at(context) == "0"
        entry = (await states(context)).partition_consuming_states[0]
        assert (entry.earliest_offset, entry.latest_offset) == (earliest, 16)
        assert entry.lag == 16 - earliest


class TestConsumerGroups:
    async def test_an_app_whose_group_has_members_stays(self, context: Context) -> None:
        groups(context).members = 2
        await refused(delete_app(context, PRINCIPAL, PROJECT, "app"), "DIS.4331")
        assert (await show_app(context, PRINCIPAL, PROJECT, "app")).app_name == "app"
        groups(context).members = 0
        await delete_app(context, PRINCIPAL, PROJECT, "app")

    @pytest.mark.parametrize(
        ("members", "fields", "expected"),
        [
            (1, {}, None),
            (1, {"client_id": "", "generation_id": ""}, None),
            (1, {"client_id": None, "generation_id": None}, None),
            (1, {"client_id": "c1", "generation_id": 7}, ("c1", 7)),
            (1, {"client_id": "c1", "generation_id": 0}, ("c1", 0)),
            (0, {"client_id": "c1", "generation_id": 7}, ("c1", 7)),
            (1, {"client_id": "c1", "generation_id": -1}, ("c1", -1)),
            (1, {"client_id": "c1"}, ("c1", -1)),
            (1, {"generation_id": 3}, ("", 3)),
            # A consumer that was assigned its partitions by hand is a member of no group.
            (0, {"client_id": "c1", "generation_id": -1}, None),
            (0, {"client_id": "c1"}, None),
        ],
    )
    async def test_commits_of_members_are_checked(
        self,
        context: Context,
        stream: Stream,
        members: int,
        fields: dict[str, Any],
        expected: tuple[str, int] | None,
    ) -> None:
        """clients.md 1.5: the Kafka adapter names its client id and its generation."""
        groups(context).members = members
        await commit(context, **fields)
        assert groups(context).checked == ([] if expected is None else [(PROJECT, "app", *expected)])

    @pytest.mark.parametrize("code", ["DIS.4701", "DIS.4702", "DIS.4703"])
    async def test_a_refused_member_commits_nothing(
        self, context: Context, stream: Stream, code: str
    ) -> None:
        groups(context).refusal = ApiError(code)
        await refused(commit(context, client_id="c1", generation_id=1), code)
        assert await at(context) == "-1"
        await commit(context)


class TestStreamsOfOtherAccounts:
    """5.1.7: a stream shared with the caller's account is there by its id, and the app is the caller's own."""

    @pytest.fixture
    async def shared(self, context: Context) -> Stream:
        policy = StreamPolicy(PRINCIPAL.domain_id, PRINCIPAL.domain_name, "", "", Right.GET)
        return await add(context, a_stream("theirs", project_id="other", policies=(policy,)))

    async def test_by_its_id(self, context: Context, shared: Stream) -> None:
        where = {"stream_name": "", "stream_id": shared.stream_id}
        await commit(context, **where, sequence_number="0")
        assert await at(context, **where) == "0"
        state = await states(context, shared.stream_id, stream_id=shared.stream_id)
        assert (state.stream_name, state.partition_consuming_states[0].sequence_number) == ("theirs", "0")
        assert (await show_app(context, PRINCIPAL, PROJECT, "app")).commit_checkpoint_stream_names == [
            "theirs"
        ]
        page = await list_apps(context, PRINCIPAL, PROJECT, limit=10, stream_name=shared.stream_id)
        assert [app.app_name for app in page.apps] == ["app"]
        await delete(context, **where)
        assert await at(context, **where) == "-1"

    async def test_not_by_its_name(self, context: Context, shared: Stream) -> None:
        await refused(commit(context, stream_name="theirs", sequence_number="0"), "DIS.4301")
        await refused(states(context, "theirs"), "DIS.4301")

    async def test_not_without_the_right(self, context: Context) -> None:
        policy = StreamPolicy(PRINCIPAL.domain_id, PRINCIPAL.domain_name, "", "", Right.PUT)
        other = await add(context, a_stream("theirs", project_id="other", policies=(policy,)))
        where = {"stream_name": "", "stream_id": other.stream_id}
        await refused(commit(context, **where, sequence_number="0"), "DIS.4301")
        await refused(at(context, **where), "DIS.4301")
        await refused(delete(context, **where), "DIS.4301")
        await refused(states(context, other.stream_id), "DIS.4301")


class TestEnds:
    async def test_a_stream_that_is_being_deleted_takes_none(self, context: Context, stream: Stream) -> None:
        context.directory.put(msgspec.structs.replace(stream, status=StreamStatus.TERMINATING))
        await refused(commit(context), "DIS.4205")

    async def test_checkpoints_go_with_their_stream(self, context: Context, stream: Stream) -> None:
        await commit(context)
        await lifecycle.delete(context, stream)
        assert await context.catalog.count(CHECKPOINTS) == 0
        app = await show_app(context, PRINCIPAL, PROJECT, "app")
        assert app.commit_checkpoint_stream_names == []

    @pytest.mark.parametrize("first", ["commit", "delete"])
    async def test_a_stream_deleted_meanwhile(self, context: Context, stream: Stream, first: str) -> None:
        """The commit is taken and goes with the stream, or is refused; never left without one."""
        works = [commit(context), lifecycle.delete(context, stream)]
        if first == "delete":
            works.reverse()
        results = await asyncio.gather(*works, return_exceptions=True)
        for result in results:
            assert result in (None, True) or (
                isinstance(result, ApiError) and result.code in ("DIS.4301", "DIS.4205")
            )
        assert await context.catalog.count(CHECKPOINTS) == 0
        assert context.apps.streams_of(context.apps.page(PROJECT, "", 1)[0][0]) == set()

    async def test_deletes_of_partitions_at_once(self, context: Context, stream: Stream) -> None:
        """Whoever deletes the last one takes the stream off the app's list."""
        for number in "012":
            await commit(context, partition_id=number)
        await asyncio.gather(*(delete(context, partition_id=number) for number in "012"))
        app = await show_app(context, PRINCIPAL, PROJECT, "app")
        assert app.commit_checkpoint_stream_names == []

    async def test_commits_and_deletes_at_once(self, context: Context, stream: Stream) -> None:
        """Memory and catalog agree on whether the app has checkpoints of the stream, whatever the order was."""
        works: list[Callable[[], Any]] = [
            lambda: commit(context, partition_id="0"),
            lambda: delete(context, partition_id="0"),
            lambda: commit(context, partition_id="1"),
            lambda: delete(context),
        ]
        for turn in range(60):
            order = [works[(turn * step + step // 2) % 4]() for step in range(1, 8)]
            results = await asyncio.gather(*order, return_exceptions=True)
            assert all(r is None or (isinstance(r, ApiError) and r.code == "DIS.4375") for r in results)
            stored = await context.catalog.count(CHECKPOINTS)
            app = context.apps.find(PROJECT, "app")
            assert app is not None
            assert bool(stored) == (stream.stream_id in context.apps.streams_of(app)), turn

    async def test_a_commit_while_a_delete_looks_for_others(self, context: Context, stream: Stream) -> None:
        """The delete of the last checkpoint asks the catalog whether there is another one; one that is committed before it hears
        the answer is not in it."""
        catalog = context.catalog

        class Between:
            """Commits when the catalog has looked and before it answers, once."""

            def __init__(self) -> None:
                self.left = 1

            async def select(self, *args: Any, **kwargs: Any) -> Any:
                found = await catalog.select(*args, **kwargs)
                if self.left:
                    self.left = 0
                    assert found == []
                    await commit(context, partition_id="1")
                return found

            def __getattr__(self, name: str) -> Any:
                return getattr(catalog, name)

        await commit(context, partition_id="0")
        context.catalog = cast(Any, Between())
        await delete(context, partition_id="0")
        assert await at(context, partition_id="1") == "2"
        app = await show_app(context, PRINCIPAL, PROJECT, "app")
        assert app.commit_checkpoint_stream_names == ["s1"]


class TestCreatingAtOnce:
    async def test_one_name(self, context: Context) -> None:
        works = (create_app(context, PRINCIPAL, PROJECT, CreateAppRequest("new")) for _ in range(5))
        results = await asyncio.gather(*works, return_exceptions=True)
        errors = [r for r in results if isinstance(r, ApiError)]
        assert [e.code for e in errors] == ["DIS.4330"] * 4

    async def test_the_quota_holds(self, context: Context) -> None:
        works = (create_app(context, PRINCIPAL, PROJECT, CreateAppRequest(f"n{n}")) for n in range(9))
        results = await asyncio.gather(*works, return_exceptions=True)
        errors = [r for r in results if isinstance(r, ApiError)]
        assert [e.code for e in errors] == ["DIS.4329"] * 5
        assert context.apps.count(PROJECT) == 5

    async def test_deleting(self, context: Context) -> None:
        works = (delete_app(context, PRINCIPAL, PROJECT, "app") for _ in range(3))
        results = await asyncio.gather(*works, return_exceptions=True)
        errors = [r for r in results if isinstance(r, ApiError)]
        assert [e.code for e in errors] == ["DIS.4332"] * 2
