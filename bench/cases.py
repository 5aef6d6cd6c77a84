"""What is measured: the rows of the table, and the marks that Penstock has to reach.

One table each. It must not know how a system is started or driven.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["put", "get", "tail"]


@dataclass(frozen=True, slots=True)
class Case:
    """One row.

    `records` is per request (put), the `limit` of a request (get; 0: none, so the server's default
    fetch size), or per request of the producer (tail). `size` is bytes of payload per record.
    `connections` are those of the producers in a put or a tail, and the consumers in a get.
    """

    name: str
    kind: Kind
    records: int
    size: int
    connections: int

    @property
    def title(self) -> str:
        size = f"{self.size} B" if self.size < 1000 else f"{self.size // 1000} KB"
        if self.kind == "put":
            return f"put {self.records} x {size}, {self.connections} connections"
        if self.kind == "get":
            count = f"{self.records} x {size}" if self.records else f"default fetch, {size}"
            return f"get {count}, {self.connections} consumers from the start"
        return f"tail by {CONSUMERS} while putting {self.records} x {size}"


CONSUMERS = 3
# A realistic number of distinct partition keys: enough to defeat a cache of one, few enough to repeat.
KEYS = 1_000
# Records in a request of the loads that fill a stream before it is read.
FILL = 500


CASES: tuple[Case, ...] = (
    Case("put-1x200", "put", 1, 200, 32),
    Case("put-10x200", "put", 10, 200, 32),
    Case("put-500x200", "put", 500, 200, 16),
    Case("put-1x1k", "put", 1, 1_000, 32),
    Case("put-10x1k", "put", 10, 1_000, 32),
    Case("put-500x1k", "put", 500, 1_000, 8),
    Case("get-1x200", "get", 1, 200, CONSUMERS),
    Case("get-10x200", "get", 10, 200, CONSUMERS),
    Case("get-500x200", "get", 500, 200, CONSUMERS),
    Case("get-fetch-200", "get", 0, 200, CONSUMERS),
    Case("tail-500x200", "tail", 500, 200, 16),
    Case("get-1x1k", "get", 1, 1_000, CONSUMERS),
    Case("get-10x1k", "get", 10, 1_000, CONSUMERS),
    Case("get-500x1k", "get", 500, 1_000, CONSUMERS),
    Case("get-fetch-1k", "get", 0, 1_000, CONSUMERS),
    Case("tail-500x1k", "tail", 500, 1_000, 8),
)


@dataclass(frozen=True, slots=True)
class RatioMark:
    """Penstock's records/s in `case` over `against`'s in `against_case` must be at least `least`."""

    case: str
    against: str
    against_case: str
    least: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class LimitMark:
    """A figure of Penstock's own that must stay below `most`; `case` None means the peak over all rows."""

    case: str | None
    figure: Literal["p99_ms", "rss_mb"]
    most: float


MARKS: tuple[RatioMark | LimitMark, ...] = (
    RatioMark("put-500x200", "kinesalite", "put-500x200", 10.0),
    RatioMark("put-500x200", "redis", "put-500x200", 0.4),
    # Reads are measured against the puts that were reached, and against the puts that were asked for: the second
    # mark does not move when puts get faster.
    RatioMark("get-fetch-200", "penstock", "put-500x200", 5.0),
    RatioMark("get-fetch-200", "redis", "put-500x200", 2.0, "5 x the 0.4 x asked of puts"),
    RatioMark("put-1x200", "kinesalite", "put-1x200", 2.0),
    RatioMark("put-1x200", "redis", "put-1x200", 0.25),
    LimitMark("put-1x200", "p99_ms", 15.0),
    LimitMark(None, "rss_mb", 120.0),
)
