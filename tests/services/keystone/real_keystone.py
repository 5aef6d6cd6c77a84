"""Tokens of a real Keystone: an admin's, a member's with and without a policy of the role's name, a revoked one, a stopped
Keystone."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.services.keystone import PASSWORD, Keystone
from tests.support.server import Server
from tests.support.wire import Wire, done, ok, refused

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]


@pytest.mark.parametrize("workers", [1, 2])
def test_tokens_of_keystone(tmp_path: Path, workers: int) -> None:
    with Keystone(tmp_path / "keystone") as keystone:
        admin = keystone.token()
        project_id = keystone.call("GET", "/auth/projects", token=admin).json()["projects"][0]["id"]
        made = {"user": {"name": "reader", "password": "reading", "domain_id": "default"}}
        user_id = keystone.call("POST", "/users", made, admin).json()["user"]["id"]
        for role, wanted in (
            ("member", None),
            ("DIS ReadOnlyAccess", {"role": {"name": "DIS ReadOnlyAccess"}}),
        ):
            if wanted is None:
                roles = keystone.call("GET", f"/roles?name={role}", token=admin).json()["roles"]
                role_id = roles[0]["id"]
            else:
                role_id = keystone.call("POST", "/roles", wanted, admin).json()["role"]["id"]
            keystone.call("PUT", f"/projects/{project_id}/users/{user_id}/roles/{role_id}", token=admin)
        config = tmp_path / "penstock.toml"
        config.write_text(
            f'[iam]\nkeystone = "{keystone.url}"\nuser = "admin"\npassword = "env:KEYSTONE"\nproject = "admin"\n'
            "cache_seconds = 0\n"
        )
        arguments = ("--config", str(config), "--workers", str(workers))
        with Server(tmp_path / "data", *arguments, env={"KEYSTONE": PASSWORD}) as server:
            with Wire(server.endpoint, project_id, admin) as wire:
                done(wire.create("clicks"), 201)
                wire.put_data("clicks", b"x")
                assert [one.data for one in wire.read_all("clicks")] == [b"x"]
            reader = keystone.token("reader", "reading")
            with Wire(server.endpoint, project_id, reader) as wire:
                assert ok(wire.call("GET", "/streams"))["stream_names"] == ["clicks"]
                refused(wire.create("more"), "DIS.4116", status=403)
            with Wire(server.endpoint, server.project_id, reader) as wire:
                refused(wire.call("GET", "/streams"), "DIS.4117")
            with Wire(server.endpoint, project_id, "gAAAAA-nobody") as wire:
                refused(wire.call("GET", "/streams"), "APIGW.0301", status=401)
            keystone.call("DELETE", f"/users/{user_id}", token=admin)
            with Wire(server.endpoint, project_id, reader) as wire:
                refused(wire.call("GET", "/streams"), "APIGW.0301", status=401)
            keystone.__exit__()
            with Wire(server.endpoint, project_id, admin) as wire:
                refused(wire.call("GET", "/streams"), "APIGW.0203", status=503)
            with Wire.to(server) as wire:
                ok(wire.call("GET", "/streams"))
