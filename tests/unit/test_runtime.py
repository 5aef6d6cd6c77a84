"""How a process of Penstock's ends: with its own exit code, also when a library does not survive the interpreter's end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

# What obstore's threads do once the interpreter is going, made certain: as a rule they hit it once in many ends.
LIBRARY = """
import atexit, os, sys

class Thread:
    abort = staticmethod(os.abort)
    def __del__(self):
        self.abort()

sys.modules[{name!r}] = type(sys)({name!r})
sys.modules[{name!r}].thread = Thread()
atexit.register(print, "helpers closed")
print("report")
from penstock.runtime import leave
{end}
"""


def ended(name: str, end: str, **options: object) -> subprocess.CompletedProcess[str]:
    code = LIBRARY.format(name=name, end=end)
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    given = {"stdout": subprocess.PIPE, "env": buffered} | options
    return subprocess.run([sys.executable, "-c", code], text=True, check=False, timeout=30, **given)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("status", [0, 1, 3])
def test_the_exit_code_is_the_commands_own(status: int) -> None:
    result = ended("obstore", f"leave({status})")
    assert (result.returncode, result.stdout) == (status, "report\nhelpers closed\n")


def test_without_it_the_same_end_is_an_abort() -> None:
    assert ended("obstore", "sys.exit(1)").returncode == -signal.SIGABRT


def test_other_commands_end_as_usual() -> None:
    assert ended("another", "del sys.modules['another'].thread.__class__.__del__; leave(3)").returncode == 3


def test_what_cannot_be_written_is_a_failure() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert ended("obstore", "leave(0)", stdout=writer).returncode == 1
    finally:
        os.close(writer)
