"""The S3 store against a server that says no in its own ways (engines-and-sinks.md A1 and B)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.destinations import Answer, Asked, FakeS3
from tests.support.dump_files import body

from penstock.destinations import Obs
from penstock.dump.base import NotDelivered
from penstock.dump.destinations.obs import Bucket
from penstock.dump.stores.buckets import open_bucket
from penstock.dump.stores.s3 import S3Store


class Swift(FakeS3):
    """A store that knows no conditional puts: 501 (Debian's swift), after obstore has repeated it."""

    def __init__(self, *buckets: str) -> None:
        super().__init__("AK", *buckets)
        self.conditional = 501

    def answer(self, asked: Asked) -> Answer:
        if asked.method == "PUT" and "if-none-match" in asked.headers:
            return Answer(self.conditional, "<Error><Code>NotImplemented</Code></Error>", "application/xml")
        if asked.method == "HEAD":
            return Answer(200 if asked.path in self.objects else 404)
        return super().answer(asked)


@pytest.fixture
def swift() -> Iterator[Swift]:
    with Swift("lake") as server:
        yield server


def store(server: FakeS3, **changes: Any) -> Any:
    entry = Obs(bucket="lake", endpoint=server.url, access_key="AK", secret_key="sesame")
    return open_bucket(Bucket("lake", 5.0, entry=entry))


async def test_a_store_without_conditional_puts_is_asked_once(swift: Swift) -> None:
    """C1: the names are the plan's own, so looking first is as good."""
    lake = store(swift)
    assert await lake.put("a", body(b"1"), epoch=1, overwrite=False) is True
    asked = [one for one in swift.requests if "if-none-match" in one.headers]
    assert asked
    swift.requests.clear()
    assert await lake.put("a", body(b"1"), epoch=1, overwrite=False) is False
    assert await lake.put("b", body(b"1"), epoch=1, overwrite=False) is True
    assert [(one.method, one.path) for one in swift.requests] == [
        ("HEAD", "/lake/a"),
        ("HEAD", "/lake/b"),
        ("PUT", "/lake/b"),
    ]


async def test_taken_but_not_there_is_not_delivered(swift: Swift) -> None:
    """412 or 409 without an object of that name: another object is in the way, or somebody is just writing it."""
    for swift.conditional in (409, 412):
        with pytest.raises(NotDelivered, match="another object"):
            await store(swift).put("a", body(b"1"), epoch=1, overwrite=False)


async def test_a_refusal_that_is_not_heard(swift: Swift) -> None:
    """versitygw refuses a conditional put before it has read the body, and the connection breaks: the object is there all the same."""
    lake = store(swift)
    await lake.size("a")
    swift.objects.add("/lake/a")

    async def broken(*_: Any, **options: Any) -> None:
        raise OSError("Error performing PUT - HTTP error: error sending request: ConnectionReset")

    request = lake._request

    async def asked(operation: str, *given: Any, **options: Any) -> Any:
        return await (broken if operation == "put_async" else request)(operation, *given, **options)

    lake._request = asked
    assert await lake.put("a", body(b"1"), epoch=1, overwrite=False) is False
    with pytest.raises(NotDelivered, match="the connection to its store broke"):
        await lake.put("b", body(b"1"), epoch=1, overwrite=False)


async def test_a_large_file_that_is_there_is_not_sent(swift: Swift) -> None:
    swift.objects.add("/lake/a")
    assert await store(swift).put("a", body(bytes(1 << 20)), epoch=1, overwrite=False) is False
    assert [one.method for one in swift.requests] == ["HEAD"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(404, "<Error><Code>NoSuchBucket</Code></Error>"), "does not exist; make it in the store"),
        (Answer(403, "<Error><Code>AccessDenied</Code></Error>"), "permission denied; give the access key"),
        (Answer(403, "<Error><Code>RequestTimeTooSkewed</Code></Error>"), "clocks"),
        (Answer(507, "<Error><Code>XMinioStorageFull</Code></Error>"), "full; free some space"),
        (Answer(503, "<Error><Code>SlowDown</Code></Error>"), "overloaded"),
        (
            Answer(500, "<Error><Code>InternalError</Code></Error>"),
            r"its store refuses \(500 InternalError\)",
        ),
        (Answer(418, "secret words"), r"its store refuses \(418\)"),
    ],
)
async def test_what_a_refusal_means(swift: Swift, answer: Answer, said: str) -> None:
    swift.forced = answer
    with pytest.raises(NotDelivered, match=f"bucket lake: .*{said}") as refused:
        await store(swift).put("a", body(b"1"), epoch=1)
    for secret in ("sesame", "AK", "127.0.0.1", "secret words"):
        assert secret not in str(refused.value)


async def test_a_store_that_hangs(swift: Swift) -> None:
    swift.hang = True
    entry = Obs(bucket="lake", endpoint=swift.url, access_key="AK", secret_key="sesame")
    lake = S3Store(Bucket("lake", 5.0, entry=entry), seconds=0.3)
    with pytest.raises(NotDelivered, match=r"has not answered within 0\.3 seconds"):
        await lake.put("a", body(b"1"), epoch=1, overwrite=False)
