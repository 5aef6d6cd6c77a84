"""Table 6-1 of the API reference, and the actions it leaves out. Owns the list; knows no routes and nobody.

Names are those of the table, put together again where its columns broke them (`dis:eventEnumSubs:create`).
"""

from __future__ import annotations

from typing import NamedTuple


class Action(NamedTuple):
    """A row of table 6-1. `enterprise`: whether a grant in an enterprise project can allow it (the last column)."""

    name: str
    summary: str
    enterprise: bool


TABLE: tuple[Action, ...] = (
    Action("dis:apps:create", "Creating a consumer app", False),
    Action("dis:apps:delete", "Deleting an app", False),
    Action("dis:apps:list", "Querying apps", False),
    Action("dis:apps:get", "Querying app details", False),
    Action("dis:AppState:get", "Querying the app consumption status", True),
    Action("dis:events:list", "Querying all events of a user in pagination mode", False),
    Action("dis:eventEnumSubs:create", "Creating a subscription", False),
    Action("dis:eventEnumSubs:delete", "Deleting a subscription", False),
    Action("dis:eventEnumSubs:update", "Modifying a subscription", False),
    Action("dis:eventEnumSubs:list", "Querying all subscriptions of a user", False),
    Action("dis:streamPolicies:create", "Adding a permission policy", True),
    Action("dis:streamPolicies:list", "Querying permission policies", True),
    Action("dis:streamPolicies:delete", "Deleting a permission policy of a stream", True),
    Action("dis:streams:get", "Querying details of a stream", True),
    Action("dis:streams:create", "Creating a stream", True),
    Action("dis:streams:delete", "Deleting a stream", True),
    Action("dis:streams:list", "Querying streams", False),
    Action("dis:streams:update", "Updating stream information", True),
    Action("dis:transferTasks:create", "Creating a dump task", True),
    Action("dis:transferTasks:update", "Updating a dump task", True),
    Action("dis:transferTasks:list", "Querying dump tasks", True),
    Action("dis:transferTasks:get", "Querying details of a dump task", True),
    Action("dis:transferTasks:delete", "Deleting a dump task", True),
    Action("dis:records:write", "Uploading data to a DIS stream", True),
    Action("dis:records:readCursor", "Obtaining a data cursor", True),
    Action("dis:records:read", "Downloading data from a DIS stream", True),
    Action("dis:checkpoints:commit", "Adding a checkpoint", True),
    Action("dis:checkpoints:get", "Querying checkpoint details", True),
    Action("dis:checkpoints:delete", "Deleting a checkpoint", True),
    Action("dis:tagResources:list", "Filtering streams by tag", False),
    Action("dis:tagResources:update", "Adding or deleting resource tags in batches", False),
    Action("dis:tagResources:create", "Adding a tag to a specified stream", False),
    Action("dis:tagResources:delete", "Deleting a tag of a specified stream", False),
    Action("dis:tags:list", "Querying all tags of a specified region", False),
)

ENTERPRISE = frozenset(action.name.lower() for action in TABLE if action.enterprise)


def supports_enterprise(action: str) -> bool:
    """Whether a grant in an enterprise project can allow an action. Those table 6-1 leaves out: no."""
    return action.lower() in ENTERPRISE
