"""What is measured: the rows of the table, and the marks that Penstock has to reach.

One table each. It must not know how a system is started or driven.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["put", "get", "tail", "paced", "recent", "cold"]


@dataclass(frozen=True, slots=True)
class Case:
    """One row.

    `records` is per request (put, paced), the `limit` of a request (get, recent, cold; 0: none, so the server's
    default fetch size), or per request of the producer (tail). `size` is bytes of payload per record.
    `connections` are those of the producers in a put or a tail, and the consumers of what only reads.
    """

    name: str
    kind: Kind
    records: int
    size: int
    connections: int

    @property
    def alone(self) -> bool:
        """Measured of Penstock only: peers have no load generator that does the same."""
        return self.kind in ("paced", "recent", "cold")

    @property
    def title(self) -> str:
        size = f"{self.size} B" if self.size < 1000 else f"{self.size // 1000} KB"
        if self.kind == "put":
            return f"put {self.records} x {size}, {self.connections} connections"
        if self.kind == "get":
            count = f"{self.records} x {size}" if self.records else f"default fetch, {size}"
            return f"get {count}, {self.connections} consumers from the start"
        if self.kind == "paced":
            return f"put {self.records} x {size} at half the rate of {self.connections} connections"
        if self.kind in ("recent", "cold"):
            consumers = "1 consumer" if self.connections == 1 else f"{self.connections} consumers"
            where = "recent frames" if self.kind == "recent" else "cold replay"
            return f"read {self.records} x {size}, {where}, {consumers}"
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
    Case("paced-1x200", "paced", 1, 200, 32),
    Case("put-1x1k", "put", 1, 1_000, 32),
    Case("put-10x1k", "put", 10, 1_000, 32),
    Case("put-500x1k", "put", 500, 1_000, 8),
    Case("get-1x200", "get", 1, 200, CONSUMERS),
    Case("get-10x200", "get", 10, 200, CONSUMERS),
    Case("get-500x200", "get", 500, 200, CONSUMERS),
    Case("get-fetch-200", "get", 0, 200, CONSUMERS),
    Case("tail-500x200", "tail", 500, 200, 16),
    Case("recent-500x200-1", "recent", 500, 200, 1),
    Case("recent-500x200-3", "recent", 500, 200, 3),
    Case("cold-500x200-1", "cold", 500, 200, 1),
    Case("cold-500x200-3", "cold", 500, 200, 3),
    Case("get-1x1k", "get", 1, 1_000, CONSUMERS),
    Case("get-10x1k", "get", 10, 1_000, CONSUMERS),
    Case("get-500x1k", "get", 500, 1_000, CONSUMERS),
    Case("get-fetch-1k", "get", 0, 1_000, CONSUMERS),
    Case("tail-500x1k", "tail", 500, 1_000, 8),
)


# What `--profile` looks at unless `--cases` says otherwise: one row for each path.
PROFILED = ("put-1x200", "put-500x200", "recent-500x200-3", "cold-500x200-3")
# The rows beside which the disk's own group commits are measured.
ON_DISK = ("put-500x1k",)


@dataclass(frozen=True, slots=True)
class RatioMark:
    """Penstock's records/s in `case` over `against`'s in `against_case` must be at least `least`. A `stretch` is shown
    with what is missing, and no failure."""

    case: str
    against: str
    against_case: str
    least: float
    note: str = ""
    stretch: bool = False


@dataclass(frozen=True, slots=True)
class DiskMark:
    """Penstock's records/s in `case` must be at least `least` times `against`'s, or `share` of what the disk does in groups of
    its own, whichever is lower."""

    case: str
    against: str
    least: float
    share: float


@dataclass(frozen=True, slots=True)
class RateMark:
    """Penstock's records/s in `case` must be at least `least`."""

    case: str
    least: float


@dataclass(frozen=True, slots=True)
class LimitMark:
    """A figure of Penstock's own that must not be above `most`; `case` None means the peak over all rows."""

    case: str | None
    figure: Literal["p99_ms", "rss_mb"]
    most: float


Mark = RatioMark | DiskMark | RateMark | LimitMark
MARKS: tuple[Mark, ...] = (
    RatioMark("put-500x200", "redis", "put-500x200", 2.0),
    RatioMark("put-500x200", "kafka", "put-500x200", 1.8),
    RatioMark("put-500x200", "kinesalite", "put-500x200", 50.0),
    DiskMark("put-500x1k", "redis", 2.0, 0.8),
    RatioMark("put-1x200", "redis", "put-1x200", 0.5),
    RatioMark("put-1x200", "redis", "put-1x200", 1.0, "stretch", stretch=True),
    RatioMark("put-1x200", "kinesalite", "put-1x200", 2.0),
    LimitMark("paced-1x200", "p99_ms", 5.0),
    LimitMark("put-1x200", "p99_ms", 15.0),
    RateMark("recent-500x200-3", 3_000_000),
    RateMark("cold-500x200-3", 1_000_000),
    # Reads are measured against the puts that were reached, and against Redis: the second mark does not move when
    # puts get faster.
    RatioMark("get-fetch-200", "penstock", "put-500x200", 5.0),
    RatioMark("get-fetch-200", "redis", "put-500x200", 2.0),
    LimitMark(None, "rss_mb", 120.0),
)
