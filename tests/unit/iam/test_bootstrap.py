"""First start: what it makes, what the variables fix, and that no crash leaves a server nobody can use."""

from __future__ import annotations

import csv
import re
import stat
from pathlib import Path

import pytest
from tests.support.identity import Crash, MemoryCatalog, as_catalog

from penstock.clock import SteppedClock
from penstock.config import ConfigError
from penstock.errors import ApiError
from penstock.iam import bootstrap as module
from penstock.iam.bootstrap import Credentials, bootstrap
from penstock.iam.identity import Identity
from penstock.iam.sealing import Sealer
from penstock.limits import PROFILES

HEADER = "User Name,Access Key Id,Secret Access Key,Account Name,Password,Project Name,Project Id"
EVERYTHING = {
    "PENSTOCK_BOOTSTRAP_USER": "ingest",
    "PENSTOCK_BOOTSTRAP_PASSWORD": 'pass, "word"',
    "PENSTOCK_BOOTSTRAP_ACCOUNT": "Wasser, GmbH",
    "PENSTOCK_BOOTSTRAP_PROJECT": "eu-de",
    "PENSTOCK_BOOTSTRAP_PROJECT_ID": "0123456789abcdef0123456789abcdef",
    "PENSTOCK_BOOTSTRAP_ACCESS_KEY": "AK0000",
    "PENSTOCK_BOOTSTRAP_SECRET_KEY": "SK/+=,1111",
}


async def start(
    catalog: MemoryCatalog, directory: Path, environ: dict[str, str] | None = None, region: str = "local"
) -> tuple[Credentials | None, Identity]:
    sealer, clock, limits = Sealer.open(directory), SteppedClock(), PROFILES["documented"]
    made = await bootstrap(
        as_catalog(catalog), sealer, clock, limits, directory=directory, region=region, environ=environ or {}
    )
    return made, await Identity.open(as_catalog(catalog), sealer, clock, limits, region=region)


def told(directory: Path) -> dict[str, str]:
    lines = (directory / "credentials.csv").read_text().splitlines()
    assert lines[0] == HEADER
    (row,) = csv.DictReader(lines)
    return row


async def usable(identity: Identity, row: dict[str, str], *, password: bool = True) -> None:
    """The row opens everything it should."""
    user = identity.user(name=row["User Name"], domain_name=row["Account Name"])
    assert user
    if password:
        assert await identity.login("p", user, "who", row["Password"]) is user
    key = identity.signing_key(row["Access Key Id"])
    assert key
    assert key.secret.decode() == row["Secret Access Key"]
    assert key.principal.user_id == user.user_id
    project = identity.project(user.domain_id, name=row["Project Name"])
    assert project
    assert project.project_id == row["Project Id"]


async def test_defaults(tmp_path: Path) -> None:
    made, identity = await start(MemoryCatalog(), tmp_path, region="home-1")
    row = told(tmp_path)
    assert (row["User Name"], row["Account Name"], row["Project Name"]) == ("admin", "penstock", "home-1")
    assert re.fullmatch("[0-9a-f]{32}", row["Project Id"])
    assert re.fullmatch("[A-Z0-9]{20}", row["Access Key Id"])
    assert re.fullmatch("[A-Za-z0-9]{40}", row["Secret Access Key"])
    assert len(row["Password"]) >= 20
    assert stat.S_IMODE((tmp_path / "credentials.csv").stat().st_mode) == 0o600
    assert made is not None
    assert made.secret_key == row["Secret Access Key"]
    await usable(identity, row)


async def test_two_servers_share_nothing(tmp_path: Path) -> None:
    rows = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        await start(MemoryCatalog(), tmp_path / name)
        rows.append(told(tmp_path / name))
    for column in ("Access Key Id", "Secret Access Key", "Password", "Project Id"):
        assert rows[0][column] != rows[1][column]


async def test_every_value_can_be_fixed(tmp_path: Path) -> None:
    _, identity = await start(MemoryCatalog(), tmp_path, EVERYTHING)
    row = told(tmp_path)
    assert list(row.values()) == [
        "ingest", "AK0000", "SK/+=,1111", "Wasser, GmbH", 'pass, "word"', "eu-de", "0123456789abcdef0123456789abcdef",
    ]  # fmt: skip
    await usable(identity, row)


@pytest.mark.parametrize("name", EVERYTHING)
async def test_any_value_can_be_fixed(tmp_path: Path, name: str) -> None:
    _, identity = await start(MemoryCatalog(), tmp_path, {name: EVERYTHING[name]})
    assert EVERYTHING[name] in told(tmp_path).values()
    await usable(identity, told(tmp_path))


async def test_later_starts_change_nothing(tmp_path: Path) -> None:
    catalog = MemoryCatalog()
    await start(catalog, tmp_path)
    row, content = told(tmp_path), (tmp_path / "credentials.csv").read_bytes()
    made, identity = await start(catalog, tmp_path, EVERYTHING)
    assert made is None
    assert (tmp_path / "credentials.csv").read_bytes() == content
    await usable(identity, row)
    assert identity.user(name="ingest", domain_name="Wasser, GmbH") is None
    assert identity.signing_key("AK0000") is None


async def test_the_file_can_be_put_away(tmp_path: Path) -> None:
    catalog = MemoryCatalog()
    await start(catalog, tmp_path)
    (tmp_path / "credentials.csv").unlink()
    made, _ = await start(catalog, tmp_path)
    assert made is None
    assert not (tmp_path / "credentials.csv").exists()


@pytest.mark.parametrize("environ", [{}, EVERYTHING])
@pytest.mark.parametrize("later", [{}, EVERYTHING])
@pytest.mark.parametrize("writes", range(5))
async def test_a_crash_between_any_two_steps(
    tmp_path: Path, environ: dict[str, str], later: dict[str, str], writes: int
) -> None:
    catalog = MemoryCatalog()
    catalog.writes_left = writes
    with pytest.raises(Crash):
        await start(catalog, tmp_path, environ)
    catalog.writes_left = None
    made, identity = await start(catalog, tmp_path, later)
    assert made is not None
    await usable(identity, told(tmp_path))


async def test_a_crash_before_the_file_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = MemoryCatalog()

    def fail(path: Path, content: bytes) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(module, "write_private", fail)
        with pytest.raises(Crash):
            await start(catalog, tmp_path)
    assert not await catalog.users()
    _, identity = await start(catalog, tmp_path)
    await usable(identity, told(tmp_path))


@pytest.mark.parametrize("writes", range(2, 5))
async def test_the_file_lost_in_the_middle_of_a_first_start(tmp_path: Path, writes: int) -> None:
    catalog = MemoryCatalog()
    catalog.writes_left = writes
    with pytest.raises(Crash):
        await start(catalog, tmp_path)
    catalog.writes_left = None
    (tmp_path / "credentials.csv").unlink()
    _, identity = await start(catalog, tmp_path)
    row = told(tmp_path)
    had_user = writes >= 3
    assert (row["Password"] == "") is had_user
    await usable(identity, row, password=not had_user)
    if had_user:
        with pytest.raises(ApiError):
            await identity.login("p", identity.first_user(), "who", "")


async def test_a_file_that_is_something_else_is_named(tmp_path: Path) -> None:
    for content in (b"a,b\n1,2\n", b"", (HEADER + "\n").encode(), b"\xff"):
        (tmp_path / "credentials.csv").write_bytes(content)
        with pytest.raises(ConfigError, match=re.escape("credentials.csv")):
            await start(MemoryCatalog(), tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("USER", "x" * 65),
        ("USER", " admin"),
        ("ACCOUNT", "a\nb"),
        ("PROJECT", "\t"),
        ("PROJECT_ID", "a/b"),
        ("PROJECT_ID", "x" * 65),
        ("ACCESS_KEY", "AK/1"),
        ("ACCESS_KEY", "AK,1"),
        ("SECRET_KEY", "hidden value"),
        ("SECRET_KEY", "hidden-é"),
        ("PASSWORD", "hidden\nvalue"),
        ("PASSWORD", "h" * 1025),
    ],
)
async def test_values_that_cannot_be_are_named_and_not_shown(tmp_path: Path, name: str, value: str) -> None:
    catalog = MemoryCatalog()
    with pytest.raises(ConfigError, match=f"PENSTOCK_BOOTSTRAP_{name}") as error:
        await start(catalog, tmp_path, {f"PENSTOCK_BOOTSTRAP_{name}": value})
    assert "hidden" not in str(error.value)
    assert not await catalog.users()
    assert not (tmp_path / "credentials.csv").exists()
