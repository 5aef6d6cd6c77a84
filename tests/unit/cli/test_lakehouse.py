"""`penstock lakehouse`: databases and tables that DLI dump tasks write to when the configuration names no catalog (5.5.9)."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from pyiceberg.types import LongType
from typer.testing import CliRunner

from penstock.cli import lakehouse
from penstock.cli.app import app
from penstock.cli.failure import CommandError
from penstock.destinations import Destinations
from penstock.dump.destinations import dli
from penstock.dump.destinations.base import Place
from penstock.model.tasks import ConsumerStrategy, DliDescriptor

run = CliRunner()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PENSTOCK_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def invoke(*args: str) -> str:
    """What a command that goes well prints on standard output."""
    result = run.invoke(app, ["lakehouse", *args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


async def test_from_nothing_to_a_task(data: Path) -> None:
    """DIS.4337 and DIS.4338 go away with the commands that they name."""
    assert (invoke("list"), invoke("list", "--json")) == ("", "")
    assert not data.exists()
    invoke("database", "create", "web")
    invoke("database", "create", "web")
    invoke("table", "create", "web.clicks", "--column", "id:long:required")
    descriptor = DliDescriptor(
        task_name="t",
        agency_name="a",
        deliver_time_interval=30,
        consumer_strategy=ConsumerStrategy.LATEST,
        retry_duration=0,
        dli_database_name="web",
        dli_table_name="clicks",
        obs_bucket_path="b",
        file_prefix="",
    )
    await dli.resolve(Place(Destinations(), data, 10, "account"), descriptor).check()
    assert data.stat().st_mode & 0o777 == 0o700
    table = json.loads(invoke("list", "--json"))
    assert (table["database"], table["table"], table["columns"]) == ("web", "clicks", ["id:long"])
    assert Path(table["metadata"]).is_file()
    assert invoke("list").splitlines()[1].split()[:2] == ["web.clicks", "1"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["table", "create", "clicks"], "names no database"),
        (["table", "create", "none.clicks"], "no database none"),
        (["table", "create", "web.clicks"], "a table web.clicks already"),
        (["table", "create", "web.a/b"], "cannot be the name"),
        (["database", "create", "a.b"], "cannot be the name"),
        (["table", "create", "web.x", "--column", "id"], "not NAME:TYPE"),
        (["table", "create", "web.x", "--column", "a.b:int"], "not NAME:TYPE"),
        (["table", "create", "web.x", "--column", "a:int", "--column", "A:int"], "not NAME:TYPE"),
        (["table", "create", "web.x", "--column", "a:integer"], "integer is no type"),
        (["table", "create", "web.x", "--column", "a:decimal(39,2)"], "precision is 1 to 38"),
        (["table", "create", "web.x", "--column", "a:list<int,int>"], "is no type"),
        (["table", "create", "web.x", "--column", "a:int", "--partition", "day(a)"], "not of a int"),
        (["table", "create", "web.x", "--column", "a:int", "--partition", "b"], "not COLUMN"),
        (["table", "create", "web.x", "--column", "a:int", "--partition", "week(a)"], "not COLUMN"),
    ],
)
def test_what_is_wrong(data: Path, arguments: list[str], said: str) -> None:
    invoke("database", "create", "web")
    invoke("table", "create", "web.clicks")
    with pytest.raises(CommandError, match=said):
        invoke(*arguments)
    assert len(invoke("list").splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("decimal(9, 2)", "decimal(9, 2)"),
        ("fixed[16]", "fixed[16]"),
        ("list<list<uuid>>", "list<list<uuid>>"),
        ("map<string,decimal(9,2)>", "map<string, decimal(9, 2)>"),
        ("struct<a:int, b:list<string>>", "struct<1: a: optional int, 2: b: optional list<string>>"),
    ],
)
def test_types(text: str, written: str) -> None:
    assert str(lakehouse.type_of(text, itertools.count(1))) == written


def test_ids_are_all_different() -> None:
    schema = lakehouse.schema_of(["a:struct<b:map<string,list<int>>,c:long>", "d:string:required"])
    names = ("a", "a.b", "a.b.key", "a.b.value", "a.b.value.element", "a.c", "d")
    assert len({schema.find_field(name).field_id for name in names}) == len(names)
    assert [field.required for field in schema.fields] == [False, True]


def test_partitions() -> None:
    schema = lakehouse.schema_of(["id:long", "at:timestamptz", "kind:string"])
    spec = lakehouse.spec_of(schema, ["kind", "day(at)", "bucket(4, id)", "truncate(2,kind)"])
    assert [(field.name, str(field.transform)) for field in spec.fields] == [
        ("kind", "identity"),
        ("at_day", "day"),
        ("id_bucket", "bucket[4]"),
        ("kind_truncate", "truncate[2]"),
    ]
    assert isinstance(schema.find_type(spec.fields[2].source_id), LongType)
