"""The command line against a real server: every command, its output, its exit code."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from tests.support.server import Server

from penstock.cli import certificates

Cli = Callable[..., subprocess.CompletedProcess[bytes]]


def environment(server: Server, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PENSTOCK_")}
    own = {"PENSTOCK_ENDPOINT": server.endpoint, "PENSTOCK_CREDENTIALS": str(server.credentials_file)}
    return inherited | own | dict(extra or {})


def command(
    server: Server, *arguments: str, stdin: bytes = b"", **extra: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "penstock", *arguments],
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
        env=environment(server, extra),
    )


@pytest.fixture
def cli(server: Server) -> Cli:
    return lambda *arguments, **options: command(server, *arguments, **options)


@pytest.fixture
def stream(server: Server, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"s-{abs(hash(request.node.name)) % 10**9}"
    assert command(server, "stream", "create", name, "--partitions", "2").returncode == 0
    yield name
    command(server, "stream", "delete", name, "--yes")


def done(result: subprocess.CompletedProcess[bytes]) -> str:
    assert result.returncode == 0, result.stderr.decode()
    assert b"Traceback" not in result.stderr
    return result.stdout.decode()


def failed(result: subprocess.CompletedProcess[bytes], status: int = 1) -> str:
    shown = result.stderr.decode()
    assert result.returncode == status, shown
    assert "Traceback" not in shown
    return shown


class TestStreams:
    def test_create_list_show_delete(self, cli: Cli) -> None:
        created = cli(
            "stream", "create", "all", "--partitions", "3", "--type", "advanced", "--retention", "48",
            "--data-type", "json", "--tag", "team=web", "--tag", "x=",
        )  # fmt: skip
        done(created)
        assert b"Created all with 3 partitions" in created.stderr
        shown = json.loads(done(cli("stream", "show", "all", "--json")))
        assert (shown["stream_type"], shown["data_type"], shown["retention_period"]) == (
            "ADVANCED",
            "JSON",
            48,
        )
        assert {tag["key"]: tag["value"] for tag in shown["tags"]} == {"team": "web", "x": ""}
        assert len(shown["partitions"]) == 3
        page = done(cli("stream", "show", "all"))
        assert "3 writable, 3 readable" in page
        assert "shardId-0000000002  ACTIVE" in page
        assert "all     RUNNING  ADVANCED           3       48 h" in done(cli("stream", "list"))
        assert [
            json.loads(line)["stream_name"] for line in done(cli("stream", "list", "--json")).splitlines()
        ] == ["all"]
        done(cli("stream", "delete", "all", "--yes"))
        assert b"No streams yet" in cli("stream", "list").stderr

    def test_scale_and_update(self, cli: Cli, stream: str) -> None:
        scaled = cli("stream", "scale", stream, "5")
        done(scaled)
        assert f"{stream} has 5 partitions now, " in scaled.stderr.decode()
        assert "DIS.4308" in failed(cli("stream", "scale", stream, "51"))
        _, row = done(cli("stream", "scalings", stream)).splitlines()
        assert row.split()[3:] == ["5", "manual"]
        done(cli("stream", "update", stream, "--retention", "72", "--auto-scale", "--min", "2", "--max", "9"))
        shown = done(cli("stream", "show", stream))
        assert "72 hours" in shown
        assert "automatic, 2 to 9 partitions" in shown

    def test_freeze_and_thaw(self, cli: Cli, stream: str) -> None:
        done(cli("stream", "freeze", stream))
        assert f"penstock stream thaw {stream}" in failed(cli("put", stream, "x"))
        done(cli("stream", "thaw", stream))
        done(cli("put", stream, "x"))

    def test_more_than_a_page(self, cli: Cli, start_server: Callable[..., Server]) -> None:
        server = start_server("--limits", "relaxed")
        names = [f"n{number:03d}" for number in range(103)]
        base = f"{server.endpoint}/v2/{server.project_id}/streams"
        with httpx.Client(headers={"X-Auth-Token": server.token()}, trust_env=False) as client:
            for name in names:
                body = {"stream_name": name, "partition_count": 1}
                assert client.post(base, json=body).status_code == 201
        lines = done(command(server, "stream", "list", "--json")).splitlines()
        assert sorted(json.loads(line)["stream_name"] for line in lines) == names

    def test_delete_asks(self, cli: Cli, stream: str) -> None:
        assert "--yes" in failed(cli("stream", "delete", stream), 2)
        done(cli("stream", "show", stream))

    def test_refusals_say_what_to_do(self, cli: Cli, stream: str) -> None:
        assert f"penstock stream show {stream}" in failed(cli("stream", "create", stream))
        shown = failed(cli("stream", "show", "nosuch"))
        assert shown.startswith("DIS.4301: Stream does not exist. [nosuch][")
        assert "penstock stream create nosuch" in shown
        assert "DIS.4200" in failed(cli("stream", "create", "not a name"))
        assert "DIS.4308" in failed(cli("stream", "create", "many", "--partitions", "51"))


class TestRecords:
    def test_arguments_print_their_places(self, cli: Cli, stream: str) -> None:
        places = [line.split() for line in done(cli("put", stream, "a", "é", "--key", "k")).splitlines()]
        assert places[0][0] == places[1][0]
        assert [place[1] for place in places] == ["0", "1"]
        assert done(cli("get", stream)) == "a\né\n"

    def test_lines_and_bytes_come_back_as_they_were(self, cli: Cli, stream: str, tmp_path: Path) -> None:
        content = b"\n".join([b"one", b"\xff\x00 two", b"", b"x" * 2000])
        (tmp_path / "lines").write_bytes(content + b"\n")
        result = cli("put", stream, "--file", str(tmp_path / "lines"), "--partition", "1")
        done(result)
        assert result.stderr.startswith(b"Acknowledged 4 records, ")
        read = cli("get", stream)
        assert read.stdout == content + b"\n"
        objects = [json.loads(line) for line in cli("get", stream, "--json").stdout.splitlines()]
        assert [found["sequence_number"] for found in objects] == ["0", "1", "2", "3"]
        assert {found["partition_id"] for found in objects} == {"shardId-0000000001"}
        assert objects[0]["data"] == "one"
        assert objects[1]["data_base64"] == "/wAgdHdv"

    def test_standard_input(self, cli: Cli, stream: str) -> None:
        for arguments in ((), ("--file", "-")):
            done(cli("put", stream, *arguments, stdin=b"a\nb"))
        assert sorted(done(cli("get", stream)).split()) == ["a", "a", "b", "b"]

    def test_more_than_a_second_takes(self, cli: Cli, stream: str) -> None:
        """1,600 records at once into a partition that takes 1,000 a second: all arrive, in time."""
        result = cli(
            "put", stream, "--partition", "0", stdin=b"".join(b"%d\n" % number for number in range(1600))
        )
        done(result)
        assert b"Acknowledged 1,600 records" in result.stderr
        assert b"sent again" in result.stderr
        assert sorted(map(int, done(cli("get", stream)).split())) == list(range(1600))

    def test_places_to_start(self, cli: Cli, stream: str) -> None:
        done(cli("put", stream, *map(str, range(10)), "--partition", "0"))
        assert done(cli("get", stream, "--partition", "0", "--from", "7")) == "7\n8\n9\n"
        assert done(cli("get", stream, "--partition", "0", "--from", "7", "--limit", "2")) == "7\n8\n"
        assert done(cli("get", stream, "--from", "latest")) == ""
        assert done(cli("get", stream, "--from", "1h")).count("\n") == 10
        assert done(cli("tail", stream, "--last", "3")) == "7\n8\n9\n"
        assert (
            done(cli("tail", stream, "--from", "trim", "--partition", "shardId-0000000000")).count("\n") == 10
        )
        assert "penstock stream show" in failed(cli("get", stream, "--partition", "0", "--from", "99"))

    def test_a_reader_that_goes_away(self, server: Server, cli: Cli, stream: str) -> None:
        done(cli("put", stream, "--partition", "0", stdin=b"".join(b"x" * 900 + b"\n" for _ in range(900))))
        line = f"'{sys.executable}' -m penstock get {stream} | head -1 | wc -c; echo ${{PIPESTATUS[0]}}"
        shell = subprocess.run(
            ["bash", "-c", line],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env=environment(server),
        )
        assert shell.stdout.split() == ["901", "141"]
        assert shell.stderr == ""


class TestFollowing:
    def test_follows_over_a_restart_until_it_is_interrupted(
        self, start_server: Callable[..., Server]
    ) -> None:
        server = start_server()
        done(command(server, "stream", "create", "f"))
        done(command(server, "put", "f", "before"))
        tail = subprocess.Popen(
            [sys.executable, "-m", "penstock", "tail", "f", "--follow"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(server),
        )
        try:
            assert tail.stdout is not None and tail.stderr is not None
            assert tail.stdout.readline() == b"before\n"
            done(command(server, "put", "f", "during"))
            assert tail.stdout.readline() == b"during\n"
            server.kill()
            assert b"trying again" in tail.stderr.readline()
            server.start()
            done(command(server, "put", "f", "after"))
            assert tail.stdout.readline() == b"after\n"
            tail.send_signal(signal.SIGINT)
            rest, said = tail.communicate(timeout=20)
            assert (tail.returncode, rest) == (130, b"")
            assert b"Traceback" not in said
        finally:
            tail.kill()
            tail.wait()


class TestIdentity:
    def test_a_token_works(self, server: Server, cli: Cli) -> None:
        token = done(cli("token")).strip()
        url = f"{server.endpoint}/v2/{server.project_id}/streams"
        assert httpx.get(url, headers={"X-Auth-Token": token}, trust_env=False).status_code == 200

    def test_wrong_credentials(self, server: Server, cli: Cli, tmp_path: Path) -> None:
        wrong = tmp_path / "wrong.csv"
        content = (
            server.credentials_file.read_text().replace(server.sk, "x" * 40).replace(server.password, "wrong")
        )
        wrong.write_text(content)
        shown = failed(cli("stream", "list", "--credentials", str(wrong)))
        assert shown.startswith("APIGW.0301: ")
        assert "clocks" in shown
        assert failed(cli("token", "--credentials", str(wrong)))

    def test_an_endpoint_that_is_something_else(self, server: Server, cli: Cli) -> None:
        shown = failed(cli("stream", "list", "--endpoint", server.manage))
        assert "endpoint" in shown


class TestTls:
    def test_certificates_made_by_the_command_serve(
        self, start_server: Callable[..., Server], tmp_path: Path
    ) -> None:
        made = subprocess.run(
            [
                sys.executable,
                "-m",
                "penstock",
                "cert",
                "--out",
                str(tmp_path / "tls"),
                "--host",
                "dis.example.com",
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "dis.example.com" in made.stdout
        tls = {
            name: str(tmp_path / "tls" / file)
            for name, file in (("c", "server.pem"), ("k", "server-key.pem"))
        }
        server = start_server("--tls-cert", tls["c"], "--tls-key", tls["k"])
        assert server.endpoint.startswith("https://127.0.0.1:")
        authority = str(tmp_path / "tls" / certificates.CA)
        assert b"No streams yet" in command(server, "stream", "list", PENSTOCK_CACERT=authority).stderr
        shown = failed(command(server, "stream", "list"))
        assert "is not trusted" in shown
        assert "--cacert" in shown
        done(command(server, "stream", "list", "--insecure"))
        plain = server.endpoint.replace("https:", "http:")
        assert "https" in failed(command(server, "stream", "list", "--endpoint", plain))
        context = ssl.create_default_context(cafile=authority)
        assert httpx.get(f"{server.endpoint}/v3", verify=context, trust_env=False).status_code == 200


class TestServing:
    def test_hints_and_a_clean_stop(self, start_server: Callable[..., Server]) -> None:
        server = start_server(env={"PENSTOCK_HINTS": "1"})
        assert str(server.credentials_file) in server.stderr
        assert "stream create first" in server.stderr
        assert server.terminate() == 0

    def test_a_port_that_is_taken(self, server: Server, tmp_path: Path) -> None:
        listen = server.endpoint.partition("://")[2]
        result = subprocess.run(
            [sys.executable, "-m", "penstock", "serve", "--data", str(tmp_path / "d"), "--listen", listen],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == 1
        assert f"cannot listen on {listen}" in result.stderr
        assert "Traceback" not in result.stderr

    def test_doctor_and_dump_segment(self, start_server: Callable[..., Server]) -> None:
        server = start_server()
        done(command(server, "stream", "create", "d"))
        done(command(server, "put", "d", *(f"record {number}" for number in range(5))))
        server.terminate()
        done(command(server, "doctor", str(server.data)))
        assert json.loads(done(command(server, "doctor", str(server.data), "--json")))
        newest = sorted(server.data.rglob("*.seg"), key=lambda path: path.stat().st_size)
        assert newest, sorted(server.data.rglob("*"))
        assert done(command(server, "dump-segment", str(newest[-1])))
        assert "record 4" in done(command(server, "dump-segment", str(newest[-1]), "--records"))


def test_what_was_acknowledged_is_there_for_the_next_command(cli: Cli, stream: str) -> None:
    for number in range(3):
        done(cli("put", stream, str(number), "--partition", "0"))
        assert done(cli("tail", stream, "--last", "1")) == f"{number}\n"
