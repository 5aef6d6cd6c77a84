"""Consumer groups: who reads which partitions of an app's streams. Owns the groups in memory and what a commit of a member is
checked against; knows no HTTP."""

from __future__ import annotations


class Groups:
    """The groups of all projects."""

    def live_members(self, project_id: str, app_name: str) -> int:
        """Members of the app's group that have not left and have not timed out."""
        return 0

    def check_commit(self, project_id: str, app_name: str, client_id: str, generation_id: int) -> None:
        """Whether a member may commit. DIS.4701 while its group rebalances, DIS.4702 when it is no member, DIS.4703 when its
        generation is not the group's."""
