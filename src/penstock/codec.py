"""Which codec the hot formats go through: the compiled one (`native/`, the module `penstock_native`) or the Python one.

Owns the choice and the description of what the compiled one offers. Knows no format: whoever has a hot format asks `native`
first and does it in Python when that is None, or answers None for what it leaves to Python. Both give the same bytes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

INTERFACE = 4
"""What this program calls: a compiled codec built for another one is not taken. `native/src/lib.rs` has the same number."""
VARIABLE = "PENSTOCK_CODEC"
CHOICES = ("auto", "native", "python")


class Puts(Protocol):
    """A decoded PutRecords request: everything is checked but sizes, which may be asked for."""

    @property
    def stream_name(self) -> str | None: ...
    @property
    def stream_id(self) -> str | None: ...
    @property
    def data_bytes(self) -> int: ...
    def __len__(self) -> int: ...
    def first_long_key(self, limit: int, /) -> tuple[int, int] | None:
        """Index and characters of the first partition key that has more than `limit`."""

    def first_large(self, limit: int, /) -> tuple[int, int] | None:
        """Index and bytes of the first record with more than `limit` of data."""

    def record(self, index: int, /) -> tuple[bytes, str | None, str | None, str | None]:
        """Data, partition key, partition id, explicit hash key."""

    def pack(
        self, router: Any, turn: int, /
    ) -> tuple[
        int,
        list[tuple[int, int, bytes, int, tuple[int, ...] | None]],
        list[tuple[int, str | None, str | None]],
    ]:
        """Route the records; they are gone then. `turn` is where round robin was.

        Where round robin is now; for each partition in order of appearance its number, how many records, their payload, bytes of
        their data and their indices (None: all of them); index, partition id and explicit hash key of
        each record that cannot go anywhere.
        """


class Native(Protocol):
    """The compiled codec. Functions answer None for what Python has to do, because it is unusual or wrong."""

    INTERFACE: int
    VERSION: str

    @property
    def Router(self) -> Callable[[list[int], list[int]], Any]:  # noqa: N802  # it is a class
        """For `Puts.pack`: inclusive ends of the hash ranges of the writable partitions in order, and their numbers."""

    def decode_put_json(self, body: bytes, /) -> Puts | None: ...
    def decode_put_protobuf(self, body: bytes, /) -> Puts | None: ...
    def take_put_json(
        self, body: bytes, streams: dict[str, tuple[Any, Any]], /
    ) -> tuple[Any, int, int, bytes, int] | None:
        """A request for a stream that is named, whose records plainly go to one partition: they are one record that has a place of its
        own, or the stream has one partition. `streams`: a Router and something of the caller's, by name.

        The caller's, partition, how many records, their payload, bytes of their data. Nothing is used up or moved on.
        """

    def encode_outcome_json(
        self, total: int, placed: list[Any], failed: dict[int, tuple[str, str]], /
    ) -> bytes | None:
        """`placed` is of (partition, first sequence number, records, indices or None)."""

    def encode_outcome_protobuf(
        self, total: int, placed: list[Any], failed: dict[int, tuple[str, str]], /
    ) -> bytes | None: ...
    def render_json(
        self, payload: bytes, start: int, stop: int, base: int, append_ms: int, /
    ) -> tuple[bytes, int] | None:
        """Records `start` to `stop` of a frame as entries of a GetRecords reply, and the bytes of their data."""

    def render_protobuf(
        self, payload: bytes, start: int, stop: int, base: int, append_ms: int, /
    ) -> tuple[bytes, int] | None: ...
    def data_bytes(self, payload: bytes, start: int, stop: int, /) -> int | None:
        """Bytes of data of records `start` to `stop` of a payload."""

    def fit(
        self, payload: bytes, start: int, max_records: int, budget: int, one: bool, /
    ) -> tuple[int, int] | None:
        """See `log.payload.fit`; the budget is not negative."""

    def join_payloads(self, payloads: list[bytes], /) -> bytes | None:
        """See `log.payload.join`."""

    def pack_frame(
        self, name: bytes, salt: int, durable: int, base: int, records: int, append_ms: int, payload: bytes, /
    ) -> bytes | None:
        """The header of a frame of the log, see `log.files.format.pack_frame`."""

    def frames_in(
        self, view: bytes, position: int, offset: int, name: bytes, salt: int, /
    ) -> list[tuple[int, int, int, int, int, int]]:
        """See `log.files.format.frames_in`; the fields of a FrameHead."""

    def pack_batch(self, salt: int, generation: int, number: int, runs: list[Any], /) -> bytes | None:
        """A batch of a journal, see `log.files.format.pack_batch`."""


if TYPE_CHECKING:
    import penstock_native

    _described: Native = penstock_native


class CodecError(Exception):
    """The codec that was asked for cannot be had. The message says why and what to do."""


native: Native | None = None
"""The compiled codec when it is in use. Looked up with every call, so that tests can switch."""
reason = ""
"""Why it is not, where somebody might want to know."""


def choose(environ: Mapping[str, str] | None = None) -> None:
    """Take the codec that PENSTOCK_CODEC names: `auto` (the compiled one if it is there), `native` or `python`.
    Raises CodecError."""
    global native, reason  # one codec for a process
    wanted = (os.environ if environ is None else environ).get(VARIABLE) or "auto"
    if wanted not in CHOICES:
        raise CodecError(f"{VARIABLE} is {wanted!r}; it can be {', '.join(CHOICES)}")
    native, reason = None, f"{VARIABLE}=python"
    if wanted == "python":
        return
    native, reason = load()
    if native is None and wanted == "native":
        raise CodecError(f"{VARIABLE} is native, and {reason}")


def load() -> tuple[Native | None, str]:
    """The compiled codec, or None and why not."""
    try:
        module: Any = import_module("penstock_native")
    except ImportError as error:
        return None, f"the compiled codec is not installed ({error})"
    if getattr(module, "INTERFACE", None) != INTERFACE:
        return None, "the compiled codec is of another release: build it again"
    return module, ""


def in_use() -> str:
    """One word and what goes with it, for people: `native 0.1.0` or `python`."""
    return "python" if native is None else f"native {native.VERSION}"


# What nobody can have is python here, and an error of `choose` where a server starts.
with contextlib.suppress(CodecError):
    choose()
