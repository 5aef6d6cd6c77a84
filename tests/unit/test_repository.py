"""What holds for the repository as a whole: sizes, docstrings, no traces of any machine, documents that agree with the code."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections import Counter
from pathlib import Path

import msgspec
import pytest

import penstock
from penstock import errors
from penstock.config import KEYS
from penstock.limits import PROFILES, UNLIMITED

ROOT = Path(__file__).resolve().parents[2]
LINES = 600
LOCKS = ("build.txt", "native.txt", "run.txt", "dev.txt")


def tracked() -> list[Path]:
    """The files of the repository; without git, those beside the sources."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\0")
    found = [ROOT / name for name in listed if name and (ROOT / name).is_file()]
    if not found:
        tops = ("src", "tests", "bench", "demo", "docs", "scripts", "requirements", "native")
        found = [path for top in tops for path in (ROOT / top).rglob("*") if path.is_file()]
    return [path for path in found if "__pycache__" not in path.parts]


FILES = tracked()
PYTHON = [path for path in FILES if path.suffix == ".py"]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def text(path: Path) -> str | None:
    """The text of a file; None for a binary one."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def test_there_is_something_to_look_at() -> None:
    assert len(PYTHON) > 50


def test_no_source_file_is_too_long() -> None:
    exempt = {"LICENSE", "docs/compatibility.md", *(f"requirements/{lock}" for lock in LOCKS)}
    kinds = {".py", ".rs", ".sh", ".md", ".toml", ".go", ".java", ".lua", ".js", ".html", ""}
    long = {
        name(path): count
        for path in FILES
        if path.suffix in kinds and name(path) not in exempt and (content := text(path)) is not None
        if (count := content.count("\n")) > LINES
    }
    assert not long


def test_every_module_says_what_it_owns() -> None:
    silent = [name(path) for path in PYTHON if not ast.get_docstring(ast.parse(path.read_text()))]
    assert not silent


# Written so that the patterns do not match themselves.
TRACES = re.compile(
    r"/home/[a-z]|/[r]oot/|/[w]ork/|/[U]sers/[A-Za-z]|pypi\.org|pythonhosted\.org|npmjs\.org|proxy\.golang\.org"
    r"|repo1?\.maven\.|deb\.debian\.org|[-]-(extra-)?index-url"
)


def test_no_traces_of_a_machine_or_of_a_registry() -> None:
    found = []
    for path in FILES:
        content = text(path)
        if content is None:
            continue
        for number, line in enumerate(content.splitlines(), 1):
            if TRACES.search(line):
                found.append(f"{name(path)}:{number}: {line.strip()[:120]}")
    assert not found


@pytest.mark.parametrize("lock", LOCKS)
def test_lists_of_packages_are_locked_and_hashed(lock: str) -> None:
    entries = re.split(r"\n(?=[a-z0-9])", (ROOT / "requirements" / lock).read_text())[1:]
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9][a-z0-9._-]*==[^ ]+ ", entry), entry[:80]
        assert "--hash=sha256:" in entry, entry[:80]


def names_of(lock: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements" / lock).read_text(), re.MULTILINE))


def test_what_the_project_declares_is_in_the_lists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())

    def declared(requirements: list[str]) -> set[str]:
        return {re.split(r"[<>=~! \[;]", requirement)[0].lower() for requirement in requirements}

    assert declared(project["project"]["dependencies"]) <= names_of("run.txt")
    assert declared(project["dependency-groups"]["dev"]) <= names_of("dev.txt")
    assert declared(project["build-system"]["requires"]) <= names_of("build.txt")
    native = tomllib.loads((ROOT / "native/pyproject.toml").read_text())
    assert declared(native["build-system"]["requires"]) <= names_of("native.txt")


def test_the_run_list_stays_small() -> None:
    # Clients of the dump destinations (object stores, PostgreSQL, Iceberg) are 16 of them; what starts loads none.
    assert len(names_of("run.txt")) <= 60


def test_licence() -> None:
    licence = (ROOT / "LICENSE").read_text()
    assert "Apache License" in licence
    assert "Version 2.0, January 2004" in licence
    assert "END OF TERMS AND CONDITIONS" in licence


def test_the_changelog_has_this_version() -> None:
    assert re.search(
        rf"^## \[?{re.escape(penstock.__version__)}\]?", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )


def test_no_error_code_has_two_rows() -> None:
    """A dictionary would silently keep the last one: count them in the source."""
    source = ast.parse((ROOT / "src/penstock/errors.py").read_text())
    rows = [
        element.value
        for node in ast.walk(source)
        if isinstance(node, ast.Tuple) and len(node.elts) == 4
        for element in node.elts[1:2]
        if isinstance(element, ast.Constant) and re.fullmatch(r"[A-Z]+\.\d{4}", str(element.value))
    ]
    assert len(rows) > 50
    assert [code for code, count in Counter(rows).items() if count > 1] == []


def test_the_page_of_error_codes_is_the_table() -> None:
    """`make errors` makes it."""
    assert (ROOT / "docs/errors.md").read_text() == errors.page()


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs/configuration.md").read_text()
    for key, option in KEYS.items():
        assert f"| `{key}` | `PENSTOCK_{key.upper()}` |" in page
        assert key in ("region", "access_log_fields", "test_controls", "time_zone") or f"`{option}" in page


def test_every_limit_is_documented_with_its_numbers() -> None:
    page = (ROOT / "docs/limits.md").read_text()
    documented, relaxed = (msgspec.to_builtins(PROFILES[profile]) for profile in ("documented", "relaxed"))

    def rows(values: dict[str, object], prefix: str = "") -> dict[str, float]:
        flat: dict[str, float] = {}
        for key, value in values.items():
            if isinstance(value, dict):
                flat |= rows(value, f"{key}.")
            elif isinstance(value, int | float):
                flat[prefix + key] = value
        return flat

    def shown(value: float) -> str:
        return "unlimited" if value == UNLIMITED else f"{value:,}"

    lifted = rows(relaxed)
    expected = {
        key: f"| `{key}` | {shown(value)} | {shown(lifted[key])} |" for key, value in rows(documented).items()
    }
    missing = [row for row in expected.values() if row not in page]
    assert not missing, "docs/limits.md lacks:\n" + "\n".join(missing)
    named = set(re.findall(r"^\| `([a-z_.]+)` \|", page, re.MULTILINE))
    assert named == set(expected)


def test_links_between_documents_lead_somewhere() -> None:
    dead = []
    for path in FILES:
        if path.suffix != ".md":
            continue
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
            if not (path.parent / target).exists():
                dead.append(f"{name(path)}: {target}")
    assert not dead


def test_scripts_can_be_run() -> None:
    for script in [ROOT / ".ci/run", *(ROOT / "scripts").iterdir()]:
        if script.is_file() and script.read_bytes().startswith(b"#!"):
            assert script.stat().st_mode & 0o111, name(script)
