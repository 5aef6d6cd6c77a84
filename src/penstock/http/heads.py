"""Header blocks seen before: clients send the same ones with every request, and what the parser made of them need not be made
again. Owns when that is safe; knows no connection and no meaning of a header beyond where a request ends.

Nothing is decided here that the parser has not decided: a block (everything from the end of the request line to the empty line) is
kept once the parser has read those very bytes as a head, for a request that was answered with success. Kept are only blocks after
which a request ends by counting bytes and the connection goes on: no Transfer-Encoding, no Upgrade, no Expect. Signatures change
with every request, so blocks with one are not kept. A request line that is not plain goes to the parser.
"""

from __future__ import annotations

from typing import NamedTuple

_BLOCKS = 256
_BLOCK_BYTES = 2048
_LINES = 256
_LINE_BYTES = 256
_NEVER = frozenset({b"authorization", b"expect", b"transfer-encoding", b"upgrade"})
_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/%?&=:@!$'()*+,;"
_VERSION = b" HTTP/1.1"


class Head(NamedTuple):
    """What a block says. `limit` is how large a body may come with it, `length` how large the one that does is; `token` see
    `http.direct.token_of`."""

    headers: list[tuple[bytes, bytes]]
    named: dict[bytes, bytes]
    limit: int
    length: int
    token: bytes | None = None


class Known(NamedTuple):
    """A request that begins with a known block: its line, where its body begins, and all that is before that."""

    method: str
    path: bytes
    query: bytes
    head: Head
    body: int
    start: bytes


class Heads:
    """The blocks of a server's clients, the newest of them."""

    def __init__(self) -> None:
        self._blocks: dict[bytes, Head] = {}
        self._lines: dict[bytes, tuple[str, bytes, bytes]] = {}

    def find(self, data: bytes) -> Known | None:
        """What `data` begins with, where a request may begin. None: ask the parser."""
        line = data.find(b"\r\n")
        body = data.find(b"\r\n\r\n", line) + 4
        if line < 0 or body < 4:
            return None
        head = self._blocks.get(data[line:body])
        if head is None:
            return None
        start = data[:line]
        target = self._lines.get(start) or self._read(start)
        return target and Known(*target, head, body, data[:body])

    def _read(self, line: bytes) -> tuple[str, bytes, bytes] | None:
        """Method, path and query of a plain request line. Those without a query are the same every time."""
        if line.startswith(b"POST /"):
            method, target = "POST", line[5:-9]
        elif line.startswith(b"GET /"):
            method, target = "GET", line[4:-9]
        else:
            return None
        if not line.endswith(_VERSION) or target.translate(None, _PLAIN):
            return None
        path, _, query = target.partition(b"?")
        if not query and len(line) <= _LINE_BYTES:
            if len(self._lines) >= _LINES:
                self._lines.clear()
            self._lines[line] = (method, path, query)
        return method, path, query

    def block(self, data: bytes, head: Head) -> bytes | None:
        """The block of an HTTP/1.1 request that `data` begins with, of which the parser has made `head` and after which the
        connection goes on; None when it may not be kept."""
        if len(head.named) != len(head.headers) or not _NEVER.isdisjoint(head.named):
            return None
        line = data.find(b"\r\n")
        end = data.find(b"\r\n\r\n", line) + 4
        if not 0 < line < end <= line + _BLOCK_BYTES:
            return None
        block = data[line:end]
        # One line a header and none beside: no other reading of where lines or the head end has been at work.
        lines = len(head.headers) + 2
        if block.count(b"\r\n") != lines or block.count(b"\n") != lines or block.count(b"\r") != lines:
            return None
        return block

    def keep(self, block: bytes, head: Head) -> None:
        """Know a block from now on."""
        blocks = self._blocks
        if len(blocks) >= _BLOCKS and block not in blocks:
            del blocks[next(iter(blocks))]
        blocks[block] = head
