"""Builds of drivers: once for the same sources, again when they change, outside the checkout; missing tools are named."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import golang, maven, tools
from tests.support.driver import Driver, Refused


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    _forget()
    yield tmp_path / "cache/penstock-tests"
    _forget()


def _forget() -> None:
    for cached in (tools.cache_directory, tools.home, tools.account_home):
        cached.cache_clear()


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    (directory / "src").mkdir(parents=True)
    (directory / "src/main").write_text("one")
    return directory


class Build:
    def __init__(self) -> None:
        self.runs: list[str] = []

    def __call__(self, directory: Path) -> None:
        self.runs.append((directory / "src/main").read_text())
        (directory / "built").write_text(self.runs[-1])


def test_builds_once_for_the_same_sources(sources: Path, cache: Path) -> None:
    build = Build()
    first, again = (tools.built("x", sources, build) for _ in range(2))
    assert first == again
    assert first.parent == cache
    assert build.runs == ["one"]
    assert not (sources / "built").exists()


def test_builds_again_when_sources_change(sources: Path) -> None:
    build = Build()
    first = tools.built("x", sources, build)
    (sources / "src/main").write_text("two")
    second = tools.built("x", sources, build)
    assert build.runs == ["one", "two"]
    assert [(one / "built").read_text() for one in (first, second)] == ["one", "two"]


def test_builds_again_when_a_build_no_longer_works(sources: Path) -> None:
    build = Build()
    (tools.built("x", sources, build) / "built").unlink()
    tools.built("x", sources, build, check=lambda directory: (directory / "built").exists())
    assert build.runs == ["one", "one"]


def test_a_build_that_fails_leaves_nothing_behind(sources: Path) -> None:
    def fail(directory: Path) -> None:
        tools.run([sys.executable, "-c", "import sys; print('broken here'); sys.exit(3)"], directory)

    with pytest.raises(AssertionError, match=r"ended with 3(.|\n)*broken here"):
        tools.built("x", sources, fail)
    build = Build()
    tools.built("x", sources, build)
    assert build.runs == ["one"]


def test_older_builds_go_away(sources: Path) -> None:
    old = tools.built("x", sources, Build())
    os.utime(old, (0, 0))
    (sources / "src/main").write_text("two")
    tools.built("x", sources, Build())
    assert not old.exists()


@pytest.mark.parametrize("home", ["", "/nonexistent/home", None])
def test_without_a_home(home: str | None, monkeypatch: pytest.MonkeyPatch, sources: Path) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    if home is None:
        monkeypatch.delenv("HOME")
    else:
        monkeypatch.setenv("HOME", home)
    _forget()
    assert tools.home() is None
    assert (tools.built("nothing", sources, Build()) / "built").exists()


def test_missing_tools_are_named(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(pytest.skip.Exception, match="apt-get install -y default-jdk-headless maven"):
        maven.command(sources, "Main")
    with pytest.raises(pytest.skip.Exception, match="apt-get install -y golang-go"):
        tools.find("go", needs=golang.NEEDS)


class TestDriver:
    @staticmethod
    def echo(program: str) -> Driver:
        return Driver([sys.executable, "-u", "-c", program])

    def test_calls_and_errors(self) -> None:
        program = (
            "import json, sys\n"
            "for line in sys.stdin:\n"
            "    call = json.loads(line)\n"
            "    error = {'class': 'E', 'code': 'DIS.1', 'message': 'm', 'status': 400, 'more': 1}\n"
            "    print(json.dumps({'error': error} if call['operation'] == 'no' else {'result': call}))\n"
        )
        with self.echo(program) as driver:
            assert driver.call("yes", a="ö" * 100_000)["arguments"] == {"a": "ö" * 100_000}
            error = driver.refused("no")
            assert (error.kind, error.code, error.message, error.status) == ("E", "DIS.1", "m", 400)
            assert error.fields["more"] == 1
            with pytest.raises(Refused):
                driver.call("no")
            with pytest.raises(AssertionError, match="yes was not refused"):
                driver.refused("yes")

    def test_one_that_dies_says_why(self) -> None:
        program = "import sys; sys.stdin.readline(); sys.exit('no such jar')"
        with self.echo(program) as driver, pytest.raises(AssertionError, match="no such jar"):
            driver.call("anything")
