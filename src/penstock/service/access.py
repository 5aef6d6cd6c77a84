"""Who may do what with which stream: IAM actions (chapter 6) and streams' own policies (5.1.7). Owns how the two go
together; what users are allowed is `iam`'s, policies are part of the stream.

Within an account either suffices: the action, or a policy of the stream that names the user. A user of another account needs
both the action and a policy, and to such a user a stream without one is not there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.errors import ApiError
from penstock.iam.base import Principal
from penstock.model.streams import Stream

if TYPE_CHECKING:
    from penstock.iam.identity import Identity


class Access:
    """Asked before every operation. With `identity` None everything is allowed."""

    def __init__(self, identity: Identity | None = None) -> None:
        self._identity = identity

    def check(self, principal: Principal, project_id: str, action: str, stream: Stream | None = None) -> None:
        """Raises DIS.4116 naming `action` (such as `dis:streams:create`) when it is not allowed in the project, or
        not in the enterprise project of `stream`."""
        identity = self._identity
        if identity is None or principal.owner:
            return
        enterprise_project = None if stream is None else stream.enterprise_project_id
        if not identity.allows(principal, project_id, action, enterprise_project):
            raise ApiError("DIS.4116", f"[{action}]")
