"""Every field of every dump task's descriptor (5.5.1 tables 5-82 and 5-83, 5.5.7 tables 5-105 and 5-106, 5.5.8 table 5-110, 5.5.9
table 5-114, 5.5.10 tables 5-118 to 5-126): what it may hold, what it defaults to, and the whole path in what refuses it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from tests.support.server import Server
from tests.support.tasks import REMOVE, SAMPLES, body_of, create, name_of, path_of, server_with
from tests.support.wire import Json, Wire, done, ok, refused

Make = Callable[..., str]
TYPES = ("Bigint", "Double", "Boolean", "Timestamp", "String", "Decimal")
TIMES = (
    "yyyy/MM/dd HH:mm:ss", "MM/dd/yyyy HH:mm:ss", "dd/MM/yyyy HH:mm:ss", "yyyy-MM-dd HH:mm:ss", "MM-dd-yyyy HH:mm:ss",
    "dd-MM-yyyy HH:mm:ss",
)  # fmt: skip
WRONG_TEXTS: tuple[object, ...] = (5, ["a"], {}, True)
WRONG_NUMBERS: tuple[object, ...] = (30.5, True, [30], {})
NO_SCHEMAS: tuple[object, ...] = (None, "", [])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("fields")
    with server_with(directory) as (server, _):
        yield server


@pytest.fixture
def stream(make: Make) -> str:
    return make(data_type="JSON")


def field_of(sample: str) -> str:
    return SAMPLES[sample][1]


def taken(wire: Wire, stream: str, sample: str, **changes: object) -> Json:
    """The descriptor as details show it, of a task that must be taken; the task is gone then."""
    body = body_of(sample, **changes)
    done(create(wire, stream, body), 201)
    shown = ok(wire.call("GET", path_of(stream, f"/{name_of(body)}")))
    done(wire.call("DELETE", path_of(stream, f"/{name_of(body)}")), 204)
    descriptor: Json = shown[field_of(sample).replace("descriptor", "description")]
    return descriptor


def refuses(wire: Wire, stream: str, sample: str, naming: str, *codes: str, **changes: object) -> None:
    reply = create(wire, stream, body_of(sample, **changes))
    refused(reply, *codes or ("DIS.4200",), naming=f"{field_of(sample)}.{naming}")


class TestEveryKind:
    """Fields that all descriptors have."""

    @pytest.mark.parametrize("sample", SAMPLES)
    def test_task_name(self, wire: Wire, stream: str, sample: str) -> None:
        for good in ("a", "x" * 64, "A-Z_09", "-", "_"):
            assert taken(wire, stream, sample, task_name=good)["task_name"] == good
        for bad in ("", None, REMOVE, "x" * 65, "a b", "a.b", "a/b", "名", "a\n", "a\u0000"):
            refuses(wire, stream, sample, "task_name", task_name=bad)
        for wrong in WRONG_TEXTS:
            refuses(wire, stream, sample, "task_name", "DIS.4300", task_name=wrong)

    @pytest.mark.parametrize("sample", SAMPLES)
    def test_agency_name(self, wire: Wire, stream: str, sample: str) -> None:
        """ "This parameter cannot be left blank and the parameter value cannot exceed 64 characters.\""""
        for bad in ("", None, REMOVE, "x" * 65, "a\n"):
            refuses(wire, stream, sample, "agency_name", agency_name=bad)
        refuses(wire, stream, sample, "agency_name", "DIS.4300", agency_name=5)
        refused(create(wire, stream, body_of(sample, agency_name="no-such-agency")), "DIS.4335")

    @pytest.mark.parametrize("sample", SAMPLES)
    def test_deliver_time_interval(self, wire: Wire, stream: str, sample: str) -> None:
        """30 to 900, 300 when absent, also as a text (clients.md 1.6)."""
        for good, kept in ((30, 30), (900, 900), ("30", 30), ("900", 900), ("", 300), (None, 300)):
            shown = taken(wire, stream, sample, deliver_time_interval=good)["deliver_time_interval"]
            assert (shown, type(shown)) == (kept, int)
        for bad in (29, 901, 0, -30, "29", "901", "x", "30.5", " 30", 1 << 70):
            refuses(
                wire,
                stream,
                sample,
                "deliver_time_interval",
                "DIS.4200",
                "DIS.4300",
                deliver_time_interval=bad,
            )
        for wrong in WRONG_NUMBERS:
            refuses(wire, stream, sample, "deliver_time_interval", "DIS.4300", deliver_time_interval=wrong)

    @pytest.mark.parametrize("sample", SAMPLES)
    def test_consumer_strategy(self, wire: Wire, stream: str, sample: str) -> None:
        for good, kept in (
            ("LATEST", "LATEST"), ("TRIM_HORIZON", "TRIM_HORIZON"), ("", "LATEST"), (None, "LATEST"),
        ):  # fmt: skip
            assert taken(wire, stream, sample, consumer_strategy=good)["consumer_strategy"] == kept
        for bad in ("latest", "EARLIEST", "AT_TIMESTAMP"):
            refuses(wire, stream, sample, "consumer_strategy", consumer_strategy=bad)
        refuses(wire, stream, sample, "consumer_strategy", "DIS.4300", consumer_strategy=1)

    @pytest.mark.parametrize("sample", SAMPLES)
    def test_retry_duration(self, wire: Wire, stream: str, sample: str) -> None:
        """0 to 7200, 1800 when absent; 0 for OBS, whose sample of details says so. A text for all others, as the tables have
        it: the Java and Go SDKs v3 take nothing else."""
        default = 0 if sample == "OBS" else 1800
        form = int if sample == "OBS" else str
        for good, kept in ((0, 0), (7200, 7200), ("0", 0), ("7200", 7200), ("", default), (None, default)):
            assert taken(wire, stream, sample, retry_duration=good)["retry_duration"] == form(kept)
        for bad in (-1, 7201, "7201", "x"):
            refuses(wire, stream, sample, "retry_duration", retry_duration=bad)
        refuses(wire, stream, sample, "retry_duration", "DIS.4300", retry_duration=1.5)

    @pytest.mark.parametrize(
        ("sample", "field"),
        [(sample, "file_prefix") for sample in ("OBS", "DWS", "MRS", "DLI")]
        + [(sample, "backup_file_prefix") for sample in ("HBASE", "OPENTSDB")],
    )
    def test_prefix(self, wire: Wire, stream: str, sample: str, field: str) -> None:
        """Letters, digits, underscores and slashes, at most 50, not starting with a slash."""
        for good in ("a", "a/b_c/D9", "x" * 50, "a/"):
            assert taken(wire, stream, sample, **{field: good})[field] == good
        for absent in ("", None):
            assert taken(wire, stream, sample, **{field: absent})[field] == ""
        for bad in ("/a", "x" * 51, "a-b", "a b", "a.b", "../a", "名", "a\\b", "a\n", "a%2f"):
            refuses(wire, stream, sample, field, **{field: bad})
        refuses(wire, stream, sample, field, "DIS.4300", **{field: 5})

    @pytest.mark.parametrize(
        ("sample", "field"),
        [
            ("OBS", "obs_bucket_path"),
            *(("DWS", f"dws_{name}") for name in ("cluster_name", "cluster_id", "database_name", "schema")),
            ("DWS", "dws_table_name"),
            *(("DWS", name) for name in ("user_name", "user_password", "obs_bucket_path")),
            *(("DWS", f"kms_user_key_{name}") for name in ("name", "id")),
            *(("MRS", f"mrs_{name}") for name in ("cluster_name", "cluster_id", "hdfs_path")),
            ("MRS", "obs_bucket_path"),
            *(("DLI", name) for name in ("dli_database_name", "dli_table_name", "obs_bucket_path")),
            *(("HBASE", f"cloudtable_{name}") for name in ("cluster_name", "cluster_id", "table_name")),
        ],
    )
    def test_texts_that_must_be_there(self, wire: Wire, stream: str, sample: str, field: str) -> None:
        for bad in ("", None, REMOVE, "x" * 1025, "a\nb", "\u0000"):
            refuses(wire, stream, sample, field, **{field: bad})
        for wrong in WRONG_TEXTS:
            refuses(wire, stream, sample, field, "DIS.4300", **{field: wrong})


class TestFiles:
    """How files are made: 5.5.1 table 5-82."""

    @pytest.mark.parametrize(
        "good", ["yyyy", "yyyy/MM", "yyyy/MM/dd", "yyyy/MM/dd/HH", "yyyy/MM/dd/HH/mm", "", None]
    )
    def test_partition_format(self, wire: Wire, stream: str, good: str | None) -> None:
        assert taken(wire, stream, "OBS", partition_format=good)["partition_format"] == (good or "")

    @pytest.mark.parametrize("bad", ["yyyy/mm", "yyyy-MM", "YYYY", "yyyy/MM/dd/HH/mm/ss", "dd", "yyyy/"])
    def test_other_partition_formats(self, wire: Wire, stream: str, bad: str) -> None:
        refuses(wire, stream, "OBS", "partition_format", partition_format=bad)

    @pytest.mark.parametrize("sample", ["OBS", "MRS"])
    def test_record_delimiter(self, wire: Wire, stream: str, sample: str) -> None:
        """design.md: a newline is the default. A newline as shells write it is one, NULL is none (newer editions)."""
        for good in (",", ";", "|", "\n", "NULL"):
            assert taken(wire, stream, sample, record_delimiter=good)["record_delimiter"] == good
        for other in ("", None, "\\n"):
            assert taken(wire, stream, sample, record_delimiter=other)["record_delimiter"] == "\n"
        for bad in ("x", "\t", ",,", "\n\n", " ", "\r\n"):
            refuses(wire, stream, sample, "record_delimiter", record_delimiter=bad)
        refuses(wire, stream, sample, "record_delimiter", "DIS.4300", record_delimiter=5)

    @pytest.mark.parametrize("sample", ["OBS", "MRS"])
    def test_destination_file_type(self, wire: Wire, stream: str, sample: str) -> None:
        """Chinese edition, table 5-83: text, parquet, carbon; the English one writes "Text (default)"."""
        for good, kept in (
            ("text", "text"), ("Text", "text"), ("", "text"), (None, "text"), ("parquet", "parquet"),
            ("carbon", "carbon"), ("csv", "csv"),
        ):  # fmt: skip
            assert taken(wire, stream, sample, destination_file_type=good)["destination_file_type"] == kept
        for bad in ("orc", "json", "txt"):
            refuses(wire, stream, sample, "destination_file_type", destination_file_type=bad)

    @pytest.mark.parametrize("sample", ["OBS", "MRS"])
    @pytest.mark.parametrize("data_type", ["BLOB", "CSV"])
    @pytest.mark.parametrize("file_type", ["parquet", "carbon", "csv"])
    def test_only_text_is_made_from_anything_but_json(
        self, wire: Wire, make: Make, sample: str, data_type: str, file_type: str
    ) -> None:
        """Chinese edition, table 5-83: "parquet" and "carbon" only when the source data is JSON."""
        stream = make(data_type=data_type)
        refuses(wire, stream, sample, "destination_file_type", destination_file_type=file_type)
        taken(wire, stream, sample)

    def test_deliver_size_interval(self, wire: Wire, stream: str) -> None:
        """Newer editions: a file is written once there are so many MB."""
        for good in (1, 300, "300"):
            shown = taken(wire, stream, "OBS", deliver_size_interval=good)
            assert shown["deliver_size_interval"] == int(good)
        assert "deliver_size_interval" not in taken(wire, stream, "OBS")
        for bad in (0, 301, "x"):
            refuses(wire, stream, "OBS", "deliver_size_interval", deliver_size_interval=bad)


class TestProcessingSchema:
    """5.5.1 table 5-83."""

    @pytest.mark.parametrize("form", TIMES)
    def test_times_in_every_form(self, wire: Wire, stream: str, form: str) -> None:
        schema = {"timestamp_name": "at", "timestamp_type": "String", "timestamp_format": form}
        assert taken(wire, stream, "OBS", processing_schema=schema)["processing_schema"] == schema

    def test_timestamps_need_no_form(self, wire: Wire, stream: str) -> None:
        schema: Json = {"timestamp_name": "at", "timestamp_type": "Timestamp"}
        for more in ({}, {"timestamp_format": ""}, {"timestamp_format": None}):
            assert taken(wire, stream, "OBS", processing_schema=schema | more)["processing_schema"] == schema

    @pytest.mark.parametrize("absent", [None, "", {}, {"timestamp_name": "", "timestamp_type": ""}])
    def test_absent(self, wire: Wire, stream: str, absent: object) -> None:
        assert "processing_schema" not in taken(wire, stream, "OBS", processing_schema=absent)

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"timestamp_name": ""}, "timestamp_name"),
            ({"timestamp_name": None}, "timestamp_name"),
            ({"timestamp_type": ""}, "timestamp_type"),
            ({"timestamp_type": "Date"}, "timestamp_type"),
            ({"timestamp_type": "string"}, "timestamp_type"),
            ({"timestamp_format": ""}, "timestamp_format"),
            ({"timestamp_format": None}, "timestamp_format"),
            ({"timestamp_format": "yyyy"}, "timestamp_format"),
            ({"timestamp_format": "yyyy/MM/dd"}, "timestamp_format"),
        ],
    )
    def test_refuses(self, wire: Wire, stream: str, change: Json, field: str) -> None:
        schema = {"timestamp_name": "at", "timestamp_type": "String", "timestamp_format": TIMES[0]} | change
        refuses(wire, stream, "OBS", f"processing_schema.{field}", processing_schema=schema)

    @pytest.mark.parametrize("wrong", [5, "x", [1], {"timestamp_name": 5}])
    def test_refuses_wrong_types(self, wire: Wire, stream: str, wrong: object) -> None:
        refuses(wire, stream, "OBS", "processing_schema", "DIS.4300", processing_schema=wrong)


class TestDws:
    """5.5.7 tables 5-105 and 5-106."""

    def test_dws_delimiter(self, wire: Wire, stream: str) -> None:
        """design.md: the sample's empty one counts as absent, and it is mandatory."""
        for good in (",", ";", "|"):
            assert taken(wire, stream, "DWS", dws_delimiter=good)["dws_delimiter"] == good
        for bad in ("", None, REMOVE, "\n", "\t", "x", ",,"):
            refuses(wire, stream, "DWS", "dws_delimiter", dws_delimiter=bad)

    def test_dws_table_columns(self, wire: Wire, stream: str) -> None:
        for good in ("c1", "c1,c2", "c2, c1"):
            assert taken(wire, stream, "DWS", dws_table_columns=good)["dws_table_columns"] == good
        for absent in ("", None):
            assert taken(wire, stream, "DWS", dws_table_columns=absent)["dws_table_columns"] == ""
        for bad in ("c1,", ",", "c1,,c2", "c1,c1", 'c1;"drop', "x" * 64, "a\nb"):
            refuses(wire, stream, "DWS", "dws_table_columns", dws_table_columns=bad)
        refuses(wire, stream, "DWS", "dws_table_columns", "DIS.4300", dws_table_columns=["c1"])

    @pytest.mark.parametrize(
        "option", ["fill_missing_fields", "ignore_extra_data", "compatible_illegal_chars"]
    )
    def test_flags(self, wire: Wire, stream: str, option: str) -> None:
        """ "true/on" and "false/off" (default), as texts or as booleans."""
        for good, kept in (
            ("true", "true"), ("on", "true"), ("true/on", "true"), ("ON", "true"), (True, "true"), ("false", "false"),
            ("off", "false"), ("false/off", "false"), (False, "false"), ("", "false"), (None, "false"), (REMOVE, "false"),
        ):  # fmt: skip
            body: Json = {option: good} if good is not REMOVE else {}
            assert taken(wire, stream, "DWS", options=body)["options"][option] == kept
        for bad in ("yes", "1", "t"):
            refuses(wire, stream, "DWS", f"options.{option}", options={option: bad})
        refuses(wire, stream, "DWS", f"options.{option}", "DIS.4300", options={option: 1})

    def test_reject_limit(self, wire: Wire, stream: str) -> None:
        for good, kept in (
            (0, "0"),
            ("7", "7"),
            (7, "7"),
            ("unlimited", "unlimited"),
            ("", "0"),
            (None, "0"),
        ):
            assert (
                taken(wire, stream, "DWS", options={"reject_limit": good})["options"]["reject_limit"] == kept
            )
        for bad in (-1, "-1", "many", "1.5", "Unlimited!"):
            refuses(wire, stream, "DWS", "options.reject_limit", options={"reject_limit": bad})
        refuses(wire, stream, "DWS", "options.reject_limit", "DIS.4300", options={"reject_limit": 1.5})

    def test_error_table_name(self, wire: Wire, stream: str) -> None:
        shown = taken(wire, stream, "DWS", options={"error_table_name": "errors"})
        assert shown["options"]["error_table_name"] == "errors"
        refuses(wire, stream, "DWS", "options.error_table_name", options={"error_table_name": "x" * 1025})

    @pytest.mark.parametrize("absent", [None, "", {}, REMOVE])
    def test_options_may_be_absent(self, wire: Wire, stream: str, absent: object) -> None:
        assert taken(wire, stream, "DWS", options=absent)["options"] == {
            "fill_missing_fields": "false",
            "ignore_extra_data": "false",
            "compatible_illegal_chars": "false",
            "reject_limit": "0",
            "error_table_name": "",
        }

    def test_options_are_an_object(self, wire: Wire, stream: str) -> None:
        refuses(wire, stream, "DWS", "options", "DIS.4300", options=[1])


class TestMrs:
    """5.5.8 table 5-110."""

    def test_hdfs_prefix_folder(self, wire: Wire, stream: str) -> None:
        for good in ("", "a/b", "x" * 50, "with-hyphen.and.dots", "/a"):
            assert taken(wire, stream, "MRS", hdfs_prefix_folder=good)["hdfs_prefix_folder"] == good
        for bad in ("x" * 51, "../a", "a/..", "a/./b", "a:b", "a\nb"):
            refuses(wire, stream, "MRS", "hdfs_prefix_folder", hdfs_prefix_folder=bad)


class TestWhatTakesWhat:
    """limits-and-rules.md: tables need columns. The destination must be there in any case."""

    @pytest.mark.parametrize(
        ("sample", "data_type"),
        [
            ("OBS", "BLOB"), ("OBS", "CSV"), ("OBS", "JSON"), ("MRS", "BLOB"), ("MRS", "CSV"), ("MRS", "JSON"),
            ("DWS", "CSV"), ("DWS", "JSON"), ("DLI", "CSV"), ("DLI", "JSON"), ("HBASE", "JSON"), ("OPENTSDB", "JSON"),
        ],
    )  # fmt: skip
    def test_takes(self, wire: Wire, make: Make, sample: str, data_type: str) -> None:
        taken(wire, make(data_type=data_type), sample)

    @pytest.mark.parametrize(
        ("sample", "data_type"),
        [
            ("DWS", "BLOB"), ("DLI", "BLOB"), ("HBASE", "BLOB"), ("HBASE", "CSV"), ("OPENTSDB", "BLOB"),
            ("OPENTSDB", "CSV"),
        ],
    )  # fmt: skip
    def test_refuses(self, wire: Wire, make: Make, sample: str, data_type: str) -> None:
        stream = make(data_type=data_type)
        refused(create(wire, stream, body_of(sample)), "DIS.4200", naming="destination_type")


COLUMN = {"column_family_name": "cfname1", "column_name": "c", "value": "v", "type": "String"}


class TestHBase:
    """5.5.10 tables 5-118 to 5-121; what is wrong in the schema is DIS.4345."""

    def test_one_schema_of_two(self, wire: Wire, stream: str) -> None:
        other = body_of("OPENTSDB")["cloudtable_destination_descriptor"]["opentsdb_schema"]
        refuses(wire, stream, "HBASE", "cloudtable_schema", opentsdb_schema=other)
        for absent in (None, "", REMOVE):
            refuses(wire, stream, "HBASE", "cloudtable_schema", cloudtable_schema=absent)
        for unused in NO_SCHEMAS:
            taken(wire, stream, "HBASE", opentsdb_schema=unused)

    def test_cloudtable_row_key_delimiter(self, wire: Wire, stream: str) -> None:
        for good in ",.|;\\-_~":
            shown = taken(wire, stream, "HBASE", cloudtable_row_key_delimiter=good)
            assert shown["cloudtable_row_key_delimiter"] == good
        for absent in ("", None, REMOVE):
            shown = taken(wire, stream, "HBASE", cloudtable_row_key_delimiter=absent)
            assert shown["cloudtable_row_key_delimiter"] == "."
        for bad in ("/", "||", " ", "a"):
            refuses(wire, stream, "HBASE", "cloudtable_row_key_delimiter", cloudtable_row_key_delimiter=bad)

    def test_obs_backup_bucket_path(self, wire: Wire, stream: str) -> None:
        for absent in ("", None, REMOVE):
            assert taken(wire, stream, "HBASE", obs_backup_bucket_path=absent)["obs_backup_bucket_path"] == ""

    @pytest.mark.parametrize("kind", TYPES)
    def test_types(self, wire: Wire, stream: str, kind: str) -> None:
        schema: Json = {"row_key": [{"value": "k", "type": kind}], "columns": [COLUMN | {"type": kind}]}
        assert taken(wire, stream, "HBASE", cloudtable_schema=schema)["cloudtable_schema"] == schema

    def test_counts(self, wire: Wire, stream: str) -> None:
        """ "Value range: 1-64" and "1-4096"."""

        def schema(keys: int, columns: int) -> Json:
            return {
                "row_key": [{"value": "k", "type": "String"}] * keys,
                "columns": [COLUMN | {"column_name": f"c{number}"} for number in range(columns)],
            }

        for keys, columns in ((1, 1), (64, 1), (1, 4096)):
            shown = taken(wire, stream, "HBASE", cloudtable_schema=schema(keys, columns))
            assert shown["cloudtable_schema"] == schema(keys, columns)
        for keys, columns, field in (
            (0, 1, "row_key"),
            (65, 1, "row_key"),
            (1, 0, "columns"),
            (1, 4097, "columns"),
        ):
            refuses(
                wire,
                stream,
                "HBASE",
                f"cloudtable_schema.{field}",
                "DIS.4345",
                cloudtable_schema=schema(keys, columns),
            )

    @pytest.mark.parametrize(
        ("path", "value", "field"),
        [
            ("row_key", REMOVE, "row_key"),
            ("row_key", None, "row_key"),
            ("row_key__0__value", "", "row_key[0].value"),
            ("row_key__0__value", REMOVE, "row_key[0].value"),
            ("row_key__0__value", "a\n", "row_key[0].value"),
            ("row_key__0__type", "", "row_key[0].type"),
            ("row_key__0__type", "string", "row_key[0].type"),
            ("row_key__0__type", "Int", "row_key[0].type"),
            ("columns", REMOVE, "columns"),
            ("columns__1__column_family_name", "", "columns[1].column_family_name"),
            ("columns__1__column_family_name", REMOVE, "columns[1].column_family_name"),
            ("columns__1__column_name", "", "columns[1].column_name"),
            ("columns__1__column_name", "x" * 33, "columns[1].column_name"),
            ("columns__1__column_name", "a-b", "columns[1].column_name"),
            ("columns__1__column_name", REMOVE, "columns[1].column_name"),
            ("columns__1__value", "", "columns[1].value"),
            ("columns__1__type", None, "columns[1].type"),
            ("columns__1__type", "Float", "columns[1].type"),
        ],
    )
    def test_refuses(self, wire: Wire, stream: str, path: str, value: object, field: str) -> None:
        change = {f"cloudtable_schema__{path}": value}
        refuses(wire, stream, "HBASE", f"cloudtable_schema.{field}", "DIS.4345", **change)

    def test_a_body_of_objects(self, wire: Wire, stream: str) -> None:
        """A million objects are three megabytes, and hundreds once they are read: they are counted first."""
        schema: Json = {"row_key": [{}] * 1_000_000, "columns": []}
        refused(create(wire, stream, body_of("HBASE", cloudtable_schema=schema)), "DIS.4200", naming="body")

    def test_a_column_twice(self, wire: Wire, stream: str) -> None:
        schema = {"row_key": [{"value": "k", "type": "String"}], "columns": [COLUMN, COLUMN | {"value": "w"}]}
        field = "cloudtable_schema.columns[1].column_name"
        refuses(wire, stream, "HBASE", field, "DIS.4345", cloudtable_schema=schema)

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("cloudtable_schema", [1]),
            ("cloudtable_schema__row_key", {"value": "k"}),
            ("cloudtable_schema__row_key__0", "k"),
            ("cloudtable_schema__row_key__0__value", 5),
            ("cloudtable_schema__columns__0__type", 5),
        ],
    )
    def test_refuses_wrong_types(self, wire: Wire, stream: str, path: str, value: object) -> None:
        refuses(wire, stream, "HBASE", "cloudtable_schema", "DIS.4300", **{path: value})

    def test_attributes_are_those_of_the_streams_schema(self, wire: Wire, make: Make) -> None:
        """Section 7.1 of the Chinese edition: "whether the JSON attribute names exist"."""
        fields = [{"name": name, "type": "string"} for name in ("datavalue", "datavalue1", "datavalue2")]
        stream = make(
            data_type="JSON", data_schema=json.dumps({"type": "record", "name": "R", "fields": fields})
        )
        taken(wire, stream, "HBASE")
        for path, field in (
            ("row_key__0__value", "row_key[0].value"), ("columns__1__value", "columns[1].value"),
        ):  # fmt: skip
            change = {f"cloudtable_schema__{path}": "other"}
            refuses(wire, stream, "HBASE", f"cloudtable_schema.{field}", "DIS.4345", **change)
        refused(create(wire, stream, body_of("OPENTSDB")), "DIS.4348", naming="opentsdb_schema[0]")


class TestOpenTsdb:
    """5.5.10 tables 5-122 to 5-126; what is wrong in the schema is DIS.4348."""

    def test_constants_and_attributes(self, wire: Wire, stream: str) -> None:
        for good in (
            {"type": "Constant", "value": "a.b.C9"}, {"type": "String", "value": "x" * 32},
        ):  # fmt: skip
            shown = taken(wire, stream, "OPENTSDB", opentsdb_schema__0__metric=[good, good])
            assert shown["opentsdb_schema"][0]["metric"] == [good, good]

    def test_timestamps(self, wire: Wire, stream: str) -> None:
        for good in (
            *({"type": "String", "value": "at", "format": form} for form in TIMES), {"type": "Timestamp", "value": "at_1"},
        ):  # fmt: skip
            shown = taken(wire, stream, "OPENTSDB", opentsdb_schema__0__timestamp=good)
            assert shown["opentsdb_schema"][0]["timestamp"] == good
        unused: Json = {"type": "Timestamp", "value": "at", "format": ""}
        taken(wire, stream, "OPENTSDB", opentsdb_schema__0__timestamp=unused)

    @pytest.mark.parametrize("kind", TYPES)
    def test_types(self, wire: Wire, stream: str, kind: str) -> None:
        shown = taken(
            wire,
            stream,
            "OPENTSDB",
            opentsdb_schema__0__value__type=kind,
            opentsdb_schema__0__tags__0__type=kind,
        )["opentsdb_schema"][0]
        assert (shown["value"]["type"], shown["tags"][0]["type"]) == (kind, kind)

    def test_several(self, wire: Wire, stream: str) -> None:
        (one,) = body_of("OPENTSDB")["cloudtable_destination_descriptor"]["opentsdb_schema"]
        assert taken(wire, stream, "OPENTSDB", opentsdb_schema=[one] * 64)["opentsdb_schema"] == [one] * 64
        refuses(wire, stream, "OPENTSDB", "opentsdb_schema", "DIS.4348", opentsdb_schema=[one] * 65)

    @pytest.mark.parametrize(
        ("path", "value", "field"),
        [
            ("metric", REMOVE, "metric"),
            ("metric", [], "metric"),
            ("metric", [{"type": "Constant", "value": "a"}] * 65, "metric"),
            ("metric__0__type", "Bigint", "metric[0].type"),
            ("metric__0__type", REMOVE, "metric[0].type"),
            ("metric__0__value", "", "metric[0].value"),
            ("metric__0__value", "x" * 33, "metric[0].value"),
            ("metric__0__value", "a_b", "metric[0].value"),
            ("timestamp", REMOVE, "timestamp"),
            ("timestamp", None, "timestamp"),
            ("timestamp__type", "Date", "timestamp.type"),
            ("timestamp__type", REMOVE, "timestamp.type"),
            ("timestamp__value", "a.b", "timestamp.value"),
            ("timestamp__value", "x" * 33, "timestamp.value"),
            ("timestamp__format", REMOVE, "timestamp.format"),
            ("timestamp__format", "", "timestamp.format"),
            ("timestamp__format", "yyyy", "timestamp.format"),
            ("value", REMOVE, "value"),
            ("value__type", "Int", "value.type"),
            ("value__value", "", "value.value"),
            ("value__value", "a b", "value.value"),
            ("tags", REMOVE, "tags"),
            ("tags", [], "tags"),
            ("tags__0__name", "", "tags[0].name"),
            ("tags__0__name", "x" * 33, "tags[0].name"),
            ("tags__0__name", "a-b", "tags[0].name"),
            ("tags__0__type", "", "tags[0].type"),
            ("tags__0__value", "a.b", "tags[0].value"),
            ("tags", [{"name": "n", "type": "String", "value": v} for v in "ab"], "tags"),
        ],
    )
    def test_refuses(self, wire: Wire, stream: str, path: str, value: object, field: str) -> None:
        change = {f"opentsdb_schema__0__{path}": value}
        refuses(wire, stream, "OPENTSDB", f"opentsdb_schema[0].{field}", "DIS.4348", **change)

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("opentsdb_schema", {"metric": []}),
            ("opentsdb_schema", "text"),
            ("opentsdb_schema__0", [1]),
            ("opentsdb_schema__0__metric", {"type": "Constant"}),
            ("opentsdb_schema__0__timestamp", [1]),
            ("opentsdb_schema__0__value__value", 5),
            ("opentsdb_schema__0__tags__0__name", 5),
        ],
    )
    def test_refuses_wrong_types(self, wire: Wire, stream: str, path: str, value: object) -> None:
        refuses(wire, stream, "OPENTSDB", "opentsdb_schema", "DIS.4300", **{path: value})
