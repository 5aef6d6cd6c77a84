"""Buckets: an S3-compatible store, or a folder. Owns which one a name means and whether it can be written to.

Without any `[[obs]]` in the configuration, bucket B is the folder DIR/obs/B, which must exist (`penstock bucket create B`).
"""

from __future__ import annotations

import asyncio
import re
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

from penstock.destinations import Obs
from penstock.dump.destinations.base import Place, imported, log, within
from penstock.errors import ApiError
from penstock.model.validation import shown

FOLDER = "obs"
"""Where buckets that are folders are, below the data directory."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}")
_PROBE = ".penstock-probe"
"""Always the same: where it cannot be removed there is one."""


def valid_name(name: str) -> bool:
    """Whether a bucket can have that name: 2 to 63 letters, digits, `.`, `-` and `_`, the first a letter or digit."""
    return _NAME.fullmatch(name) is not None


class Bucket:
    """A bucket a task may write to: `folder` or `entry` says where."""

    def __init__(
        self, name: str, seconds: float, *, folder: Path | None = None, entry: Obs | None = None
    ) -> None:
        self.name = name
        self.seconds = seconds
        self.folder = folder
        self.entry = entry

    @classmethod
    def resolve(cls, place: Place, name: str, agency: str) -> Bucket:
        """The bucket of that name. DIS.4306 (none can be called so), DIS.4335."""
        if not valid_name(name):
            raise _missing(name)
        if not place.destinations.obs:
            return cls(name, place.seconds, folder=place.data / FOLDER / name)
        entry = place.destinations.bucket(name)
        if entry is None:
            raise ApiError("DIS.4306", f"[{shown(name)}]")
        place.admit(entry, agency)
        if not entry.folder:
            return cls(name, place.seconds, entry=entry)
        folder = Path(entry.folder)
        return cls(name, place.seconds, folder=folder if entry.bucket == name else folder / name, entry=entry)

    async def check(self) -> None:
        """Write something small and remove it. DIS.4306 (no such bucket), DIS.4310 (it cannot be written to)."""
        obstore: Any = None if self.folder is not None else await imported("obstore")
        async with within(self.seconds, "DIS.4310", self.name):
            if self.folder is not None:
                await asyncio.to_thread(self._check_folder, self.folder)
            else:
                await self._check_store(obstore)

    def _check_folder(self, folder: Path) -> None:
        if not folder.is_dir():
            raise _missing(self.name) if self.entry is None else ApiError("DIS.4306", f"[{self.name}]")
        probe = folder / f"{_PROBE}-{secrets.token_hex(8)}"
        try:
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise ApiError("DIS.4310", f"[{self.name}: {error.strerror}]") from error

    async def _check_store(self, obstore: Any) -> None:
        store = await self.store()
        try:
            await obstore.put_async(store, _PROBE, b"")
        except Exception as error:
            raise self._refusal(error) from error
        try:
            await obstore.delete_async(store, _PROBE)
        except Exception as error:  # whoever may only write may dump
            log.warning("probe left in bucket", bucket=self.name, object=_PROBE, reason=str(error)[:1000])

    async def store(self, *, seconds: float | None = None, retries: int = 0) -> Any:
        """The bucket as obstore knows it: what a delivery writes through. A request may take `seconds` (those of a check); one that
        fails sooner is repeated up to `retries` times."""
        stores: Any = await imported("obstore.store")
        seconds = self.seconds if seconds is None else seconds
        if self.folder is not None:
            return stores.LocalStore(self.folder)
        entry = self.entry
        assert entry is not None
        keys: dict[str, Any] = {"skip_signature": True}
        if entry.access_key:
            keys = {"access_key_id": entry.access_key, "secret_access_key": entry.secret_key}
        return stores.S3Store(
            self.name,
            endpoint=entry.endpoint,
            region=entry.region,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True, "timeout": timedelta(seconds=seconds)},
            retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=seconds / 3)},
            **keys,
        )

    def _refusal(self, error: Exception) -> ApiError:
        """What a store's refusal means. Stores answer 404 for keys they do not know, too."""
        from obstore import exceptions

        text = str(error)
        log.warning("bucket refused", bucket=self.name, reason=text[:1000])
        if isinstance(error, FileNotFoundError | exceptions.NotFoundError) and "InvalidAccessKey" not in text:
            return ApiError("DIS.4306", f"[{self.name}]")
        if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
            return ApiError("DIS.4310", f"[{self.name}: permission denied]")
        return ApiError("DIS.4310", f"[{self.name}: the store cannot be reached or refuses to be written to]")


def _missing(name: str) -> ApiError:
    text = shown(name)
    advice = f"; make it: penstock bucket create {text}" if valid_name(name) else ""
    return ApiError("DIS.4306", f"[{text}{advice}]")
