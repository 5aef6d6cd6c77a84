"""How the C library's allocator and the interpreter's threads are told to behave in a process of Penstock's. Owns that, and knows nothing
of what the process does."""

from __future__ import annotations

import ctypes
import gc
import sys

_M_ARENA_MAX = -8
TURN_SECONDS = 0.000_5
"""How long a thread that computes keeps the interpreter from one that waits for it. A commit thread that waits Python's usual 5 ms after
each system call makes every put of its group late."""


def tune() -> None:
    """Call it first: one heap, short turns.

    One heap for all threads: the few threads here hardly allocate, and each would keep a heap of its own that never shrinks (25 MB less
    resident under load). Linux with glibc only, elsewhere the allocator stays as it is.
    """
    sys.setswitchinterval(TURN_SECONDS)
    if not sys.platform.startswith("linux"):
        return
    try:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    except (OSError, AttributeError):
        pass


def settle() -> None:
    """Call it when the process begins to serve: what exists now stays, so the garbage collector need not look at it again, and at requests under
    way only now and then."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)
