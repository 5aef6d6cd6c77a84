"""Permission policies over the wire (API reference 5.1.7, 5.1.8, chapter 6): every field, rule and refusal. What they let others
do is in test_wire_sharing.py."""

from __future__ import annotations

import pytest
from tests.contract.conftest import Make
from tests.support.server import Server
from tests.support.sharing import (
    RIGHTS,
    Others,
    StreamRef,
    add,
    grant,
    is_not_there,
    names,
    policy,
    remove,
    rules,
)
from tests.support.wire import Json, Wire, done, ok, refused


@pytest.fixture(scope="module")
def server(others: tuple[Server, Others]) -> Server:
    return others[0]


@pytest.fixture
def stream(wire: Wire, make: Make) -> StreamRef:
    """Name and id of a new stream of two partitions."""
    name = make(partitions=2)
    return name, ok(wire.describe(name))["stream_id"]


class TestAdding:
    """5.1.7."""

    def test_answers_200_without_a_body(self, wire: Wire, stream: StreamRef) -> None:
        done(add(wire, stream, policy(stream, "partner")), 200)

    @pytest.mark.parametrize("action", RIGHTS)
    @pytest.mark.parametrize("effect", ["accept", "ACCEPT", "Accept"])
    def test_every_action_and_effect(self, wire: Wire, stream: StreamRef, action: str, effect: str) -> None:
        done(add(wire, stream, policy(stream, "partner", action, effect=effect)), 200)
        (rule,) = rules(wire, stream)
        assert (rule["action_type"], rule["effect"]) == (action, "accept")

    @pytest.mark.parametrize(
        ("principal", "shown"),
        [
            ("partner", ["partner.*"]),
            ("partner.*", ["partner.*"]),
            ("partner.clerk", ["partner.clerk"]),
            ("partner.clerk,partner.trainee", ["partner.clerk", "partner.trainee"]),
            ("partner.clerk, third.account.owner", ["partner.clerk", "third.account.owner"]),
            ("third.account", ["third.account.*"]),
            ("partner,partner.*,partner", ["partner.*"]),
        ],
    )
    def test_principals(self, wire: Wire, stream: StreamRef, principal: str, shown: list[str]) -> None:
        done(add(wire, stream, policy(stream, principal)), 200)
        done(add(wire, stream, policy(stream, principal)), 200)  # nothing twice
        assert names(wire, stream) == [f"{name} putRecords" for name in shown]

    def test_the_stream_may_be_named_by_its_id(self, wire: Wire, stream: StreamRef) -> None:
        path = f"/streams/{stream[1]}/policies/"
        done(wire.call("POST", path, body=policy(stream, "partner", stream_name=stream[0], extra=1)), 200)
        assert ok(wire.call("GET", path))["stream_id"] == stream[1]

    @pytest.mark.parametrize(
        ("fields", "naming"),
        [
            ({"stream_id": None}, "stream_id"),
            ({"stream_id": ""}, "stream_id"),
            ({"stream_id": "AnotherStreamsId1234"}, "stream_id"),
            ({"principal_name": None}, "principal_name"),
            ({"principal_name": ""}, "principal_name"),
            ({"principal_name": "partner,"}, "principal_name"),
            ({"principal_name": "nobody"}, "principal_name"),
            ({"principal_name": "nobody.owner"}, "principal_name"),
            ({"principal_name": "partner.nobody"}, "principal_name"),
            ({"principal_name": "partner.clerk,nobody"}, "nobody"),
            ({"action_type": None}, "action_type"),
            ({"action_type": ""}, "action_type"),
            ({"action_type": "deleteRecords"}, "action_type"),
            ({"effect": None}, "effect"),
            ({"effect": ""}, "effect"),
            ({"effect": "deny"}, "effect"),
            ({"effect": "effect"}, "effect"),
        ],
    )
    def test_refuses_what_is_missing_or_not_there(
        self, wire: Wire, stream: StreamRef, fields: Json, naming: str
    ) -> None:
        """`effect: effect` is what a test of gophertelekomcloud sends, to a service that does not know the path
        (clients.md 1.1 and 1.2)."""
        refused(add(wire, stream, policy(stream, "partner") | fields), "DIS.4200", naming=naming)
        assert rules(wire, stream) == []

    @pytest.mark.parametrize("field", ["stream_id", "principal_name", "action_type", "effect"])
    def test_every_field_is_mandatory_and_a_text(self, wire: Wire, stream: StreamRef, field: str) -> None:
        """Table 5-32."""
        body = policy(stream, "partner")
        refused(add(wire, stream, body | {field: 1}), "DIS.4300", naming=field)
        refused(add(wire, stream, body | {field: ["x"]}), "DIS.4300", naming=field)
        del body[field]
        refused(add(wire, stream, body), "DIS.4200", naming=field)

    def test_no_body_and_no_json(self, wire: Wire, stream: StreamRef) -> None:
        path = f"/streams/{stream[0]}/policies"
        refused(wire.call("POST", path, content=b""), "DIS.4202")
        refused(wire.call("POST", path, content=b"[]"), "DIS.4300", naming="body")
        refused(wire.call("POST", path, content=b"{"), "DIS.4300", naming="body")

    def test_a_stream_that_is_not_there(self, wire: Wire) -> None:
        gone = ("nobody", "x")
        refused(add(wire, gone, policy(gone, "partner")), "DIS.4301", naming="[nobody]")
        refused(wire.call("GET", "/streams/nobody/policies"), "DIS.4301", naming="[nobody]")
        refused(remove(wire, gone), "DIS.4301", naming="[nobody]")

    def test_there_is_a_most(self, wire: Wire, stream: StreamRef) -> None:
        """`policies_per_stream`, 10 on this server."""
        people = "partner,partner.clerk,partner.trainee,partner.owner"
        grant(wire, stream, people, "putRecords", "getRecords")
        refused(add(wire, stream, policy(stream, people, "getStreamInfo")), "DIS.4308")
        assert len(rules(wire, stream)) == 8
        refused(add(wire, stream, policy(stream, ",".join(["partner"] * 11))), "DIS.4308")

    def test_they_end_with_the_stream(self, wire: Wire, stream: StreamRef, partner: Wire) -> None:
        grant(wire, stream, "partner", *RIGHTS)
        done(wire.delete(stream[0]), 204)
        done(wire.create(stream[0]), 201)
        for doing in ("put", "get", "info"):
            is_not_there(partner, stream, doing=doing)
        again = (stream[0], ok(wire.describe(stream[0]))["stream_id"])
        assert rules(wire, again) == []
        is_not_there(partner, again, doing="put")


class TestListing:
    """5.1.8."""

    def test_every_field(self, wire: Wire, stream: StreamRef, users: Others) -> None:
        grant(wire, stream, "partner", "putRecords")
        grant(wire, stream, "partner.clerk", "getRecords")
        domain = users.partner.domain_id
        assert ok(wire.call("GET", f"/streams/{stream[0]}/policies")) == {
            "stream_id": stream[1],
            "streamId": stream[1],
            "rules": [
                {
                    "principal": f"{domain}.*",
                    "principal_name": "partner.*",
                    "action_type": "putRecords",
                    "effect": "accept",
                },
                {
                    "principal": f"{domain}.{users.clerk.user_id}",
                    "principal_name": "partner.clerk",
                    "action_type": "getRecords",
                    "effect": "accept",
                },
            ],
        }

    def test_none(self, wire: Wire, stream: StreamRef) -> None:
        assert rules(wire, stream) == []

    def test_is_for_the_account_that_has_the_stream(
        self, wire: Wire, stream: StreamRef, partner: Wire
    ) -> None:
        grant(wire, stream, "partner", *RIGHTS)
        path = f"/streams/{stream[1]}/policies"
        refused(partner.call("GET", path), "DIS.4301")
        refused(partner.call("POST", path, body=policy(stream, "partner")), "DIS.4301")
        refused(partner.call("DELETE", path), "DIS.4301")
        assert len(rules(wire, stream)) == 3


class TestRemoving:
    """DELETE: chapter 6 has it without a shape; docs/sharing.md says which."""

    @pytest.fixture
    def shared(self, wire: Wire, stream: StreamRef) -> StreamRef:
        grant(wire, stream, "partner", "putRecords", "getRecords")
        grant(wire, stream, "partner.clerk", "putRecords")
        return stream

    def test_all(self, wire: Wire, shared: StreamRef) -> None:
        done(remove(wire, shared), 204)
        assert rules(wire, shared) == []
        done(remove(wire, shared), 204)

    @pytest.mark.parametrize("effect", [{}, {"effect": "accept"}])
    @pytest.mark.parametrize("in_body", [True, False])
    def test_some(self, wire: Wire, shared: StreamRef, in_body: bool, effect: Json) -> None:
        wanted = {"principal_name": "partner", "action_type": "putRecords", "stream_id": shared[1], **effect}
        if in_body:
            done(remove(wire, shared, body=wanted), 204)
        else:
            done(remove(wire, shared, "&".join(f"{key}={value}" for key, value in wanted.items())), 204)
        assert names(wire, shared) == ["partner.* getRecords", "partner.clerk putRecords"]

    @pytest.mark.parametrize(
        ("query", "left"),
        [
            ("principal_name=partner", ["partner.clerk putRecords"]),
            ("principal_name=partner.*", ["partner.clerk putRecords"]),
            ("principal_name=partner.clerk", ["partner.* putRecords", "partner.* getRecords"]),
            ("principal_name=partner,partner.clerk&action_type=putRecords", ["partner.* getRecords"]),
            ("action_type=putRecords", ["partner.* getRecords"]),
            ("principal_name=&action_type&", []),
        ],
    )
    def test_what_goes(self, wire: Wire, shared: StreamRef, query: str, left: list[str]) -> None:
        done(remove(wire, shared, query), 204)
        assert names(wire, shared) == left

    @pytest.mark.parametrize("body", [{}, {"principal_name": None, "action_type": ""}])
    def test_absent_fields_mean_all(self, wire: Wire, shared: StreamRef, body: Json) -> None:
        done(remove(wire, shared, body=body), 204)
        assert rules(wire, shared) == []

    @pytest.mark.parametrize(
        ("query", "naming"),
        [
            ("principal_name=third.account", "principal_name"),
            ("principal_name=partner,nobody", "nobody"),
            ("action_type=getStreamInfo", "action_type"),
            ("action_type=everything", "action_type"),
            ("stream_id=another", "stream_id"),
        ],
    )
    def test_refuses_what_no_policy_says(
        self, wire: Wire, shared: StreamRef, query: str, naming: str
    ) -> None:
        refused(remove(wire, shared, query), "DIS.4200", naming=naming)
        assert len(rules(wire, shared)) == 3

    def test_wrong_types(self, wire: Wire, shared: StreamRef) -> None:
        refused(remove(wire, shared, body={"principal_name": 1}), "DIS.4300", naming="principal_name")
        refused(remove(wire, shared, body=[]), "DIS.4300", naming="body")
        assert len(rules(wire, shared)) == 3
