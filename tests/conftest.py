"""What all tests share: real servers as fixtures, and the rule for tests that need more than Python.

A test marked `services` needs a tool or a server that may be missing. It is skipped then (`pytest.skip("needs Maven:
apt-get install -y maven")`), and the run's last lines say in full which tests did not run and why. With
PENSTOCK_REQUIRE_SERVICES=1, as in CI, not running is failing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import recording
from tests.support.server import Server

REQUIRED = os.environ.get("PENSTOCK_REQUIRE_SERVICES") == "1"
_not_run: dict[str, str] = {}
"""Test or module -> why it did not run."""
_REFUSED = "did not run, and PENSTOCK_REQUIRE_SERVICES=1: "

StartServer = Callable[..., Server]


BUILD_SECONDS = 600
"""The first test of a client in another language builds its driver, on a new machine with downloads."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("services") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(BUILD_SECONDS))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with its default settings, shared by the tests of a module."""
    with Server(tmp_path_factory.mktemp("server") / "data") as started:
        yield started


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Starts servers of a test's own: start_server("--limits", "relaxed", env={...}, data=DIR). All end with the test."""
    started: list[Server] = []

    def start(*args: str, env: dict[str, str] | None = None, data: Path | None = None) -> Server:
        made = Server(data or tmp_path / f"data-{len(started)}", *args, env=env)
        started.append(made)
        made.start()
        return made

    yield start
    for made in started:
        made.kill()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    recording.note(item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if REQUIRED and _skipped(report) and item.get_closest_marker("services"):
        report.longrepr = _REFUSED + _reason(report)
        report.outcome = "failed"
    if report.failed and call.excinfo is not None:
        for running in _servers(item):
            report.sections.append((f"end of standard error of {running!r}", running.log_tail()))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """In the process that prints: where several run the tests, it hears of all of them."""
    if _skipped(report):
        _not_run[report.nodeid] = _reason(report)
    elif report.failed and str(report.longrepr).startswith(_REFUSED):
        _not_run[report.nodeid] = str(report.longrepr).removeprefix(_REFUSED)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A whole module that was skipped: nobody knows what is in it, so it counts as a test that did not run."""
    report = yield
    if report.skipped:
        _not_run[report.nodeid] = _reason(report)
        if REQUIRED:
            report.longrepr = _REFUSED + _reason(report)
            report.outcome = "failed"
    return report


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """After everything else has been printed, so that these are the last lines."""
    if not _not_run or "PYTEST_XDIST_WORKER" in os.environ:
        return
    print(f"\nDid not run ({len(_not_run)}):")
    for name, reason in _not_run.items():
        print(f"  {name}\n      {reason}")
    if REQUIRED:
        print("PENSTOCK_REQUIRE_SERVICES=1: not running is failing.")


def _skipped(report: pytest.TestReport) -> bool:
    return report.skipped and not hasattr(report, "wasxfail")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    longrepr = report.longrepr
    return (longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)).removeprefix("Skipped: ")


def _servers(item: pytest.Item) -> list[Server]:
    """The servers among the fixtures of a test."""
    values: dict[str, Any] = getattr(item, "funcargs", {})
    return [value for value in values.values() if isinstance(value, Server) and value.log.exists()]
