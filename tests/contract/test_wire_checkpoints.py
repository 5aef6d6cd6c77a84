"""Checkpoints over the wire: commit, show, delete (API reference 5.3), every field and refusal, and what survives."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import httpx
import pytest
from tests.support.server import Server
from tests.support.wire import Json, Wire, done, ok, refused

Make = Callable[..., str]
NONE = {"sequence_number": "-1", "metadata": ""}
_numbers = itertools.count()


@pytest.fixture
def app(wire: Wire) -> Iterator[str]:
    """An app that exists."""
    name = f"c{os.getpid()}-{next(_numbers)}"
    done(wire.call("POST", "/apps", body={"app_name": name}), 201)
    yield name
    wire.call("DELETE", f"/apps/{name}")


@pytest.fixture
def stream(wire: Wire, make: Make) -> str:
    """A stream with three partitions, ten records in partition 1."""
    made = make(partitions=3)
    wire.put_data(made, *(b"x" for _ in range(10)), partition_id="1")
    return made


def body(app: str, stream: str, **fields: object) -> Json:
    sent: Json = {
        "app_name": app,
        "stream_name": stream,
        "partition_id": "1",
        "sequence_number": "5",
        "checkpoint_type": "LAST_READ",
    }
    return {key: value for key, value in (sent | fields).items() if value is not ...}


def commit(wire: Wire, app: str, stream: str, **fields: object) -> httpx.Response:
    """Partition 1, sequence number 5 unless told otherwise; `...` leaves a field out."""
    return wire.call("POST", "/checkpoints", body=body(app, stream, **fields))


def query(app: str, stream: str, **fields: str | None) -> str:
    sent: dict[str, str | None] = {
        "stream_name": stream,
        "app_name": app,
        "partition_id": "1",
        "checkpoint_type": "LAST_READ",
    }
    return "&".join(f"{k}={quote(v, safe='')}" for k, v in (sent | fields).items() if v is not None)


def show(wire: Wire, app: str, stream: str, **fields: str | None) -> httpx.Response:
    return wire.call("GET", "/checkpoints", query(app, stream, **fields))


def delete(wire: Wire, app: str, stream: str, **fields: str | None) -> httpx.Response:
    """All of the app and stream unless told otherwise."""
    return wire.call("DELETE", "/checkpoints", query(app, stream, **{"partition_id": None} | fields))


def at(wire: Wire, app: str, stream: str, partition: str = "1") -> str:
    sequence: str = ok(show(wire, app, stream, partition_id=partition))["sequence_number"]
    return sequence


class TestCommit:
    """5.3.1, table 5-56."""

    def test_answers_201_with_no_body(self, wire: Wire, app: str, stream: str) -> None:
        done(commit(wire, app, stream), 201)
        assert ok(show(wire, app, stream)) == {"sequence_number": "5", "metadata": ""}

    def test_with_a_slash_at_the_end(self, wire: Wire, app: str, stream: str) -> None:
        """clients.md 1.1."""
        done(wire.call("POST", "/checkpoints/", body=body(app, stream)), 201)
        reply = wire.call("GET", "/checkpoints/", query(app, stream) + "&")
        assert ok(reply)["sequence_number"] == "5"
        done(wire.call("DELETE", "/checkpoints/", query(app, stream) + "&"), 204)

    @pytest.mark.parametrize("partition", ["1", "shardId-0000000001", "shardId-1", "shardid-01"])
    def test_both_forms_of_a_partition(self, wire: Wire, app: str, stream: str, partition: str) -> None:
        done(commit(wire, app, stream, partition_id=partition), 201)
        for asked in ("1", "shardId-0000000001"):
            assert at(wire, app, stream, asked) == "5"

    def test_metadata(self, wire: Wire, app: str, stream: str) -> None:
        for text in ("m", "名" * 1000, ' "\\\u0000\n', "{}", "😀"):
            done(commit(wire, app, stream, metadata=text), 201)
            assert ok(show(wire, app, stream)) == {"sequence_number": "5", "metadata": text}
        done(commit(wire, app, stream, metadata=""), 201)
        assert ok(show(wire, app, stream))["metadata"] == ""
        refused(commit(wire, app, stream, metadata="m" * 1001), "DIS.4200", naming="metadata")
        assert ok(show(wire, app, stream))["metadata"] == ""

    def test_absent_and_unknown_fields(self, wire: Wire, app: str, stream: str) -> None:
        """clients.md 0, rule 8."""
        absent = {"metadata": None, "stream_id": "", "client_id": None, "generation_id": None, "x": {"y": 1}}
        done(commit(wire, app, stream, **absent), 201)
        done(commit(wire, app, stream, generation_id="", client_id=""), 201)

    def test_by_stream_id(self, wire: Wire, app: str, stream: str) -> None:
        stream_id = ok(wire.describe(stream))["stream_id"]
        done(commit(wire, app, stream, stream_name=..., stream_id=stream_id), 201)
        assert at(wire, app, stream) == "5"
        done(commit(wire, app, "", stream_id=stream_id, sequence_number="6"), 201)
        assert ok(show(wire, app, "", stream_id=stream_id))["sequence_number"] == "6"
        done(delete(wire, app, "", stream_id=stream_id), 204)
        assert at(wire, app, stream) == "-1"

    @pytest.mark.parametrize("sequence", ["0", "9", "10", "0000000003"])
    def test_numbers_from_0_to_the_end(self, wire: Wire, app: str, stream: str, sequence: str) -> None:
        """The end is what the Kafka adapter commits: the number it reads next (clients.md 1.5)."""
        done(commit(wire, app, stream, sequence_number=sequence), 201)
        assert at(wire, app, stream) == str(int(sequence))

    def test_numbers_beyond_the_end(self, wire: Wire, app: str, stream: str) -> None:
        for sequence in ("11", "9223372036854775807"):
            message = refused(commit(wire, app, stream, sequence_number=sequence), "DIS.4224")
            assert message.endswith(f" [{sequence}][ should be within ][0][ ][10]")
        refused(commit(wire, app, stream, partition_id="0", sequence_number="1"), "DIS.4224")
        done(commit(wire, app, stream, partition_id="0", sequence_number="0"), 201)
        assert at(wire, app, stream) == "-1"

    @pytest.mark.parametrize(
        "sequence", ["-1", "x", "1.0", "1e3", " 1", "+1", "９", "9223372036854775808", "9" * 40]
    )
    def test_what_is_no_number(self, wire: Wire, app: str, stream: str, sequence: str) -> None:
        refused(commit(wire, app, stream, sequence_number=sequence), "DIS.4216", naming="sequence_number")

    def test_going_back_is_allowed(self, wire: Wire, app: str, stream: str) -> None:
        for sequence in ("9", "2", "2", "3"):
            done(commit(wire, app, stream, sequence_number=sequence), 201)
            assert at(wire, app, stream) == sequence

    def test_apps_and_partitions_are_independent(self, wire: Wire, app: str, stream: str, make: Make) -> None:
        other_app, other_stream = f"{app}-other", make()
        done(wire.call("POST", "/apps", body={"app_name": other_app}), 201)
        done(commit(wire, app, stream), 201)
        done(commit(wire, other_app, stream, sequence_number="7"), 201)
        done(commit(wire, app, other_stream, partition_id="0", sequence_number="0"), 201)
        assert (at(wire, app, stream), at(wire, other_app, stream)) == ("5", "7")
        assert (at(wire, app, stream, "0"), at(wire, app, other_stream, "0")) == ("-1", "0")
        done(wire.call("DELETE", f"/apps/{other_app}"), 204)
        assert at(wire, app, stream) == "5"

    @pytest.mark.parametrize(
        "field", ["app_name", "checkpoint_type", "stream_name", "partition_id", "sequence_number"]
    )
    def test_mandatory_fields(self, wire: Wire, app: str, stream: str, field: str) -> None:
        for value in (..., None):
            refused(commit(wire, app, stream, **{field: value}), "DIS.4200", naming=field)

    @pytest.mark.parametrize(
        "field",
        [
            "app_name",
            "checkpoint_type",
            "stream_name",
            "stream_id",
            "partition_id",
            "sequence_number",
            "metadata",
            "client_id",
        ],
    )
    def test_texts_must_be_texts(self, wire: Wire, app: str, stream: str, field: str) -> None:
        """The real service refuses numbers there (clients.md 3.2)."""
        values: tuple[object, ...] = (1, 1.5, True, [], {})
        for value in values:
            refused(commit(wire, app, stream, **{field: value}), "DIS.4300", naming=field)

    def test_generation_must_be_a_number(self, wire: Wire, app: str, stream: str) -> None:
        refused(commit(wire, app, stream, generation_id="1"), "DIS.4300", naming="generation_id")

    @pytest.mark.parametrize("kind", ["", "LAST_WRITTEN", "last_read", "LAST_READ "])
    def test_other_types(self, wire: Wire, app: str, stream: str, kind: str) -> None:
        refused(commit(wire, app, stream, checkpoint_type=kind), "DIS.4200", naming="checkpoint_type")

    def test_what_is_no_request(self, wire: Wire) -> None:
        refused(wire.call("POST", "/checkpoints", content=b""), "DIS.4202")
        for content in (b"{", b"[]", b'"x"', b"\xff", b"null"):
            refused(wire.call("POST", "/checkpoints", content=content), "DIS.4300")


class TestShow:
    """5.3.2, tables 5-58 and 5-60; 200 instead of the 204 with a body of the English edition."""

    def test_nothing_committed(self, wire: Wire, app: str, stream: str) -> None:
        """An error would stop the Kafka adapter's poll (clients.md 1.5)."""
        assert ok(show(wire, app, stream)) == NONE
        done(commit(wire, app, stream), 201)
        assert ok(show(wire, app, stream, partition_id="2")) == NONE

    def test_what_else_clients_send(self, wire: Wire, app: str, stream: str) -> None:
        """The Go SDK sends `timestamp=0` (clients.md 1.5)."""
        done(commit(wire, app, stream), 201)
        assert ok(show(wire, app, stream, timestamp="0", unknown="x"))["sequence_number"] == "5"

    @pytest.mark.parametrize("field", ["app_name", "stream_name", "partition_id", "checkpoint_type"])
    def test_mandatory_parameters(self, wire: Wire, app: str, stream: str, field: str) -> None:
        for value in (None, ""):
            refused(show(wire, app, stream, **{field: value}), "DIS.4200", naming=field)

    def test_other_types(self, wire: Wire, app: str, stream: str) -> None:
        refused(show(wire, app, stream, checkpoint_type="FIRST"), "DIS.4200", naming="checkpoint_type")


class TestDelete:
    """5.3.3, table 5-62."""

    @pytest.fixture
    def committed(self, wire: Wire, app: str, stream: str) -> str:
        for partition in ("0", "1"):
            done(commit(wire, app, stream, partition_id=partition, sequence_number="0"), 201)
        return stream

    def test_of_app_and_stream(self, wire: Wire, app: str, committed: str) -> None:
        done(delete(wire, app, committed), 204)
        assert [at(wire, app, committed, number) for number in "012"] == ["-1"] * 3
        assert ok(wire.call("GET", f"/apps/{app}"))["commit_checkpoint_stream_names"] == []
        refused(delete(wire, app, committed), "DIS.4375")

    def test_of_a_partition(self, wire: Wire, app: str, committed: str) -> None:
        done(delete(wire, app, committed, partition_id="shardId-0000000001"), 204)
        assert [at(wire, app, committed, number) for number in "012"] == ["0", "-1", "-1"]
        assert ok(wire.call("GET", f"/apps/{app}"))["commit_checkpoint_stream_names"] == [committed]
        refused(delete(wire, app, committed, partition_id="1"), "DIS.4375")
        refused(delete(wire, app, committed, partition_id="2"), "DIS.4375")
        done(delete(wire, app, committed, partition_id="0"), 204)
        assert ok(wire.call("GET", f"/apps/{app}"))["commit_checkpoint_stream_names"] == []

    def test_without_a_type(self, wire: Wire, app: str, committed: str) -> None:
        """The old Python SDK sends stream and app only (clients.md 1.5)."""
        done(wire.call("DELETE", "/checkpoints/", f"stream_name={committed}&app_name={app}"), 204)
        assert at(wire, app, committed) == "-1"

    def test_what_others_have_stays(self, wire: Wire, app: str, committed: str, make: Make) -> None:
        other = make()
        done(commit(wire, app, other, partition_id="0", sequence_number="0"), 201)
        done(delete(wire, app, committed), 204)
        assert at(wire, app, other, "0") == "0"
        assert ok(wire.call("GET", f"/apps/{app}"))["commit_checkpoint_stream_names"] == [other]

    def test_nothing_committed(self, wire: Wire, app: str, stream: str) -> None:
        refused(delete(wire, app, stream), "DIS.4375")

    def test_parameters(self, wire: Wire, app: str, stream: str) -> None:
        for field in ("app_name", "stream_name"):
            refused(delete(wire, app, stream, **{field: ""}), "DIS.4200", naming=field)
        refused(delete(wire, app, stream, checkpoint_type="FIRST"), "DIS.4200", naming="checkpoint_type")


class TestWhatIsMissing:
    """Codes that commit, show and delete have in common; all of them 400 (clients.md 5)."""

    @pytest.fixture(params=[commit, show, delete])
    def call(self, request: pytest.FixtureRequest, wire: Wire) -> Callable[..., httpx.Response]:
        return lambda *args, **fields: request.param(wire, *args, **fields)

    def test_stream(self, wire: Wire, app: str, call: Callable[..., httpx.Response]) -> None:
        message = refused(call(app, "no-such-stream"), "DIS.4301")
        assert message.endswith(f" [no-such-stream][{wire.project_id}]")
        refused(call(app, "", stream_id="A" * 20), "DIS.4301", naming="A" * 20)

    def test_app(self, stream: str, call: Callable[..., httpx.Response]) -> None:
        refused(call("no-such-app", stream), "DIS.4332")
        refused(call("a" * 200, stream), "DIS.4332")

    @pytest.mark.parametrize("partition", ["x", "shardId-", "-1", "1.5", "shardId-00000000000000000001"])
    def test_what_is_no_partition(
        self, app: str, stream: str, call: Callable[..., httpx.Response], partition: str
    ) -> None:
        refused(call(app, stream, partition_id=partition), "DIS.4201", naming=partition)

    def test_partition(self, app: str, stream: str, call: Callable[..., httpx.Response]) -> None:
        message = refused(call(app, stream, partition_id="3"), "DIS.4302")
        assert message.endswith("[shardId-0000000003]")


class TestWithWhatTheyBelongTo:
    def test_they_go_with_their_stream(self, wire: Wire, app: str, name: str) -> None:
        wire.create(name, 2)
        done(commit(wire, app, name, sequence_number="0"), 201)
        done(wire.delete(name), 204)
        refused(show(wire, app, name), "DIS.4301")
        wire.create(name, 2)
        assert ok(show(wire, app, name)) == NONE
        assert ok(wire.call("GET", f"/apps/{app}"))["commit_checkpoint_stream_names"] == []

    def test_they_go_with_their_app(self, wire: Wire, app: str, stream: str) -> None:
        done(commit(wire, app, stream), 201)
        done(wire.call("DELETE", f"/apps/{app}"), 204)
        refused(show(wire, app, stream), "DIS.4332")
        done(wire.call("POST", "/apps", body={"app_name": app}), 201)
        assert ok(show(wire, app, stream)) == NONE


def test_the_order_of_an_acceptance_run(wire: Wire, name: str) -> None:
    """clients.md 7.12: what gophertelekomcloud's acceptance tests do with apps and checkpoints, in their order."""
    app = f"{name}-app"
    done(wire.call("POST", "/apps", body={"app_name": app}), 201)
    assert ok(wire.call("GET", f"/apps/{app}"))["app_name"] == app
    apps = ok(wire.call("GET", "/apps", "limit=10"))
    assert (apps["total_number"], [one["app_name"] for one in apps["apps"]]) == (len(apps["apps"]), [app])
    done(wire.create(name, 3), 201)
    assert ok(wire.describe(name))["status"] == "RUNNING"
    reply = ok(wire.call("GET", f"/apps/{app}/streams/{name}", "checkpoint_type=LAST_READ"))
    assert len(reply["partition_consuming_states"]) == 3
    first = ok(wire.call("GET", "/streams", f"start_stream_name={name[:-1]}"))["stream_info_list"][0]
    assert first["data_type"] == "BLOB"
    done(commit(wire, app, name, partition_id="0", sequence_number="0"), 201)
    assert at(wire, app, name, "0") == "0"
    entries = wire.put_data(name, b"hello")
    assert len(entries) == 1
    cursor = wire.cursor(name, "0")
    records, _ = wire.read(cursor)
    assert len(records) in (0, 1)
    done(delete(wire, app, name, partition_id="0"), 204)
    done(wire.delete(name), 204)
    done(wire.call("DELETE", f"/apps/{app}"), 204)
    assert ok(wire.call("GET", "/apps", "limit=10"))["total_number"] == 0


class TestDurable:
    def test_what_was_answered_201_survives_a_kill(self, start_server: Callable[..., Server]) -> None:
        """design.md: "A checkpoint answered 201 is as durable" as a record. Sixteen connections commit rising numbers while the
        server is killed; none may read less than it was told afterwards."""
        server = start_server("--limits", "relaxed")
        acknowledged = [-1] * 16
        committing = threading.Barrier(17)

        def run(number: int) -> None:
            with Wire.to(server) as wire:
                committing.wait(20)
                for sequence in itertools.count():
                    fields = {"partition_id": str(number), "sequence_number": str(sequence % 1000)}
                    try:
                        reply = commit(wire, "a", "s", metadata=str(sequence), **fields)
                    except httpx.TransportError:
                        return
                    done(reply, 201)
                    acknowledged[number] = sequence

        with Wire.to(server) as wire:
            done(wire.create("s", 16), 201)
            done(wire.call("POST", "/apps", body={"app_name": "a"}), 201)
            for number in range(16):
                wire.put_data("s", *(b"" for _ in range(1000)), partition_id=str(number))
        with ThreadPoolExecutor(16) as pool:
            for round_ in range(2):
                runs = [pool.submit(run, number) for number in range(16)]
                committing.wait(20)
                while min(acknowledged) < 5:
                    assert not any(one.done() for one in runs), [
                        one.exception() for one in runs if one.done()
                    ]
                server.restart(kill=True)
                for one in runs:
                    one.result()
                with Wire.to(server) as wire:
                    for number, last in enumerate(acknowledged):
                        found = ok(show(wire, "a", "s", partition_id=str(number)))
                        # One more may be on the disk: its answer was lost with the server.
                        assert int(found["metadata"]) in (last, last + 1), round_
                        assert found["sequence_number"] == str(int(found["metadata"]) % 1000)
                acknowledged[:] = [-1] * 16


class TestConcurrency:
    """R21: what is read of a checkpoint follows the order of the commits."""

    def test_readers_never_see_it_go_back(self, server: Server, wire: Wire, app: str, stream: str) -> None:
        """One program commits rising numbers (in the metadata), four read: no reader sees less than it has seen, nor less than
        was acknowledged before it asked."""
        acknowledged = 0
        finished = threading.Event()

        def read() -> int:
            seen = reads = 0
            with Wire.to(server) as own:
                while not finished.is_set():
                    least = max(seen, acknowledged)
                    seen = int(ok(show(own, app, stream))["metadata"])
                    assert seen >= least
                    reads += 1
            return reads

        done(commit(wire, app, stream, metadata="0"), 201)
        with ThreadPoolExecutor(4) as pool:
            readers = [pool.submit(read) for _ in range(4)]
            try:
                for number in range(1, 100):
                    done(commit(wire, app, stream, metadata=str(number)), 201)
                    acknowledged = number
            finally:
                finished.set()
            assert all(reader.result() > 0 for reader in readers)

    def test_the_last_of_many_wins(self, server: Server, wire: Wire, app: str, stream: str) -> None:
        """Six programs commit to one partition at once: what is there then is the last commit of one of them."""
        count, each = 6, 25

        def run(number: int) -> None:
            with Wire.to(server) as own:
                for turn in range(each):
                    done(commit(own, app, stream, metadata=f"{number}:{turn}"), 201)
                    found = ok(show(own, app, stream))["metadata"].split(":")
                    # Somebody else may have come after, but nobody goes back before our own.
                    assert int(found[0]) != number or int(found[1]) >= turn

        with ThreadPoolExecutor(count) as pool:
            for one in [pool.submit(run, number) for number in range(count)]:
                one.result()
        assert ok(show(wire, app, stream))["metadata"] in {f"{number}:{each - 1}" for number in range(count)}

    def test_apps_come_and_go_meanwhile(self, server: Server, wire: Wire, app: str, stream: str) -> None:
        """Commits of an app that is deleted and made again: each is taken or says that the app is gone, and those of another
        app in the same groups do not notice."""
        finished = threading.Event()

        def run(name: str, *codes: str) -> int:
            refusals = 0
            with Wire.to(server) as own:
                while not finished.is_set():
                    reply = commit(own, name, stream)
                    if reply.status_code == 201:
                        continue
                    refused(reply, *codes)
                    refusals += 1
            return refusals

        going = f"{app}-going"
        with ThreadPoolExecutor(6) as pool:
            steady = [pool.submit(run, app) for _ in range(3)]
            others = [pool.submit(run, going, "DIS.4332") for _ in range(3)]
            try:
                for _ in range(30):
                    done(wire.call("POST", "/apps", body={"app_name": going}), 201)
                    done(wire.call("DELETE", f"/apps/{going}"), 204)
            finally:
                finished.set()
            assert [one.result() for one in steady] == [0] * 3
            assert sum(one.result() for one in others) > 0
        refused(show(wire, going, stream), "DIS.4332")
