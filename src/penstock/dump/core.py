"""What the engine asks of the server: what waits, records, and that a plan or a commit be durable. Owns these shapes; they also cross
between the two processes (msgpack arrays, one release on both ends, so without a version)."""

from __future__ import annotations

from typing import Protocol

import msgspec

from penstock.log.base import Frame, Place
from penstock.model.dumps import Backlog, Plan
from penstock.model.streams import Stream
from penstock.model.tasks import Task, TaskPosition, TaskState


class Assigned(msgspec.Struct, frozen=True, kw_only=True):
    """A task to deliver, and everything known of it: `password` in clear, `positions` where it stands, `plan` the round to begin
    with."""

    task: Task
    stream: Stream
    epoch: int
    positions: list[TaskPosition]
    plan: Plan | None
    password: str = ""

    def __repr__(self) -> str:
        return f"<Assigned {self.task.name} of {self.stream.name}, epoch {self.epoch}>"


class Piece(msgspec.Struct, array_like=True, gc=False):
    """A frame of the log."""

    base: int
    count: int
    append_ms: int
    payload: bytes


class Reading(msgspec.Struct, array_like=True):
    """What a read found: whole frames, of which the first may begin earlier than asked. None when `earliest` is beyond what was asked
    for, or `damage` says why it cannot be read. Between the processes also `place`: look there."""

    pieces: list[Piece]
    earliest: int = 0
    damage: str = ""
    place: Place | None = None

    @classmethod
    def of(cls, frames: list[Frame]) -> Reading:
        return cls([Piece(f.base, f.count, f.append_ms, f.payload) for f in frames])


class Trouble(msgspec.Struct, array_like=True):
    """How a task goes: ABNORMAL or ERROR and why, or None when all is well."""

    task_id: str
    epoch: int
    state: TaskState | None
    reason: str = ""


class Core(Protocol):
    """The server's side. Everything raises LeaseLost when the task is not this process's any more, under that epoch."""

    async def waiting(self, task_id: str, epoch: int) -> list[Backlog]:
        """The partitions that have records for the task."""

    async def read(self, task_id: str, epoch: int, partition: int, sequence: int, max_bytes: int) -> Reading:
        """Records of a partition from `sequence` on."""

    async def save_plan(self, plan: Plan, epoch: int) -> None:
        """Durable when it returns."""

    async def commit(self, task_id: str, epoch: int, positions: list[TaskPosition], guarantee: str) -> None:
        """The plan is done and goes; durable when it returns. `guarantee` is the sink's, for the details."""

    async def trouble(self, trouble: Trouble) -> None:
        """Say how it goes, for the details, the list and the events."""
