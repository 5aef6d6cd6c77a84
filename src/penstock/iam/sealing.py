"""Sealing of secrets that have to be read back (access key secrets, token keys, dump passwords).

Owns the master key file and the bytes of a sealed secret; knows nothing of what is sealed.

Sealed bytes: version (1) | key id (1) | nonce (12) | AES-256-GCM ciphertext and tag. The associated data names what
the secret is for, so that one sealed secret cannot stand in for another.

Master key file: one line per key, `ID:64 hex digits`, ids 1 to 255; the last line seals, every line opens. To
rotate, append a line.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from penstock.catalog.base import Catalog
from penstock.files import sync_directory

MASTER_KEY = "master.key"

_VERSION = 1
_NONCE = 12
_HEADER = 2 + _NONCE
_TAG = 16


class SealingError(Exception):
    """The master key cannot be read, or does not open what it should; the message says what to do."""


class Sealer:
    """Seals and opens secrets under the keys of one master key file."""

    def __init__(self, keys: dict[int, bytes]) -> None:
        """`keys`: id to 32 bytes, in order; the last one seals."""
        if not keys:
            raise SealingError("there is no master key")
        self._keys = {number: AESGCM(key) for number, key in keys.items()}
        self._current = next(reversed(keys))

    @classmethod
    def open(cls, directory: Path) -> Sealer:
        """The sealer of a data directory. At first start makes `master.key`, mode 0600, durably: a crash leaves
        either no file or a whole one."""
        path = directory / MASTER_KEY
        if not path.exists():
            _create(path, f"1:{secrets.token_hex(32)}\n".encode())
        try:
            text = path.read_text("ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise SealingError(f"{path} cannot be read: {error}") from error
        return cls(_parse(text, path))

    def seal(self, secret: bytes, purpose: bytes) -> bytes:
        """`secret` sealed for `purpose`."""
        nonce = secrets.token_bytes(_NONCE)
        header = bytes((_VERSION, self._current)) + nonce
        return header + self._keys[self._current].encrypt(nonce, secret, purpose)

    def unseal(self, sealed: bytes, purpose: bytes) -> bytes:
        """What `seal` was given. Raises SealingError when it was another key, another purpose or is damaged."""
        if len(sealed) < _HEADER + _TAG or sealed[0] != _VERSION:
            raise SealingError("a sealed secret is damaged or of a newer release")
        key = self._keys.get(sealed[1])
        if key is None:
            raise SealingError(
                f"a secret is sealed under master key {sealed[1]}, which {MASTER_KEY} does not have"
            )
        try:
            return key.decrypt(sealed[2:_HEADER], sealed[_HEADER:], purpose)
        except InvalidTag as error:
            raise SealingError(
                f"a secret does not open: {MASTER_KEY} is not the file it was sealed with (put that one back), "
                "or the catalog is damaged"
            ) from error


async def kept_secret(catalog: Catalog, sealer: Sealer, name: str) -> bytes:
    """32 random bytes the catalog keeps, sealed, under `name`; made the first time. Raises SealingError."""
    purpose = f"secret:{name}".encode()
    return sealer.unseal(await catalog.secret(name, sealer.seal(secrets.token_bytes(32), purpose)), purpose)


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` by a file of mode 0600 holding `content`, whole or not at all, fsynced with its directory."""
    temporary = _temporary(path, content)
    try:
        temporary.rename(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def _create(path: Path, content: bytes) -> None:
    """Like write_private, but the first of two processes wins and the other one's content is forgotten."""
    temporary = _temporary(path, content)
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        pass
    except OSError:
        # File systems without hard links: exclusive creation, not atomic, still whole before anybody depends on it.
        try:
            _write_exclusive(path, content)
        except FileExistsError:
            pass
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def _temporary(path: Path, content: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    _write_exclusive(temporary, content)
    return temporary


def _write_exclusive(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _parse(text: str, path: Path) -> dict[int, bytes]:
    keys: dict[int, bytes] = {}
    for line in text.split():
        number, _, digits = line.partition(":")
        try:
            identifier, key = int(number), bytes.fromhex(digits)
        except ValueError:
            identifier, key = 0, b""
        if not 1 <= identifier <= 255 or len(key) != 32 or identifier in keys:
            raise SealingError(f"{path} is damaged: each line is ID:64 hex digits, ids 1 to 255, each once")
        keys[identifier] = key
    if not keys:
        raise SealingError(f"{path} is empty")
    return keys
