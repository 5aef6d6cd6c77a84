"""What every operation needs, in one object. Owns nothing but the references; made once by server.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from penstock.catalog.base import Catalog
from penstock.clock import Clock
from penstock.config import Settings
from penstock.iam.base import Authenticator
from penstock.limits import Limits
from penstock.log.base import RecordLog
from penstock.service.access import Access
from penstock.service.app_directory import Apps
from penstock.service.checkpoint_commits import Commits
from penstock.service.events import Events
from penstock.service.group_directory import Groups
from penstock.service.scaling_log import ScalingLog
from penstock.service.task_asking import Asker
from penstock.service.task_directory import Tasks
from penstock.service.traffic import Traffic

if TYPE_CHECKING:
    from penstock.iam.identity import Identity
    from penstock.service.directory import Directory
    from penstock.service.points import Points
    from penstock.service.records import Records
    from penstock.service.subscriptions import Subscriptions
    from penstock.service.task_runs import TaskRuns


class Context(msgspec.Struct, kw_only=True):
    """The server's parts. `directory` answers stream facts from memory; `records` is the hot path."""

    settings: Settings
    limits: Limits
    clock: Clock
    catalog: Catalog
    log: RecordLog
    identity: Identity
    authenticator: Authenticator
    directory: Directory
    records: Records
    access: Access = msgspec.field(default_factory=Access)
    traffic: Traffic = msgspec.field(default_factory=Traffic)
    events: Events = msgspec.field(default_factory=Events)
    apps: Apps = msgspec.field(default_factory=Apps)
    commits: Commits = msgspec.field(default_factory=Commits)
    groups: Groups = msgspec.field(default_factory=Groups)
    scalings: ScalingLog = msgspec.field(default_factory=ScalingLog)
    tasks: Tasks = msgspec.field(default_factory=Tasks)
    task_runs: TaskRuns | None = None
    """Who delivers dump tasks; the core has it."""
    points: Points | None = None
    """What `traffic` has counted, by the minute; the core has it."""
    subscriptions: Subscriptions | None = None
    """Who is told of events; the core has it."""
    destinations: Asker | None = None
    """Asks destinations of dump tasks; None takes every task."""

    def __post_init__(self) -> None:
        if self.access.directory is None:
            self.access.directory = self.directory
