"""Settings: where they come from, which wins, and what is said about a wrong one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.config import (
    KEYS,
    Address,
    ConfigError,
    Settings,
    Sync,
    load,
    parse_address,
    parse_sync,
)
from penstock.limits import PROFILES


def configured(
    overrides: dict[str, Any] | None = None,
    *,
    environ: dict[str, str] | None = None,
    file: Path | None = None,
) -> Settings:
    return load(overrides or {}, file=file, environ=environ or {})


def refused(
    overrides: dict[str, Any] | None = None,
    *,
    environ: dict[str, str] | None = None,
    file: Path | None = None,
) -> str:
    with pytest.raises(ConfigError) as caught:
        configured(overrides, environ=environ, file=file)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def toml(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        path = tmp_path / "penstock.toml"
        path.write_text(text)
        return path

    return write


def test_defaults() -> None:
    settings = configured()
    assert settings == Settings(data=Path("data"))
    assert str(settings.listen) == "127.0.0.1:20004"
    assert settings.sync == Sync("always")
    assert settings.limits_profile == "documented"
    assert settings.auth
    assert settings.manage is None


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(toml: Any) -> None:
    file = toml('[server]\ndata = "from-file"\nworkers = 2\nregion = "eu"\n')
    environ = {"PENSTOCK_DATA": "from-environment", "PENSTOCK_WORKERS": "3"}
    settings = configured({"data": Path("from-line"), "workers": None}, environ=environ, file=file)
    assert settings.data == Path("from-line")
    assert settings.workers == 3
    assert settings.region == "eu"


def test_every_key_can_be_set_in_the_file_and_in_the_environment(toml: Any, tmp_path: Path) -> None:
    (tmp_path / "cert.pem").touch()
    values = {
        "data": str(tmp_path / "d"),
        "listen": "127.0.0.2:1",
        "manage": "127.0.0.3:2",
        "limits": "relaxed",
        "sync": "interval:50ms",
        "workers": "4",
        "auth": "off",
        "tls_cert": str(tmp_path / "cert.pem"),
        "tls_key": str(tmp_path / "cert.pem"),
        "log_level": "warning",
        "access_log": str(tmp_path / "access.log"),
        "access_log_fields": "on",
        "region": "cn-north-1",
        "time_zone": "Asia/Shanghai",
    }
    # Several workers have no test controls; those are set below.
    assert values.keys() | {"test_controls"} == KEYS.keys()
    from_file = configured(
        file=toml("[server]\n" + "".join(f'{key} = "{value}"\n' for key, value in values.items()))
    )
    from_environment = configured(environ={f"PENSTOCK_{key.upper()}": value for key, value in values.items()})
    from_line = configured(values)
    assert from_file == from_environment == from_line
    default = configured()
    elsewhere = {"destinations", "external", "events_allow_private", "test_controls"}
    for field in set(Settings.__struct_fields__) - elsewhere:
        assert getattr(from_file, field) != getattr(default, field), f"{field} was not set"


@pytest.mark.parametrize("zone", ["Nowhere/Else", "", "../etc/passwd", "UTC\0"])
def test_a_time_zone_that_does_not_exist(zone: str) -> None:
    with pytest.raises(ConfigError, match="time zone"):
        configured({"time_zone": zone})


def test_test_controls(toml: Any) -> None:
    assert not configured().test_controls
    assert configured(file=toml("[server]\ntest_controls = true\n")).test_controls
    assert configured(environ={"PENSTOCK_TEST_CONTROLS": "on"}).test_controls
    with pytest.raises(ConfigError, match="one worker"):
        configured({"test_controls": "on", "workers": 2})
    with pytest.raises(ConfigError, match="loopback --manage"):
        configured({"test_controls": "on", "manage": "0.0.0.0:1"})


def test_events_have_a_table_of_their_own(toml: Any) -> None:
    assert configured().events_allow_private is False
    assert configured(file=toml("[events]\nallow_private = true\n")).events_allow_private is True
    assert configured(environ={"PENSTOCK_EVENTS_ALLOW_PRIVATE": "on"}).events_allow_private is True
    with pytest.raises(ConfigError, match="allow_private = 7 is not on or off"):
        configured(file=toml("[events]\nallow_private = 7\n"))
    with pytest.raises(ConfigError, match=r"\[events\] private is not a setting; there are allow_private"):
        configured(file=toml("[events]\nprivate = true\n"))


def test_an_empty_variable_says_nothing() -> None:
    assert configured(environ={"PENSTOCK_LISTEN": "", "PENSTOCK_CONFIG": ""}) == configured()


def test_a_variable_may_name_the_file(toml: Any) -> None:
    file = toml("[server]\nworkers = 5\n")
    assert configured(environ={"PENSTOCK_CONFIG": str(file)}).workers == 5


def test_single_limits(toml: Any) -> None:
    settings = configured(file=toml("[limits]\nrecord_bytes = 1000\n[limits.common]\nwrite_records = 7\n"))
    assert settings.limits.record_bytes == 1000
    assert settings.limits.common.write_records == 7
    assert settings.limits.common.write_bytes == PROFILES["documented"].common.write_bytes


def test_single_limits_on_top_of_a_profile(toml: Any) -> None:
    settings = configured({"limits": "relaxed"}, file=toml("[limits]\nstreams_per_project = 3\n"))
    assert settings.limits.streams_per_project == 3
    assert settings.limits.common == PROFILES["relaxed"].common


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server]\nlisten = 20004\n", "[server] listen = '20004' is not HOST:PORT"),
        (
            "[server]\nport = 1\n",
            "[server] port is not a setting; there are access_log, access_log_fields, auth, data,",
        ),
        ("[sever]\nworkers = 1\n", "[sever] is not a table of the configuration"),
        ("server = 1\n", "server is not a table; write [server]"),
        ("limits = 1\n", "limits is not a table; write [limits]"),
        ("[limits]\nnonsense = 1\n", "[limits]: Object contains unknown field `nonsense`"),
        ("[limits]\nrecord_bytes = 0\n", "[limits] record_bytes must be greater than 0"),
        ("[limits]\nrecord_bytes = 'much'\n", "[limits]: Expected `int`, got `str` - at `$.record_bytes`"),
        ("[server\n", "penstock.toml: "),
        ("[server]\ndata = 5\n", "data = 5 is not a path"),
        ("[server]\nworkers = true\n", "workers = True is not a whole number from 1 to 64"),
        ("[server]\nregion = 'a b'\n", "region = 'a b' is not a region name"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(toml: Any, text: str, said: str) -> None:
    assert said in refused(file=toml(text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert (
        refused(file=tmp_path / "none.toml")
        == f"--config {tmp_path / 'none.toml'}: No such file or directory"
    )


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("listen", "localhost", "--listen 'localhost' is not HOST:PORT, such as 127.0.0.1:20004"),
        ("listen", "127.0.0.1:65536", "--listen '127.0.0.1:65536' is not HOST:PORT"),
        ("listen", "127.0.0.1:-1", "is not HOST:PORT"),
        ("listen", "127.0.0.1:", "is not HOST:PORT"),
        ("manage", "9", "--manage '9' is not HOST:PORT"),
        ("limits", "strict", "--limits 'strict' is not one of documented, relaxed"),
        ("sync", "never", "--sync 'never' is not always, interval:50ms (any number of milliseconds) or os"),
        ("sync", "interval:0ms", "--sync 'interval:0ms'"),
        ("sync", "interval:5s", "--sync 'interval:5s'"),
        ("workers", 0, "--workers 0 is not a whole number from 1 to 64"),
        ("workers", 65, "--workers 65"),
        ("workers", "٣", "--workers '٣'"),
        ("auth", "maybe", "--auth 'maybe' is not on or off"),
        ("log_level", "loud", "--log-level 'loud' is not one of debug, info, warning, error"),
        ("tls_cert", "x.pem", "--tls-cert and --tls-key go together; `penstock cert` makes a pair"),
        ("tls_key", "x.pem", "--tls-cert and --tls-key go together"),
    ],
)
def test_a_wrong_option_is_named(key: str, value: object, said: str) -> None:
    assert said in refused({key: value})


def test_a_wrong_variable_is_named() -> None:
    assert refused(environ={"PENSTOCK_WORKERS": "many"}).startswith(
        "PENSTOCK_WORKERS 'many' is not a whole number"
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "[::1]"])
def test_without_authentication_on_loopback(host: str) -> None:
    assert not configured({"auth": "off", "listen": f"{host}:0"}).auth


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.0.2.1", "example.com", "127.example.com"])
def test_without_authentication_nowhere_else(host: str) -> None:
    assert "--auth off serves only loopback addresses" in refused({"auth": "off", "listen": f"{host}:20004"})


def test_certificates_must_exist(tmp_path: Path) -> None:
    (tmp_path / "c").touch()
    said = refused({"tls_cert": tmp_path / "c", "tls_key": tmp_path / "k"})
    assert said == f"--tls-key {tmp_path / 'k'}: there is no such file"


def test_the_data_must_not_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    assert refused({"data": tmp_path / "data"}) == f"--data {tmp_path / 'data'} is not a directory"


@given(st.ip_addresses(), st.integers(0, 65535))
def test_an_address_reads_back_as_it_prints(host: Any, port: int) -> None:
    address = Address(str(host), port)
    assert parse_address(str(address)) == address


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        address = parse_address(text)
    except ConfigError:
        return
    assert 0 <= address.port <= 65535
    assert address.host


@given(
    st.sampled_from([Sync("always"), Sync("os")])
    | st.builds(Sync, st.just("interval"), st.integers(1, 999_999))
)
def test_a_sync_mode_reads_back_as_it_prints(sync: Sync) -> None:
    assert parse_sync(str(sync)) == sync
