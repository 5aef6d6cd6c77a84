"""Who may do what with which stream: IAM actions (chapter 6) and streams' own policies (5.1.7). Owns how the two go
together; what users are allowed is `iam`'s, policies are part of the stream.

Within an account either suffices: the action, or a policy of the stream that names the user. A user of another account needs
both the action and a policy, and to such a user a stream without one is not there. Policies are read from the stream
as the directory has it, so what is revoked is refused from the next request on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.errors import ApiError, invalid, stream_missing
from penstock.iam.base import Principal
from penstock.iam.decisions import ANY_ENTERPRISE
from penstock.iam.identity import Identity
from penstock.model.streams import Right, Stream

if TYPE_CHECKING:
    from penstock.service.directory import Directory

_RIGHTS: dict[str, Right] = {
    "dis:records:write": Right.PUT,
    "dis:records:read": Right.GET,
    "dis:records:readCursor": Right.GET,
    "dis:checkpoints:commit": Right.GET,
    "dis:checkpoints:get": Right.GET,
    "dis:AppState:get": Right.GET,
    "dis:streams:get": Right.INFO,
}
"""What a stream's policy allows beside the action of its name. The rest stays with the account that has the stream."""
_SHOWN = 64


class Access:
    """Asked before every operation. With `identity` None every action is allowed."""

    def __init__(self, identity: Identity | None = None, directory: Directory | None = None) -> None:
        self._identity = identity
        self.directory = directory

    def check(self, principal: Principal, project_id: str, action: str, stream: Stream | None = None) -> None:
        """Raises DIS.4116 naming `action` (such as `dis:streams:create`) when it is not allowed in the project, or
        not in the enterprise project of `stream`."""
        identity = self._identity
        if identity is None or principal.owner:
            return
        # The enterprise projects of another account mean nothing in this one. What is about no stream, or about one that is not
        # there, is allowed by a grant in any.
        own = stream if stream is not None and stream.project_id == project_id else None
        enterprise = ANY_ENTERPRISE if stream is None else None if own is None else own.enterprise_project_id
        if identity.allows(principal, project_id, action, enterprise):
            return
        right = _RIGHTS.get(action)
        shared = own is not None and right is not None and granted(own, principal, right)
        # An agency has what it is granted: it is none of the account's users, whom policies of streams name.
        if not shared or principal.assumed or not identity.within(principal, project_id, action):
            raise ApiError("DIS.4116", f"[{action}]")

    def check_enterprise(
        self, principal: Principal, project_id: str, action: str, enterprise_project: str
    ) -> None:
        """The same for what is about to be in an enterprise project."""
        identity = self._identity
        if identity is not None and not identity.allows(principal, project_id, action, enterprise_project):
            raise ApiError("DIS.4116", f"[{action}]")

    def visible(self, principal: Principal, project_id: str, stream: Stream, right: Right) -> bool:
        """Whether a stream is there for who asks in a project: it is the project's, or one of its policies says so."""
        return stream.project_id == project_id or granted(stream, principal, right)

    def find_stream(
        self,
        principal: Principal,
        project_id: str,
        name: str | None,
        stream_id: str | None,
        right: Right,
        action: str = "",
        *,
        status: int | None = None,
    ) -> Stream:
        """The project's stream of that name, else the one with that id: the project's, or one of any other project that
        `right` is granted on (5.4.1 table 5-66, "mandatory when data is uploaded to an authorized stream"). Absent
        texts are None or "".

        `action` is checked too, for the stream found; leave it out where the route has it. Raises DIS.4200 (neither name
        nor id), DIS.4301 with `status` (see ApiError), DIS.4116.
        """
        directory = self.directory
        assert directory is not None
        stream = directory.get(project_id, name) if name else None
        if stream is None:
            if stream_id:
                stream = directory.by_id(stream_id)
            elif not name:
                raise invalid("stream_name", "required")
            if (
                stream is not None
                and stream.project_id != project_id
                and not granted(stream, principal, right)
            ):
                stream = None
        if action and not principal.owner:
            self.check(principal, project_id, action, stream)
        if stream is None:
            raise stream_missing((name or stream_id or "")[:_SHOWN], project_id, status=status)
        return stream


def granted(stream: Stream, principal: Principal, right: Right) -> bool:
    """Whether one of the stream's policies names the user, or all users of the user's account, for `right`. Any right
    lets its holder see the details: a client reads them before it puts or gets anything (clients.md 1.2)."""
    return any(
        policy.domain_id == principal.domain_id
        and policy.user_id in ("", principal.user_id)
        and (policy.action is right or right is Right.INFO)
        for policy in stream.policies
    )
