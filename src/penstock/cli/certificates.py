"""A development authority and a server certificate. Owns what they contain and how the files are written.

For development and closed networks: the authority's key lies beside the certificate, as plain as it is.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from penstock.cli.failure import CommandError

AUTHORITY_DAYS = 3650
SERVER_DAYS = 825
"""The longest that current clients accept."""
ALWAYS = ("localhost", "127.0.0.1", "::1")

CA, CA_KEY, SERVER, SERVER_KEY = "ca.pem", "ca-key.pem", "server.pem", "server-key.pem"


def make(out: Path, hosts: Sequence[str] = (), *, now: datetime | None = None) -> list[str]:
    """Writes ca.pem, ca-key.pem, server.pem and server-key.pem into `out`, the keys with mode 0600. An authority that
    is there already is used again, so clients that trust it go on; the server's certificate is made anew.

    Returns the names in the certificate: localhost and loopback, then `hosts`. Raises CommandError.
    """
    now = datetime.now(UTC) if now is None else now
    names = list(dict.fromkeys([*ALWAYS, *hosts]))
    alternatives = [_alternative(name) for name in names]
    try:
        out.mkdir(parents=True, exist_ok=True)
        authority_key, authority = _authority(out, now)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(
                hosts[0] if hosts else "localhost", authority.subject, key.public_key(), now, SERVER_DAYS
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
            .sign(authority_key, hashes.SHA256())
        )
        _write(out / SERVER_KEY, _private(key), 0o600)
        _write(out / SERVER, _pem([certificate, authority]), 0o644)
    except OSError as error:
        raise CommandError(f"--out {out}: {error.strerror}", status=2) from error
    return names


def _authority(out: Path, now: datetime) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """The authority in `out`, made if there is none."""
    if (out / CA).exists() and (out / CA_KEY).exists():
        try:
            certificate = x509.load_pem_x509_certificate((out / CA).read_bytes())
            loaded = serialization.load_pem_private_key((out / CA_KEY).read_bytes(), None)
        except ValueError as error:
            raise CommandError(
                f"{out / CA} and {CA_KEY} cannot be read: {error}", f"Move them away; then {CA} is made anew."
            ) from error
        if isinstance(loaded, ec.EllipticCurvePrivateKey) and loaded.public_key() == certificate.public_key():
            return loaded, certificate
        raise CommandError(
            f"{out / CA} and {CA_KEY} do not belong together", f"Move them away; then {CA} is made anew."
        )
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Penstock development authority")])
    certificate = (
        _builder(name, name, key.public_key(), now, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(out / CA_KEY, _private(key), 0o600)
    _write(out / CA, _pem([certificate]), 0o644)
    return key, certificate


def _builder(
    subject: x509.Name | str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    if isinstance(subject, str):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject[:64])])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=days))
    )


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        if host and "/" not in host and ":" not in host and " " not in host:
            return x509.DNSName(host)
    except ValueError:
        pass
    raise CommandError(f"--host {host!r} is not a host name (in ASCII) or an IP address", status=2)


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _pem(certificates: Iterable[x509.Certificate]) -> bytes:
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def _write(path: Path, content: bytes, mode: int) -> None:
    """The file appears whole, and never with a wider mode than `mode`."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)
