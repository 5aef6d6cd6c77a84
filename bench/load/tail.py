"""Consumers that read a stream from its beginning: a cheap client on raw sockets, run as a process of its own.

`python -m bench.load.tail`, a JSON `Spec` as one line on stdin, one JSON line out. Replies are not decoded
while the clock runs, only counted: records by their field name, the next cursor by its own. That is checked
against a real JSON decoder on the first reply of every consumer, and against the sequence numbers of the first
and last record of every reply: contiguous from the beginning to the end, so every record exactly once. Of Penstock, where
the client would otherwise be the limit, the records of every 16th reply are counted; of the others the numbers say it.

Two modes. Replay (`ends` given): read all, again and again until `seconds` are over or `laps` are read. Follow: a second line
on stdin says where the stream ended; done when every consumer is there.
"""

from __future__ import annotations

import base64
import json
import os
import select
import socket
import time
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field

POLL = 0.005
"""Seconds before an empty partition is asked again: the pace of the Kafka adapter."""
COUNTED = 16
"""Every so manieth reply the records are counted one by one."""


@dataclass(slots=True)
class Spec:
    """What to read and how. `limit` is records per request, 0: not sent. `ends`: records per partition, by
    partition in order; None follows. `headers` are sent with every request. `laps` 0: as many as there is time for. `poll`:
    see POLL."""

    protocol: str
    host: str
    port: int
    stream: str
    consumers: int
    seconds: float
    limit: int
    size: int
    partitions: list[str]
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    ends: list[int] | None = None
    laps: int = 0
    poll: float = POLL


class Wrong(Exception):
    """The server answered something that must not be."""


class Consumer(ABC):
    """One connection with one request outstanding; subclasses know the protocol."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.ends = spec.ends
        self.buffer = bytearray(1 << 22)
        self.view = memoryview(self.buffer)
        self.filled = 0
        self.delivered = 0
        self.laps = 0
        self.latencies: list[float] = []
        self.sent_at = 0.0
        self.wake_at = 0.0
        self.done = False
        self.checked = False
        self.counted = False
        self.connect()

    def connect(self) -> None:
        self.sock = socket.create_connection((self.spec.host, self.spec.port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.fresh = True

    def send(self) -> None:
        self.filled = 0
        self.sent_at = time.perf_counter()
        self.counted = False
        self.sock.sendall(self.request())

    def receive(self) -> bool:
        """Take what has arrived; True when a whole reply has been handled."""
        got = self.sock.recv_into(self.view[self.filled :])
        if not got:
            raise Wrong("the server closed the connection")
        self.filled += got
        if not self.complete():
            if self.filled == len(self.buffer):
                self.grow()
            return False
        spent = time.perf_counter() - self.sent_at
        self.handle()
        if self.counted:
            self.latencies.append(spent)
        return True

    def grow(self) -> None:
        self.view.release()
        self.buffer.extend(bytes(len(self.buffer)))
        self.view = memoryview(self.buffer)

    @abstractmethod
    def request(self) -> bytes:
        """The next request."""

    @abstractmethod
    def complete(self) -> bool:
        """Whether the buffer holds a whole reply."""

    @abstractmethod
    def handle(self) -> None:
        """Count what the reply holds, and set what to ask next; `counted` if it was a read."""

    def finish_lap(self) -> None:
        self.laps += 1


class HttpConsumer(Consumer):
    """Replies framed by Content-Length."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.start = 0
        self.end = 0
        self.status = ""
        self.closing = False

    def send(self) -> None:
        self.end = 0
        if self.closing:
            self.sock.close()
            self.connect()
            self.closing = False
        super().send()

    def complete(self) -> bool:
        if not self.end:
            found = self.buffer.find(b"\r\n\r\n", 0, self.filled)
            if found < 0:
                return False
            head = bytes(self.view[: found + 2]).lower()
            at = head.find(b"\r\ncontent-length:")
            if at < 0:
                raise Wrong(f"no Content-Length: {head[:300]!r}")
            self.start = found + 4
            self.end = self.start + int(head[at + 17 : head.index(b"\r\n", at + 2)])
            self.closing = head.startswith(b"http/1.0") or b"\r\nconnection: close" in head
            self.status = head[9:12].decode()
        if self.filled < self.end:
            return False
        if self.status != "200":
            raise Wrong(f"{self.status}: {self.body()[:300]!r}")
        return True

    def text(self, at: int) -> str:
        """The JSON string whose opening quote is the first at or after `at`, escapes as they are."""
        opening = self.buffer.index(b'"', at, self.end)
        return self.buffer[opening + 1 : self.buffer.index(b'"', opening + 1, self.end)].decode()

    def body(self) -> bytes:
        return bytes(self.view[self.start : self.end])


class DisConsumer(HttpConsumer):
    """GetCursor and GetRecords, partitions in turn."""

    NUMBER = b'"sequence_number":"'
    NEXT = b'"next_partition_cursor":'

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        count = len(spec.partitions)
        self.cursors: list[str | None] = [None] * count
        self.firsts: list[str | None] = [None] * count
        self.positions = [0] * count
        self.turn = 0
        self.empty = 0
        self.replies = 0
        tail = "".join(f"{name}: {value}\r\n" for name, value in spec.headers.items()) + "\r\n"
        self.head_tail = f" HTTP/1.1\r\nHost: {spec.host}:{spec.port}\r\n{tail}"
        self.suffix = f"&limit={spec.limit}" if spec.limit else ""

    def request(self) -> bytes:
        cursor = self.cursors[self.turn]
        if cursor is None:
            query = (
                f"cursors?stream-name={self.spec.stream}&partition-id={self.spec.partitions[self.turn]}"
                "&cursor-type=TRIM_HORIZON"
            )
        else:
            query = f"records?partition-cursor={cursor}{self.suffix}"
        return f"GET {self.spec.path}/{query}{self.head_tail}".encode()

    def handle(self) -> None:
        if self.cursors[self.turn] is None:
            self.cursors[self.turn] = self.firsts[self.turn] = json.loads(self.body())["partition_cursor"]
            return
        self.counted = True
        buffer, start, end = self.buffer, self.start, self.end
        position = self.positions[self.turn]
        if (opening := buffer.find(self.NUMBER, start, end)) >= 0:
            width = len(self.NUMBER) - 1
            first = int(self.text(opening + width))
            last = int(self.text(buffer.rindex(self.NUMBER, start, end) + width))
            count = last - first + 1
            self.replies += 1
            if first != position or (
                self.replies % COUNTED == 1 and buffer.count(self.NUMBER, start, end) != count
            ):
                raise Wrong(f"expected {count} records from {position}, found {first} to {last}")
            if not self.checked:
                self.check(first, count)
            position = last + 1
            self.positions[self.turn] = position
            self.delivered += count
            self.empty = 0
        else:
            self.empty += 1
        self.cursors[self.turn] = self.text(buffer.rindex(self.NEXT, start, end) + len(self.NEXT))
        self.advance()

    def advance(self) -> None:
        """The next partition that is not read to its end; nothing left: a lap is over."""
        count = len(self.positions)
        ends = self.ends
        for step in range(1, count + 1):
            turn = (self.turn + step) % count
            if ends is None or self.positions[turn] < ends[turn]:
                self.turn = turn
                break
        else:
            self.finish_lap()
            if self.spec.ends is None or self.laps == self.spec.laps:
                self.done = True
                return
            # Asked for once: a lap may be short.
            self.cursors = list(self.firsts)
            self.positions = [0] * count
            self.turn = self.empty = 0
            return
        if self.empty >= count:
            self.wake_at = time.perf_counter() + self.spec.poll

    def check(self, first: int, count: int) -> None:
        """The quick count is what a JSON decoder finds."""
        reply = json.loads(self.body())
        records = reply["records"]
        if len(records) != count or [int(each["sequence_number"]) for each in records] != list(
            range(first, first + count)
        ):
            raise Wrong("the quick count differs from the decoded reply")
        if any(len(base64.b64decode(each["data"], validate=True)) != self.spec.size for each in records):
            raise Wrong(f"a record is not {self.spec.size} bytes")
        self.checked = True


class KinesisConsumer(HttpConsumer):
    """GetShardIterator and GetRecords of shard 0; a lap ends at an empty reply."""

    NUMBER = b'"SequenceNumber"'
    NEXT = b'"NextShardIterator"'

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.iterator: str | None = None
        self.position = 0

    def request(self) -> bytes:
        if self.iterator is None:
            operation = "GetShardIterator"
            content = {
                "StreamName": self.spec.stream,
                "ShardId": self.spec.partitions[0],
                "ShardIteratorType": "TRIM_HORIZON",
            }
            body = json.dumps(content)
        else:
            operation = "GetRecords"
            body = f'{{"ShardIterator":"{self.iterator}","Limit":{self.spec.limit}}}'
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.spec.headers.items())
        return (
            f"POST / HTTP/1.1\r\nHost: {self.spec.host}:{self.spec.port}\r\n{lines}"
            f"X-Amz-Target: Kinesis_20131202.{operation}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def handle(self) -> None:
        if self.iterator is None:
            # Kept as JSON writes it: moto's has line breaks.
            self.iterator = json.dumps(json.loads(self.body())["ShardIterator"])[1:-1]
            return
        self.counted = True
        count = self.buffer.count(self.NUMBER, self.start, self.end)
        if count and not self.checked:
            if len(json.loads(self.body())["Records"]) != count:
                raise Wrong("the quick count differs from the decoded reply")
            self.checked = True
        self.delivered += count
        self.position += count
        self.iterator = self.text(self.buffer.rindex(self.NEXT, self.start, self.end) + len(self.NEXT))
        if self.ends is not None and self.position >= self.ends[0]:
            self.finish_lap()
            self.done = self.spec.ends is None
            self.iterator, self.position = None, 0
        elif not count:
            if self.ends is not None:
                raise Wrong(f"{self.position} of {self.ends[0]} records, then an empty reply")
            self.wake_at = time.perf_counter() + POLL


class RedisConsumer(Consumer):
    """XREAD; a PING behind it marks the end of the reply, since only a full parser would find it otherwise."""

    DATA = b"$1\r\nd\r\n"
    FIELDS = b"\r\n*4\r\n"

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.last = b"0-0"
        self.position = 0

    def request(self) -> bytes:
        stream, count = self.spec.stream.encode(), str(self.spec.limit).encode()
        words = (b"XREAD", b"COUNT", count, b"STREAMS", stream, self.last)
        return b"*6\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words) + b"PING\r\n"

    def complete(self) -> bool:
        return self.buffer.endswith(b"+PONG\r\n", 0, self.filled)

    def handle(self) -> None:
        self.counted = True
        if self.buffer.startswith(b"-", 0, self.filled):
            raise Wrong(bytes(self.view[: min(self.filled, 200)]).decode(errors="replace"))
        count = self.buffer.count(self.DATA, 0, self.filled)
        self.delivered += count
        self.position += count
        if count:
            at = self.buffer.rindex(self.FIELDS, 0, self.filled)
            self.last = bytes(self.buffer[self.buffer.rindex(b"\r\n", 0, at) + 2 : at])
        if self.ends is not None and self.position >= self.ends[0]:
            self.finish_lap()
            self.done = self.spec.ends is None
            self.last, self.position = b"0-0", 0
        elif not count:
            if self.ends is not None:
                raise Wrong(f"{self.position} of {self.ends[0]} entries, then an empty reply")
            self.wake_at = time.perf_counter() + POLL


PROTOCOLS: dict[str, type[Consumer]] = {
    "dis": DisConsumer,
    "kinesis": KinesisConsumer,
    "redis": RedisConsumer,
}


def drive(spec: Spec) -> dict[str, object]:
    """Run the consumers to the end of their time (replay) or of the stream (follow)."""
    consumers = [PROTOCOLS[spec.protocol](spec) for _ in range(spec.consumers)]
    poll = select.epoll()
    by_fd: dict[int, Consumer] = {}

    def send(consumer: Consumer) -> None:
        consumer.send()
        if consumer.fresh:
            # A closed socket has left the epoll set by itself; its number may come back for any consumer.
            by_fd[consumer.sock.fileno()] = consumer
            poll.register(consumer.sock.fileno(), select.EPOLLIN)
            consumer.fresh = False

    follow = spec.ends is None
    if follow:
        poll.register(0, select.EPOLLIN)
        print("ready", flush=True)
    cpu, start = time.process_time(), time.perf_counter()
    deadline = start + spec.seconds
    waiting: list[Consumer] = []
    wrong: list[str] = []
    running = len(consumers)
    for number, consumer in enumerate(consumers):
        if spec.poll > POLL:
            # Clients that ask now and then do not all ask at once.
            consumer.wake_at = start + spec.poll * number / len(consumers)
            waiting.append(consumer)
        else:
            send(consumer)
    while running:
        now = time.perf_counter()
        if now >= deadline:
            if follow:
                wrong.append(f"not at the end of the stream after {spec.seconds:.0f} s")
            break
        for consumer in [each for each in waiting if each.wake_at <= now]:
            waiting.remove(consumer)
            send(consumer)
        pause = min((each.wake_at for each in waiting), default=deadline) - now
        for fd, _ in poll.poll(max(pause, 0.0)):
            if fd == 0 and fd not in by_fd:
                ends = json.loads(os.read(0, 1 << 16))
                poll.unregister(0)
                for consumer in consumers:
                    consumer.ends = ends
                continue
            consumer = by_fd[fd]
            try:
                if not consumer.receive():
                    continue
                if consumer.done:
                    running -= 1
                    continue
                if consumer.wake_at > time.perf_counter():
                    waiting.append(consumer)
                    continue
                send(consumer)
            except (Wrong, OSError, ValueError, KeyError) as error:
                wrong.append(f"{type(error).__name__}: {error}")
                running = 0
    wall, used = time.perf_counter() - start, time.process_time() - cpu
    latencies = sorted(each for consumer in consumers for each in consumer.latencies)
    return {
        "records": sum(consumer.delivered for consumer in consumers),
        "each": [consumer.delivered for consumer in consumers],
        "laps": sum(consumer.laps for consumer in consumers),
        "requests": len(latencies),
        "seconds": wall,
        "cpu": used,
        "p50_ms": latencies[len(latencies) // 2] * 1e3 if latencies else 0.0,
        "p99_ms": latencies[len(latencies) * 99 // 100] * 1e3 if latencies else 0.0,
        "wrong": wrong,
    }


def encode(spec: Spec) -> str:
    """The line that starts this program."""
    return json.dumps(asdict(spec)) + "\n"


def first_line() -> bytes:
    """The line on stdin, not a byte further: the rest is read through epoll."""
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            break
        line += byte
    return bytes(line)


if __name__ == "__main__":
    print(json.dumps(drive(Spec(**json.loads(first_line())))), flush=True)
