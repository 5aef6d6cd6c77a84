"""DWS against a real PostgreSQL: rows that the table refuses, and a database that does not answer (5.5.7 table 5-106)."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest
from tests.services.postgres import Postgres
from tests.support.dws import Delivering, delivering, ids, offsets, person, postgres, server, table
from tests.support.rounds import Crash, MadeRound

from penstock.dump.base import NotDelivered
from penstock.dump.destinations.dws import Database
from penstock.dump.sinks import dws, dws_copy
from penstock.errors import ApiError

__all__ = ["delivering", "postgres", "server"]

pytestmark = pytest.mark.services

# Refused rows ---------------------------------------------------------------------------------------------------------


async def test_what_the_table_refuses_is_rejected_alone(delivering: Delivering, postgres: Postgres) -> None:
    """C2: poison is not tried again, the rest of the batch proceeds."""
    table(postgres, "id integer PRIMARY KEY, name varchar(3) NOT NULL, score integer CHECK (score < 9)")
    bad = {
        3: {"id": "x", "name": "a", "score": 1},
        7: {"id": 7, "name": None, "score": 1},
        8: {"id": 8, "name": "long", "score": 1},
        9: {"id": 9, "name": "a", "score": 9},
        20: {"id": 1, "name": "a", "score": 1},
        29: {"id": 2**40, "name": "a", "score": 1},
    }
    records = [bad.get(n, {"id": n, "name": "a", "score": 1}) for n in range(30)]
    round_ = await delivering.deliver({1: records})
    assert ids(postgres) == [n for n in range(30) if n not in bad]
    rejected = {reject.sequence: reject for reject in round_.rejected[1]}
    assert list(rejected) == list(bad)
    assert json.loads(rejected[3].data) == bad[3]
    assert rejected[3].reason == 'column id: invalid input syntax for type integer: "x"'
    assert rejected[7].reason.startswith("column name: null value")
    assert "too long" in rejected[8].reason
    assert "check constraint" in rejected[9].reason
    assert "duplicate key" in rejected[20].reason
    assert "out of range" in rejected[29].reason
    assert offsets(postgres) == [(1, 0, 30, 6)]


@pytest.mark.parametrize("deferred", ["", "DEFERRABLE INITIALLY DEFERRED"])
async def test_a_foreign_key_that_names_no_line_is_found_by_halving(
    delivering: Delivering, postgres: Postgres, deferred: str
) -> None:
    postgres.query("CREATE TABLE s.parents (id integer PRIMARY KEY)")
    postgres.query("INSERT INTO s.parents SELECT generate_series(0, 199)")
    postgres.query("GRANT SELECT, REFERENCES ON s.parents TO loader")
    postgres.query("ALTER TABLE s.parents OWNER TO loader")
    table(postgres, f"id integer REFERENCES s.parents {deferred}, name text")
    bad = {0: 200, 63: 300, 64: 301, 199: 302}
    round_ = await delivering.deliver([{"id": bad.get(n, n), "name": "a"} for n in range(200)])
    assert ids(postgres) == [n for n in range(200) if n not in bad]
    assert [reject.sequence for reject in round_.rejected[0]] == list(bad)
    assert all("foreign key" in reject.reason for reject in round_.rejected[0])


async def test_what_a_trigger_raises_refuses_the_row(delivering: Delivering, postgres: Postgres) -> None:
    postgres.query("""
        CREATE FUNCTION s.picky() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF NEW.id = 2 THEN RAISE 'COPY 1, line 1'; END IF; RETURN NEW; END $$""")
    postgres.query("CREATE TRIGGER picky BEFORE INSERT ON s.t FOR EACH ROW EXECUTE FUNCTION s.picky()")
    round_ = await delivering.deliver([person(1), person(2), person(3)])
    assert ids(postgres) == [1, 3]
    assert [reject.sequence for reject in round_.rejected[0]] == [1]


async def test_a_value_that_is_too_large_for_an_index_is_refused(
    delivering: Delivering, postgres: Postgres
) -> None:
    table(postgres, "id integer, name text UNIQUE")
    digits = "".join(map(str, random.Random(1).choices(range(10**6), k=4000)))
    round_ = await delivering.deliver([{"id": n, "name": digits if n == 1 else str(n)} for n in range(3)])
    assert ids(postgres) == [0, 2]
    assert round_.rejected[0][0].reason.startswith("index row requires")


async def test_a_row_is_judged_by_those_that_are_in(delivering: Delivering, postgres: Postgres) -> None:
    """The second of two rows with a key is only refused when the first is not, which a later check does."""
    postgres.query("CREATE TABLE s.parents (id integer PRIMARY KEY); INSERT INTO s.parents VALUES (1)")
    postgres.query("ALTER TABLE s.parents OWNER TO loader")
    table(postgres, "id integer PRIMARY KEY, name integer REFERENCES s.parents")
    round_ = await delivering.deliver([{"id": 5, "name": 9}, {"id": 5, "name": 1}, {"id": 6, "name": 1}])
    assert postgres.query("SELECT id, name FROM s.t ORDER BY id") == [(5, 1), (6, 1)]
    assert [reject.sequence for reject in round_.rejected[0]] == [0]


async def test_pieces_are_smaller_than_rounds(
    delivering: Delivering, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dws, "PIECE_ROWS", 4)
    records: dict[int, list[Any]] = {
        p: [person(n) if n % 5 else b"x" for n in range(p * 100, p * 100 + 23)] for p in range(3)
    }
    records[1][8] = person("word")
    round_ = await delivering.deliver(records)
    expected = [n for p in range(3) for n in range(p * 100, p * 100 + 23) if n % 5 and n != 108]
    assert ids(postgres) == expected
    assert {p: [r.sequence for r in rejects] for p, rejects in round_.rejected.items()} == {
        0: [0, 5, 10, 15, 20],
        1: [0, 5, 8, 10, 15, 20],
        2: [0, 5, 10, 15, 20],
    }


async def test_more_refused_rows_than_reject_limit_are_not_committed(
    delivering: Delivering, postgres: Postgres
) -> None:
    """5.5.7 table 5-106: up to the limit an import is successful. Both those refused here and those the table refuses count."""
    delivering.options = {"reject_limit": 2}
    within = await delivering.deliver([b"no json", person("word"), person(1)])
    assert within.discards == {0: 2}
    over = delivering.round([person(2), b"no json", person("word"), person("x")], first={0: 3})
    with pytest.raises(NotDelivered, match="than reject_limit allows, 2: record 6 of shardId-0000000000"):
        await delivering.sink().deliver(over)
    assert over.rejected == {}
    assert ids(postgres) == [1]
    delivering.options = {"reject_limit": None}
    await delivering.sink().deliver(over.again())
    assert ids(postgres) == [1, 2]


async def test_refused_rows_are_in_the_error_table_once(delivering: Delivering, postgres: Postgres) -> None:
    delivering.options = {"error_table_name": "Errors"}
    round_ = delivering.round({2: [person(1), b"no\tjson \\ \xff\0", person("word")]}, first={2: 40})
    round_.crash_at = "staged"
    with pytest.raises(Crash):
        await delivering.sink().deliver(round_)
    for _ in range(2):
        await delivering.sink().deliver(round_.again())
    rows = postgres.query(
        "SELECT nodeid, extract(epoch FROM begintime)::bigint * 1000, filename, rownum::int, rawrecord, detail"
        ' FROM s."Errors" ORDER BY rownum'
    )
    begun = round_.plan.created_ms
    assert [row[:4] for row in rows] == [
        (0, begun, "clicks/shardId-0000000002", 41),
        (0, begun, "clicks/shardId-0000000002", 42),
    ]
    assert rows[0][4] == "no\tjson \\ \ufffd "
    assert rows[1][5] == 'column id: invalid input syntax for type integer: "word"'


async def test_an_error_table_that_may_not_be_made_is_done_without(
    delivering: Delivering, postgres: Postgres
) -> None:
    delivering.fields = {"user_name": "guest"}
    delivering.options = {"error_table_name": "errors"}
    round_ = await delivering.deliver([person(1), b"no json"])
    assert round_.discards == {0: 1}
    assert ids(postgres) == [1]


async def test_a_table_that_is_no_error_table_is_said_to_be_none(
    delivering: Delivering, postgres: Postgres
) -> None:
    delivering.options = {"error_table_name": "t"}
    with pytest.raises(NotDelivered, match=r"error table s\.t has no column begintime"):
        await delivering.deliver([person(1)])


async def test_an_error_table_that_does_not_fit_is_refused_with_the_task(
    delivering: Delivering, postgres: Postgres
) -> None:
    def database() -> Database:
        return Database.resolve(delivering.place, delivering.descriptor, delivering.password)

    delivering.options = {"error_table_name": "errors"}
    await database().check()
    await delivering.deliver([b"no json"])
    await database().check()
    postgres.query("ALTER TABLE s.errors OWNER TO penstock; REVOKE ALL ON s.errors FROM loader")
    with pytest.raises(ApiError, match=r"DIS\.4350.*error_table_name: user_name may not insert"):
        await database().check()
    delivering.options = {"error_table_name": "t"}
    with pytest.raises(ApiError, match=r"DIS\.4350.*error_table_name: no error table, it has no begintime"):
        await database().check()


# A database that does not answer --------------------------------------------------------------------------------------


async def test_a_wrong_password_is_told_without_it(delivering: Delivering) -> None:
    delivering.password = "the-wrong-Password"
    with pytest.raises(NotDelivered, match="password authentication failed") as caught:
        await delivering.deliver([person(1)])
    assert "the-wrong-Password" not in str(caught.value)


async def test_a_table_that_is_dropped_or_altered_meanwhile(
    delivering: Delivering, postgres: Postgres
) -> None:
    sink = delivering.sink()
    await sink.deliver(delivering.round([person(1)]))
    postgres.query("DROP TABLE s.t")
    second = delivering.round([person(2)], first={0: 1})
    with pytest.raises(NotDelivered, match=r"table s\.t does not exist"):
        await sink.deliver(second)
    table(postgres, "id integer")
    delivering.options = {"ignore_extra_data": True}
    delivering.fields = {"dws_table_columns": "id,name"}
    with pytest.raises(NotDelivered, match=r"table s\.t has no column name"):
        await delivering.sink().deliver(second.again())
    delivering.fields = {}
    await delivering.sink().deliver(second.again())
    assert ids(postgres) == [2]


async def test_a_user_who_may_not_insert_any_more(delivering: Delivering, postgres: Postgres) -> None:
    postgres.query("ALTER TABLE s.t OWNER TO penstock; REVOKE ALL ON s.t FROM loader")
    with pytest.raises(NotDelivered, match=r"permission denied for table t \(the user may not do that\)"):
        await delivering.deliver([person(1)])


async def test_a_lock_that_somebody_holds_is_waited_for_and_then_not(
    delivering: Delivering, postgres: Postgres
) -> None:
    round_ = delivering.round([person(1)])
    sink = delivering.sink()
    sink.statement_seconds = sink.copy_seconds = 0.5
    with postgres.connect() as other:
        other.autocommit = False
        other.execute("LOCK TABLE s.t IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(NotDelivered, match="does somebody hold a lock"):
            await sink.deliver(round_)
    sink.statement_seconds = sink.copy_seconds = 30
    await sink.deliver(round_.again())
    assert ids(postgres) == [1]


@pytest.mark.parametrize("how", ["killed", "restarted", "disconnected"])
async def test_a_server_that_went_away_between_rounds_or_in_one(
    delivering: Delivering, postgres: Postgres, how: str
) -> None:
    def go() -> None:
        if how == "disconnected":
            postgres.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'penstock'"
            )
        elif how == "killed":
            postgres.kill("postgres")
        else:
            postgres.stop()

    class Going(MadeRound):
        gone = False

        def reached(self, point: str) -> None:
            super().reached(point)
            if not self.gone or how == "disconnected":
                self.gone = True
                go()

    sink = delivering.sink()
    await sink.deliver(delivering.round([person(1)]))
    made = delivering.round([person(2)], first={0: 1})
    round_ = Going(made.task, made.stream, made.plan, made.parts)
    with pytest.raises(NotDelivered, match=r"connection to the database was lost|shutting down|terminating"):
        await sink.deliver(round_)
    if how != "disconnected":
        with pytest.raises(NotDelivered, match="the cluster does not answer"):
            await sink.deliver(made.again())
    postgres.start()
    await sink.deliver(made.again())
    assert ids(postgres) == [1, 2]
    go()
    postgres.start()
    third = delivering.round([person(3)], first={0: 2})
    with pytest.raises(NotDelivered):
        await sink.deliver(third)
    await sink.deliver(third.again())
    assert ids(postgres) == [1, 2, 3]


async def test_a_server_that_hangs_is_given_up(
    delivering: Delivering, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dws_copy, "GRACE_SECONDS", 0.5)
    sink = delivering.sink()
    sink.statement_seconds = sink.copy_seconds = 2
    await sink.deliver(delivering.round([person(1)]))
    postgres.pause("postgres")
    second = delivering.round([person(2)], first={0: 1})
    try:
        with pytest.raises(NotDelivered, match="does not answer: nothing within"):
            await sink.deliver(second)
        delivering.place.seconds = 2
        with pytest.raises(NotDelivered, match="the cluster does not answer"):
            await delivering.sink().deliver(second.again())
    finally:
        postgres.resume("postgres")
    sink.statement_seconds = sink.copy_seconds = 30
    await sink.deliver(second.again())
    assert ids(postgres) == [1, 2]


async def test_a_server_that_hangs_within_a_commit_has_the_round_once(
    delivering: Delivering, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dws_copy, "GRACE_SECONDS", 0.5)
    sink = delivering.sink()
    sink.statement_seconds = 2

    class Pausing(MadeRound):
        def reached(self, point: str) -> None:
            postgres.pause("postgres")

    made = delivering.round([person(1)])
    try:
        with pytest.raises(NotDelivered, match="does not answer"):
            await sink.deliver(Pausing(made.task, made.stream, made.plan, made.parts))
    finally:
        postgres.resume("postgres")
    sink.statement_seconds = 30
    # What was sent before the connection was cut is carried out when the server goes on.
    await sink.deliver(made.again())
    assert ids(postgres) == [1]


async def test_cancelled_while_it_waits_for_a_lock_it_ends(
    delivering: Delivering, postgres: Postgres
) -> None:
    sink = delivering.sink()
    await sink.deliver(delivering.round([person(1)]))
    with postgres.connect() as other:
        other.autocommit = False
        other.execute("LOCK TABLE s.penstock_offsets IN ACCESS EXCLUSIVE MODE")
        second = delivering.round([person(2)], first={0: 1})
        task = asyncio.create_task(sink.deliver(second))
        await asyncio.sleep(0.2)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(60):
                await task
    await sink.deliver(second.again())
    assert ids(postgres) == [1, 2]


async def test_closing_ends_the_connection(delivering: Delivering, postgres: Postgres) -> None:
    sink = delivering.sink()
    await sink.deliver(delivering.round([person(1)]))
    await sink.close()
    await sink.close()
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'penstock'"
    for _ in range(50):
        if postgres.query(query) == [(0,)]:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the connection is still there")
