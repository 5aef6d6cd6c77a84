"""doctor: what else it must notice, and that the catalog stays as it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from penstock.catalog.sqlite import open_catalog
from penstock.cli.doctor import doctor
from penstock.clock import SteppedClock
from penstock.config import Sync
from penstock.log.base import Batch, PartitionRef
from penstock.log.files import format as fmt
from penstock.log.files import inspect, open_log

A, B = PartitionRef("s" * 20, 0), PartitionRef("s" * 20, 1)


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    log = await open_log(tmp_path, sync=Sync("always"), clock=SteppedClock())
    await log.create([A, B])
    for _ in range(3):
        await log.append([Batch(A, [b"one"], None), Batch(B, [b"two"], None)])
    await log.close()
    return tmp_path


def _segment(data: Path, ref: PartitionRef) -> Path:
    (found,) = (data / "log" / ref.stream_id / f"{ref.number:010d}").glob("*.seg")
    return found


def test_a_segment_of_another_partition_is_found(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(_segment(data, A), _segment(data, B))
    assert doctor(data) == 1
    assert "another segment's file" in capsys.readouterr().out


def test_a_damaged_table_of_ends_is_found(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean = data / "log" / "clean"
    raw = bytearray(clean.read_bytes())
    raw[20] ^= 1
    clean.write_bytes(raw)
    assert doctor(data) == 1
    assert "clean: it does not match its checksum" in capsys.readouterr().out


def test_a_later_format_is_a_problem_not_a_traceback(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "log" / "clean").write_bytes(fmt.pack_ends([], 9))
    assert doctor(data) == 1
    assert "log format 9" in capsys.readouterr().out


def test_a_frame_being_written_beside_a_server_is_no_damage(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _segment(data, A)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[64:100])
    real = inspect.frames

    def growing(segment: Path):  # type: ignore[no-untyped-def]
        for found in real(segment):
            if isinstance(found, inspect.Damage):
                with segment.open("ab") as file:  # the server went on meanwhile
                    file.write(b"more")
            yield found

    monkeypatch.setattr(inspect, "frames", growing)
    assert [report.problems for report in inspect.check_log(data)] == [(), ()]


async def _catalog(path: Path) -> None:
    await (await open_catalog(path)).close()


async def test_the_catalog_is_not_touched(data: Path) -> None:
    import asyncio

    path = data / "catalog.db"
    await _catalog(path)
    path.chmod(0o640)
    before = {p: (p.read_bytes(), p.stat().st_mode) for p in data.rglob("*") if p.is_file()}
    assert await asyncio.to_thread(doctor, data) == 0
    assert {p: (p.read_bytes(), p.stat().st_mode) for p in data.rglob("*") if p.is_file()} == before


async def test_what_is_no_catalog_is_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import asyncio

    (data / "catalog.db").write_bytes(b"no database at all" * 100)
    assert await asyncio.to_thread(doctor, data) == 1
    assert str(data / "catalog.db") in "".join(capsys.readouterr().out.split("\n"))
