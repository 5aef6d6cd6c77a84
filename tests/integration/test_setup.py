"""`scripts/setup`: what a stranger is told when something is missing. Nothing is installed here: the Python is a stand-in."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("sh", "cat", "cut", "dirname", "rm", "sha256sum", "uname")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout and a PATH that holds a few tools and no Python."""
    for part in ("scripts", "requirements"):
        shutil.copytree(ROOT / part, tmp_path / "checkout" / part)
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "checkout")
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool, path="/usr/bin:/bin")
        assert found, tool
        (tmp_path / "bin" / tool).symlink_to(found)
    return tmp_path / "checkout"


def stand_in(path: Path, *, version: str, venv: bool = True, pip: bool = True) -> None:
    """A python3 that knows its version, and what it was asked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "#!/bin/sh\n"
        'echo "$@" >> "$0.asked"\n'
        'case "$*" in\n'
        f"  *version_info*) echo {version};;\n"
        f"  *ensurepip*) exit {0 if venv else 1};;\n"
        f'  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python";;\n'
        f'  "-m pip install"*) exit {0 if pip else 1};;\n'
        "esac\n"
    )
    path.chmod(0o755)


def setup(checkout: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "scripts" / "setup", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": str(checkout.parent / "bin"), **env},
    )


def told(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 1
    assert "Penstock cannot be set up: " in result.stderr
    return result.stderr


def test_no_python(checkout: Path) -> None:
    said = told(setup(checkout, "run"))
    assert "there is no python3" in said
    assert "apt-get install -y python3 python3-venv" in said


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.14"])
def test_a_python_of_another_version(checkout: Path, version: str) -> None:
    stand_in(checkout.parent / "bin" / "python3", version=version)
    said = told(setup(checkout, "run"))
    assert f"python3 is Python {version}; it needs 3.11, 3.12 or 3.13" in said
    assert "make PYTHON=" in said


def test_no_venv_module(checkout: Path) -> None:
    stand_in(checkout.parent / "bin" / "python3", version="3.11", venv=False)
    said = told(setup(checkout, "run"))
    assert "has no venv module" in said
    assert "apt-get install -y python3-venv" in said


def test_a_python_that_was_asked_for(checkout: Path, tmp_path: Path) -> None:
    assert "PYTHON=python3.12 does not run" in told(setup(checkout, "run", PYTHON="python3.12"))
    stand_in(tmp_path / "old", version="3.8")
    assert "is Python 3.8; it needs" in told(setup(checkout, "run", PYTHON=str(tmp_path / "old")))


def test_another_python_than_the_environment_has(checkout: Path, tmp_path: Path) -> None:
    stand_in(checkout / ".venv" / "bin" / "python", version="3.11")
    stand_in(tmp_path / "new", version="3.13")
    said = told(setup(checkout, "run", PYTHON=str(tmp_path / "new")))
    assert "was made with Python 3.11" in said
    assert "make clean" in said


def with_files(checkout: Path) -> None:
    for tool in ("mkdir", "cp"):
        found = shutil.which(tool, path="/usr/bin:/bin")
        assert found
        (checkout.parent / "bin" / tool).symlink_to(found)


def asked(checkout: Path) -> list[str]:
    log = checkout / ".venv" / "bin" / "python.asked"
    return (
        [line for line in log.read_text().splitlines() if line.startswith("-m pip install")]
        if log.exists()
        else []
    )


def test_installs_hashed_lists_once(checkout: Path) -> None:
    with_files(checkout)
    stand_in(checkout.parent / "bin" / "python3", version="3.11")
    assert setup(checkout, "run").returncode == 0
    installed = asked(checkout)
    assert len(installed) == 3
    assert all(
        "--require-hashes" in line or ("--no-deps" in line and "--editable ." in line) for line in installed
    )
    assert any("requirements/run.txt" in line for line in installed)
    assert setup(checkout, "run").returncode == 0
    assert asked(checkout) == installed, "installed again although nothing changed"
    assert setup(checkout, "dev").returncode == 0
    assert any("requirements/dev.txt" in line for line in asked(checkout))
    before = asked(checkout)
    assert setup(checkout, "run").returncode == 0
    assert asked(checkout) == before, "the long list holds the short one"
    with (checkout / "requirements" / "run.txt").open("a") as file:
        file.write("# changed\n")
    assert setup(checkout, "run").returncode == 0
    assert len(asked(checkout)) > len(before)


def test_pip_fails(checkout: Path) -> None:
    with_files(checkout)
    stand_in(checkout.parent / "bin" / "python3", version="3.11", pip=False)
    said = told(setup(checkout, "run"))
    assert "pip did not install the packages" in said
    assert not (checkout / ".venv" / ".penstock-run").exists()
