"""Text: the records as they are, with the task's delimiter. Owns where delimiters stand; looks into no record.

A newline ends every record, the last one too: that is what a line is, so files stay lines when they are put together, and counting
lines counts records. `,` `;` and `|` stand between records only: after the last one they would announce another, empty one.
"""

from __future__ import annotations

from collections.abc import Iterable

from penstock.dump.base import Body, Chunk, Encoded, Reject
from penstock.model.tasks import NO_DELIMITER


class TextFormat:
    """Makes one file of all records, whatever is in them."""

    extension = ".txt"

    def __init__(self, delimiter: str) -> None:
        """One of RECORD_DELIMITERS, or NO_DELIMITER."""
        self._delimiter = b"" if delimiter == NO_DELIMITER else delimiter.encode()
        self._ends = self._delimiter == b"\n"

    def encode(self, chunks: Iterable[Chunk]) -> tuple[list[Encoded], list[Reject]]:
        body = Body()
        records = 0
        for chunk in chunks:
            if not chunk.data:
                continue
            if records and not self._ends:
                body.write(self._delimiter)
            body.write(self._delimiter.join(chunk.data))
            if self._ends:
                body.write(self._delimiter)
            records += len(chunk.data)
        if not records:
            body.close()
            return [], []
        return [Encoded(self.extension, body, records)], []
