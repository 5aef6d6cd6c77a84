"""Samples of a profile, put down to areas."""

from __future__ import annotations

import pytest
from bench.areas import area, markdown, samples, shares

PYTHON = "/usr/local/lib/libpython3.11.so.1.0"
CODEC = "/v/site-packages/msgspec/_core.cpython-311-x86_64-linux-gnu.so"
PRINTED = f"""\

\tffffffff81a00001 _copy_from_iter+0x12 ([kernel.kallsyms])
\tffffffff81a00002 tcp_sendmsg_locked+0x1 ([kernel.kallsyms])
\tffffffff81a00003 vfs_write+0x1 ([kernel.kallsyms])
\t    7f0000000001 __write+0x4d (/usr/lib/libc.so.6)

\t    7f0000000002 _PyEval_EvalFrameDefault+0x1 ({PYTHON})

\t    7f0000000003 json_decode_binary ({CODEC})
\t    7f0000000002 _PyEval_EvalFrameDefault+0x1 ({PYTHON})

\tffffffff81a00004 iowrite16+0x1 ([kernel.kallsyms])
\tffffffff81a00005 __x64_sys_fdatasync+0x1 ([kernel.kallsyms])
"""


def test_chains_are_read_innermost_first() -> None:
    chains = list(samples(PRINTED))
    assert [len(chain) for chain in chains] == [4, 1, 2, 2]
    assert chains[2][0] == ("json_decode_binary", CODEC)


def test_every_sample_counts_for_one_area() -> None:
    assert shares(PRINTED) == {
        "kernel: sending": 0.25,
        "interpreter": 0.25,
        "codec": 0.25,
        "kernel: writing and syncing files": 0.25,
    }
    assert shares("") == {}


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [
        (["finish_task_switch", "schedule", "ep_poll", "do_epoll_wait"], "kernel: waiting and waking"),
        (["eventfd_write", "vfs_write"], "kernel: waiting and waking"),
        (["_copy_to_iter", "tcp_recvmsg", "__sys_recvfrom"], "kernel: receiving"),
        (["copy_folio_to_iter", "filemap_read", "vfs_read"], "kernel: reading files"),
        (["clear_page", "do_user_addr_fault", "asm_exc_page_fault"], "kernel: memory"),
        (["irqentry_exit_to_user_mode"], "kernel: other"),
    ],
)
def test_the_kernel_counts_for_what_it_was_asked(symbols: list[str], expected: str) -> None:
    assert area([(symbol, "[kernel.kallsyms]") for symbol in symbols]) == expected


@pytest.mark.parametrize(
    ("dso", "expected"),
    [
        ("/v/site-packages/httptools/parser/parser.so", "HTTP parser"),
        ("/v/site-packages/crc32c/_crc32c.so", "checksum (crc32c)"),
        ("/v/site-packages/uvloop/loop.so", "event loop"),
        ("/v/lib/python3.11/site-packages/penstock_native/penstock_native.abi3.so", "codec"),
        ("/usr/lib/x86_64-linux-gnu/libc.so.6", "copying and allocating (libc)"),
        ("[vdso]", "interpreter"),
        ("/opt/unheard-of.so", "other"),
    ],
)
def test_libraries_have_their_areas(dso: str, expected: str) -> None:
    assert area([("f", dso)]) == expected


def test_the_table_has_a_line_for_each_area_and_one_for_the_rest() -> None:
    found = {
        "put": {"interpreter": 0.6, "codec": 0.396, "hashing": 0.004},
        "get": {"interpreter": 0.9, "other": 0.1},
    }
    assert markdown(found, {"put": 1.234}).splitlines() == [
        "| | put | get |",
        "|---|---:|---:|",
        "| interpreter | 60% | 90% |",
        "| codec | 40% | - |",
        "| other | - | 10% |",
        "| CPU, us a record | 1.23 | - |",
    ]
