"""One task's life in the engine: wait until a round is due, plan it, deliver it, commit it, again. Owns that order, retries and what
is said about them; what a round means is the sink's.

    plan      the ranges and keys are durable before anything is written
    deliver   as often as it takes, until `retry_duration` has passed since the first failure; then back up and pass over
    commit    positions move and the plan goes, in one transaction

Whatever kills the process in between, the next one finds the plan and delivers the same round.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import tzinfo

import msgspec
import structlog

from penstock.clock import Clock
from penstock.dump.base import LeaseLost, NotDelivered, Part, Sink, Store
from penstock.dump.core import Assigned, Core, Trouble
from penstock.dump.rounds import DamagedRecords, RoundAtWork, read_batch
from penstock.errors import ApiError
from penstock.model.dumps import (
    Backlog,
    Plan,
    PlannedPart,
    due,
    due_ms,
    gives_up_ms,
    keyed,
    pause_seconds,
    shown_time,
    size_trigger,
)
from penstock.model.tasks import TaskPosition, TaskState

PART_BYTES = 64 << 20
"""A file that has no size of its own to reach is cut here."""
ROUND_BYTES = 128 << 20
PARTS_MAX = 256
POLL_SECONDS = 1.0
LONGEST_POLL_SECONDS = 5.0
KEEP_SECONDS = 5.0
"""A round that waits longer than this for its next attempt is read again rather than kept in memory."""

_log = structlog.get_logger("penstock.dump")


class Budget:
    """Bytes that all tasks together may hold in memory; one that wants more than there ever is gets it when nobody else has any."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._used = 0
        self._freed = asyncio.Condition()

    async def take(self, size: int) -> None:
        """Wait until there is room."""
        async with self._freed:
            await self._freed.wait_for(lambda: not self._used or self._used + size <= self._most)
            self._used += size

    async def give(self, size: int) -> None:
        """It is free again."""
        async with self._freed:
            self._used -= size
            self._freed.notify_all()


class Tools(msgspec.Struct, kw_only=True):
    """What every runner needs. `open_sink` and `open_store` (where rejects go; None: nowhere) raise ApiError."""

    core: Core
    clock: Clock
    zone: tzinfo
    budget: Budget
    open_sink: Callable[[Assigned], Sink]
    open_store: Callable[[Assigned], Store | None]
    reached: Callable[[str], None]


class Runner:
    """Delivers one task until it is stopped."""

    def __init__(self, assigned: Assigned, tools: Tools) -> None:
        self.assigned = assigned
        self._tools = tools
        self._core = tools.core
        self._plan = assigned.plan
        self._number = 0 if assigned.plan is None else assigned.plan.number
        self._positions: dict[int, TaskPosition] = {p.partition: p for p in assigned.positions}
        self._held = 0
        self._waiting_noted = False
        self._sink: Sink | None = None
        self._store: Store | None = None
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._troubled = assigned.task.trouble is not None
        self._log = _log.bind(
            task=assigned.task.name, task_id=assigned.task.task_id, stream=assigned.stream.name
        )
        self.job = asyncio.create_task(self._run(), name=f"dump {assigned.task.name}")

    def __repr__(self) -> str:
        return f"<Runner of {self.assigned!r}>"

    async def stop(self) -> None:
        """Whatever it does ends; what it had begun, the next one repeats."""
        self.job.cancel()
        await asyncio.wait([self.job])

    async def settle(self) -> None:
        """Look at what is due by the clock now, and return when that is delivered, or has failed once more."""
        if self.job.done():
            return
        self._idle.clear()
        self._wake.set()
        waiting = asyncio.create_task(self._idle.wait())
        await asyncio.wait([waiting, self.job], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    # The loop

    async def _run(self) -> None:
        try:
            while True:
                try:
                    if self._plan is not None:
                        await self._carry_out(self._plan, None)
                    else:
                        await self._next_round()
                except NotDelivered as error:
                    # Before a plan: nothing was promised yet, so there is nothing to back up.
                    await self._say(TaskState.ABNORMAL, str(error))
                    await self._sleep(POLL_SECONDS)
                except LeaseLost:
                    raise
                except Exception:
                    # A mistake in here must not end the task for good.
                    self._log.exception("dump task failed, goes on in a minute")
                    await self._close()
                    await self._sleep(60.0)
                finally:
                    await self._free()
        except LeaseLost:
            self._log.info("dump task is not this process's any more")
        finally:
            self._idle.set()
            await self._close()

    async def _take(self, size: int) -> None:
        """Room for a round's records."""
        await self._free()
        await self._tools.budget.take(size)
        self._held = size

    async def _keep(self, size: int) -> None:
        """A round turned out to need no more than this: the rest is for others, while its destination may hang."""
        surplus = self._held - size
        if surplus > 0:
            self._held = size
            await self._tools.budget.give(surplus)

    async def _free(self) -> None:
        held, self._held = self._held, 0
        if held:
            await self._tools.budget.give(held)

    async def _close(self) -> None:
        sink, self._sink = self._sink, None
        store, self._store = self._store, None
        if sink is not None:
            await sink.close()
        if store is not None:
            await store.close()

    async def _sleep(self, seconds: float) -> None:
        """Until then, or until `settle` is called."""
        self._idle.set()
        self._wake.clear()
        # Neither wait_for, which before Python 3.12 may swallow a cancellation, nor timeout, which before 3.11.4 may take a time that
        # is over for one.
        woken = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait([woken], timeout=seconds)
        finally:
            woken.cancel()

    # Plan

    async def _next_round(self) -> None:
        """Plan and deliver a round, or wait a while when none is due."""
        task, epoch = self.assigned.task, self.assigned.epoch
        backlogs = await self._core.waiting(task.task_id, epoch)
        now = self._tools.clock.now_ms()
        # Those that have waited longest, so that many partitions take turns.
        chosen = sorted(due(task.descriptor, backlogs, now), key=lambda backlog: backlog.oldest_ms)
        if not chosen:
            self._note_waiting(backlogs)
            await self._sleep(self._patience(backlogs, now))
            return
        self._waiting_noted = False
        await self._take(min(ROUND_BYTES, sum(backlog.size for backlog in chosen)))
        parts = await self._read_chosen(chosen[:PARTS_MAX])
        if not parts:
            await self._sleep(POLL_SECONDS)
            return
        self._number = max(self._number + 1, now)
        stream_name, zone = self.assigned.stream.name, self._tools.zone
        parts = [Part(keyed(planned, task, stream_name, now, zone), batch) for planned, batch in parts]
        plan = Plan(
            task_id=task.task_id,
            number=self._number,
            created_ms=now,
            parts=tuple(part.planned for part in parts),
        )
        await self._core.save_plan(plan, epoch)
        self._plan = plan
        self._tools.reached("planned")
        await self._carry_out(plan, parts)

    def _note_waiting(self, backlogs: list[Backlog]) -> None:
        """Say once for each round why nothing is written yet, when there is something to write."""
        if not backlogs or self._waiting_noted:
            return
        self._waiting_noted = True
        descriptor = self.assigned.task.descriptor
        self._log.info(
            "records wait",
            records=sum(backlog.records for backlog in backlogs),
            bytes=sum(backlog.size for backlog in backlogs),
            due=shown_time(min(due_ms(descriptor, backlog) for backlog in backlogs)),
            or_bytes=size_trigger(descriptor),
        )

    def _patience(self, backlogs: list[Backlog], now: int) -> float:
        descriptor = self.assigned.task.descriptor
        if size_trigger(descriptor) is not None:
            return POLL_SECONDS
        soonest = min(
            (due_ms(descriptor, backlog) for backlog in backlogs),
            default=now + descriptor.deliver_time_interval * 1000,
        )
        return max(
            0.02, min(LONGEST_POLL_SECONDS, (soonest - now) / 1000, descriptor.deliver_time_interval / 4)
        )

    async def _read_chosen(self, chosen: list[Backlog]) -> list[Part]:
        """As much of them as a round takes. A damaged partition is left out."""
        task, epoch = self.assigned.task, self.assigned.epoch
        most = size_trigger(task.descriptor) or PART_BYTES
        parts: list[Part] = []
        left = max(ROUND_BYTES, most)
        for backlog in chosen:
            last = backlog.first + backlog.records - 1
            try:
                batch = await read_batch(
                    self._core, task.task_id, epoch, backlog.partition, backlog.first, last, min(most, left)
                )
            except DamagedRecords as error:
                self._log.error("partition left out", partition=backlog.partition, reason=str(error))
                continue
            parts.append(Part(PlannedPart(backlog.partition, batch.first, batch.last), batch))
            left -= batch.size
            if left <= 0:
                break
        return parts

    # Deliver and commit

    async def _carry_out(self, plan: Plan, parts: list[Part] | None) -> None:
        """Until the plan is committed."""
        attempt, began = 0, self._tools.clock.monotonic()
        while True:
            attempt += 1
            round_: RoundAtWork | None = None
            try:
                if parts is None:
                    await self._take(ROUND_BYTES)
                    parts = await self._read_planned(plan)
                    await self._keep(sum(part.batch.size for part in parts))
                round_ = self._round(plan, parts)
                if self._sink is None:
                    self._sink = self._tools.open_sink(self.assigned)
                await self._sink.deliver(round_)
                break
            except LeaseLost:
                raise
            except NotDelivered as error:
                reason = str(error)
            except ApiError as error:
                reason = error.message
            except Exception as error:
                self._log.exception("delivery failed")
                reason = f"{type(error).__name__}: {error}"
            plan = await self._failed(plan, attempt, reason)
            if await self._give_up(plan, round_, reason):
                return
            pause = self._pause(plan, attempt)
            if pause > KEEP_SECONDS:
                parts = round_ = None
                await self._free()
            await self._sleep(pause)
        self._tools.reached("delivered")
        await self._commit(plan, round_, delivered=True)
        self._log.info(
            "round delivered",
            round=plan.number,
            parts=len(plan.parts),
            records=sum(len(part.batch) for part in round_.parts),
            bytes=sum(part.batch.size for part in round_.parts),
            seconds=round(self._tools.clock.monotonic() - began, 3),
            attempts=attempt,
        )

    async def _read_planned(self, plan: Plan) -> list[Part]:
        task_id, epoch = self.assigned.task.task_id, self.assigned.epoch
        return [
            Part(part, await read_batch(self._core, task_id, epoch, part.partition, part.first, part.last))
            for part in plan.parts
        ]

    def _round(self, plan: Plan, parts: list[Part]) -> RoundAtWork:
        return RoundAtWork(
            self.assigned.task,
            self.assigned.stream,
            plan,
            parts,
            self.assigned.epoch,
            open_store=self._error_store,
            reached=self._tools.reached,
        )

    def _error_store(self) -> Store | None:
        if self._store is None:
            try:
                self._store = self._tools.open_store(self.assigned)
            except ApiError as error:
                raise NotDelivered(error.message) from error
        return self._store

    async def _failed(self, plan: Plan, attempt: int, reason: str) -> Plan:
        """Say so; the first failure of a plan is kept with it, for restarts must not move its deadline."""
        now = self._tools.clock.now_ms()
        if not plan.failing_since_ms:
            plan = msgspec.structs.replace(plan, failing_since_ms=now)
            await self._core.save_plan(plan, self.assigned.epoch)
            self._plan = plan
        until = gives_up_ms(self.assigned.task.descriptor, plan.failing_since_ms)
        line = f"{reason}; failing since {shown_time(plan.failing_since_ms)}" + (
            ", will be tried until it works"
            if until is None
            else f", will be tried until {shown_time(until)}, then backed up and passed over"
        )
        self._log.warning("round not delivered", round=plan.number, attempt=attempt, reason=reason)
        await self._say(TaskState.ABNORMAL, line)
        return plan

    async def _give_up(self, plan: Plan, round_: RoundAtWork | None, reason: str) -> bool:
        """Whether the round has been passed over: it had its time, and its records are backed up."""
        until = gives_up_ms(self.assigned.task.descriptor, plan.failing_since_ms)
        if until is None or self._tools.clock.now_ms() < until:
            return False
        try:
            if round_ is None:
                round_ = self._round(plan, await self._read_planned(plan))
            await round_.give_up()
        except NotDelivered as error:
            await self._say(TaskState.ERROR, f"{reason}; {error}")
            return False
        self._log.error("round passed over", round=plan.number, reason=reason)
        self._tools.reached("backed_up")
        await self._commit(plan, round_, delivered=False)
        return True

    def _pause(self, plan: Plan, attempt: int) -> float:
        pause = pause_seconds(attempt, random.random())  # noqa: S311  # spreads load, keeps no secret
        until = gives_up_ms(self.assigned.task.descriptor, plan.failing_since_ms)
        now = self._tools.clock.now_ms()
        return pause if until is None or until <= now else max(0.02, min(pause, (until - now) / 1000))

    async def _commit(self, plan: Plan, round_: RoundAtWork, *, delivered: bool) -> None:
        positions = round_.positions(self._positions, self._tools.clock.now_ms(), delivered=delivered)
        guarantee = "" if self._sink is None else self._sink.guarantee
        await self._core.commit(plan.task_id, self.assigned.epoch, positions, guarantee)
        self._positions |= {position.partition: position for position in positions}
        self._plan = None
        self._tools.reached("committed")
        if delivered:
            await self._say(None, "")

    async def _say(self, state: TaskState | None, reason: str) -> None:
        if state is None and not self._troubled:
            return
        self._troubled = state is not None
        await self._core.trouble(Trouble(self.assigned.task.task_id, self.assigned.epoch, state, reason))
