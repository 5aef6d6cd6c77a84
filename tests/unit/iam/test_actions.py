"""Every row of table 6-1 has its route, and every route for a project asks for something."""

from __future__ import annotations

import re

import pytest

from penstock.http.app import HOT
from penstock.http.call import Access
from penstock.http.routes import ROUTES
from penstock.iam.actions import TABLE, supports_enterprise
from penstock.iam.roles import SYSTEM_POLICIES
from penstock.service import direct, records

TABLE_6_1 = """
POST /v2/{project_id}/apps dis:apps:create -
DELETE /v2/{project_id}/apps/{app_name} dis:apps:delete -
GET /v2/{project_id}/apps dis:apps:list -
GET /v2/{project_id}/apps/{app_name} dis:apps:get -
GET /v2/{project_id}/apps/{app}/streams/{stream_name} dis:AppState:get +
GET /v1/{project_id}/events dis:events:list -
POST /v1/{project_id}/event-subs dis:eventEnumSubs:create -
DELETE /v1/{project_id}/event-subs/{sub_id} dis:eventEnumSubs:delete -
PUT /v1/{project_id}/event-subs/{sub_id} dis:eventEnumSubs:update -
GET /v1/{project_id}/event-subs dis:eventEnumSubs:list -
POST /v2/{project_id}/streams/{streamName}/policies dis:streamPolicies:create +
GET /v2/{project_id}/streams/{streamName}/policies dis:streamPolicies:list +
DELETE /v2/{project_id}/streams/{streamName}/policies dis:streamPolicies:delete +
GET /v2/{project_id}/streams/{streamName} dis:streams:get +
POST /v2/{project_id}/streams dis:streams:create +
DELETE /v2/{project_id}/streams/{stream_name} dis:streams:delete +
GET /v2/{project_id}/streams dis:streams:list -
PUT /v2/{project_id}/streams/{stream_name}/update dis:streams:update +
POST /v2/{project_id}/streams/{stream_name}/transfer-tasks dis:transferTasks:create +
PUT /v2/{project_id}/streams/{stream_name}/transfer-tasks dis:transferTasks:update +
GET /v2/{project_id}/streams/{stream_name}/transfer-tasks dis:transferTasks:list +
GET /v2/{project_id}/streams/{stream_name}/transfer-tasks/{task_name} dis:transferTasks:get +
DELETE /v2/{project_id}/streams/{stream_name}/transfer-tasks/{task_name} dis:transferTasks:delete +
POST /v2/{project_id}/records dis:records:write +
GET /v2/{project_id}/cursors dis:records:readCursor +
GET /v2/{project_id}/records dis:records:read +
POST /v2/{project_id}/checkpoints dis:checkpoints:commit +
GET /v2/{project_id}/checkpoints dis:checkpoints:get +
DELETE /v2/{project_id}/checkpoints dis:checkpoints:delete +
POST /v2/{project_id}/{resource_type}/resource_instances/action dis:tagResources:list -
POST /v2/{project_id}/{resource_type}/{resource_id}/tags/action dis:tagResources:update -
POST /v2/{project_id}/{resource_type}/{resource_id}/tags dis:tagResources:create -
DELETE /v2/{project_id}/{resource_type}/{resource_id}/tags/{key} dis:tagResources:delete -
GET /v2/{project_id}/{resource_type}/tags dis:tags:list -
"""
"""Method, path, action, and whether the last column has a check mark. The tag rows are printed without a version."""
ROWS = [tuple(line.split()) for line in TABLE_6_1.strip().splitlines()]

BY_HANDLER = {
    # The stream, whose enterprise project decides, is in the body or one of many: the handler asks.
    ("POST", "/v2/{}/checkpoints"): "dis:checkpoints:commit",
    ("GET", "/v2/{}/checkpoints"): "dis:checkpoints:get",
    ("DELETE", "/v2/{}/checkpoints"): "dis:checkpoints:delete",
    ("POST", "/v2/{}/records"): direct.WRITE,
    ("GET", "/v2/{}/records"): records.READ,
    ("GET", "/v2/{}/cursors"): records.READ_CURSOR,
}
UNLISTED = re.compile(r"dis:(quotas|statistics|groups):[a-zA-Z]+")
"""What the note below the table leaves to system-defined policies."""


def _shape(path: str) -> str:
    return re.sub(r"{\w+}", "{}", path)


ASKED = BY_HANDLER | {
    (route.method, _shape(route.path)): route.action
    for route in ROUTES
    if route.access is Access.PROJECT and (route.method, _shape(route.path)) not in BY_HANDLER
}


@pytest.mark.parametrize(("method", "path", "action", "enterprise"), ROWS)
def test_a_row_of_the_table(method: str, path: str, action: str, enterprise: str) -> None:
    assert ASKED[method, _shape(path)] == action
    assert supports_enterprise(action) is (enterprise == "+")


def test_the_table_is_the_table() -> None:
    assert sorted((action.name, action.enterprise) for action in TABLE) == sorted(
        (action, enterprise == "+") for _, _, action, enterprise in ROWS
    )


def test_every_route_of_a_project_asks_for_an_action() -> None:
    known = {action.name for action in TABLE}
    for (method, path), action in ASKED.items():
        assert action in known or UNLISTED.fullmatch(action), (method, path, action)


def test_the_hot_three_are_among_them() -> None:
    assert all((method, _shape(path)) in BY_HANDLER for method, path, _ in HOT)


def test_routes_without_a_project_ask_in_their_handlers() -> None:
    """Who may call one depends on whom it is about."""
    assert not [route.path for route in ROUTES if route.access is not Access.PROJECT and route.action]


def test_system_defined_policies_have_names_and_ids_of_their_own() -> None:
    assert len({one.policy_id for one in SYSTEM_POLICIES}) == len(SYSTEM_POLICIES)
    assert len({one.name for one in SYSTEM_POLICIES}) == len(SYSTEM_POLICIES)
    assert len({one.display_name for one in SYSTEM_POLICIES}) == len(SYSTEM_POLICIES)
    by_name = {one.display_name: one.policy_id for one in SYSTEM_POLICIES}
    # Grants name them by these ids: they never change.
    assert by_name["DIS FullAccess"] == "b906f5a5dbf75072a0e4d0aae5b300a4"
