"""Tools other than Python that some tests need: finding them, saying what installs them, where their builds are kept.

Owns the cache of builds, outside the checkout, and the one way to say that a tool is missing. Knows no tool itself.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest

BUILD_SECONDS = 540
_KEPT_SECONDS = 86_400
"""How long a build of older sources stays: another run may be using it."""


def find(*candidates: str, needs: str) -> str:
    """The first of these programs that exists; otherwise the test does not run, saying what it `needs`."""
    for candidate in candidates:
        if found := shutil.which(candidate):
            return found
    pytest.skip(f"needs {needs}")


@cache
def home() -> Path | None:
    """The home directory, when there is one that can be written to."""
    text = os.environ.get("HOME") or ""
    return Path(text) if text and os.access(text, os.W_OK | os.X_OK) else None


@cache
def account_home() -> Path | None:
    """The home directory of the account, which Java takes whatever HOME says; None when it cannot be written to."""
    try:
        text = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return None
    return Path(text) if os.access(text, os.W_OK | os.X_OK) else None


@cache
def cache_directory() -> Path:
    """Where builds and what they fetch may stay: XDG_CACHE_HOME, else ~/.cache, else a directory of this user's in
    the temporary directory."""
    given = os.environ.get("XDG_CACHE_HOME") or ""
    tried = [Path(given) if Path(given).is_absolute() else None]
    own = home()
    tried.append(own / ".cache" if own else None)
    for parent in tried:
        if parent is not None:
            try:
                return _made(parent / "penstock-tests")
            except OSError:
                continue
    return _made(Path(tempfile.gettempdir()) / f"penstock-tests-{os.getuid()}")


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if directory.stat().st_uid != os.getuid() or not os.access(directory, os.W_OK | os.X_OK):
        raise OSError(f"{directory} is not ours")
    return directory


def built(
    name: str, sources: Path, build: Callable[[Path], None], *, check: Callable[[Path], bool] | None = None
) -> Path:
    """A directory holding a copy of `sources` in which `build` has run. Made once for the same sources, whichever
    process comes first; `check` tells whether an earlier build still works."""
    digest = hashlib.sha256()
    files = sorted(path for path in sources.rglob("*") if path.is_file())
    for path in files:
        digest.update(f"{path.relative_to(sources)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    parent = cache_directory()
    target = parent / f"{name}-{digest.hexdigest()[:16]}"
    with (parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir():
            if check is None or check(target):
                os.utime(target)
                return target
            shutil.rmtree(target)
        for other in parent.glob(f"{name}-{'[0-9a-f]' * 16}*"):
            if other.stat().st_mtime < time.time() - _KEPT_SECONDS:
                shutil.rmtree(other, ignore_errors=True)
        draft = target.with_name(f"{target.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(sources, draft)
        build(draft)
        draft.rename(target)
    return target


def run(command: Sequence[str], directory: Path, environment: dict[str, str] | None = None) -> str:
    """Standard output of a build command; a failure shows the end of what it wrote."""
    done = subprocess.run(
        command,
        cwd=directory,
        env=os.environ | (environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    tail = "\n".join((done.stdout + done.stderr).splitlines()[-40:])
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{tail}"
    return done.stdout
