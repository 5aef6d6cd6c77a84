"""Every snippet of the README runs: commands through a shell, Python as it stands, in a directory like a checkout.

Only the port changes, since 20004 may be taken where the tests run.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.support.server import Server

ROOT = Path(__file__).resolve().parents[2]


class Snippet(NamedTuple):
    language: str
    code: str


def snippets(page: str) -> list[Snippet]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    return [Snippet(language, code) for language, code in found]


README = snippets("README.md")


@pytest.fixture
def checkout(server: Server, tmp_path: Path) -> Path:
    """A directory with what `make run` leaves: .venv and data."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "data").symlink_to(server.data)
    return tmp_path


def run(snippet: Snippet, server: Server, directory: Path) -> str:
    code = snippet.code.replace("127.0.0.1:20004", server.endpoint.partition("://")[2])
    command = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}[snippet.language]
    done = subprocess.run(
        [*command, code],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(directory),
            "PENSTOCK_ENDPOINT": server.endpoint,
        },
    )
    assert done.returncode == 0, f"{snippet.code}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_first_two_commands_are_make_run_and_make_test() -> None:
    assert [snippet.code for snippet in README[:2]] == ["make run\n", "make test\n"]
    for snippet in README[:2]:
        planned = subprocess.run(
            ["make", "-n", *snippet.code.split()[1:]], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert {"run": "penstock serve", "test": "pytest"}[snippet.code.split()[1]] in planned.stdout


def test_every_snippet_is_one_that_is_run_here() -> None:
    assert [snippet.language for snippet in README] == ["sh", "sh", "sh", "python", "sh"]


def test_command_line(server: Server, checkout: Path) -> None:
    shown = run(README[2], server, checkout)
    assert sorted(shown.splitlines()[-5:]) == ["1", "2", "3", '{"page": "/"}', '{"page": "/help"}']


def test_official_python_sdk(server: Server, checkout: Path) -> None:
    shown = run(README[3], server, checkout)
    assert "shardId-0000000000" in shown
    assert "b'hello'" in shown
    assert README[3].code.count("\n") <= 14


@pytest.mark.services
def test_curl_and_a_token(server: Server, checkout: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl: apt-get install -y curl")
    shown = run(README[4], server, checkout)
    assert '"failed_record_count":0' in shown.replace(" ", "")
    assert '"data":"aGVsbG8="' in shown.replace(" ", "")


@pytest.mark.parametrize("page", ["docs/operations.md", "CONTRIBUTING.md"])
def test_commands_of_other_pages_exist(page: str) -> None:
    for snippet in snippets(page):
        for line in snippet.code.splitlines() if snippet.language == "sh" else []:
            words = line.split()
            if words[:1] == ["make"]:
                subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, check=True)
            elif words[:1] == ["penstock"]:
                options = [word for word in words if word.startswith("--")]
                shown = subprocess.run(
                    [sys.executable, "-m", "penstock", words[1], "--help"],
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
                for option in options:
                    assert option in shown, line
