"""What destinations say when a dump task is made (section 7.1): each code from a server that really was asked. The servers are small
ones that speak the protocol; buckets are an S3-compatible store here, folders in test_wire_tasks.py."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyiceberg.catalog.sql import SqlCatalog
from tests.support.destinations import Answer, FakePostgres, remote
from tests.support.server import Server
from tests.support.tasks import (
    DWS_ID,
    KMS_ID,
    MRS_ID,
    SAMPLES,
    Fakes,
    body_of,
    create,
    name_of,
    path_of,
    server_with,
)
from tests.support.wire import Json, Wire, done, ok, refused

Make = Callable[..., str]

BUCKETS = f"""
[[obs]]
bucket = "lake"
endpoint = "S3_URL"
region = "cn-north-1"
access_key = "env:LAKE_KEY"
secret_key = "env:LAKE_SECRET"
agencies = ["dis_admin_agency"]

[[obs]]
bucket = "locked"
endpoint = "S3_URL"
access_key = "ANOTHERKEY"
secret_key = "x"

[[obs]]
bucket = "reserved"
endpoint = "S3_URL"
access_key = "env:LAKE_KEY"
secret_key = "env:LAKE_SECRET"
agencies = ["another_agency", "somebody/dis_admin_agency"]

[[obs]]
bucket = "away"
endpoint = "http://127.0.0.1:1"

[[obs]]
bucket = "folder"
folder = "/DIRECTORY/lake-folder"

[[obs]]
bucket = "kernel"
folder = "/proc"

[[obs]]
bucket = "*"
endpoint = "S3_URL"
access_key = "env:LAKE_KEY"
secret_key = "env:LAKE_SECRET"

[[mrs]]
cluster_id = "reserved"
webhdfs = "http://127.0.0.1:1"
agencies = ["another_agency"]

[[mrs]]
cluster_id = "away"
webhdfs = "http://127.0.0.1:1"

[[dws]]
cluster_id = "reserved"
host = "127.0.0.1"
agencies = ["another_agency"]

[[dws]]
cluster_id = "away"
host = "127.0.0.1"
port = 1

[[cloudtable]]
cluster_id = "reserved"
hbase_rest = "http://127.0.0.1:1"
agencies = ["another_agency"]

[[cloudtable]]
cluster_id = "hbase-only"
hbase_rest = "http://127.0.0.1:1"

[[cloudtable]]
cluster_id = "opentsdb-only"
opentsdb = "http://127.0.0.1:1"

[[kms]]
key_id = "{KMS_ID}"
key_name = "reserved"
secret = "x"
agencies = ["another_agency"]
"""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Fakes]]:
    directory = tmp_path_factory.mktemp("destinations")
    (directory / "lake-folder").mkdir()
    with server_with(
        directory, buckets=BUCKETS.replace("/DIRECTORY", str(directory)), seconds=1.0
    ) as started:
        yield started


@pytest.fixture(scope="module")
def server(both: tuple[Server, Fakes]) -> Server:
    return both[0]


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Fakes]]:
    """A server that waits half a second for destinations, none of which ever answers."""
    with server_with(tmp_path_factory.mktemp("hanging"), buckets=BUCKETS, seconds=0.5) as started:
        for fake in started[1].all():
            fake.hang = True
        with Wire.to(started[0]) as wire:
            done(wire.create("s", data_type="JSON"), 201)
        yield started


@pytest.fixture
def fakes(both: tuple[Server, Fakes]) -> Iterator[Fakes]:
    both[1].reset()
    yield both[1]
    both[1].reset()


@pytest.fixture
def stream(make: Make) -> str:
    return make(data_type="JSON")


def lake(sample: str, **changes: object) -> Json:
    """A body whose bucket is the store's."""
    field = "obs_backup_bucket_path" if SAMPLES[sample][0] == "CLOUDTABLE" else "obs_bucket_path"
    return body_of(sample, **({field: "lake"} | changes))


@pytest.mark.parametrize("sample", SAMPLES)
def test_takes_what_is_there(wire: Wire, fakes: Fakes, stream: str, sample: str) -> None:
    done(create(wire, stream, lake(sample)), 201)
    assert not fakes.s3.objects, "what was written to try the bucket is still there"
    assert any(asked.method == "PUT" for asked in fakes.s3.requests)


@pytest.mark.parametrize("sample", SAMPLES)
def test_an_agency_the_account_does_not_have(wire: Wire, fakes: Fakes, stream: str, sample: str) -> None:
    """DIS.4335, before anything is asked."""
    refused(create(wire, stream, lake(sample, agency_name="nobody")), "DIS.4335", naming="nobody")
    assert not fakes.s3.requests


@pytest.mark.parametrize(
    ("sample", "changes"),
    [
        ("OBS", {"obs_bucket_path": "reserved"}),
        ("MRS", {"mrs_cluster_id": "reserved"}),
        ("MRS", {"obs_bucket_path": "reserved"}),
        ("DWS", {"dws_cluster_id": "reserved"}),
        ("DWS", {"kms_user_key_name": "reserved"}),
        ("HBASE", {"cloudtable_cluster_id": "reserved"}),
    ],
)
def test_an_agency_the_entry_is_not_for(wire: Wire, stream: str, sample: str, changes: Json) -> None:
    refused(create(wire, stream, lake(sample, **changes)), "DIS.4335", naming="dis_admin_agency")


class TestBuckets:
    @pytest.mark.parametrize("sample", SAMPLES)
    def test_a_bucket_that_is_not_there(self, wire: Wire, stream: str, sample: str) -> None:
        """DIS.4306; also where a bucket only takes what cannot be delivered."""
        field = "obs_backup_bucket_path" if SAMPLES[sample][0] == "CLOUDTABLE" else "obs_bucket_path"
        refused(create(wire, stream, lake(sample, **{field: "nowhere"})), "DIS.4306", naming="nowhere")

    @pytest.mark.parametrize("bad", ["a/b", "..", "../lake", "a b", "x" * 64, "-a", "lake/", "?"])
    def test_what_no_bucket_is_called(self, wire: Wire, fakes: Fakes, stream: str, bad: str) -> None:
        refused(create(wire, stream, lake("OBS", obs_bucket_path=bad)), "DIS.4306")
        assert not fakes.s3.requests

    @pytest.mark.parametrize("bucket", ["locked", "away", "kernel"])
    def test_a_store_that_refuses_or_is_away(self, wire: Wire, stream: str, bucket: str) -> None:
        """DIS.4310."""
        refused(create(wire, stream, lake("OBS", obs_bucket_path=bucket)), "DIS.4310", naming=bucket)

    @pytest.mark.parametrize(
        ("status", "code", "expected"),
        [
            (404, "NoSuchBucket", "DIS.4306"),
            (404, "InvalidAccessKeyId", "DIS.4310"),
            (403, "AccessDenied", "DIS.4310"),
            (400, "AuthorizationHeaderMalformed", "DIS.4310"),
            (500, "InternalError", "DIS.4310"),
            (503, "SlowDown", "DIS.4310"),
        ],
    )
    def test_what_stores_answer(
        self, wire: Wire, fakes: Fakes, stream: str, status: int, code: str, expected: str
    ) -> None:
        """An unknown access key is 404 with some stores."""
        fakes.s3.forced = Answer(status, f"<Error><Code>{code}</Code></Error>", "application/xml")
        refused(create(wire, stream, lake("OBS")), expected, naming="lake")

    def test_a_folder_named_in_the_configuration(self, wire: Wire, server: Server, stream: str) -> None:
        folder = server.data.parent / "lake-folder"
        done(create(wire, stream, lake("OBS", obs_bucket_path="folder")), 201)
        assert not list(folder.iterdir())
        folder.rename(folder.with_name("moved"))
        refused(create(wire, stream, lake("OBS", obs_bucket_path="folder")), "DIS.4306", naming="folder")
        folder.with_name("moved").rename(folder)

    def test_refusals_say_nothing_of_where_things_are(self, wire: Wire, fakes: Fakes, stream: str) -> None:
        reply = create(wire, stream, lake("OBS", obs_bucket_path="away"))
        assert "127.0.0.1" not in reply.text
        reply = create(wire, stream, lake("DWS", dws_cluster_id="away"))
        assert "127.0.0.1" not in reply.text


class TestMrs:
    """DIS.4208 and DIS.4336."""

    @pytest.mark.parametrize(
        "changes",
        [{"mrs_cluster_id": "other"}, {"mrs_cluster_name": "other"}, {"mrs_cluster_id": DWS_ID}],
    )
    def test_a_cluster_that_is_not_there(self, wire: Wire, stream: str, changes: Json) -> None:
        refused(create(wire, stream, lake("MRS", **changes)), "DIS.4208", naming=next(iter(changes.values())))

    def test_a_cluster_that_is_away(self, wire: Wire, stream: str) -> None:
        refused(create(wire, stream, lake("MRS", mrs_cluster_id="away")), "DIS.4208")

    def test_asks_as_the_user_of_the_entry(self, wire: Wire, fakes: Fakes, stream: str) -> None:
        done(create(wire, stream, lake("MRS")), 201)
        assert {asked.query["user.name"] for asked in fakes.hdfs.requests} == {"hdfs"}
        assert {asked.query["op"] for asked in fakes.hdfs.requests} == {"GETFILESTATUS", "CHECKACCESS"}

    @pytest.mark.parametrize("path", ["/none", "/file", "/root", "relative", "/user/../root", "/a:b"])
    def test_a_path_that_will_not_do(self, wire: Wire, stream: str, path: str) -> None:
        """DIS.4336: missing, a file, not to be written to, no absolute path."""
        refused(create(wire, stream, lake("MRS", mrs_hdfs_path=path)), "DIS.4336", naming=path)

    @pytest.mark.parametrize(
        ("answer", "code"),
        [
            (remote(403, "StandbyException"), "DIS.4208"),
            (remote(403, "SafeModeException"), "DIS.4208"),
            (remote(403, "AccessControlException"), "DIS.4336"),
            (remote(400, "InvalidPathException"), "DIS.4336"),
            (Answer(401, "Authentication required", "text/html"), "DIS.4208"),
            (Answer(500, "", "text/html"), "DIS.4208"),
            (Answer(200, "hello", "text/html"), "DIS.4208"),
            (Answer(200, '{"FileStatus": 5}'), "DIS.4208"),
        ],
    )
    def test_what_namenodes_answer(
        self, wire: Wire, fakes: Fakes, stream: str, answer: Answer, code: str
    ) -> None:
        """403 is not "forbidden" there: `RemoteException.exception` says what it is."""
        fakes.hdfs.forced = answer
        refused(create(wire, stream, lake("MRS")), code)


class TestDws:
    """DIS.4350 and DIS.4351."""

    @pytest.mark.parametrize(
        "changes",
        [{"dws_cluster_id": "other"}, {"dws_cluster_name": "other"}, {"dws_cluster_id": MRS_ID}],
    )
    def test_a_cluster_that_is_not_there(self, wire: Wire, stream: str, changes: Json) -> None:
        refused(create(wire, stream, lake("DWS", **changes)), "DIS.4350", naming=next(iter(changes.values())))

    @pytest.mark.parametrize("changes", [{"kms_user_key_id": "other"}, {"kms_user_key_name": "other"}])
    def test_a_key_that_is_not_there(self, wire: Wire, stream: str, changes: Json) -> None:
        refused(create(wire, stream, lake("DWS", **changes)), "DIS.4351", naming="other")

    @pytest.mark.parametrize(
        ("changes", "naming"),
        [
            ({"user_password": "wrong"}, "password authentication failed"),
            ({"user_name": "nobody"}, "nobody"),
            ({"dws_database_name": "none"}, "none"),
            ({"dws_schema": "none"}, "dws_table_name"),
            ({"dws_table_name": "none"}, "dws_table_name"),
            ({"dws_table_columns": "c1,c9"}, "dws_table_columns"),
        ],
    )
    def test_what_the_database_refuses(self, wire: Wire, stream: str, changes: Json, naming: str) -> None:
        refused(create(wire, stream, lake("DWS", **changes)), "DIS.4350", naming=naming)

    def test_a_user_who_may_not_insert(self, wire: Wire, fakes: Fakes, stream: str) -> None:
        fakes.dws.may_insert = False
        refused(create(wire, stream, lake("DWS")), "DIS.4350", naming="user_name")

    def test_columns_that_are_there(self, wire: Wire, stream: str) -> None:
        done(create(wire, stream, lake("DWS", dws_table_columns="c3, c1")), 201)

    def test_a_cluster_that_is_away(self, wire: Wire, stream: str) -> None:
        refused(create(wire, stream, lake("DWS", dws_cluster_id="away")), "DIS.4350")

    @pytest.mark.parametrize(
        "nasty", ["' OR 1=1 --", "a';DROP TABLE x;--", "%s", 'a"b', "host=h port=1", "\\"]
    )
    def test_names_are_values(self, wire: Wire, fakes: Fakes, stream: str, nasty: str) -> None:
        """Whatever a name is: it is asked for, not run, and never where the server is."""
        refused(create(wire, stream, lake("DWS", dws_table_name=nasty)), "DIS.4350", naming="dws_table_name")
        (query,) = [query for query in fakes.dws.queries if "pg_class" in query]
        assert query.count("SELECT") == 1
        refused(create(wire, stream, lake("DWS", dws_database_name=nasty)), "DIS.4350")

    def test_the_password_is_not_shown(self, wire: Wire, stream: str) -> None:
        body = lake("DWS", user_password="the-Other-Password")
        assert "the-Other-Password" not in create(wire, stream, body).text
        done(create(wire, stream, lake("DWS", task_name="secret")), 201)
        for rest in ("", "/secret"):
            text = wire.call("GET", path_of(stream, rest)).text
            assert FakePostgres.password not in text
            assert "user_password" not in text


class TestDli:
    """DIS.4337 and DIS.4338."""

    def test_names_that_are_not_there(self, wire: Wire, stream: str) -> None:
        refused(create(wire, stream, lake("DLI", dli_database_name="none")), "DIS.4337", naming="none")
        refused(create(wire, stream, lake("DLI", dli_table_name="none")), "DIS.4338", naming="none")

    def test_asks_for_the_warehouse_below_its_prefix(self, wire: Wire, fakes: Fakes, stream: str) -> None:
        done(create(wire, stream, lake("DLI")), 201)
        first, *rest = fakes.iceberg.requests
        assert (first.path, first.query) == ("/iceberg/v1/config", {"warehouse": "warehouse"})
        assert all(asked.path.startswith("/iceberg/v1/main|warehouse/") for asked in rest)

    def test_a_catalog_without_head(self, wire: Wire, fakes: Fakes, stream: str) -> None:
        fakes.iceberg.heads = False
        done(create(wire, stream, lake("DLI")), 201)
        refused(create(wire, stream, lake("DLI", dli_table_name="none")), "DIS.4338")
        fakes.iceberg.heads = True

    @pytest.mark.parametrize("answer", [Answer(500), Answer(401), Answer(200, "hello"), Answer(200, "[]")])
    def test_a_catalog_that_says_something_else(
        self, wire: Wire, fakes: Fakes, stream: str, answer: Answer
    ) -> None:
        fakes.iceberg.forced = answer
        refused(create(wire, stream, lake("DLI")), "DIS.4337")

    def test_the_embedded_catalog(self, start_server: Callable[..., Server]) -> None:
        """Without any [[dli]]: an SQL catalog in DIR/lakehouse, as pyiceberg makes it."""
        server = start_server()
        (server.data / "obs" / "lake").mkdir(parents=True)
        with Wire.to(server) as wire:
            wire.create("s", data_type="JSON")
            refused(create(wire, "s", lake("DLI")), "DIS.4337")
            file = server.data / "lakehouse" / "catalog.db"
            file.parent.mkdir()
            catalog = SqlCatalog("penstock", uri=f"sqlite:///{file}", warehouse=f"file://{file.parent}")
            refused(create(wire, "s", lake("DLI")), "DIS.4337")
            catalog.create_namespace("dlidatabasename")
            refused(create(wire, "s", lake("DLI")), "DIS.4338")
            catalog.engine.dispose()
            _add_table(file)
            done(create(wire, "s", lake("DLI")), 201)


def _add_table(file: Path) -> None:
    """A row as a catalog has it for a table."""
    connection = sqlite3.connect(file)
    connection.execute(
        "INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location) VALUES (?, ?, ?, ?)",
        ("penstock", "dlidatabasename", "dlitablename", "file:///nowhere"),
    )
    connection.commit()
    connection.close()


class TestCloudTable:
    """DIS.4341, DIS.4342, DIS.4343."""

    @pytest.mark.parametrize("sample", ["HBASE", "OPENTSDB"])
    @pytest.mark.parametrize(
        "changes",
        [
            {"cloudtable_cluster_id": "other"},
            {"cloudtable_cluster_name": "other"},
            {"cloudtable_cluster_id": MRS_ID},
        ],
    )
    def test_a_cluster_that_is_not_there(self, wire: Wire, stream: str, sample: str, changes: Json) -> None:
        refused(
            create(wire, stream, lake(sample, **changes)), "DIS.4341", naming=next(iter(changes.values()))
        )

    @pytest.mark.parametrize(
        ("sample", "cluster"),
        [("HBASE", "opentsdb-only"), ("OPENTSDB", "hbase-only"), ("HBASE", "hbase-only")],
    )
    def test_a_cluster_without_it_or_away(self, wire: Wire, stream: str, sample: str, cluster: str) -> None:
        """ "If you choose to dump data to OpenTSDB, OpenTSDB must be enabled for the cluster.\""""
        refused(create(wire, stream, lake(sample, cloudtable_cluster_id=cluster)), "DIS.4341")

    def test_a_table_that_is_not_there(self, wire: Wire, stream: str) -> None:
        body = lake("HBASE", cloudtable_table_name="none")
        refused(create(wire, stream, body), "DIS.4342", naming="none")

    def test_a_family_that_is_not_there(self, wire: Wire, stream: str) -> None:
        body = lake("HBASE", cloudtable_schema__columns__1__column_family_name="cfname9")
        refused(create(wire, stream, body), "DIS.4343", naming="cfname9")

    @pytest.mark.parametrize("sample", ["HBASE", "OPENTSDB"])
    @pytest.mark.parametrize("answer", [Answer(503), Answer(404), Answer(500)])
    def test_a_cluster_that_is_not_well(
        self, wire: Wire, fakes: Fakes, stream: str, sample: str, answer: Answer
    ) -> None:
        """HBase's REST server answers 404 for every table when HBase is away: the cluster is asked first."""
        fakes.hbase.forced = fakes.opentsdb.forced = answer
        refused(create(wire, stream, lake(sample)), "DIS.4341")

    def test_what_is_no_hbase(self, wire: Wire, fakes: Fakes, stream: str) -> None:
        fakes.hbase.forced = Answer(200, "hello", "text/html")
        refused(create(wire, stream, lake("HBASE")), "DIS.4341")

    def test_nothing_of_the_table_is_changed(self, wire: Wire, fakes: Fakes, stream: str) -> None:
        done(create(wire, stream, lake("HBASE")), 201)
        assert {asked.method for asked in fakes.hbase.requests} == {"GET"}


class TestHanging:
    """A destination that does not answer is one that is not there; nobody else waits for it."""

    @pytest.mark.parametrize(
        ("sample", "code"),
        [
            ("OBS", "DIS.4310"), ("MRS", "DIS.4208"), ("DWS", "DIS.4350"), ("DLI", "DIS.4337"), ("HBASE", "DIS.4341"),
            ("OPENTSDB", "DIS.4341"),
        ],
    )  # fmt: skip
    def test_is_given_up(self, slow: tuple[Server, Fakes], sample: str, code: str) -> None:
        with Wire.to(slow[0]) as wire:
            refused(create(wire, "s", lake(sample)), code)

    def test_holds_up_nobody(self, slow: tuple[Server, Fakes]) -> None:
        server, fakes = slow
        fakes.s3.requests.clear()
        with Wire.to(server) as wire, Wire.to(server) as other:
            waiting = threading.Thread(target=lambda: create(other, "s", lake("OBS")))
            waiting.start()
            while not fakes.s3.requests:
                assert waiting.is_alive()
            assert ok(wire.call("GET", path_of("s")))["total_number"] == 0
            wire.put_data("s", b"x")
            waiting.join()


def test_nothing_is_kept_of_what_was_refused(wire: Wire, stream: str) -> None:
    body = lake("OBS", obs_bucket_path="nowhere")
    refused(create(wire, stream, body), "DIS.4306")
    assert ok(wire.call("GET", path_of(stream)))["total_number"] == 0
    refused(wire.call("GET", path_of(stream, f"/{name_of(body)}")), "DIS.4354")
