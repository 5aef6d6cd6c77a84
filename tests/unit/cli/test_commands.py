"""The command itself: help, wrong options, failures. No server: what needs one is in tests/integration."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from penstock import __version__
from penstock.cli import failure, main, serving
from penstock.config import Address, Settings
from penstock.errors import CODES

COMMANDS = [
    ("serve",), ("cert",), ("put",), ("get",), ("tail",), ("token",), ("doctor",), ("dump-segment",), ("version",),
    ("app", "create"), ("app", "list"), ("app", "show"), ("app", "delete"),
    ("checkpoint", "show"), ("checkpoint", "commit"), ("checkpoint", "delete"),
    ("stream", "create"), ("stream", "list"), ("stream", "show"), ("stream", "delete"), ("stream", "scale"),
    ("stream", "update"), ("stream", "scalings"), ("stream", "freeze"), ("stream", "thaw"),
    ("iam", "token"), ("iam", "account", "create"), ("iam", "account", "list"),
    *(("iam", "user", name) for name in ("create", "list", "disable", "enable", "password", "delete")),
    *(("iam", "group", name) for name in ("create", "list", "add", "remove", "delete")),
    *(("iam", "policy", name) for name in ("create", "list", "show", "grant", "revoke", "delete")),
    *(("iam", "key", name) for name in ("create", "list", "disable", "enable", "delete")),
    *(("iam", "agency", name) for name in ("create", "list", "grant", "revoke", "delete")),
    ("iam", "project", "create"), ("iam", "project", "list"),
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_examples(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Example" in shown
    assert f"penstock {' '.join(command)}" in shown


def test_the_list_of_commands_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in COMMANDS:
        assert f"\n  {command[0]} " in shown
    assert "..." not in shown.partition("Commands:")[2], "a summary is too long for a terminal"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from penstock.cli import main; main(['put', '--help']);"
        "heavy = {'httpx', 'rich', 'cryptography', 'uvicorn', 'starlette', 'structlog'} & set(sys.modules);"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["put"], "Missing argument 'STREAM'"),
        (["serve", "--limits", "none"], "--limits 'none' is not one of documented, relaxed"),
        (["serve", "--listen", "here"], "--listen 'here' is not HOST:PORT"),
        (["serve", "--auth", "off", "--listen", "0.0.0.0:0"], "--auth off serves only loopback addresses"),
        (["serve", "--config", "/nonexistent.toml"], "--config /nonexistent.toml: No such file or directory"),
        (
            ["stream", "list", "--endpoint", "localhost:20004"],
            "--endpoint 'localhost:20004' is not an address",
        ),
        (["get", "s", "--from", "somewhere"], "--from 'somewhere' is not a place to start"),
        (["get", "s", "--limit", "0"], "--limit 0 is not 1 or more"),
        (["tail", "s", "--last", "-1"], "--last -1 is not 0 or more"),
        (["put", "s", "x", "--file", "y"], "DATA and --file do not go together"),
        (["stream", "create", "s", "--tag", "novalue"], "--tag 'novalue' is not KEY=VALUE"),
        (["stream", "update", "s"], "Nothing to change"),
        (
            ["stream", "list", "--endpoint", "https://127.0.0.1:1", "--cacert", "/nonexistent"],
            "--cacert /nonexistent",
        ),
    ],
)
def test_asked_wrongly(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], credentials: Path
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_no_server_says_how_to_start_one(capsys: pytest.CaptureFixture[str], credentials: Path) -> None:
    assert main(["stream", "list", "--endpoint", "http://127.0.0.1:1"]) == 1
    shown = capsys.readouterr().err
    assert "Nothing answers at http://127.0.0.1:1" in shown
    assert "make run" in shown
    assert "penstock serve" in shown


def test_no_credentials_says_where_they_come_from(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PENSTOCK_CREDENTIALS", raising=False)
    monkeypatch.delenv("PENSTOCK_DATA", raising=False)
    assert main(["stream", "list"]) == 1
    assert "There is no credentials file data/credentials.csv" in capsys.readouterr().err


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "credentials.csv"
    file.write_text(
        "User Name,Access Key Id,Secret Access Key,Account Name,Password,Project Name,Project Id\n"
        "u,AK,SK,acc,pw,local,pid\n"
    )
    monkeypatch.setenv("PENSTOCK_CREDENTIALS", str(file))
    monkeypatch.delenv("PENSTOCK_ENDPOINT", raising=False)
    return file


def test_advice_is_about_codes_that_exist() -> None:
    assert failure._ADVICE.keys() <= CODES.keys()


def test_advice_names_the_stream() -> None:
    error = failure.ServerError("DIS.4301", "Stream does not exist. [s][p]", http_status=404, stream="s")
    assert str(error).splitlines() == [
        "DIS.4301: Stream does not exist. [s][p]",
        "  Create it: penstock stream create s",
        "  See what there is: penstock stream list",
    ]


def test_hints_with_the_defaults() -> None:
    shown = serving.hints(Settings(data=Path("data")), ".venv/bin/penstock")
    assert "http://127.0.0.1:20004" in shown
    assert "data/credentials.csv" in shown
    assert shown.count("  .venv/bin/penstock ") == 2
    assert "| .venv/bin/penstock put first" in shown
    assert "export" not in shown


def test_hints_elsewhere_say_what_to_export() -> None:
    shown = serving.hints(Settings(data=Path("/srv/p"), listen=Address("0.0.0.0", 80)), "penstock")
    assert "export PENSTOCK_ENDPOINT=http://127.0.0.1:80" in shown
    assert "export PENSTOCK_CREDENTIALS=/srv/p/credentials.csv" in shown
