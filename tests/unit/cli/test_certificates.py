"""Development certificates: TLS really accepts them, keys are private, the authority stays the same."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

import pytest

from penstock.cli import certificates
from penstock.cli.failure import CommandError


def handshake(directory: Path, host: str, trust: Path | None = None) -> None:
    """A client that trusts the authority and a server with the certificate, in memory."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(directory / "server.pem", directory / "server-key.pem")
    client = ssl.create_default_context(cafile=str((trust or directory) / "ca.pem"))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    done = [False, False]
    for _ in range(10):
        for index, end in enumerate(ends):
            try:
                end.do_handshake()
                done[index] = True
            except ssl.SSLWantReadError:
                pass
        if all(done):
            return
    raise AssertionError("the handshake does not end")


def test_clients_accept_the_certificate_for_its_names_only(tmp_path: Path) -> None:
    names = certificates.make(tmp_path, ["dis.example.com", "192.0.2.7"])
    assert names == ["localhost", "127.0.0.1", "::1", "dis.example.com", "192.0.2.7"]
    for name in names:
        handshake(tmp_path, name)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path, "other.example.com")


def test_another_authority_is_not_trusted(tmp_path: Path) -> None:
    certificates.make(tmp_path / "a")
    certificates.make(tmp_path / "b")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path / "a", "localhost", trust=tmp_path / "b")


def test_keys_are_private(tmp_path: Path) -> None:
    certificates.make(tmp_path)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"ca.pem": 0o644, "ca-key.pem": 0o600, "server.pem": 0o644, "server-key.pem": 0o600}


def test_a_second_run_keeps_the_authority_and_renews_the_certificate(tmp_path: Path) -> None:
    certificates.make(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    certificates.make(tmp_path, ["new.example.com"])
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {name for name in before if before[name] == after[name]} == {"ca.pem", "ca-key.pem"}
    handshake(tmp_path, "new.example.com")


def test_an_authority_that_does_not_fit_is_not_overwritten(tmp_path: Path) -> None:
    certificates.make(tmp_path / "a")
    certificates.make(tmp_path / "b")
    (tmp_path / "a" / "ca-key.pem").write_bytes((tmp_path / "b" / "ca-key.pem").read_bytes())
    with pytest.raises(CommandError, match="do not belong together"):
        certificates.make(tmp_path / "a")
    (tmp_path / "a" / "ca.pem").write_text("nothing")
    with pytest.raises(CommandError, match="cannot be read"):
        certificates.make(tmp_path / "a")


@pytest.mark.parametrize("host", ["", "a b", "http://x", "x:1", "bücher.example"])
def test_names_that_cannot_be_in_a_certificate(tmp_path: Path, host: str) -> None:
    with pytest.raises(CommandError) as caught:
        certificates.make(tmp_path, [host])
    assert caught.value.status == 2


def test_a_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match="--out"):
        certificates.make(tmp_path / "file")
