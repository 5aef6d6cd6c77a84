"""Memory that the core and workers share: payloads arrive as they were put down, bounds are this partition's or nobody's."""

from __future__ import annotations

import os

import pytest

from penstock.log.base import Bounds, PartitionRef, UnknownPartition
from penstock.workers.memory import PAGE_BYTES, PAGES, Board, BoardView, Tray, TrayView

A, B = PartitionRef("a" * 20, 0), PartitionRef("b" * 20, 7)


def test_pieces_arrive_as_they_were_put_down() -> None:
    view = TrayView()
    tray = Tray(view.fd)
    pieces = [os.urandom(size) for size in (1, PAGE_BYTES, 3 * PAGE_BYTES - 1, 77)]
    others = [os.urandom(500)]
    sizes = list(map(len, pieces))
    first = tray.put(pieces, sum(sizes))
    second = tray.put(others, 500)
    assert view.take(second, [500]) == others
    assert view.take(first, sizes) == pieces


def test_room_is_not_given_twice_and_comes_back() -> None:
    view = TrayView()
    tray = Tray(view.fd)
    assert tray.put([b"x" * (PAGES * PAGE_BYTES + 1)], PAGES * PAGE_BYTES + 1) == -1
    quarter = PAGES * PAGE_BYTES // 4
    pages = [tray.put([bytes([number]) * quarter], quarter) for number in range(4)]
    assert tray.put([b"y"], 1) == -1, "it is full"
    assert view.take(pages[2], [quarter]) == [b"\2" * quarter]
    again = tray.put([b"y" * quarter], quarter)
    assert again == pages[2]
    for number, page in enumerate(pages):
        expected = b"y" if page == again else bytes([number])
        assert view.take(page, [quarter]) == [expected * quarter]
    assert tray.put([b"z" * (4 * quarter)], 4 * quarter) == 0, "all of it is free again"


def test_a_tray_goes_with_its_worker() -> None:
    view = TrayView()
    page = Tray(view.fd).put([b"payload"], 7)
    fd = view.fd
    view.close()
    with pytest.raises(ValueError, match="closed"):
        view.take(page, [7])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


class Log:
    def __init__(self) -> None:
        self.partitions = {A: Bounds(0, 5), B: Bounds(3, 9)}

    def bounds(self, ref: PartitionRef) -> Bounds:
        if ref not in self.partitions:
            raise UnknownPartition(str(ref))
        return self.partitions[ref]


def _remember(board: Board, view: BoardView, ref: PartitionRef) -> None:
    found = board.slot(ref)
    assert found is not None
    view.remember(ref, *found)


def test_bounds_are_seen_without_asking() -> None:
    board = Board(Log().bounds)
    view = BoardView(board.fd)
    assert view.bounds(A) is None, "nobody has asked for it"
    _remember(board, view, A)
    _remember(board, view, B)
    assert (view.bounds(A), view.bounds(B)) == (Bounds(0, 5), Bounds(3, 9))
    board.note(A, Bounds(2, 1 << 60))
    assert (view.bounds(A), view.bounds(B)) == (Bounds(2, 1 << 60), Bounds(3, 9))


def test_a_partition_that_is_gone_is_asked_for_again() -> None:
    log = Log()
    board = Board(log.bounds, slots=1)
    one, other = BoardView(board.fd), BoardView(board.fd)
    _remember(board, one, A)
    _remember(board, other, A)
    assert board.slot(B) is None, "there is no room"
    board.note(A, None)
    assert one.bounds(A) is None
    del log.partitions[A]
    with pytest.raises(UnknownPartition):
        board.slot(A)
    # The other one has not looked since, and the slot is somebody else's now.
    _remember(board, one, B)
    assert one.bounds(B) == Bounds(3, 9)
    assert other.bounds(A) is None
    assert len(board) == 1


def test_what_nobody_reads_takes_no_slot() -> None:
    board = Board(Log().bounds)
    board.note(A, Bounds(0, 6))
    board.note(A, None)
    assert len(board) == 0


def test_workers_cannot_write_on_the_board() -> None:
    view = BoardView(Board(Log().bounds).fd)
    with pytest.raises(TypeError):
        view._words[0] = 1
