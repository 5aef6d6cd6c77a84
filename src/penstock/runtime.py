"""How the C library's allocator, the interpreter's threads and its garbage collector are told to behave in a process of Penstock's, and how
it ends. Owns that, and knows nothing of what the process does."""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import sys
from typing import NoReturn

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
KEPT_BYTES = 16 << 20
"""Free memory at the top of the heap that is not given back: otherwise bodies and payloads that come and go have the kernel clear the same
pages again and again, for as much time as all the rest of a large put takes."""
MAPPED_BYTES = 4 << 20
"""What is larger is given back at once."""
TURN_SECONDS = 0.000_5
"""How long a thread that computes keeps the interpreter from one that waits for it. A commit thread that waits Python's usual 5 ms after
each system call makes every put of its group late."""

AT_ODDS = "obstore"
"""Its threads outlive the interpreter, and one that comes back into it then ends the process with SIGABRT or SIGSEGV."""

COLLECT = (100_000, 20, 20)
"""Thresholds of the garbage collector. Puts of many partitions under way are thousands of objects and no cycle: at the usual pace it looks at
them again and again, a fifth of all time."""


def tune() -> None:
    """Call it first: one heap, short turns.

    One heap for all threads: the few threads here hardly allocate, and each would keep a heap of its own that never shrinks (25 MB less
    resident under load). Linux with glibc only, elsewhere the allocator stays as it is.
    """
    sys.setswitchinterval(TURN_SECONDS)
    if not sys.platform.startswith("linux"):
        return
    try:
        library = ctypes.CDLL(None)
        library.mallopt(_M_ARENA_MAX, 1)
        library.mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        library.mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES)
    except (OSError, AttributeError):
        pass


def spare_collector() -> None:
    """Call it when everything has been made that stays: the collector need not look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)


def leave(status: int) -> NoReturn:
    """Ends the process with that exit code; call it when everything is closed. Without taking the interpreter down where a library that was
    used does not survive that: what had been done would look like a crash.
    """
    if AT_ODDS not in sys.modules:
        sys.exit(status)
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        status = status or 1
    os._exit(status)
