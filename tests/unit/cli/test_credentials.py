"""The credentials file: where it is looked for, and what is said when it is not one."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.cli import credentials
from penstock.cli.failure import CommandError
from penstock.credentials import COLUMNS

HEADER = "User Name,Access Key Id,Secret Access Key,Account Name,Password,Project Name,Project Id"


def test_reads_a_row(tmp_path: Path) -> None:
    file = tmp_path / "c.csv"
    file.write_text(f'{HEADER}\nu,AK,SK,acc,"p,w",local,pid\n')
    assert credentials.read(file) == ("u", "AK", "SK", "acc", "p,w", "local", "pid")


def test_the_columns_are_what_the_server_writes() -> None:
    assert ",".join(COLUMNS.values()) == HEADER


def test_where_it_is_looked_for() -> None:
    given = Path("given.csv")
    assert credentials.find(given, {"PENSTOCK_CREDENTIALS": "x"}) == given
    assert credentials.find(None, {"PENSTOCK_CREDENTIALS": "x", "PENSTOCK_DATA": "d"}) == Path("x")
    assert credentials.find(None, {"PENSTOCK_DATA": "d"}) == Path("d/credentials.csv")
    assert credentials.find(None, {}) == Path("data/credentials.csv")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it has no User Name, Access Key Id"),
        (HEADER.encode() + b"\n", "it has no User Name"),
        (b"User Name,Access Key Id\nu,AK\n", "it has no Secret Access Key"),
        (HEADER.encode() + b"\nu,AK,,acc,p,local,pid\n", "it has no Secret Access Key"),
        (b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_what_is_no_credentials_file(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "c.csv"
    file.write_bytes(content)
    with pytest.raises(CommandError) as caught:
        credentials.read(file)
    assert said in caught.value.message
    assert "--credentials FILE" in caught.value.advice


def test_a_missing_file_says_who_writes_it(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as caught:
        credentials.read(tmp_path / "none.csv")
    assert "There is no credentials file" in caught.value.message
    assert "first start" in caught.value.advice
