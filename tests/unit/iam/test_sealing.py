"""Sealing and the master key file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.iam import sealing
from penstock.iam.sealing import MASTER_KEY, Sealer, SealingError, write_private

KEY = bytes(range(32))


@given(secret=st.binary(max_size=200), purpose=st.binary(max_size=40))
def test_round_trip(secret: bytes, purpose: bytes) -> None:
    sealer = Sealer({1: KEY})
    sealed = sealer.seal(secret, purpose)
    assert sealer.unseal(sealed, purpose) == secret
    assert sealer.seal(secret, purpose) != sealed
    assert len(secret) < 4 or secret not in sealed
    with pytest.raises(SealingError):
        sealer.unseal(sealed, purpose + b"x")


def test_every_bit_counts() -> None:
    sealer = Sealer({1: KEY})
    sealed = sealer.seal(b"secret", b"p")
    for index in range(len(sealed)):
        for bit in range(8):
            damaged = bytearray(sealed)
            damaged[index] ^= 1 << bit
            with pytest.raises(SealingError):
                sealer.unseal(bytes(damaged), b"p")
        with pytest.raises(SealingError):
            sealer.unseal(sealed[:index], b"p")


def test_made_once_with_mode_0600(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        first = Sealer.open(tmp_path)
    finally:
        os.umask(old)
    path = tmp_path / MASTER_KEY
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == [MASTER_KEY]
    content = path.read_bytes()
    sealed = first.seal(b"secret", b"p")
    assert Sealer.open(tmp_path).unseal(sealed, b"p") == b"secret"
    assert path.read_bytes() == content


def test_two_directories_have_two_keys(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    sealed = Sealer.open(tmp_path / "a").seal(b"secret", b"p")
    with pytest.raises(SealingError, match="put that one back"):
        Sealer.open(tmp_path / "b").unseal(sealed, b"p")


def test_the_first_of_two_starts_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = sealing._temporary

    def while_another_starts(path: Path, content: bytes) -> Path:
        temporary = real(path, content)
        if not path.exists():
            path.write_text("1:" + "ab" * 32 + "\n")
        return temporary

    monkeypatch.setattr(sealing, "_temporary", while_another_starts)
    sealer = Sealer.open(tmp_path)
    assert sealer.unseal(Sealer({1: b"\xab" * 32}).seal(b"s", b"p"), b"p") == b"s"
    assert [entry.name for entry in tmp_path.iterdir()] == [MASTER_KEY]


def test_file_systems_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    sealed = Sealer.open(tmp_path).seal(b"s", b"p")
    assert Sealer.open(tmp_path).unseal(sealed, b"p") == b"s"
    assert [entry.name for entry in tmp_path.iterdir()] == [MASTER_KEY]


def test_a_crash_while_writing_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError("disk gone")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="disk gone"):
            Sealer.open(tmp_path)
        assert not (tmp_path / MASTER_KEY).exists()
    Sealer.open(tmp_path)


def test_rotation(tmp_path: Path) -> None:
    old = Sealer.open(tmp_path).seal(b"old", b"p")
    path = tmp_path / MASTER_KEY
    path.write_text(path.read_text() + "2:" + "cd" * 32 + "\n")
    both = Sealer.open(tmp_path)
    new = both.seal(b"new", b"p")
    assert (both.unseal(old, b"p"), both.unseal(new, b"p")) == (b"old", b"new")
    with pytest.raises(SealingError, match="master key 1"):
        Sealer({2: b"\xcd" * 32}).unseal(old, b"p")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n",
        "1:",
        "x:" + "a" * 64,
        "1:" + "a" * 62,
        "0:" + "a" * 64,
        "256:" + "a" * 64,
        "é",
        "1" + "a" * 64,
    ],
)
def test_damaged_files_are_named(tmp_path: Path, content: str) -> None:
    (tmp_path / MASTER_KEY).write_text(content)
    with pytest.raises(SealingError, match=MASTER_KEY):
        Sealer.open(tmp_path)


def test_the_same_id_twice(tmp_path: Path) -> None:
    (tmp_path / MASTER_KEY).write_text(("1:" + "a" * 64 + "\n") * 2)
    with pytest.raises(SealingError, match="each once"):
        Sealer.open(tmp_path)


def test_write_private_replaces(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
