"""`penstock bucket`: folders that dump tasks write to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from penstock.cli.app import app
from penstock.cli.failure import CommandError

run = CliRunner()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("PENSTOCK_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def invoke(*args: str) -> str:
    """What a command that goes well prints on standard output."""
    result = run.invoke(app, ["bucket", *args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_create_makes_the_folder_once(data: Path) -> None:
    invoke("create", "archive")
    (data / "obs" / "archive" / "file").touch()
    invoke("create", "archive")
    assert (data / "obs" / "archive" / "file").exists()
    assert (data / "obs" / "archive").stat().st_mode & 0o777 == 0o700


def test_the_directory_may_be_named(data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("PENSTOCK_DATA", str(tmp_path / "one"))
    invoke("create", "a1")
    invoke("create", "a2", "--data", str(tmp_path / "two"))
    assert (tmp_path / "one" / "obs" / "a1").is_dir()
    assert (tmp_path / "two" / "obs" / "a2").is_dir()


def test_list(data: Path) -> None:
    assert invoke("list") == ""
    assert invoke("list", "--json") == ""
    for name in ("beta", "alpha"):
        invoke("create", name)
    (data / "obs" / "not a bucket").mkdir()
    (data / "obs" / "file").touch()
    lines = invoke("list").splitlines()
    assert [line.split()[0] for line in lines] == ["BUCKET", "alpha", "beta"]
    (first, second) = map(json.loads, invoke("list", "--json").splitlines())
    assert (first["name"], first["folder"]) == ("alpha", str(Path("data/obs/alpha")))
    assert second["changed"] > 1_600_000_000_000


@pytest.mark.parametrize("name", ["", "a", "../x", "a/b", ".a", "a b", "x" * 64])
def test_names_that_no_bucket_can_have(data: Path, name: str) -> None:
    with pytest.raises(CommandError, match="cannot be a bucket's name"):
        invoke("create", name)
    assert not (data / "obs").exists()


def test_before_the_servers_first_start(tmp_path: Path) -> None:
    invoke("create", "archive", "--data", str(tmp_path / "new"))
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "new").rglob("*")} == {0o700}
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match="not a directory"):
        invoke("create", "archive", "--data", str(tmp_path / "file"))


def test_without_a_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PENSTOCK_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    for command in (("create", "archive"), ("list",)):
        with pytest.raises(CommandError, match="no data directory"):
            invoke(*command)
