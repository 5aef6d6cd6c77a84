"""Destinations in the configuration: keys, `env:` and `file:` values, which entry answers, and errors that name the entry."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.config import ConfigError, Settings, decode_settings, encode_settings, load
from penstock.destinations import Destinations, cluster

ALL = """
[[obs]]
bucket = "lake"
endpoint = "http://127.0.0.1:7070"
region = "cn-north-1"
access_key = "env:LAKE_KEY"
secret_key = "env:LAKE_SECRET"
agencies = ["dis_admin_agency"]

[[obs]]
bucket = "*"
folder = "/srv/lake"

[[dws]]
cluster_id = "f82dc227-3691-47eb-bca7-e7851f509b2a"
cluster_name = "dwscluster"
host = "127.0.0.1"
port = 5432

[[mrs]]
cluster_id = "m1"
cluster_name = "mrscluster"
webhdfs = "http://127.0.0.1:9870"
user = "hdfs"

[[dli]]
catalog = "rest"
uri = "http://127.0.0.1:19120/iceberg"
warehouse = "warehouse"

[[cloudtable]]
cluster_id = "c1"
cluster_name = "cloudtablecluster"
hbase_rest = "http://127.0.0.1:8080"
opentsdb = "http://127.0.0.1:4242"

[[kms]]
key_id = "1e759f06-9188-4d21-afab-a75e57c04d2b"
key_name = "kmskey"
secret = "file:kms.key"
"""
ENVIRON = {"LAKE_KEY": "AK", "LAKE_SECRET": "SK-in-clear"}


def settings_of(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    file = tmp_path / "penstock.toml"
    file.write_text(text)
    (tmp_path / "kms.key").write_text("the key\n")
    return load({}, file=file, environ=ENVIRON if environ is None else environ)


def read(tmp_path: Path, text: str) -> Destinations:
    return settings_of(tmp_path, text).destinations


def test_takes_every_documented_key(tmp_path: Path) -> None:
    found = read(tmp_path, ALL)
    lake, rest = found.obs
    assert (lake.bucket, lake.endpoint, lake.region) == ("lake", "http://127.0.0.1:7070", "cn-north-1")
    assert (lake.access_key, lake.secret_key) == ("AK", "SK-in-clear")
    assert lake.agencies == ("dis_admin_agency",)
    assert rest.folder == "/srv/lake"
    assert (found.dws[0].host, found.dws[0].port) == ("127.0.0.1", 5432)
    assert (found.mrs[0].webhdfs, found.mrs[0].user) == ("http://127.0.0.1:9870", "hdfs")
    assert (found.dli[0].catalog, found.dli[0].uri, found.dli[0].warehouse) == (
        "rest", "http://127.0.0.1:19120/iceberg", "warehouse",
    )  # fmt: skip
    assert found.cloudtable[0].hbase_rest == "http://127.0.0.1:8080"
    assert found.cloudtable[0].opentsdb == "http://127.0.0.1:4242"
    assert found.kms[0].secret == "the key"


def test_without_any_there_are_none(tmp_path: Path) -> None:
    assert read(tmp_path, "[server]\nworkers = 2\n") == Destinations()
    assert load({}, environ={}).destinations == Destinations()


def test_the_first_entry_that_matches_wins(tmp_path: Path) -> None:
    found = read(tmp_path, ALL)
    assert found.bucket("lake") is found.obs[0]
    assert found.bucket("other") is found.obs[1]
    assert Destinations().bucket("lake") is None
    swapped = Destinations(obs=found.obs[::-1])
    assert swapped.bucket("lake") is found.obs[1]


def test_clusters_and_keys_are_found_by_id_and_name(tmp_path: Path) -> None:
    """DIS.4208 and its like: "Ensure that the cluster name and ID are correct"."""
    found = read(tmp_path, ALL)
    assert cluster(found.mrs, "m1", "mrscluster") is found.mrs[0]
    assert cluster(found.mrs, "m1", "other") is None
    assert cluster(found.mrs, "other", "mrscluster") is None
    assert found.key("1e759f06-9188-4d21-afab-a75e57c04d2b", "kmskey") is found.kms[0]
    assert found.key("1e759f06-9188-4d21-afab-a75e57c04d2b", "other") is None
    unnamed = read(tmp_path, '[[mrs]]\ncluster_id = "m1"\nwebhdfs = "http://h"\n')
    assert cluster(unnamed.mrs, "m1", "any name") is unnamed.mrs[0]


def test_agencies_of_an_entry(tmp_path: Path) -> None:
    lake, rest = read(tmp_path, ALL).obs
    assert lake.admits("dis_admin_agency", "acme")
    assert not lake.admits("other", "acme")
    assert rest.admits("anything", "acme")
    (one,) = read(tmp_path, '[[obs]]\nbucket = "b"\nfolder = "/x"\nagencies = ["acme/a"]\n').obs
    assert one.admits("a", "acme")
    assert not one.admits("a", "other")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('obs = "x"\n', "obs is an array of tables"),
        ("[obs]\n", "obs is an array of tables; write [[obs]]"),
        ("obs = [1]\n", "[[obs]] number 1 is not a table"),
        ('[[obs]]\nfolder = "/x"\n', "[[obs]] number 1: Object missing required field `bucket`"),
        ('[[obs]]\nbucket = ""\nfolder = "/x"\n', "[[obs]] number 1: bucket is empty"),
        ('[[obs]]\nbucket = "b"\n', "number 1: one of endpoint and folder"),
        ('[[obs]]\nbucket = "b"\nfolder = "/x"\nendpoint = "http://h"\n', "one of endpoint and folder"),
        ('[[obs]]\nbucket = "b"\nfolder = "x"\n', "folder x is not an absolute path"),
        ('[[obs]]\nbucket = "b"\nfolder = "/x"\nkey = "a"\n', "contains unknown field `key`"),
        ('[[obs]]\nbucket = "b"\nendpoint = "h:1"\n', "[[obs]] number 1: endpoint is not http://HOST:PORT"),
        ('[[obs]]\nbucket = "b"\nendpoint = "http://h:x"\n', "number 1: endpoint: Port could not be cast"),
        ('[[obs]]\nbucket = "b"\nendpoint = "http://h"\naccess_key = "a"\n', "go together"),
        ('[[obs]]\nbucket = "a"\nfolder = "/x"\n[[obs]]\nbucket = 5\n', "[[obs]] number 2: Expected `str`"),
        ('[[obs]]\nbucket = "env:NONE"\nfolder = "/x"\n', "number 1: bucket: the environment has no NONE"),
        ('[[obs]]\nbucket = "file:none.txt"\nfolder = "/x"\n', "none.txt: No such file"),
        ('[[obs]]\nbucket = "b"\nfolder = "/x"\nagencies = ["env:NONE"]\n', "agencies: the environment has no"),
        ('[[dws]]\ncluster_id = "a"\n', "[[dws]] number 1: Object missing required field `host`"),
        ('[[dws]]\ncluster_id = "a"\nhost = "h"\nport = 0\n', "port 0 is outside 1 to 65535"),
        ('[[dws]]\ncluster_id = "a"\nhost = "h"\nport = "5432"\n', "[[dws]] number 1: Expected `int`"),
        ('[[mrs]]\ncluster_id = "a"\nwebhdfs = "ftp://h"\n', "webhdfs is not http://HOST:PORT"),
        ('[[dli]]\ncatalog = "hive"\n', "[[dli]] number 1: Invalid enum value 'hive'"),
        ('[[dli]]\ncatalog = "rest"\n', "[[dli]] number 1: uri is not http://HOST:PORT"),
        ('[[dli]]\nuri = "mysql://h"\n', "uri is neither sqlite:///PATH nor postgresql://"),
        ('[[cloudtable]]\ncluster_id = "a"\n', "hbase_rest, opentsdb or both"),
        ('[[kms]]\nkey_id = "a"\nkey_name = "n"\n', "[[kms]] number 1: Object missing required field `secret`"),
        ('[[s3]]\nbucket = "a"\n', "[s3] is not a table of the configuration"),
    ],
)  # fmt: skip
def test_errors_name_the_entry(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_of(tmp_path, text)
    assert message in str(caught.value)
    assert "penstock.toml" in str(caught.value)


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, ALL)
    assert "SK-in-clear" not in repr(settings)
    assert "the key" not in repr(settings)
    assert "lake" in repr(settings)


def test_processes_that_answer_requests_get_none(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, ALL)
    values = encode_settings(settings)
    assert "SK-in-clear" not in repr(values)
    assert decode_settings(values).destinations == Destinations()
