"""DWS against a real PostgreSQL: rows are in exactly once whatever happens between; what records become there (5.5.7)."""

from __future__ import annotations

import asyncio

import pytest
from tests.services.postgres import Postgres
from tests.support.dws import Delivering, delivering, ids, offsets, person, postgres, server, table
from tests.support.rounds import Crash, make_stream

from penstock.dump.base import NotDelivered
from penstock.model.streams import DataType

__all__ = ["delivering", "postgres", "server"]

pytestmark = pytest.mark.services

# Exactly once ---------------------------------------------------------------------------------------------------------


async def test_rows_of_every_partition_and_their_offsets_are_one_transaction(
    delivering: Delivering, postgres: Postgres
) -> None:
    sink = delivering.sink()
    records = {0: [person(n) for n in range(8)], 3: [person(n) for n in range(100, 104)]}
    round_ = delivering.round(records, first={3: 50})
    await sink.deliver(round_)
    assert ids(postgres) == [*range(8), *range(100, 104)]
    assert offsets(postgres) == [(0, 0, 8, 0), (3, 50, 54, 0)]
    assert postgres.query("SELECT count(DISTINCT xmin::text) FROM s.t") == [(1,)]
    assert round_.points == ["staged", "visible"]
    assert sink.guarantee == "exactly once"


async def test_delivered_twice_is_delivered_once_and_says_again_what_was_discarded(
    delivering: Delivering, postgres: Postgres
) -> None:
    round_ = await delivering.deliver([person(1), b"no json", person(2)])
    assert round_.discards == {0: 1}
    again = round_.again()
    await delivering.sink().deliver(again)
    assert ids(postgres) == [1, 2]
    assert again.discards == {0: 1}
    assert again.rejected == {}
    await delivering.deliver([person(3)], first={0: 3}, number=2)
    assert ids(postgres) == [1, 2, 3]
    assert offsets(postgres) == [(0, 3, 4, 0)]


@pytest.mark.parametrize("point, rows_after", [("staged", []), ("visible", [1, 2])])
async def test_a_crash_at_any_point_leaves_all_or_nothing_and_is_made_good(
    delivering: Delivering, postgres: Postgres, point: str, rows_after: list[int]
) -> None:
    round_ = delivering.round([person(1), b"no json", person(2)])
    round_.crash_at = point
    with pytest.raises(Crash):
        await delivering.sink().deliver(round_)
    assert ids(postgres) == rows_after
    assert [reject.data for reject in round_.rejected[0]] == [b"no json"]
    again = round_.again(epoch=2)
    await delivering.sink().deliver(again)
    assert ids(postgres) == [1, 2]
    assert again.discards == {0: 1}


async def test_one_sink_goes_on_after_a_round_that_failed(delivering: Delivering, postgres: Postgres) -> None:
    sink = delivering.sink()
    failing = delivering.round([b"no json", person(1)])
    failing.reject_fails = "the bucket is full"
    with pytest.raises(NotDelivered, match="the bucket is full"):
        await sink.deliver(failing)
    assert ids(postgres) == []
    await sink.deliver(failing.again())
    assert ids(postgres) == [1]


async def test_of_two_that_deliver_a_round_at_once_one_does(
    delivering: Delivering, postgres: Postgres
) -> None:
    """A process that was taken for dead goes on, C1: both say it is delivered, and it is, once."""
    for number in range(10):
        round_ = delivering.round({0: [person(number)], 1: [person(number)]}, first={0: number, 1: number})
        await asyncio.gather(
            delivering.sink().deliver(round_), *(delivering.sink().deliver(round_.again()) for _ in range(2))
        )
    assert ids(postgres) == [number for number in range(10) for _ in (0, 1)]


async def test_what_is_in_of_a_range_is_cut_off(delivering: Delivering, postgres: Postgres) -> None:
    await delivering.deliver([b"no json", *(person(n) for n in range(1, 5))])
    longer = await delivering.deliver([b"no json", *(person(n) for n in range(1, 9)), b"bad"])
    assert ids(postgres) == list(range(1, 9))
    assert [reject.sequence for reject in longer.rejected[0]] == [9]
    assert offsets(postgres) == [(0, 0, 10, 2)]


async def test_a_range_whose_records_are_all_gone_is_passed(
    delivering: Delivering, postgres: Postgres
) -> None:
    await delivering.deliver([], missing={0: 5})
    assert offsets(postgres) == [(0, 0, 5, 0)]


async def test_without_leave_to_make_the_offsets_it_is_at_least_once(
    delivering: Delivering, postgres: Postgres
) -> None:
    delivering.fields = {"user_name": "guest"}
    sink = delivering.sink()
    round_ = delivering.round([person(1)])
    await sink.deliver(round_)
    assert sink.guarantee == "at least once"
    await sink.deliver(round_.again())
    assert ids(postgres) == [1, 1]
    postgres.query("GRANT CREATE ON SCHEMA s TO guest")
    await sink.deliver(round_.again())
    await sink.deliver(round_.again())
    assert sink.guarantee == "exactly once"
    assert ids(postgres) == [1, 1, 1]
    postgres.query("REVOKE ALL ON s.penstock_offsets FROM guest")
    with pytest.raises(NotDelivered, match=r"needs SELECT, INSERT and UPDATE on s\.penstock_offsets"):
        await sink.deliver(round_.again())


async def test_a_commit_that_a_crash_may_undo_is_asked_to_be_durable(
    delivering: Delivering, postgres: Postgres
) -> None:
    """`synchronous_commit = off` of a role: the engine would go on from rows that are not there any more."""
    postgres.query("ALTER ROLE loader SET synchronous_commit TO off")
    try:
        table(postgres, "id integer, durable text DEFAULT current_setting('synchronous_commit')")
        delivering.fields = {"dws_table_columns": "id"}
        await delivering.deliver([{"id": 1}])
    finally:
        postgres.query("ALTER ROLE loader RESET synchronous_commit")
    assert postgres.query("SELECT durable FROM s.t") == [("on",)]


# Rows -----------------------------------------------------------------------------------------------------------------


async def test_values_of_json_arrive_as_they_were_sent(delivering: Delivering, postgres: Postgres) -> None:
    text = 'tab\t new\nline \\ \\N "quoted" \x1e\x1f\x1d é 漢 😀 null'
    names = [text, "null", "", "\\N", '"', "\\.", "a\rb"]
    records = [person(n, name=name) for n, name in enumerate(names)]
    records.append(person(7, at="2026-11-26 01:02:03", tags={"a\n": [1, {"b": '\\"'}], "c": None}))
    number = b'{"id":8,"name":12345678901234567890.10,"score":1e30,"at":null,"tags":{"a":\t[1,\r\n2]}}\n'
    await delivering.deliver([*records, number])
    rows = postgres.query("SELECT id, name, score::text, at::text, tags FROM s.t ORDER BY id")
    assert [row[1] for row in rows[:7]] == names
    assert rows[7] == (7, "n7", "1.5", "2026-11-26 01:02:03", {"a\n": [1, {"b": '\\"'}], "c": None})
    assert rows[8] == (8, "12345678901234567890.10", "1" + "0" * 30, None, {"a": [1, 2]})


async def test_columns_that_make_their_own_values_are_left_to_it(
    delivering: Delivering, postgres: Postgres
) -> None:
    table(postgres, '"Order" integer, gone text, double integer GENERATED ALWAYS AS ("Order" * 2) STORED')
    postgres.query("ALTER TABLE s.t DROP COLUMN gone")
    await delivering.deliver([{"order": 4}])
    assert postgres.query("SELECT * FROM s.t") == [(4, 8)]


async def test_fields_of_csv_arrive_by_position(delivering: Delivering, postgres: Postgres) -> None:
    delivering.stream = make_stream(DataType.CSV)
    await delivering.deliver([b"1,one,1.5,,\n", b'2,"two, \\N ""2""",,,\r\n', b"3,,,2026-01-01 00:00:00,{}"])
    rows = postgres.query("SELECT id, name, score::text, at::text, tags FROM s.t ORDER BY id")
    assert rows == [
        (1, "one", "1.5", None, None),
        (2, 'two, \\N "2"', None, None, None),
        (3, None, None, "2026-01-01 00:00:00", {}),
    ]


async def test_a_database_in_another_encoding_refuses_what_it_has_no_character_for(
    delivering: Delivering, postgres: Postgres
) -> None:
    with postgres.connect() as connection:
        connection.execute("DROP DATABASE IF EXISTS latin")
        connection.execute(
            "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        )
    with postgres.connect("latin") as connection:
        connection.execute("CREATE SCHEMA s AUTHORIZATION loader")
        connection.execute("CREATE TABLE s.t (name text); ALTER TABLE s.t OWNER TO loader")
        delivering.fields = {"dws_database_name": "latin"}
        delivering.options = {"error_table_name": "errors"}
        round_ = await delivering.deliver(['{"name":"é"}'.encode(), '{"name":"漢"}'.encode()])
        assert connection.execute("SELECT name FROM s.t").fetchall() == [("é",)]
        found = connection.execute('SELECT rawrecord, "rownum" FROM s.errors').fetchall()
        assert found == [('{"name":"\\u6f22"}', 1)]
    assert [reject.sequence for reject in round_.rejected[0]] == [1]
    for sink in delivering.sinks:
        await sink.close()
    postgres.query("DROP DATABASE latin")
