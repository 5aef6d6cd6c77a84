"""The compiled codec as part of the program: built by the set-up, named by the server, forced and refused by a variable."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import httpx
import pytest
from tests.conftest import StartServer
from tests.support import codecs
from tests.support.server import Server, StartFailed

from penstock import codec

ROOT = Path(__file__).resolve().parents[2]


def said(server: Server, event: str) -> dict[str, str]:
    """The last line of the log about this."""
    lines: list[dict[str, str]] = [
        json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")
    ]
    return [line for line in lines if line["event"] == event][-1]


@pytest.mark.services
def test_a_server_takes_the_compiled_codec_when_it_is_there(start_server: StartServer) -> None:
    name = f"native {codecs.compiled().VERSION}"
    server = start_server(env={"PENSTOCK_CODEC": ""})
    manage = said(server, "management ready")["url"]
    assert httpx.get(f"{manage}/healthz").json()["codec"] == name
    assert f'codec="{name}"' in httpx.get(f"{manage}/metrics").text
    assert said(server, "ready")["codec"] == name


def test_a_server_that_is_told_to_use_python(start_server: StartServer) -> None:
    server = start_server(env={"PENSTOCK_CODEC": "python"})
    assert httpx.get(f"{said(server, 'management ready')['url']}/healthz").json()["codec"] == "python"
    assert said(server, "the compiled codec is not in use")["reason"] == "PENSTOCK_CODEC=python"


def test_a_codec_that_does_not_exist_is_an_error_of_the_start(start_server: StartServer) -> None:
    with pytest.raises(StartFailed, match="PENSTOCK_CODEC is 'fast'; it can be auto, native, python"):
        start_server(env={"PENSTOCK_CODEC": "fast"})


def test_native_without_the_compiled_codec_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    before = codec.native
    monkeypatch.setattr(codec, "load", lambda: (None, "the compiled codec is not installed"))
    with pytest.raises(
        codec.CodecError, match="PENSTOCK_CODEC is native, and the compiled codec is not installed"
    ):
        codec.choose({"PENSTOCK_CODEC": "native"})
    codec.choose({})
    assert codec.native is None and codec.in_use() == "python"
    monkeypatch.setattr(codec, "native", before)


def test_a_codec_of_another_release_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        INTERFACE = codec.INTERFACE - 1

    monkeypatch.setattr(codec, "import_module", lambda name: Old)
    assert codec.load() == (None, "the compiled codec is of another release: build it again")


def test_all_name_one_version() -> None:
    version = tomllib.loads((ROOT / "native/Cargo.toml").read_text())["workspace"]["package"]["version"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["optional-dependencies"]["native"] == [f"penstock-native=={version}"]
    source = (ROOT / "native/src/lib.rs").read_text()
    assert f"const INTERFACE: u32 = {codec.INTERFACE};" in source
    for crate in ("src", "codec/src"):
        assert "#![forbid(unsafe_code)]" in (ROOT / "native" / crate / "lib.rs").read_text()


def test_set_up_without_cargo_goes_on(tmp_path: Path) -> None:
    """The Python codec is named in one line, and an older compiled one is taken away."""
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "scripts", checkout / "scripts")
    (checkout / "requirements").mkdir()
    shutil.copy(ROOT / "requirements/native.txt", checkout / "requirements")
    shutil.copytree(ROOT / "native", checkout / "native", ignore=shutil.ignore_patterns("target", "fuzz"))
    stub = checkout / ".venv/bin/python"
    stub.parent.mkdir(parents=True)
    stub.write_text('#!/bin/sh\necho "$@" >> "$0.asked"\n')
    stub.chmod(0o755)
    (checkout / ".venv/.penstock-native").write_text("an older one")
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("sh", "cat", "cut", "dirname", "rm", "sed", "sha256sum"):
        found = shutil.which(tool, path="/usr/bin:/bin")
        assert found
        (tools / tool).symlink_to(found)
    old = tools / "cargo"
    old.write_text("#!/bin/sh\necho 'cargo 1.63.0 (abc 2022-01-01)'\n")
    old.chmod(0o755)
    done = subprocess.run(
        [checkout / "scripts/native"], capture_output=True, text=True, check=False, env={"PATH": str(tools)}
    )
    assert done.returncode == 0
    assert done.stdout == ""
    assert re.fullmatch(r"Codec: Python \(.* needs cargo 1\.85 or later; docs/native\.md\)\.\n", done.stderr)
    assert "uninstall" in (stub.parent / "python.asked").read_text()
    assert not (checkout / ".venv/.penstock-native").exists()


def test_the_description_for_python_is_that_of_the_module() -> None:
    text = (ROOT / "native/penstock_native.pyi").read_text()
    module = (ROOT / "native/src/lib.rs").read_text()
    described = set(re.findall(r"^(?:def|class) (\w+)", text, re.MULTILINE))
    exported = set(re.findall(r"\b[a-z_]+\b", module[module.index("mod penstock_native") :]))
    assert {name for name in described if name.islower()} <= exported
    assert (
        json.dumps(sorted(described - {name for name in described if name.islower()})) == '["Puts", "Router"]'
    )
