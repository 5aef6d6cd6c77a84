"""The Carbon writer, a program in Java (jvm/carbon-writer): which programs it needs, where its sources are, where it is built. Owns
that, and the one build that may be going on; knows nothing of files and records.

Built once for the same sources, into the user's cache, else below the data directory, and found in both: what stands in
DIR/jvm may come from another machine. A build downloads about 160 MB from the repositories that Maven is configured with here.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from functools import cache
from pathlib import Path

import structlog

from penstock.dump.base import NotDelivered

log = structlog.get_logger("penstock.dump")

NEEDS = "apt-get install default-jdk-headless maven"
FOLDER = "jvm"
"""Below the data directory, and in the cache."""
LOG = "carbon-writer.log"
"""What Maven wrote, beside what it built."""
BUILD_SECONDS = 1800
PAUSE_SECONDS = 60
"""After a build failed; deliveries are tried more often."""
KEPT_SECONDS = 30 * 86_400
"""How long builds of other versions stay after they were last used."""
_NAME = "carbon-writer"
_GOALS = (
    "process-resources",
    "compiler:compile",
    "dependency:copy-dependencies",
    "-DincludeScope=runtime",
    "-DoutputDirectory=lib",
)


def program(name: str) -> str | None:
    """Where a program of the JDK, or Maven, is: below JAVA_HOME, which Maven goes by, else on PATH."""
    home = os.environ.get("JAVA_HOME") or ""
    return (shutil.which(name, path=f"{home}/bin") if home else None) or shutil.which(name)


def missing(data: Path) -> str:
    """What the Carbon writer lacks here, as a line; empty when it is built, or can be."""
    if find(data) is not None:
        return "" if program("java") else f"carbon needs Java: {NEEDS}"
    lacks = [name for name in ("java", "javac", "mvn") if program(name) is None]
    return f"carbon needs a JDK and Maven: {NEEDS} (not found: {', '.join(lacks)})" if lacks else ""


def find(data: Path) -> Path | None:
    """The directory of the built writer, `target/classes` and `lib` in it; None when there is none."""
    return next((path for parent in _places(data) if (path := parent / _directory()).is_dir()), None)


def class_path(built: Path) -> str:
    """What goes to `java -cp`: the writer's own first, so that its log4j.properties wins."""
    return f"{built / 'target' / 'classes'}:{built / 'lib' / '*'}"


@cache
def sources() -> Path:
    """Where the Java sources are: in the installed package, else in the checkout."""
    package = Path(__file__).parents[1]
    installed = package / "jvm" / _NAME
    return installed if installed.is_dir() else package.parents[1] / "jvm" / _NAME


@cache
def _directory() -> str:
    """The name of the directory that these sources are built in."""
    digest = hashlib.sha256()
    for file in _files(sources()):
        digest.update(f"{file}\0".encode() + (sources() / file).read_bytes() + b"\0")
    return f"{_NAME}-{digest.hexdigest()[:16]}"


def _files(directory: Path) -> list[Path]:
    """What a build is made of; not what somebody built in the checkout."""
    return [
        Path("pom.xml"),
        *sorted(f.relative_to(directory) for f in (directory / "src").rglob("*") if f.is_file()),
    ]


def _places(data: Path) -> list[Path]:
    """Where a built writer may be; the last one is built into."""
    caches = [parent / "penstock" / FOLDER] if (parent := _cache_directory()) is not None else []
    return [data / FOLDER, *caches]


def _cache_directory() -> Path | None:
    """XDG_CACHE_HOME, else ~/.cache; None when this account has no home that can be written to, as services often have."""
    given = Path(os.environ.get("XDG_CACHE_HOME") or "")
    if given.is_absolute() and _writable(given):
        return given
    home = Path(os.environ.get("HOME") or "")
    return home / ".cache" if home.is_absolute() and _writable(home) else None


def _writable(directory: Path) -> bool:
    return directory.is_dir() and os.access(directory, os.W_OK | os.X_OK)


class Builder:
    """Builds the writer in the background when somebody wants it."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._maven: subprocess.Popen[bytes] | None = None
        self._failure = ""
        self._again = 0.0
        self._closed = False

    @property
    def log(self) -> Path:
        """What Maven has to say."""
        return _places(self._data)[-1] / LOG

    def directory(self) -> Path:
        """The built writer. NotDelivered while it is being built, and when it cannot be."""
        found = find(self._data)
        if found is not None:
            with contextlib.suppress(OSError):
                os.utime(found)
            return found
        if lacks := missing(self._data):
            raise NotDelivered(lacks)
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                if self._failure and time.monotonic() < self._again:
                    raise NotDelivered(self._failure)
                self._thread = threading.Thread(target=self._run, name="carbon-build", daemon=True)
                self._thread.start()
        raise NotDelivered(
            f"building the Carbon writer, which takes some minutes the first time (see {self.log})"
        )

    def wait(self) -> None:
        """Until no build is going on."""
        if self._thread is not None:
            self._thread.join()

    def close(self) -> None:
        """End a build that is going on; its half goes with the next one."""
        self._closed = True
        if self._maven is not None:
            _kill(self._maven)

    def _run(self) -> None:
        try:
            self._build()
            self._failure = ""
        except (OSError, subprocess.SubprocessError) as error:
            self._failure = f"the Carbon writer could not be built: {error} (see {self.log})"
            self._again = time.monotonic() + PAUSE_SECONDS
            if not self._closed:
                log.warning("carbon writer not built", reason=str(error), log=str(self.log))

    def _build(self) -> None:
        parent = _places(self._data)[-1]
        parent.mkdir(parents=True, exist_ok=True)
        with (parent / f"{_NAME}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another server of this user may be building it
            if find(self._data) is not None:
                return
            _tidy(parent)
            began = time.monotonic()
            log.info("building the carbon writer", directory=str(parent / _directory()), log=str(self.log))
            draft = Path(tempfile.mkdtemp(prefix=f"{_NAME}.draft-", dir=parent))
            try:
                for file in _files(sources()):
                    (draft / file).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(sources() / file, draft / file)
                self._run_maven(draft)
                draft.chmod(0o755)
                draft.rename(parent / _directory())
            finally:
                shutil.rmtree(draft, ignore_errors=True)
            log.info("carbon writer built", seconds=round(time.monotonic() - began, 1))

    def _run_maven(self, draft: Path) -> None:
        maven = program("mvn")
        if maven is None:
            raise FileNotFoundError("Maven is gone")
        kept = [] if _account_home() else [f"-Dmaven.repo.local={draft.parent / 'maven'}"]
        with self.log.open("wb") as output:
            self._maven = subprocess.Popen(  # noqa: S603 - no text of a user is in it
                [maven, "--batch-mode", "--no-transfer-progress", *kept, *_GOALS],
                cwd=draft,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        if self._closed:  # it may not have been there to be ended
            _kill(self._maven)
        try:
            ended = self._maven.wait(BUILD_SECONDS)
        except subprocess.TimeoutExpired:
            _kill(self._maven)
            raise
        if ended != 0:
            raise ChildProcessError(_first_error(self.log) or f"mvn ended with {ended}")


def _account_home() -> bool:
    """Whether Maven can keep what it fetches where it does by default: below the account's home, whatever HOME says."""
    try:
        return _writable(Path(pwd.getpwuid(os.getuid()).pw_dir))
    except KeyError:
        return False


def _tidy(parent: Path) -> None:
    """Remove drafts of builds that were ended, and what no version has used for long. Held under the lock."""
    for path in parent.glob(f"{_NAME}.draft-*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in parent.glob(f"{_NAME}-{'[0-9a-f]' * 16}"):
        if path.stat().st_mtime < time.time() - KEPT_SECONDS:
            shutil.rmtree(path, ignore_errors=True)


def _first_error(file: Path) -> str:
    """The line of Maven's output that says what is wrong."""
    lines = file.read_text(errors="replace").splitlines()
    return next((line.removeprefix("[ERROR] ")[:500] for line in lines if line.startswith("[ERROR] ")), "")


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
