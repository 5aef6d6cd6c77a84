"""Where reading starts: what `--from` may say, as the cursor's query (5.4.3). Pure: the time is passed in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from penstock.cli.failure import CommandError

_AGO = re.compile(r"([0-9]{1,9})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

HELP = (
    "Where to start: trim (the oldest record there is), latest (only what comes from now on), a sequence number, "
    "10m / 2h / 1d ago, or a time such as 2026-01-31T12:00:00Z."
)


def parse(text: str, now_ms: int) -> Mapping[str, str]:
    """The cursor parameters for `text`. Raises CommandError."""
    word = text.strip().lower()
    if word in ("trim", "trim_horizon", "earliest"):
        return {"cursor-type": "TRIM_HORIZON"}
    if word in ("latest", "end"):
        return {"cursor-type": "LATEST"}
    if word.isascii() and word.isdigit():
        return at(int(word))
    if match := _AGO.fullmatch(word):
        return _at_time(now_ms - int(match[1]) * _SECONDS[match[2]] * 1000)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise CommandError(f"--from {text!r} is not a place to start", HELP, status=2) from None
    if moment.tzinfo is None:
        moment = moment.astimezone()
    return _at_time(round(moment.astimezone(UTC).timestamp() * 1000))


def at(sequence_number: int) -> Mapping[str, str]:
    """From this sequence number on."""
    return {"cursor-type": "AT_SEQUENCE_NUMBER", "starting-sequence-number": str(sequence_number)}


def after(sequence_number: str) -> Mapping[str, str]:
    """From the record after this one on."""
    return {"cursor-type": "AFTER_SEQUENCE_NUMBER", "starting-sequence-number": sequence_number}


def _at_time(ms: int) -> Mapping[str, str]:
    return {"cursor-type": "AT_TIMESTAMP", "timestamp": str(max(0, ms))}


def sequence_range(partition: Mapping[str, object]) -> tuple[int, int]:
    """Earliest and next sequence number of a partition as described: `[start : end]` (5.1.4 table 5-20)."""
    match = re.fullmatch(
        r"\[\s*(-?[0-9]+)\s*:\s*(-?[0-9]+)\s*\]", str(partition.get("sequence_number_range") or "")
    )
    return (int(match[1]), int(match[2])) if match else (0, 0)
