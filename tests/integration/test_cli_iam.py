"""`penstock iam` against a real server: two accounts from nothing, with every command, its output and its exit code."""

from __future__ import annotations

import csv
import json
import stat
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import httpx
import pytest
from tests.support.server import Server

from penstock.cli import main

PASSWORD = "Correct-horse-7"
Run = Callable[..., str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("cli") / "data", "--limits", "relaxed") as started:
        yield started


@pytest.fixture
def run(server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `penstock iam ...` as somebody; standard output, or with a `status` standard error."""
    monkeypatch.setenv("PENSTOCK_ENDPOINT", server.endpoint)

    def call(*arguments: str, who: Path | None = None, status: int = 0, stdin: str = "") -> str:
        monkeypatch.setenv("PENSTOCK_CREDENTIALS", str(who or server.credentials_file))
        monkeypatch.setattr("sys.stdin", StringIO(stdin))
        capsys.readouterr()
        ended = main(["iam", *arguments])
        shown = capsys.readouterr()
        assert ended == status, shown.err
        assert "Traceback" not in shown.err
        return shown.err if status else shown.out

    return call


def first(text: str) -> list[str]:
    """The first column of a table."""
    return [line.split("  ")[0] for line in text.splitlines()[1:]]


def streams(server: Server, credentials: Path, *, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stream", "list", "--credentials", str(credentials)]) == status
    capsys.readouterr()


def test_users_groups_policies_keys(
    run: Run, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("group", "create", "readers")
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    run("user", "create", "anna", "--group", "readers", "--password-file", str(secret))
    run("user", "create", "ci")
    assert {"admin", "anna", "ci"} <= set(first(run("user", "list")))
    run("group", "add", "readers", "ci")
    assert "anna, ci" in run("group", "list")
    listed = [json.loads(line) for line in run("group", "list", "--json").splitlines()]
    assert listed[0]["users"] == ["anna", "ci"]

    keys = tmp_path / "ci.csv"
    run("key", "create", "ci", "--description", "builds", "--out", str(keys))
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert "is there already" in run("key", "create", "ci", "--out", str(keys), status=2)
    assert len(first(run("key", "list", "ci"))) == 1
    streams(server, keys, status=1, capsys=capsys)
    assert "DIS.4116" in run("user", "list", who=keys, status=1)
    run("policy", "grant", "DIS ReadOnlyAccess", "--group", "readers")
    streams(server, keys, status=0, capsys=capsys)
    run("policy", "revoke", "DIS ReadOnlyAccess", "--group", "readers")
    streams(server, keys, status=1, capsys=capsys)
    policy = {"Version": "1.1", "Statement": [{"Effect": "Allow", "Action": ["dis:streams:list"]}]}
    run("policy", "create", "listing", "-", stdin=json.dumps(policy))
    assert json.loads(run("policy", "show", "listing")) == policy
    assert "listing" in first(run("policy", "list"))
    run("policy", "grant", "listing", "--group", "readers", "--all-projects")
    streams(server, keys, status=0, capsys=capsys)
    both = ("policy", "grant", "listing", "--group", "readers", "--all-projects", "--account")
    assert "exclude each other" in run(*both, status=2)

    key = first(run("key", "list", who=keys))[0]
    run("key", "disable", key)
    streams(server, keys, status=1, capsys=capsys)
    run("key", "enable", key)
    streams(server, keys, status=0, capsys=capsys)
    run("user", "disable", "ci")
    streams(server, keys, status=1, capsys=capsys)
    run("user", "enable", "ci")
    streams(server, keys, status=0, capsys=capsys)
    run("user", "password", "anna", stdin="Another-horse-8\n")
    run("key", "delete", key)
    streams(server, keys, status=1, capsys=capsys)
    run("policy", "delete", "listing")
    run("group", "remove", "readers", "anna")
    run("user", "delete", "ci")
    run("group", "delete", "readers")
    assert "penstock iam user list" in run("user", "delete", "ci", status=1)
    assert "is empty" in run("user", "password", "anna", status=2)


def test_accounts_projects_agencies_tokens(run: Run, server: Server, tmp_path: Path) -> None:
    out = tmp_path / "acme.csv"
    run("account", "create", "acme", "--owner", "eve", "--project", "eu", "--out", str(out))
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert "IAM.0005" in run("account", "create", "acme", status=1)
    (printed,) = csv.DictReader(
        StringIO(run("account", "create", "other", "--password-file", "-", stdin=PASSWORD))
    )
    assert (printed["Account Name"], printed["Password"]) == ("other", PASSWORD)
    assert {"penstock", "acme", "other"} <= set(first(run("account", "list")))
    assert "DIS.4116" in run("account", "list", who=out, status=1)
    assert "DIS.4116" in run("account", "create", "more", who=out, status=1)
    assert first(run("project", "list", who=out)) == ["eu"]
    made = run("project", "create", "us", who=out).strip()
    assert made in run("project", "list", who=out)

    run("agency", "create", "auditors", "--trust", "acme", "--duration", "30")
    assert first(run("agency", "list")) == ["auditors", "dis_admin_agency"]
    project = next(csv.DictReader(server.credentials_file.open()))
    take = ("token", "--agency", "auditors", "--account", "penstock", "--project", project["Project Name"])
    url = f"{server.endpoint}/v2/{server.project_id}/streams"

    def asked(token: str) -> int:
        headers = {"X-Auth-Token": token.strip()}
        return httpx.get(url, headers=headers, timeout=30, trust_env=False).status_code

    token = run(*take, who=out)
    assert asked(token) == 403
    run("agency", "grant", "auditors", "DIS ReadOnlyAccess", "--all-projects")
    assert asked(token) == 200
    run("agency", "revoke", "auditors", "DIS ReadOnlyAccess", "--all-projects")
    assert asked(token) == 403
    run("agency", "grant", "auditors", "DIS ReadOnlyAccess")
    assert asked(token) == 200
    run("agency", "delete", "auditors")
    assert asked(token) == 401
    assert "IAM.0004" in run(*take, who=out, status=1)
    assert "needs --account" in run("token", "--agency", "x", status=2)
    assert asked(run("token")) == 200
