"""Writing and reading against a scripted endpoint: what is sent again, what is given up, what survives."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from penstock.cli.client import Client
from penstock.cli.credentials import Credentials
from penstock.cli.failure import CommandError
from penstock.cli.putting import Writer, may_pass_later
from penstock.cli.reading import PartitionReader, StreamReader, same_partition

WHO = Credentials("u", "AK", "SK", "acc", "pw", "local", "pid")
Reply = Callable[[httpx.Request], httpx.Response]


def client(reply: Reply) -> Client:
    return Client("http://127.0.0.1:1", WHO, transport=httpx.MockTransport(reply))


def stored(number: int) -> dict[str, str]:
    return {"partition_id": "shardId-0000000000", "sequence_number": str(number)}


def refused(code: str) -> dict[str, str]:
    return {"error_code": code, "error_message": "no"}


class Script:
    """Answers puts from a list of lists of entries; notes what was sent."""

    def __init__(self, *answers: list[dict[str, str]] | httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.sent: list[list[bytes]] = []
        self.slept: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.sent.append([base64.b64decode(entry["data"]) for entry in body["records"]])
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        failed = sum("error_code" in entry for entry in answer)
        return httpx.Response(200, json={"failed_record_count": failed, "records": answer})

    def writer(self, **options: Any) -> Writer:
        now = [0.0]

        def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            now[0] += seconds

        return Writer(client(self), "s", sleep=sleep, monotonic=lambda: now[0], **options)


def test_only_what_was_refused_for_now_is_sent_again_and_places_stay_in_order() -> None:
    script = Script(
        [stored(0), refused("DIS.4303"), stored(1), refused("DIS.5000")],
        [refused("DIS.4303"), stored(2)],
        [stored(3)],
    )
    writer = script.writer()
    places = writer.write([b"a", b"b", b"c", b"d"])
    assert script.sent == [[b"a", b"b", b"c", b"d"], [b"b", b"d"], [b"b"]]
    assert [place.sequence_number for place in places] == ["0", "3", "1", "2"]
    assert (writer.tally.records, writer.tally.bytes, writer.tally.retried) == (4, 4, 3)
    assert 0 < script.slept[0] < script.slept[1] * 2


def test_a_lasting_refusal_ends_it_and_says_what_is_acknowledged() -> None:
    script = Script([stored(0), refused("DIS.4302"), refused("DIS.4303")])
    with pytest.raises(CommandError) as caught:
        script.writer().write([b"a", b"b", b"c"])
    assert caught.value.message.startswith("DIS.4302: no")
    assert "Acknowledged before this: 1 records." in caught.value.advice
    assert len(script.sent) == 1


def test_patience_ends() -> None:
    script = Script(*[[refused("DIS.4303")]] * 1000)
    with pytest.raises(CommandError, match=r"DIS\.4303"):
        script.writer(patience=5.0).write([b"a"])
    assert sum(script.slept) <= 5.0 * 1.25
    assert len(script.sent) > 3


def test_a_server_about_to_stop_is_asked_again() -> None:
    body = {"errorCode": "APIGW.0203", "message": "shutting down"}
    script = Script(httpx.Response(503, json=body), [stored(0)])
    assert len(script.writer().write([b"a"])) == 1


def test_a_broken_connection_is_not_sent_again() -> None:
    script = Script(httpx.ReadError("reset"))
    with pytest.raises(CommandError) as caught:
        script.writer().write([b"a"])
    assert "may or may not be stored" in caught.value.advice
    assert len(script.sent) == 1


def test_an_answer_of_the_wrong_length_is_no_answer() -> None:
    with pytest.raises(CommandError, match="not a DIS endpoint"):
        Script([stored(0)]).writer().write([b"a", b"b"])


@pytest.mark.parametrize(
    ("code", "passes"),
    [("DIS.4303", True), ("DIS.5000", True), ("DIS.5250", True), ("DIS.4302", False), ("", False)],
)
def test_what_may_pass_later(code: str, passes: bool) -> None:
    assert may_pass_later(code) is passes


class Stream:
    """A stream of one or more partitions in memory, with cursors that expire when told to."""

    def __init__(self, **partitions: list[bytes]) -> None:
        self.partitions = {f"shardId-{int(name[1:]):010d}": data for name, data in partitions.items()}
        self.fail: list[httpx.Response | Exception] = []
        self.asked: list[str] = []
        self.status: dict[str, str] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        query = dict(request.url.params)
        path = request.url.path.removeprefix("/v2/pid")
        self.asked.append(path)
        if path == "/cursors":
            start = {
                "TRIM_HORIZON": 0,
                "LATEST": len(self.partitions[query["partition-id"]]),
                "AT_SEQUENCE_NUMBER": int(query.get("starting-sequence-number", 0)),
                "AFTER_SEQUENCE_NUMBER": int(query.get("starting-sequence-number", 0)) + 1,
            }[query["cursor-type"]]
            return httpx.Response(200, json={"partition_cursor": f"{query['partition-id']}|{start}"})
        if path == "/records":
            if self.fail:
                failure = self.fail.pop(0)
                if isinstance(failure, Exception):
                    raise failure
                return failure
            partition, _, at = query["partition-cursor"].partition("|")
            page = self.partitions[partition][int(at) : int(at) + 2]
            records = [
                {"sequence_number": str(int(at) + i), "data": base64.b64encode(data).decode(), "timestamp": 1}
                for i, data in enumerate(page)
            ]
            following = f"{partition}|{int(at) + len(page)}"
            return httpx.Response(200, json={"records": records, "next_partition_cursor": following})
        described = [
            {
                "partition_id": name,
                "status": self.status.get(name, "ACTIVE"),
                "sequence_number_range": f"[0 : {len(data)}]",
            }
            for name, data in self.partitions.items()
        ]
        return httpx.Response(200, json={"partitions": described, "has_more_partitions": False})


def error(code: str, status: int = 400) -> httpx.Response:
    return httpx.Response(status, json={"errorCode": code, "message": "m"})


def trim(described: Any) -> dict[str, str]:
    return {"cursor-type": "TRIM_HORIZON"}


def test_to_the_end_reads_everything_once_in_order() -> None:
    stream = Stream(p0=[b"a", b"b", b"c"], p1=[], p2=[b"x"])
    reader = StreamReader(client(stream), "s", trim)
    found = [(record.partition_id[-1], record.data) for batch in reader.to_the_end() for record in batch]
    assert [data for partition, data in found if partition == "0"] == [b"a", b"b", b"c"]
    assert [data for partition, data in found if partition == "2"] == [b"x"]


def test_one_partition_by_number() -> None:
    stream = Stream(p0=[b"a"], p1=[b"b"])
    reader = StreamReader(client(stream), "s", trim, partition="1")
    assert [record.data for batch in reader.to_the_end() for record in batch] == [b"b"]
    with pytest.raises(CommandError, match="no partition 7"):
        StreamReader(client(stream), "s", trim, partition="7")


def test_an_expired_cursor_is_renewed_after_the_last_record() -> None:
    stream = Stream(p0=[b"a", b"b", b"c"])
    reader = PartitionReader(client(stream), "s", "shardId-0000000000", {"cursor-type": "TRIM_HORIZON"})
    assert [record.data for record in reader.next()] == [b"a", b"b"]
    stream.fail = [error("DIS.4225")]
    assert [record.data for record in reader.next()] == [b"c"]


def test_flow_control_is_waited_out() -> None:
    stream = Stream(p0=[b"a"])
    slept: list[float] = []
    reader = StreamReader(client(stream), "s", trim, sleep=slept.append)
    stream.fail = [error("DIS.4303"), error("DIS.4303")]
    assert [record.data for batch in reader.to_the_end() for record in batch] == [b"a"]
    assert len(slept) == 2


def test_following_survives_a_lost_connection_and_finds_new_partitions() -> None:
    stream = Stream(p0=[b"a"])
    now = [0.0]
    warned: list[str] = []

    def sleep(seconds: float) -> None:
        now[0] += max(seconds, 11.0)
        if "shardId-0000000001" not in stream.partitions:
            stream.partitions["shardId-0000000001"] = [b"new"]

    reader = StreamReader(
        client(stream), "s", trim, sleep=sleep, monotonic=lambda: now[0], warn=warned.append
    )
    stream.fail = [httpx.ConnectError("refused")]
    following = reader.follow()
    assert next(following)[0].data == b"a"
    assert next(following)[0].data == b"new"
    assert len(reader) == 2
    assert [text.partition(" ")[0] for text in warned] == ["Nothing", "new", "connected"]


def test_following_finds_what_was_scaled_away_again_meanwhile() -> None:
    stream = Stream(p0=[b"a"])
    now = [0.0]
    reader = StreamReader(client(stream), "s", trim, monotonic=lambda: now[0])
    following = reader.follow()
    assert next(following)[0].data == b"a"
    stream.partitions |= {"shardId-0000000001": [b"kept"], "shardId-0000000002": [b"gone"]}
    stream.status = {"shardId-0000000001": "DELETED", "shardId-0000000002": "EXPIRED"}
    now[0] += 11.0
    assert next(following)[0].data == b"kept"
    assert len(reader) == 2


@pytest.mark.parametrize(
    ("identifier", "asked", "same"),
    [
        ("shardId-0000000003", "3", True),
        ("shardId-0000000003", "shardId-3", True),
        ("shardId-0000000003", "shardId-0000000003", True),
        ("shardId-0000000003", "30", False),
        ("shardId-0000000003", "x", False),
    ],
)
def test_names_of_a_partition(identifier: str, asked: str, same: bool) -> None:
    assert same_partition(identifier, asked) is same
