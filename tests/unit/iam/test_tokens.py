"""Tokens: what they carry, how long they hold, and that nothing but the exact text passes."""

from __future__ import annotations

import base64
import string

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.iam.refused import Refused
from penstock.iam.tokens import TOKEN_BYTES, Claims, Tokens

NOW = 1_700_000_000_000
KEY = b"k" * 32
CLAIMS = Claims(
    user_id="u" * 32,
    domain_id="d" * 32,
    project_id="p" * 64,
    domain_scope=False,
    methods=("password", "token"),
    issued_ms=NOW,
    expires_ms=NOW + 86_400_000,
    audit_id="a" * 16,
)

texts = st.text(max_size=40)
claims = st.builds(
    Claims,
    user_id=texts,
    domain_id=texts,
    project_id=st.none() | texts,
    domain_scope=st.booleans(),
    methods=st.lists(st.sampled_from(["password", "token"]), max_size=2).map(tuple),
    issued_ms=st.just(NOW),
    expires_ms=st.integers(NOW + 1, 1 << 53),
    audit_id=texts,
)


def read(token: bytes, now_ms: int = NOW, key: bytes = KEY) -> Claims:
    return Tokens(key).read(token, now_ms=now_ms, skew_seconds=900)


@given(claims)
def test_round_trip(value: Claims) -> None:
    text = Tokens(KEY).write(value)
    assert set(text) <= set(string.ascii_letters + string.digits + "-_.")
    assert read(text.encode()) == value


def test_a_token_of_the_longest_names_is_under_one_kilobyte() -> None:
    assert len(Tokens(KEY).write(CLAIMS)) < TOKEN_BYTES


def test_expires_on_the_millisecond() -> None:
    token = Tokens(KEY).write(CLAIMS).encode()
    assert read(token, CLAIMS.expires_ms - 1) == CLAIMS
    for late in (0, 1, 10**12):
        with pytest.raises(Refused, match="expired") as refused:
            read(token, CLAIMS.expires_ms + late)
        assert not refused.value.counts


def test_a_token_of_the_future_is_refused() -> None:
    token = Tokens(KEY).write(CLAIMS).encode()
    assert read(token, NOW - 900_000) == CLAIMS
    with pytest.raises(Refused, match="future"):
        read(token, NOW - 900_001)


def test_no_character_can_be_changed_added_or_left_out() -> None:
    token = Tokens(KEY).write(CLAIMS)
    alphabet = string.ascii_letters + string.digits + "-_.=+/ "
    for index, old in enumerate(token):
        for new in alphabet:
            if new != old:
                with pytest.raises(Refused):
                    read((token[:index] + new + token[index + 1 :]).encode())
        with pytest.raises(Refused):
            read((token[:index] + token[index + 1 :]).encode())
        with pytest.raises(Refused):
            read((token[:index] + old + token[index:]).encode())
    for wrong in (token + "=", token + "A", " " + token, token.upper(), token.lower()):
        with pytest.raises(Refused):
            read(wrong.encode())


def test_of_another_server() -> None:
    token = Tokens(b"other" * 8).write(CLAIMS).encode()
    with pytest.raises(Refused, match="not a token of this server"):
        read(token)


def test_payload_of_one_token_under_the_mac_of_another() -> None:
    one, two = (
        Tokens(KEY).write(msgspec.structs.replace(CLAIMS, project_id=project)).split(".")
        for project in ("p1", "p2")
    )
    with pytest.raises(Refused):
        read(".".join([one[0], one[1], two[2]]).encode())


@given(st.binary(max_size=200))
def test_anything_else_is_refused(junk: bytes) -> None:
    payload = base64.urlsafe_b64encode(junk).rstrip(b"=")
    for token in (junk, b"pst1." + junk, b"pst1." + payload + b"." + b"A" * 43):
        with pytest.raises(Refused):
            read(token)


def test_a_payload_of_another_release_is_refused() -> None:
    tokens = Tokens(KEY)
    payload = base64.urlsafe_b64encode(msgspec.msgpack.encode(["only", 2])).rstrip(b"=")
    text = b"pst1." + payload
    with pytest.raises(Refused, match="another release"):
        tokens.read(text + b"." + tokens._mac(text), now_ms=NOW, skew_seconds=900)
