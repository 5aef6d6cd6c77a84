"""Signatures: the published vectors (clients.md 2.3), what may be signed otherwise, and how requests are refused."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import signing
from tests.support.captures import request
from tests.support.signing import VARIANTS, Variant

from penstock.iam import signature
from penstock.iam.base import SentRequest
from penstock.iam.refused import Refused

AK, SK = "AKEXAMPLE", "SKEXAMPLE"
NOW = 1_704_164_645_000  # 20240102T030405Z
GET = "/v2/pid/cursors?cursor-type=TRIM_HORIZON&partition-id=shardId-0000000000&stream-name=s1"
POST = "/v2/pid/records"
BODY = b'{"stream_name":"s1","records":[{"data":"aGk=","partition_key":"k"}]}'

VECTORS: list[tuple[Variant, str, str, bytes, str]] = [
    ("A", "GET", GET, b"", "4fa9fc9f5212c3cd3f3a21be00746598c9927c441cada00a609450af9b698ff1"),
    ("A", "POST", POST, BODY, "3e020df5460042bdfdd6f4ccaefbd3f2dfff9480077080cafe77c8754c9237d8"),
    ("B", "GET", GET, b"", "42d492a27843bb2781df7bf548707ff0075c91492913876d7d6f36f742e67c86"),
    ("B", "POST", POST, BODY, "2e5902e6a43381c7a323ab3a23a8cef41a40af863ae897ff9e18f3f08beddfed"),
    ("C", "GET", GET, b"", "ba9c4419adbe569b10fc174d690a8fe4d523e5f4b6f0f5a92be8490a78ed5cb0"),
    ("C", "POST", POST, BODY, "8c744d2a16ab03451c0e4aaae77b27841fcea8f752b74c6ffdf84e2cd9da5ac6"),
    ("D", "GET", GET, b"", "e250aec347ae1e29dd2a58c5d6ef58a15039f302b2881a4750501c9c2e84de15"),
    ("D", "POST", POST, BODY, "13955e7d532ab12c3160c278bdcfe67e9394f011ad9aa684ac9977c736da8424"),
]


def check(sent: SentRequest, *, secret: bytes | None = SK.encode(), now_ms: int = NOW) -> None:
    value = next(value for name, value in sent.headers if name == b"authorization")
    signature.verify(
        sent, signature.parse(value), secret, signature.SigningKeys(), now_ms=now_ms, skew_seconds=900
    )


def reason(sent: SentRequest, **known: object) -> str:
    with pytest.raises(Refused) as refused:
        check(sent, **known)  # type: ignore[arg-type]
    return refused.value.reason


def signed(
    variant: Variant, method: str, target: str, headers: dict[str, str], body: bytes = b"", **more: object
) -> SentRequest:
    fields = signing.sign(
        variant,
        method,
        target,
        headers,
        body,
        access_key=AK,
        secret_key=SK,
        now_ms=NOW,
        **more,  # type: ignore[arg-type]
    )
    return request(method, target, fields, body)


@pytest.mark.parametrize(("variant", "method", "target", "body", "expected"), VECTORS)
def test_published_vectors(variant: Variant, method: str, target: str, body: bytes, expected: str) -> None:
    scope = {"A": "Access=AKEXAMPLE", "B": "Credential=AKEXAMPLE/20240102/region1/dis"}.get(
        variant, "Credential=AKEXAMPLE/20240102/region1/dis/sdk_request"
    )
    algorithm = "SDK-HMAC-SHA256" if variant in "AC" else "V11-HMAC-SHA256"
    if variant in "AB":
        names = "content-type;host;x-project-id;x-sdk-date"
        sent = [("Content-Type", "application/json"), ("X-Project-Id", "pid"), ("Host", "127.0.0.1:8080")]
    else:
        names = "host;x-sdk-date"
        sent = [("Host", "127.0.0.1:8080")]
    sent.append(("X-Sdk-Date", "20240102T030405Z"))
    sent.append(("Authorization", f"{algorithm} {scope}, SignedHeaders={names}, Signature={expected}"))
    check(request(method, target, sent, body))


def test_derived_secret_vector() -> None:
    derived = signature.derive(b"V11-HMAC-SHA256", AK, SK.encode(), b"20240102/region1/dis")
    assert derived == b"5f5917a6321e87d181d1262456ead2fb413ffde58c74fdcb4565a2ce641d0e82"


# What is sent and what is signed, for any names and values

text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
pieces = st.text("abcXYZ019-_.~%/+=* é!'()$,:;@\"<>\\^`{|}", max_size=10)
values = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
header_names = st.sampled_from(["content-type", "host", "user-agent", "x-project-id", "accept", "x-language"])


@given(
    variant=st.sampled_from(VARIANTS),
    segments=st.lists(text, max_size=5),
    pairs=st.lists(st.tuples(text.filter(bool), text), max_size=5),
    headers=st.dictionaries(header_names, values, max_size=5),
    body=st.binary(max_size=64),
    slash=st.booleans(),
)
def test_any_encoded_request_verifies(
    variant: Variant,
    segments: list[str],
    pairs: list[tuple[str, str]],
    headers: dict[str, str],
    body: bytes,
    slash: bool,
) -> None:
    target = "/" + "/".join(signing.encode(segment) for segment in segments) + ("/" if slash else "")
    target += "?" + "&".join(f"{signing.encode(name)}={signing.encode(value)}" for name, value in pairs)
    sent = signed(variant, "POST", target, headers, body)
    check(sent)
    with pytest.raises(Refused):
        check(sent, secret=b"another")


@given(path=pieces, query=pieces)
def test_any_raw_target_is_read_as_the_signer_reads_it(path: str, query: str) -> None:
    raw_path = b"/" + path.encode("latin-1")
    canonical = signing.canonical_request("GET", f"/{path}?{query}", [], b"").split("\n")
    assert signature.canonical_path(raw_path).decode() == canonical[1]
    pairs = signature.query_pairs(query.encode("latin-1"))
    assert signature.canonical_query(pairs).decode() == canonical[2]


@given(st.binary(max_size=40))
def test_canonical_path_is_its_own_canonical_path(raw: bytes) -> None:
    once = signature.canonical_path(b"/" + raw)
    assert signature.canonical_path(once) == once
    assert once.endswith(b"/")


@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_any_authorization_is_parsed_or_refused(value: bytes) -> None:
    for text_ in (value, b"SDK-HMAC-SHA256 " + value, b"V11-HMAC-SHA256 Credential=" + value):
        try:
            parsed = signature.parse(text_)
        except Refused:
            continue
        assert parsed.access_key


# Forms some clients sign otherwise


@pytest.mark.parametrize("variant", VARIANTS)
def test_host_signed_without_its_port(variant: Variant) -> None:
    check(signed(variant, "GET", GET, {"Host": "127.0.0.1:8080"}, signed_host="127.0.0.1"))
    assert "wrong" in reason(signed(variant, "GET", GET, {"Host": "127.0.0.1:8080"}, signed_host="127.0.0.2"))


@pytest.mark.parametrize("signed_host", ["dis.example", "dis.example:443"])
def test_host_a_proxy_was_asked_for(signed_host: str) -> None:
    headers = {"Host": "10.0.0.7:20004", "X-Forwarded-Host": "dis.example:443, inner"}
    check(signed("A", "GET", GET, headers, signed=["host"], signed_host=signed_host))


def test_port_of_an_ipv6_host() -> None:
    check(signed("C", "GET", GET, {"Host": "[::1]:8080"}, signed_host="[::1]"))


def test_empty_value_signed_as_a_bare_name() -> None:
    check(signed("C", "GET", "/v2/p/x?start_time=&end_time=&label=a", {"Host": "h"}, bare_empty=True))
    check(signed("C", "GET", "/v2/p/x?start_time=&end_time&label=a", {"Host": "h"}))


def test_query_sorted_by_name_before_encoding() -> None:
    # As text `a-=2` sorts before `a=1`; by name `a` comes first.
    canonical = (
        "GET\n/x/\na=1&a-=2\nx-sdk-date:20240102T030405Z\n\nx-sdk-date\n" + hashlib.sha256(b"").hexdigest()
    )
    value = signing.signature("A", canonical, AK, SK, "20240102T030405Z", "")
    fields = [
        ("X-Sdk-Date", "20240102T030405Z"),
        ("Authorization", f"SDK-HMAC-SHA256 Access={AK}, SignedHeaders=x-sdk-date, Signature={value}"),
    ]
    check(request("GET", "/x?a-=2&a=1", fields))


def test_inner_spaces_trimmed_or_kept() -> None:
    for value in ("one two", "one  two"):
        fields = signing.sign(
            "A", "GET", GET, {"User-Agent": value}, access_key=AK, secret_key=SK, now_ms=NOW
        )
        wire = [("User-Agent", "  one  two "), *fields[1:]]
        check(request("GET", GET, wire))


def test_unsigned_payload_only_when_signed_so() -> None:
    headers = {"Content-Type": "text/plain", "X-Sdk-Content-Sha256": "UNSIGNED-PAYLOAD"}
    check(signed("A", "POST", POST, headers, BODY, payload="UNSIGNED-PAYLOAD"))
    check(signed("A", "POST", POST, headers, BODY))  # the real hash is good as well
    plain = {"Content-Type": "text/plain"}
    assert "wrong" in reason(signed("A", "POST", POST, plain, BODY, payload="UNSIGNED-PAYLOAD"))


def test_constant_content_hash_of_the_go_client_is_no_payload_hash() -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    headers = {"Host": "h", "X-Sdk-Content-Sha256": empty}
    check(signed("C", "POST", POST, headers, BODY))
    assert "wrong" in reason(signed("C", "POST", POST, headers, BODY, payload=empty))


def test_only_the_date_has_to_be_signed() -> None:
    check(signed("A", "GET", GET, {"Host": "h", "X-Project-Id": "pid"}, signed=[]))


def test_empty_scope_parts() -> None:
    check(signed("C", "GET", GET, {"Host": "h"}, region="", service=""))


def test_a_path_prefix_is_signed_too() -> None:
    sent = signed("C", "GET", "/proxied/dis" + GET, {"Host": "h"})
    check(sent)
    sent.path = sent.path.removeprefix(b"/proxied/dis")
    assert "wrong" in reason(sent)


# Refusals

GOOD = "SDK-HMAC-SHA256 Access=AKEXAMPLE, SignedHeaders=host;x-sdk-date, Signature=" + "a" * 64
SCOPED = (
    "SDK-HMAC-SHA256 Credential=AK/20240102/r/dis/sdk_request, SignedHeaders=x-sdk-date, Signature="
    + "a" * 64
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", "does not start with"),
        ("Basic YTpi", "does not start with"),
        ("Bearer " + "a" * 64, "does not start with"),
        ("sdk-hmac-sha256 x", "does not start with"),
        ("SDK-HMAC-SHA256", "each once"),
        ("SDK-HMAC-SHA256\tAccess=a", "does not start with"),
        (GOOD.replace(", ", "; "), "no SignedHeaders"),
        (GOOD.replace(", ", " "), "no SignedHeaders"),
        (GOOD.replace("Access=AKEXAMPLE, ", ""), "one of Access and Credential"),
        (GOOD.replace("AKEXAMPLE", ""), "no access key"),
        (GOOD.replace("Access=AKEXAMPLE", "Access"), "each once"),
        (GOOD.replace("SignedHeaders=host;x-sdk-date, ", ""), "no SignedHeaders"),
        (GOOD.partition(", Signature")[0], "no Signature"),
        (GOOD + ", Signature=" + "b" * 64, "each once"),
        (GOOD + ", Access=AKOTHER", "each once"),
        (GOOD + ", Extra=1", "each once"),
        (GOOD + ",", "each once"),
        (GOOD[:-1], "64 hexadecimal digits"),
        (GOOD[:-1] + "g", "64 hexadecimal digits"),
        (GOOD.replace("host;", ""), ""),
        (GOOD.replace(";x-sdk-date", ""), "does not list x-sdk-date"),
        (GOOD.replace("host;", "host;host;"), "names a header twice"),
        (GOOD.replace("host;", "host;HOST;"), "names a header twice"),
        (GOOD.replace("host;", "host;;"), "not a list"),
        (GOOD.replace("host;", "ho st;"), "not a list"),
        (GOOD.replace("SDK-", "V11-"), "goes with Credential"),
        (SCOPED, ""),
        (SCOPED.replace("/sdk_request", ""), "Credential is not"),
        (SCOPED.replace("/sdk_request", "/aws4_request"), "Credential is not"),
        (SCOPED.replace("/r/", "/r/r/"), "Credential is not"),
        (SCOPED.replace("AK/", "/"), "no access key"),
        (SCOPED.replace("/r/", "/" + "r" * 300 + "/"), "longer than"),
        (SCOPED.replace("SDK-", "V11-").replace("/sdk_request", ""), ""),
    ],
)
def test_malformed_authorization(value: str, expected: str) -> None:
    if not expected:
        signature.parse(value.encode())
        return
    with pytest.raises(Refused) as refused:
        signature.parse(value.encode())
    assert expected in refused.value.reason


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("20240102T031906Z", "900 seconds"),
        ("20240102T024904Z", "900 seconds"),
        ("2024-01-02T03:04:05Z", "yyyymmddThhmmssZ"),
        ("20241302T030405Z", "yyyymmddThhmmssZ"),
        ("20240102T030460Z", "yyyymmddThhmmssZ"),
        ("20240102T030405", "yyyymmddThhmmssZ"),
        ("٢٠٢٤0102T030405Z".encode().decode("latin-1"), "yyyymmddThhmmssZ"),
        ("", "yyyymmddThhmmssZ"),
        ("99991231T235959Z", "900 seconds"),
        ("00010101T000000Z", "900 seconds"),
    ],
)
def test_dates(date: str, expected: str) -> None:
    sent = request("GET", "/x", [("Host", "h"), ("X-Sdk-Date", date), ("Authorization", GOOD)])
    assert expected in reason(sent)


def test_scope_of_another_day() -> None:
    sent = request("GET", "/x", [("X-Sdk-Date", "20240103T000000Z"), ("Authorization", SCOPED)])
    assert "date in Credential" in reason(sent, now_ms=NOW + 86_400_000)


def test_signed_header_missing_or_twice() -> None:
    date = ("X-Sdk-Date", "20240102T030405Z")
    sent = request("GET", "/x", [date, ("Authorization", GOOD)])
    assert reason(sent) == "signed header host was not sent"
    sent = request("GET", "/x", [date, ("Host", "a"), ("Host", "a"), ("Authorization", GOOD)])
    assert reason(sent) == "signed header host was sent twice"
    sent = request("GET", "/x", [("Host", "a"), ("Authorization", GOOD)])
    assert reason(sent) == "signed header x-sdk-date was not sent"


@pytest.mark.parametrize("variant", VARIANTS)
def test_unknown_key_and_wrong_signature_are_told_the_same(variant: Variant) -> None:
    sent = signed(variant, "GET", GET, {"Host": "h:1"})
    assert reason(sent, secret=None) == reason(sent, secret=b"wrong")


@pytest.mark.parametrize("variant", VARIANTS)
def test_unknown_key_does_the_work_of_a_wrong_signature(
    variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[int] = []
    real = hmac.digest

    def counting(key: bytes, message: bytes, algorithm: str) -> bytes:
        hashed.append(len(message))
        return real(key, message, algorithm)

    monkeypatch.setattr(hmac, "digest", counting)
    sent = signed(variant, "GET", GET + "&bare", {"Host": "h:1"})
    work = []
    for secret in (None, b"w" * 40):
        hashed.clear()
        reason(sent, secret=secret)
        work.append(sorted(hashed))
    assert work[0] == work[1]


def test_the_body_is_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b"x" * 5000
    sent = signed("C", "POST", "/x?a=&b=1", {"Host": "h:1"}, body, bare_empty=True, signed_host="h")
    sizes: list[int] = []
    real = hashlib.sha256

    def counting(data: bytes):  # type: ignore[no-untyped-def]
        sizes.append(len(data))
        return real(data)

    monkeypatch.setattr(signature, "sha256", counting)
    check(sent)
    assert sizes.count(len(body)) == 1


def test_cached_signing_keys_are_bounded_and_right() -> None:
    keys = signature.SigningKeys(entries=3)
    for day in range(1, 9):
        parsed = signature.parse(SCOPED.replace("20240102", f"2024010{day}").encode())
        expected = signature.derive(parsed.algorithm, "AK", b"one", parsed.scope or b"")
        assert keys.of(parsed, b"one") == keys.of(parsed, b"one") == expected
        assert keys.of(parsed, b"two") != expected
        assert keys.of(parsed, None) != expected
        assert len(keys._keys) <= 3
