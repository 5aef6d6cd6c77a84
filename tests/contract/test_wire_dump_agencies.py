"""In whose name dump tasks deliver, for every destination (5.5.1 to 5.5.10 agency_name, DIS.4335): entries of the configuration that are
for one account's agencies are for nobody else, when a task is made, updated and delivered; an agency that is gone delivers nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from tests.support import controls
from tests.support.accounts import Login, add_users
from tests.support.dump_bench import eventually
from tests.support.server import Server
from tests.support.tasks import SAMPLES, Fakes, body_of, create, name_of, path_of
from tests.support.wire import Json, Wire, done, ok, refused

LIMITED = 'agencies = ["ACCOUNT/dis_admin_agency"]'
KINDS = ("obs", "mrs", "dws", "dli", "cloudtable", "kms")
SECRETS = ("obsbucket", "obsbackupbucket")
OPEN = """
[limits]
control_requests_per_second = 1000000

[[obs]]
bucket = "*"
folder = "ROOT"
LIMITED
"""


class Both(NamedTuple):
    server: Server
    config: Path
    other: Login
    """Owner of a second account, with an agency of the same name."""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """A server with two accounts; what it delivers to are fakes, for agencies of the first account."""
    directory = tmp_path_factory.mktemp("agencies")
    buckets = directory / "buckets"
    for name in SECRETS:
        (buckets / name).mkdir(parents=True)
    fakes = Fakes()
    config = fakes.config(directory, buckets=f'\n[[obs]]\nbucket = "*"\nfolder = "{buckets}"\n')
    server = Server(directory / "data", "--config", str(config), env=controls.ON)
    server.start()
    account = server.account
    server.terminate()
    limited = LIMITED.replace("ACCOUNT", account)
    text = config.read_text()
    for kind in KINDS:
        assert f"[[{kind}]]\n" in text
        text = text.replace(f"[[{kind}]]\n", f"[[{kind}]]\n{limited}\n")
    config.write_text(text)
    (other,) = add_users(server.data, "other", "owner-of-other")
    with server:
        yield Both(server, config, other)
    for fake in fakes.all():
        fake.close()


@pytest.fixture(scope="module")
def server(both: Both) -> Server:
    return both.server


@pytest.fixture
def other(both: Both) -> Iterator[Wire]:
    with both.other.wire(both.server) as wire:
        yield wire


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_destination_of_one_account_is_no_other_ones(wire: Wire, other: Wire, sample: str) -> None:
    """Both accounts have an agency of that name."""
    for who in (wire, other):
        done(who.create(f"s-{sample}", data_type="JSON"), 201)
    done(create(wire, f"s-{sample}", body_of(sample)), 201)
    refused(create(other, f"s-{sample}", body_of(sample)), "DIS.4335", naming="dis_admin_agency")
    assert ok(other.call("GET", path_of(f"s-{sample}")))["tasks"] == []


class Delivering:
    """A server that delivers into folders, whose configuration can change."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = directory / "penstock.toml"
        self.bucket = directory / "buckets" / "obsbucket"
        self.bucket.mkdir(parents=True)
        self.allow("")
        self.server = Server(directory / "data", "--config", str(self.config), env=controls.ON)
        self.server.start()

    def allow(self, agencies: str) -> None:
        """Write the configuration: whose the bucket is."""
        text = OPEN.replace("ROOT", str(self.bucket.parent)).replace("LIMITED", agencies)
        self.config.write_text(text)

    def restart(self) -> None:
        self.server.terminate()
        self.server.start()

    def task(self, wire: Wire, stream: str, **changes: object) -> str:
        done(wire.create(stream), 201)
        body = body_of("OBS", deliver_time_interval=30, record_delimiter="\n", file_prefix=stream, **changes)
        done(create(wire, stream, body), 201)
        return name_of(body)

    def details(self, wire: Wire, stream: str, task: str) -> Json:
        return ok(wire.call("GET", path_of(stream, f"/{task}")))

    def delivered(self, stream: str) -> list[bytes]:
        files = sorted((self.bucket / stream).rglob("*.txt")) if (self.bucket / stream).exists() else []
        return [line for file in files for line in file.read_bytes().splitlines()]

    def advance(self) -> None:
        controls.advance(self.server, 31)


@pytest.fixture
def delivering(tmp_path: Path) -> Iterator[Delivering]:
    made = Delivering(tmp_path)
    yield made
    made.server.kill()


def test_a_destination_that_is_no_longer_ours_gets_nothing(delivering: Delivering) -> None:
    """The configuration of a restart gives the bucket to the first account: the second one's task waits, and goes on when it may."""
    server = delivering.server
    account = server.account
    server.terminate()
    (login,) = add_users(server.data, "other", "owner-of-other")
    server.start()
    with Wire.to(server) as wire, login.wire(server) as other:
        mine, theirs = delivering.task(wire, "mine"), delivering.task(other, "theirs")
        wire.put_data("mine", b"m1")
        other.put_data("theirs", b"t1")
        delivering.advance()
        eventually(
            lambda: (delivering.delivered("mine"), delivering.delivered("theirs")) == ([b"m1"], [b"t1"])
        )
    delivering.allow(LIMITED.replace("ACCOUNT", account))
    delivering.restart()
    with Wire.to(server) as wire, login.wire(server) as other:
        wire.put_data("mine", b"m2")
        other.put_data("theirs", b"t2")
        delivering.advance()
        eventually(lambda: delivering.delivered("mine") == [b"m1", b"m2"])
        shown = delivering.details(other, "theirs", theirs)
        assert shown["state"] == "ABNORMAL"
        assert "dis_admin_agency" in shown["state_reason"]
        assert delivering.delivered("theirs") == [b"t1"]
        assert delivering.details(wire, "mine", mine)["state"] == "RUNNING"
    delivering.allow("")
    delivering.restart()
    delivering.advance()
    eventually(lambda: delivering.delivered("theirs") == [b"t1", b"t2"])


def test_an_agency_that_is_deleted_delivers_nothing(delivering: Delivering) -> None:
    """While the server runs, and after a restart; the task goes on where it was when there is one again."""
    server = delivering.server
    with Wire.to(server) as wire:
        agency_id = make_agency(wire)
        task = delivering.task(wire, "s", agency_name="archivist")
        wire.put_data("s", b"1")
        delivering.advance()
        eventually(lambda: delivering.delivered("s") == [b"1"])
        done(agencies(wire, "DELETE", f"/{agency_id}"), 204)
        wire.put_data("s", b"2")
        for _ in range(2):
            delivering.advance()
            shown = delivering.details(wire, "s", task)
            assert shown["state"] == "ABNORMAL"
            assert "archivist" in shown["state_reason"]
            assert delivering.delivered("s") == [b"1"]
            delivering.restart()
            wire.token = server.token()
        make_agency(wire)
        delivering.advance()
        eventually(lambda: delivering.delivered("s") == [b"1", b"2"])
        eventually(lambda: delivering.details(wire, "s", task)["state"] == "RUNNING")


def agencies(wire: Wire, method: str, path: str = "", body: Json | None = None) -> httpx.Response:
    """A call of the IAM API, as `wire`'s user."""
    return wire.http.request(
        method,
        f"{wire.endpoint}/v3.0/OS-AGENCY/agencies{path}",
        json=body,
        headers={"X-Auth-Token": wire.token},
    )


def make_agency(wire: Wire) -> str:
    """The agency `archivist` of the user's account; its id."""
    headers = {"X-Auth-Token": wire.token, "X-Subject-Token": wire.token}
    me: Json = wire.http.get(f"{wire.endpoint}/v3/auth/tokens", headers=headers).json()
    body = {
        "name": "archivist",
        "domain_id": me["token"]["user"]["domain"]["id"],
        "trust_domain_name": "op_svc_dis",
    }
    reply = agencies(wire, "POST", body={"agency": body})
    assert reply.status_code == 201, reply.text
    return str(reply.json()["agency"]["id"])
