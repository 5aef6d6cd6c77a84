"""The description at /openapi.json: complete, valid, and true: schemathesis generates requests from it and compares every
reply with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import jsonschema_rs
import pytest
from tests.support.server import Server
from tests.support.wire import Wire, done

from penstock.http.openapi import HOT, PATH, describe
from penstock.http.routes import ROUTES
from penstock.limits import Limits

EXAMPLES = os.environ.get("PENSTOCK_SCHEMATHESIS_EXAMPLES", "4")
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection,missing_required_header,unsupported_method,ignored_auth,"
    "use_after_free"
)
"""All but those that ask for every request within the schema to be taken: a stream must exist, too."""


@pytest.fixture(scope="module")
def relaxed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("openapi")
    config = directory / "penstock.toml"
    # Wrong credentials are among what is generated, from one address.
    config.write_text("[limits]\nfailures_per_minute = 1000000\n")
    with Server(directory / "data", "--limits", "relaxed", "--config", str(config)) as server:
        yield server


def test_anybody_may_read_it(relaxed: Server) -> None:
    document = httpx.get(relaxed.endpoint + PATH, trust_env=False).json()
    assert document["openapi"] == "3.1.0"
    assert document == describe(ROUTES, Limits()) | {"paths": document["paths"]}


def test_every_route_is_described() -> None:
    described = describe(ROUTES, Limits())["paths"]
    operations = [(r.method, r.path) for r in ROUTES] + [(method, path) for method, path, _ in HOT]
    for method, path in operations:
        assert method.lower() in described[path]
    for route in ROUTES:
        assert route.doc is not None, f"{route.method} {route.path} has no documentation"
        assert route.doc.summary, f"{route.method} {route.path} has no summary"


def test_operations_have_names_of_their_own() -> None:
    names = [
        operation["operationId"]
        for methods in describe(ROUTES, Limits())["paths"].values()
        for method, operation in methods.items()
        if method != "parameters"
    ]
    assert len(names) == len(set(names))


def test_its_schemas_are_json_schema() -> None:
    for schema in describe(ROUTES, Limits())["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


@pytest.mark.timeout(900)
def test_generated_requests_are_answered_as_described(relaxed: Server, tmp_path: Path) -> None:
    """Every operation, with data inside and outside its schema, and in sequences that follow from one another."""
    config = tmp_path / "schemathesis.toml"
    config.write_text(
        f'headers = {{ X-Auth-Token = "{relaxed.token()}" }}\n[parameters]\n"path.project_id" = "{relaxed.project_id}"\n'
    )
    ran = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            f"--config-file={config}",
            "run",
            relaxed.endpoint + PATH,
            f"--max-examples={EXAMPLES}",
            f"--checks={CHECKS}",
            "--seed=1",
            "--generation-database=none",
            "--no-color",
        ],
        cwd=tmp_path,
        env=os.environ | {"NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=850,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr[-2_000:]
    with Wire.to(relaxed) as wire:
        done(wire.create("after"), 201)
        assert wire.put_data("after", b"still at work")
