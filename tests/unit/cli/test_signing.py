"""The command line's own signatures: the vectors that the official SDK's code gives (clients.md 2.3, scheme A)."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.cli.signing import Signer, authorization, canonical_path, canonical_query

HEADERS = {
    "content-type": "application/json",
    "host": "127.0.0.1:8080",
    "x-project-id": "pid",
    "x-sdk-date": "20240102T030405Z",
}
PREFIX = (
    "SDK-HMAC-SHA256 Access=AKEXAMPLE, SignedHeaders=content-type;host;x-project-id;x-sdk-date, Signature="
)


@pytest.mark.parametrize(
    ("method", "target", "body", "signature"),
    [
        (
            "GET",
            b"/v2/pid/cursors?cursor-type=TRIM_HORIZON&partition-id=shardId-0000000000&stream-name=s1",
            b"",
            "4fa9fc9f5212c3cd3f3a21be00746598c9927c441cada00a609450af9b698ff1",
        ),
        (
            "POST",
            b"/v2/pid/records",
            b'{"stream_name":"s1","records":[{"data":"aGk=","partition_key":"k"}]}',
            "3e020df5460042bdfdd6f4ccaefbd3f2dfff9480077080cafe77c8754c9237d8",
        ),
    ],
)
def test_vectors(method: str, target: bytes, body: bytes, signature: str) -> None:
    made = authorization("AKEXAMPLE", "SKEXAMPLE", method=method, target=target, headers=HEADERS, body=body)
    assert made == PREFIX + signature


def test_the_path_is_decoded_and_encoded_again_and_ends_in_a_slash() -> None:
    assert canonical_path(b"/v2/a%20b/%7Bx%7D/~c") == "/v2/a%20b/%7Bx%7D/~c/"
    assert canonical_path(b"/v2/") == "/v2/"


def test_the_query_is_sorted_and_a_bare_name_has_an_empty_value() -> None:
    assert canonical_query(b"b=2&a=%7e+&&c") == "a=~%2B&b=2&c="


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8), max_size=4))
def test_what_httpx_sends_signs_as_what_was_meant(query: dict[str, str]) -> None:
    sent = httpx.Request("GET", "http://h/v2/p/streams", params=query)
    meant = httpx.QueryParams(dict(sorted(query.items())))
    again = httpx.Request("GET", "http://h/v2/p/streams", params=meant)
    assert canonical_query(sent.url.query) == canonical_query(again.url.query)


def test_the_signer_signs_the_body_that_is_sent() -> None:
    seen: list[httpx.Request] = []

    def reply(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    with httpx.Client(transport=httpx.MockTransport(reply), auth=Signer("AK", "SK")) as client:
        client.post("http://h:1/v2/p/records?a=1", json={"x": "é"}, headers={"X-Project-Id": "p"})
    request = seen[0]
    names = ("content-type", "host", "x-project-id", "x-sdk-date")
    expected = authorization(
        "AK",
        "SK",
        method="POST",
        target=b"/v2/p/records?a=1",
        headers={name: request.headers[name] for name in names},
        body=request.content,
    )
    assert request.headers["authorization"] == expected
    assert request.headers["host"] == "h:1"
