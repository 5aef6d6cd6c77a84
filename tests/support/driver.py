"""Programs that drive a client library for the tests: one JSON call a line in, one JSON answer a line out.

A call is {"operation": NAME, "arguments": {...}}; an answer is {"result": ...} or {"error": {"class", "code", "message",
"status"}}. What a driver logs goes to its standard error.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

Json = dict[str, Any]
ANSWER_SECONDS = 60.0


class Refused(Exception):
    """The client library raised: the name of its exception's class (without package), code, message, HTTP status."""

    def __init__(self, error: Json) -> None:
        super().__init__(
            f"{error.get('class')} {error.get('status')} {error.get('code')}: {error.get('message')}"
        )
        self.fields = error
        """All that the driver tells, such as what typed exceptions hold."""
        self.kind = str(error.get("class") or "")
        self.code = str(error.get("code") or "")
        self.message = str(error.get("message") or "")
        self.status = int(error.get("status") or 0)


class Driver:
    """A driver that runs.

    with Driver(maven.command(PROJECT, "Main")) as driver:
        driver.call("describeStream", streamName="s1")
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the driver
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=os.environ | dict(environment or {}),
        )
        self._rest = b""

    def call(self, operation: str, /, **arguments: object) -> Any:
        """The result of an operation; `Refused` when the library raised."""
        answer = self._answer(json.dumps({"operation": operation, "arguments": arguments}))
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]

    def refused(self, operation: str, /, **arguments: object) -> Refused:
        """What the library raised; it must have."""
        try:
            result = self.call(operation, **arguments)
        except Refused as error:
            return error
        raise AssertionError(f"{operation} was not refused: {result}")

    def close(self) -> None:
        """Ends it: by the end of its standard input, or by force."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._stderr.close()

    def kill(self) -> None:
        """Ends it at once, as a crash does."""
        self._process.kill()
        self._process.wait()

    @property
    def stderr(self) -> str:
        """What it logged so far."""
        return os.pread(self._stderr.fileno(), 1 << 20, 0).decode(errors="replace")

    def _answer(self, line: str) -> Json:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(line.encode() + b"\n")
        stdin.flush()
        until = time.monotonic() + ANSWER_SECONDS
        while b"\n" not in self._rest:
            ready = select.select([stdout], [], [], max(0.0, until - time.monotonic()))[0]
            part = os.read(stdout.fileno(), 1 << 16) if ready else b""
            assert part, f"no answer to {line[:500]}; its standard error ends:\n{self.stderr[-4000:]}"
            self._rest += part
        first, _, self._rest = self._rest.partition(b"\n")
        answer = json.loads(first)
        assert isinstance(answer, dict)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
