"""The commands of `penstock lakehouse`: names, options and help. Owns texts; the work is in `cli.lakehouse`, imported when one runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.options import AsJson, make_app

lakehouse_app = make_app()
_database_app = make_app()
_table_app = make_app()
lakehouse_app.add_typer(_database_app, name="database", help="Create databases.")
lakehouse_app.add_typer(_table_app, name="table", help="Create tables.")

_Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="The server's data directory.  [default: $PENSTOCK_DATA, or ./data]",
        show_default=False,
    ),
]


@_database_app.command("create")
def database_create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the database.", show_default=False)],
    data: _Data = None,
) -> None:
    """Make a database in the embedded lakehouse.

    The lakehouse is an Iceberg catalog in DIR/lakehouse, which DLI dump tasks write to when the configuration names no other. A
    database that is there already stays as it is.

    \b
    Examples:
      penstock lakehouse database create web
    """
    from penstock.cli import buckets, lakehouse

    lakehouse.create_database(buckets.directory(data), name)


@_table_app.command("create")
def table_create(
    name: Annotated[
        str, typer.Argument(metavar="DATABASE.TABLE", help="Name of the table.", show_default=False)
    ],
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="NAME:TYPE[:required]",
            help="A column; may be given again. Types are Iceberg's: boolean, int, long, float, double, decimal(P,S), "
            "date, time, timestamp, timestamptz, string, uuid, fixed[N], binary, list<T>, map<K,V>, struct<NAME:T,...>.",
        ),
    ] = None,
    partition: Annotated[
        list[str] | None,
        typer.Option(
            "--partition",
            metavar="COLUMN|day(COLUMN)|...",
            help="Keep rows apart by a column, or by year, month, day or hour of it, bucket(N,COLUMN) or "
            "truncate(N,COLUMN); may be given again.",
        ),
    ] = None,
    data: _Data = None,
) -> None:
    """Make a table in the embedded lakehouse.

    Columns that records bring and the table lacks are added when they are delivered, so a table for JSON, or for a stream with a
    schema, may begin without any.

    \b
    Examples:
      penstock lakehouse table create web.clicks
      penstock lakehouse table create web.orders --column id:long:required --column at:timestamptz --partition 'day(at)'
    """
    from penstock.cli import buckets, lakehouse

    lakehouse.create_table(buckets.directory(data), name, column or [], partition or [])


@lakehouse_app.command("list")
def lakehouse_list(
    data: _Data = None,
    as_json: AsJson = False,
) -> None:
    """List the tables of the embedded lakehouse.

    With how many columns they have, the time of their last change (UTC), and the file that readers open: DuckDB's
    iceberg_scan('FILE'), for one.

    \b
    Examples:
      penstock lakehouse list
      penstock lakehouse list --json | jq -r .metadata
    """
    from penstock.cli import buckets, lakehouse

    lakehouse.list_all(buckets.directory(data), as_json=as_json)
