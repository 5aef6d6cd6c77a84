"""Writes lines to a stream: batches, tries refused records again, keeps count. Owns the retry rule; draws nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from penstock.cli.client import Client, Put
from penstock.cli.failure import CommandError, ServerError, Unreachable

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0


@dataclass
class Tally:
    """What has been acknowledged so far."""

    records: int = 0
    bytes: int = 0
    retried: int = 0


def may_pass_later(code: str) -> bool:
    """Flow control and server errors pass; everything else stays wrong however often it is sent."""
    return code == "DIS.4303" or code.startswith("DIS.5")


class Writer:
    """Puts batches into one stream. Gives up on a record after `patience` seconds of refusals."""

    def __init__(
        self,
        client: Client,
        stream: str,
        *,
        key: str | None = None,
        partition: str | None = None,
        patience: float = 60.0,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tally = Tally()
        self._client = client
        self._stream = stream
        self._key = key
        self._partition = partition
        self._patience = patience
        self._sleep = sleep
        self._monotonic = monotonic

    def write(self, data: Sequence[bytes]) -> list[Put]:
        """Puts one batch, only the refused records again; the place of each record, in the order given. Raises
        CommandError, saying how many records are acknowledged."""
        key = self._key
        answers: list[Put | None] = [None] * len(data)
        waiting = list(range(len(data)))
        give_up = self._monotonic() + self._patience
        pause = FIRST_PAUSE
        while True:
            refused = self._once(data, key, waiting, answers)
            if not refused:
                return [answer for answer in answers if answer is not None]
            code, message, lasting = refused
            waiting = [index for index in waiting if answers[index] is None]
            if lasting or self._monotonic() + pause > give_up:
                raise self._stopped(ServerError(code, message, http_status=400, stream=self._stream))
            self.tally.retried += len(waiting)
            self._sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311 - jitter, not a secret
            pause = min(pause * 1.5, LONGEST_PAUSE)

    def _once(
        self, data: Sequence[bytes], key: str | None, waiting: Sequence[int], answers: list[Put | None]
    ) -> tuple[str, str, bool] | None:
        """One request for the records in `waiting`. The first refusal: code, message, whether it will last."""
        try:
            replies = self._client.put(self._stream, [(data[i], key) for i in waiting], self._partition)
        except ServerError as error:
            if error.http_status == 503 or may_pass_later(error.code):
                return error.code, error.message.removeprefix(f"{error.code}: "), False
            raise self._stopped(error) from error
        except Unreachable as error:
            raise self._stopped(error) from error
        first: tuple[str, str, bool] | None = None
        for index, reply in zip(waiting, replies, strict=True):
            if not reply.error_code:
                answers[index] = reply
                self.tally.records += 1
                self.tally.bytes += len(data[index])
            elif first is None or not may_pass_later(reply.error_code):
                first = (reply.error_code, reply.error_message, not may_pass_later(reply.error_code))
        return first

    def _stopped(self, error: CommandError) -> CommandError:
        lines = [error.advice]
        if self.tally.records:
            lines.append(f"Acknowledged before this: {self.tally.records:,} records.")
        if isinstance(error, Unreachable) and error.sent:
            lines.append("The last batch may or may not be stored.")
        return CommandError(error.message, "\n".join(filter(None, lines)), status=error.status)


def write_all(
    writer: Writer, source: Iterable[list[bytes]], progress: Callable[[Tally], None] = lambda tally: None
) -> Tally:
    """Puts every batch of `source`."""
    for batch in source:
        writer.write(batch)
        progress(writer.tally)
    return writer.tally
