"""Where the server's time goes, by area: the samples of `perf script`, each put down to one.

What happens in the kernel counts for what it was asked to do, as the call chain says; everything else for the library it happens in. Plain
values in, plain values out. It must not run a profiler.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

FIELDS = "ip,sym,dso"
"""What `perf script -F` is asked for."""
OTHER = "other"
LEAST = 0.005
"""Areas below this everywhere are shown with the others."""

_FRAME = re.compile(r"^\s+[0-9a-f]+\s+(?P<symbol>.*?)\s+\((?P<dso>[^()]*(?:\([^()]*\))?)\)$")
# The first that fits: a write to a socket is a write too, and so is a wake-up.
_KERNEL: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("kernel: sending", ("sys_send", "sock_sendmsg", "sock_write_iter", "tcp_sendmsg")),
    ("kernel: receiving", ("sys_recv", "sock_recvmsg", "sock_read_iter", "tcp_recvmsg")),
    ("kernel: waiting and waking", ("epoll", "futex", "eventfd", "sys_poll", "sys_select")),
    ("kernel: writing and syncing files", ("fsync", "fdatasync", "vfs_write", "vfs_iter_write", "do_writev")),
    ("kernel: reading files", ("vfs_read", "pread", "filemap_", "page_cache_", "sys_mmap")),
    ("kernel: memory", ("page_fault", "sys_munmap", "sys_brk", "sys_madvise")),
)
_LIBRARIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("codec", ("/penstock/", "penstock_native", "/msgspec/", "msgspec.")),
    ("base64", ("pybase64",)),
    ("checksum (crc32c)", ("crc32c",)),
    ("HTTP parser", ("/httptools/",)),
    ("event loop", ("/uvloop/", "_asyncio", "libuv")),
    ("hashing", ("libcrypto", "_hashlib", "_md5", "_sha")),
    ("catalog (SQLite)", ("libsqlite", "_sqlite3")),
    ("copying and allocating (libc)", ("libc.so", "libc-", "ld-linux", "jemalloc", "mimalloc")),
    ("interpreter", ("libpython", "/bin/python", "python3", "lib-dynload", "[vdso]", "vdso")),
)


def samples(printed: str) -> Iterator[list[tuple[str, str]]]:
    """The call chains of what `perf script` printed, innermost first, as (symbol, library)."""
    chain: list[tuple[str, str]] = []
    for line in printed.splitlines():
        if found := _FRAME.match(line):
            chain.append((found["symbol"], found["dso"]))
        elif chain:
            yield chain
            chain = []
    if chain:
        yield chain


def area(chain: Sequence[tuple[str, str]]) -> str:
    """Of one sample."""
    _, dso = chain[0]
    if in_kernel(dso):
        symbols = [symbol for symbol, library in chain if in_kernel(library)]
        for name, words in _KERNEL:
            if any(word in symbol for symbol in symbols for word in words):
                return name
        return "kernel: other"
    for name, words in _LIBRARIES:
        if any(word in dso for word in words):
            return name
    return OTHER


def in_kernel(dso: str) -> bool:
    return dso.startswith(("[kernel", "[guest.kernel")) or dso.endswith((".ko", ".ko.xz", ".ko.zst"))


def shares(printed: str) -> dict[str, float]:
    """Area -> share of all samples, the largest first; empty without samples."""
    counted = Counter(area(chain) for chain in samples(printed))
    total = sum(counted.values())
    return {name: number / total for name, number in counted.most_common()}


def markdown(found: Mapping[str, Mapping[str, float]], cpu_us: Mapping[str, float]) -> str:
    """A table to paste: a line for each area, a column for each path. `found`: title of a path -> its shares; `cpu_us`: title ->
    microseconds a record, where they are known."""
    names = sorted(
        {name for each in found.values() for name in each},
        key=lambda name: (name == OTHER, -max(each.get(name, 0.0) for each in found.values())),
    )
    shown = [
        name for name in names if name != OTHER and any(each.get(name, 0) >= LEAST for each in found.values())
    ]
    lines = ["| | " + " | ".join(found) + " |", "|---|" + "---:|" * len(found)]
    for name in shown:
        lines.append(
            f"| {name} | " + " | ".join(_percent(each.get(name, 0.0)) for each in found.values()) + " |"
        )
    rest = {
        title: sum(share for name, share in each.items() if name not in shown)
        for title, each in found.items()
    }
    if any(share >= LEAST for share in rest.values()):
        lines.append(f"| {OTHER} | " + " | ".join(_percent(rest[title]) for title in found) + " |")
    if any(title in cpu_us for title in found):
        each_us = (f"{cpu_us[title]:.2f}" if title in cpu_us else "-" for title in found)
        lines.append("| CPU, us a record | " + " | ".join(each_us) + " |")
    return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= LEAST else "-"
