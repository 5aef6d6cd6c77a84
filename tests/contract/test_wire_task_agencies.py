"""In whose name dump tasks deliver (5.5.1 table 5-82 agency_name, DIS.4335): agencies of the account, and of no other one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.accounts import Login, add_users
from tests.support.server import Server
from tests.support.tasks import body_of, create
from tests.support.wire import Json, Wire, done, ok, refused

CONFIG = """
[limits]
control_requests_per_second = 1000000

[[obs]]
bucket = "first"
folder = "ROOT/first"
agencies = ["ACCOUNT/dis_admin_agency", "ACCOUNT/archivist"]

[[obs]]
bucket = "named"
folder = "ROOT/named"
agencies = ["archivist"]

[[obs]]
bucket = "*"
folder = "ROOT"
"""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Login]]:
    """A server with two accounts, and the owner of the second one."""
    directory = tmp_path_factory.mktemp("agencies")
    for bucket in ("first", "named", "any"):
        (directory / bucket).mkdir()
    config = directory / "penstock.toml"
    config.write_text(CONFIG.replace("ROOT", str(directory)))
    started = Server(directory / "data", "--config", str(config))
    started.start()
    account = started.account
    started.terminate()
    config.write_text(config.read_text().replace("ACCOUNT", account))
    (other,) = add_users(started.data, "other", "owner-of-other")
    with started:
        yield started, other


@pytest.fixture(scope="module")
def server(both: tuple[Server, Login]) -> Server:
    return both[0]


@pytest.fixture(scope="module")
def other(both: tuple[Server, Login]) -> Iterator[Wire]:
    with both[1].wire(both[0]) as wire:
        yield wire


def agency(wire: Wire, name: str, **fields: object) -> None:
    """Makes an agency over the IAM API, as `wire`'s user."""
    headers = {"X-Auth-Token": wire.token}
    me: Json = wire.http.get(
        f"{wire.endpoint}/v3/auth/tokens", headers=headers | {"X-Subject-Token": wire.token}
    ).json()
    body = {"name": name, "domain_id": me["token"]["user"]["domain"]["id"], "trust_domain_name": "op_svc_dis"}
    reply = wire.http.post(
        f"{wire.endpoint}/v3.0/OS-AGENCY/agencies", json={"agency": body | fields}, headers=headers
    )
    assert reply.status_code == 201, reply.text


def obs(bucket: str, name: str) -> Json:
    return body_of("OBS", obs_bucket_path=bucket, agency_name=name)


def test_agencies_of_accounts_are_their_own(wire: Wire, other: Wire) -> None:
    agency(wire, "archivist")
    for who in (wire, other):
        done(who.create("s"), 201)
    # Every account has the default one; the other is only the first account's.
    done(create(wire, "s", obs("any", "dis_admin_agency")), 201)
    done(create(other, "s", obs("any", "dis_admin_agency")), 201)
    done(create(wire, "s", obs("any", "archivist")), 201)
    refused(create(other, "s", obs("any", "archivist")), "DIS.4335", naming="archivist")
    # An entry may be for agencies of any account, or of one: also where the other account has one of that name.
    refused(create(wire, "s", obs("named", "dis_admin_agency")), "DIS.4335")
    done(create(wire, "s", obs("named", "archivist")), 201)
    agency(other, "archivist")
    done(create(other, "s", obs("named", "archivist")), 201)
    for name in ("dis_admin_agency", "archivist"):
        refused(create(other, "s", obs("first", name)), "DIS.4335", naming=name)
    done(create(wire, "s", obs("first", "archivist")), 201)


def test_an_agency_for_somebody_else_is_none(wire: Wire) -> None:
    """ "Agency Type: Cloud service, Cloud Service: DIS": one that trusts another account is not for dumps."""
    agency(wire, "delegated", trust_domain_name="other")
    wire.create("t")
    refused(create(wire, "t", obs("any", "delegated")), "DIS.4335", naming="delegated")


def test_tasks_of_another_account_are_not_there(wire: Wire, other: Wire) -> None:
    done(wire.create("mine"), 201)
    done(create(wire, "mine", body_of("OBS", obs_bucket_path="any", task_name="t")), 201)
    stream_id = ok(wire.describe("mine"))["stream_id"]
    for stream in ("mine", stream_id):
        for rest in ("", "/t"):
            reply = other.call("GET", f"/streams/{stream}/transfer-tasks{rest}")
            refused(reply, "DIS.4301", naming=stream)
    task_id = ok(wire.call("GET", "/streams/mine/transfer-tasks"))["tasks"][0]["task_id"]
    done(other.create("theirs"), 201)
    body = {"action": "stop", "tasks": [{"id": task_id}]}
    refused(other.call("POST", "/streams/theirs/transfer-tasks/action", body=body), "DIS.4354")
    assert ok(wire.call("GET", "/streams/mine/transfer-tasks/t"))["state"] == "RUNNING"
