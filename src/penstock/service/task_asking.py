"""What the service wants to know of a destination before it takes a task: whether it is there and takes what the task would
write. Owns the question; answers are `dump.destinations`'."""

from __future__ import annotations

from typing import Protocol

import msgspec

from penstock.model.streams import Stream
from penstock.model.tasks import AnyDescriptor


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A task as it would be. `account` is the name of the account whose agency it names; `password` is in clear and goes nowhere
    but to the destination."""

    descriptor: AnyDescriptor
    stream: Stream
    account: str
    password: str = ""

    def __repr__(self) -> str:
        return f"<Question, {self.descriptor.kind} {self.descriptor.task_name}>"


class Asker(Protocol):
    """Asks destinations."""

    async def check(self, question: Question) -> None:
        """Raises the documented code when the destination is not there, is not the agency's, or does not take it: DIS.4208, 4306,
        4310, 4335 to 4338, 4341 to 4343, 4345, 4348, 4350, 4351."""
