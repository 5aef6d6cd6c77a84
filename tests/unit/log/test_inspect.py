"""doctor and dump-segment: what they find, and that they change nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penstock.cli.doctor import doctor, dump_segment
from penstock.clock import SteppedClock
from penstock.config import Sync
from penstock.log.base import Batch, PartitionRef
from penstock.log.files import open_log

REF = PartitionRef("s" * 20, 0)


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    log = await open_log(tmp_path, sync=Sync("always"), clock=SteppedClock(), segment_bytes=4096)
    await log.create([REF])
    for number in range(60):
        await log.append([Batch(REF, [b"x" * 200, b"%d" % number], ["key", None])])
    await log.close()
    return tmp_path


def _files(data: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}


def test_a_sound_directory(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = _files(data)
    assert doctor(data, as_json=True) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["problems"] == []
    (partition,) = report["partitions"]
    assert (partition["records"], partition["earliest"], partition["next"]) == (120, 0, 120)
    assert partition["segments"] > 1
    assert doctor(data) == 0
    assert "no problems" in capsys.readouterr().out
    assert _files(data) == before


def test_a_flipped_bit_is_found_and_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in sorted(data.rglob("*.seg")):
        sound = path.read_bytes()
        for offset in (70, 140, len(sound) // 2, len(sound) - 1):
            path.write_bytes(sound[:offset] + bytes([sound[offset] ^ 4]) + sound[offset + 1 :])
            assert doctor(data, as_json=True) == 1, (path.name, offset)
            assert path.name in capsys.readouterr().out
        path.write_bytes(sound)
    assert doctor(data) == 0


def test_a_missing_segment_is_found(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sorted(data.rglob("*.seg"))[1].unlink()
    assert doctor(data) == 1
    assert "are missing before it" in " ".join(capsys.readouterr().out.split())


def test_frames_and_records_are_shown(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = sorted(data.rglob("*.seg"))[0]
    assert dump_segment(first, records=True) == 0
    out = capsys.readouterr().out
    assert "from sequence number 0" in out and "'key'" in out and "b'0'" in out
    raw = first.read_bytes()
    first.write_bytes(raw[:100] + b"?" + raw[101:])
    assert dump_segment(first) == 1
    assert "does not match its checksum" in capsys.readouterr().out


def test_what_is_no_data_directory_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(tmp_path) == 2
    assert "not a data directory" in capsys.readouterr().err
    (tmp_path / "x.seg").write_bytes(b"hello")
    assert dump_segment(tmp_path / "x.seg") == 2
