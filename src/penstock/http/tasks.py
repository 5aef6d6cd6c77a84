"""Routes of dump tasks (5.5.1 to 5.5.10 and the update of chapter 6). Owns the mapping of paths, parameters and statuses, and
which of a body's descriptors counts; the rest is `service.tasks`'s.

Both `/streams/{stream}/transfer-tasks` and `/stream/{stream}/transfer-tasks` are served: the older Python SDK asks for the
second (clients.md 0, rule 2).
"""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.errors import invalid
from penstock.http.call import Call, Doc, Number, Parameter, Reply, Route, decode_json
from penstock.model.tasks import DestinationType
from penstock.model.validation import shown
from penstock.service import task_types as wire
from penstock.service import tasks

_KINDS: dict[DestinationType, tuple[str, type[Any]]] = {
    DestinationType.OBS: ("obs_destination_descriptor", wire.ObsDestinationDescriptor),
    DestinationType.DWS: ("dws_destination_descriptor", wire.DwsDestinationDescriptor),
    DestinationType.MRS: ("mrs_destination_descriptor", wire.MrsDestinationDescriptor),
    DestinationType.DLI: ("dli_destination_descriptor", wire.DliDestinationDescriptor),
    DestinationType.CLOUDTABLE: ("cloudtable_destination_descriptor", wire.CloudtableDestinationDescriptor),
}
_MRS_FIELD = _KINDS[DestinationType.MRS][0]
_NAMES = {kind.value: kind for kind in DestinationType} | {"CLOUDBASE": DestinationType.CLOUDTABLE}
"""`CLOUDBASE` is in the sample of 5.5.10."""
_NOWHERE = "NOWHERE"
"""What the reference calls the default of `destination_type`."""
_ABSENT = (b"null", b'""', b"{}", b"")


class _Envelope(msgspec.Struct, kw_only=True):
    """A body whose descriptors are not looked into yet: those that do not count may hold anything."""

    destination_type: str | None = None
    task_id: str | None = None
    task_name: str | None = None
    obs_destination_descriptor: msgspec.Raw = msgspec.Raw()
    dws_destination_descriptor: msgspec.Raw = msgspec.Raw()
    mrs_destination_descriptor: msgspec.Raw = msgspec.Raw()
    dli_destination_descriptor: msgspec.Raw = msgspec.Raw()
    cloudtable_destination_descriptor: msgspec.Raw = msgspec.Raw()

    def present(self, field: str) -> bool:
        return bytes(getattr(self, field)) not in _ABSENT


def _only(field: str, kind: type[Any]) -> type[msgspec.Struct]:
    """A body of which one descriptor is read, so that errors name its path."""
    return msgspec.defstruct("Body", [(field, kind)])


_BODIES = {(field, kind): _only(field, kind) for field, kind in _KINDS.values()}
_BODIES[_MRS_FIELD, wire.DliDestinationDescriptor] = _only(_MRS_FIELD, wire.DliDestinationDescriptor)


def _envelope(call: Call) -> _Envelope:
    """The body, not looked into yet. DIS.4202, DIS.4300; DIS.4200 for more objects than any task can hold, which would take far
    more memory than their text."""
    most = call.context.limits.task_objects
    if call.body.count(b"{") > most:
        raise invalid("body", f"more than {most} objects")
    return call.decode(_Envelope)


def _chosen(envelope: _Envelope) -> tuple[str, type[Any]] | None:
    """Name and type of the descriptor that counts; None when there is none and no `destination_type` either. DIS.4200."""
    name = envelope.destination_type or _NOWHERE
    if name == _NOWHERE:
        # The Java SDK sends none: the only descriptor says it (clients.md 1.6).
        found = [entry for entry in _KINDS.values() if envelope.present(entry[0])]
        if len(found) > 1:
            raise invalid("destination_type", "missing, and there is more than one descriptor")
        return found[0] if found else None
    kind = _NAMES.get(name)
    if kind is None:
        raise invalid("destination_type", f"{shown(name)!r} is not one of {', '.join(DestinationType)}")
    field, type_ = _KINDS[kind]
    if not envelope.present(field):
        # gophertelekomcloud puts DLI's under the name of MRS's.
        if kind is DestinationType.DLI and envelope.present(_MRS_FIELD):
            return _MRS_FIELD, type_
        raise invalid(field, "missing")
    return field, type_


def _request(body: bytes, field: str, kind: type[Any]) -> wire.TaskRequest:
    return wire.TaskRequest(field, getattr(decode_json(body, _BODIES[field, kind]), field))


async def create(call: Call) -> Reply:
    """POST …/transfer-tasks: 201 without a body."""
    chosen = _chosen(_envelope(call))
    if chosen is None:
        raise invalid("destination_type", "missing, and there is no descriptor")
    request = _request(call.body, *chosen)
    await tasks.create_task(
        call.context, call.require_principal(), call.project_id, call.params["stream_name"], request
    )
    return Reply(201)


async def update(call: Call) -> Reply:
    """PUT …/transfer-tasks: 200 without a body. Fields that are not sent stay; the Java SDK sends no descriptor
    at all."""
    project_id, stream_name = call.project_id, call.params["stream_name"]
    envelope = _envelope(call)
    chosen = _chosen(envelope)
    task_id, task_name = envelope.task_id or "", envelope.task_name or ""
    sent: dict[str, Any] = {}
    if chosen is not None:
        sent = _sent_fields(call.body, chosen[0])
        named = sent.get("task_name")
        task_name = task_name or (named if isinstance(named, str) else "")
    if not (chosen or task_id or task_name):
        await tasks.list_tasks(call.context, project_id, stream_name, limit=1)
        return Reply(200)
    task = tasks.task_to_update(call.context, project_id, stream_name, task_id=task_id, task_name=task_name)
    if chosen is not None:
        field, kind = chosen
        if kind is not _KINDS[task.descriptor.kind][1]:
            raise invalid("destination_type", f"the task delivers to {task.descriptor.kind}")
        merged = msgspec.to_builtins(tasks.describe(task.descriptor)) | sent
        request = _request(msgspec.json.encode({field: merged}), field, kind)
        await tasks.update_task(call.context, call.require_principal(), project_id, task, request)
    return Reply(200)


def _sent_fields(body: bytes, field: str) -> dict[str, Any]:
    """The fields of a descriptor that say something. DIS.4300."""
    given: Any = getattr(decode_json(body, _FIELDS[field]), field)
    sent = {name: value for name, value in given.items() if value is not None and value != ""}
    if "mrs_hdfs_patch" in sent:  # gophertelekomcloud's spelling
        sent.setdefault("mrs_hdfs_path", sent.pop("mrs_hdfs_patch"))
    return sent


_FIELDS = {field: _only(field, dict[str, Any]) for field, _ in _KINDS.values()}


async def list_(call: Call) -> Reply:
    """GET …/transfer-tasks."""
    reply = await tasks.list_tasks(
        call.context,
        call.project_id,
        call.params["stream_name"],
        limit=_LIMIT.of(call),
        start_task_name=_START.of(call),
    )
    return Reply(200, reply)


async def show(call: Call) -> Reply:
    """GET …/transfer-tasks/{task_name}."""
    params = call.params
    return Reply(
        200,
        await tasks.show_task(call.context, call.project_id, params["stream_name"], params["task_name"]),
    )


async def delete(call: Call) -> Reply:
    """DELETE …/transfer-tasks/{task_name}: 204."""
    params = call.params
    await tasks.delete_task(call.context, call.project_id, params["stream_name"], params["task_name"])
    return Reply(204)


async def action(call: Call) -> Reply:
    """POST …/transfer-tasks/action: 200 without a body."""
    request = call.decode(wire.TransferTaskActionRequest)
    await tasks.act(call.context, call.project_id, call.params["stream_name"], request)
    return Reply(200)


_LIMIT = Number("limit", "Most tasks to list.", "list_tasks_max", 1, "list_tasks_max")
_START = Parameter("start_task_name", "List tasks with names after this one.")

_STREAM = ("DIS.4301",)
_WRITE = ("DIS.4301", "DIS.4205")
_DESTINATION = (
    "DIS.4208", "DIS.4306", "DIS.4310", "DIS.4335", "DIS.4336", "DIS.4337", "DIS.4338", "DIS.4341", "DIS.4342",
    "DIS.4343", "DIS.4345", "DIS.4348", "DIS.4350", "DIS.4351",
)  # fmt: skip
_BODY = ("DIS.4200", "DIS.4202", "DIS.4300")

_CREATE = Doc(
    "5.5.1, 5.5.7-5.5.10",
    "Add a dump task",
    request=wire.CreateTransferTaskRequest,
    status=201,
    errors=(*_WRITE, *_BODY, *_DESTINATION, "DIS.4355", "DIS.4357"),
)
_UPDATE = Doc(
    "6",
    "Update a dump task",
    request=wire.UpdateTransferTaskRequest,
    errors=(*_WRITE, *_BODY, *_DESTINATION, "DIS.4354"),
)
_LIST = Doc(
    "5.5.2",
    "Query dump tasks",
    reply=wire.ListTransferTasksReply,
    query=(_LIMIT, _START),
    errors=(*_STREAM, "DIS.4200"),
)
_SHOW = Doc(
    "5.5.4",
    "Query details of a dump task",
    reply=wire.ShowTransferTaskReply,
    errors=(*_STREAM, "DIS.4354"),
)
_DELETE = Doc("5.5.3", "Delete a dump task", status=204, errors=(*_STREAM, "DIS.4354"))
_ACTION = Doc(
    "5.5.5, 5.5.6",
    "Start or stop dump tasks",
    request=wire.TransferTaskActionRequest,
    errors=(*_WRITE, *_BODY, "DIS.4354"),
)


def _routes(root: str) -> list[Route]:
    def route(method: str, path: str, handler: Any, action: str, doc: Doc) -> Route:
        return Route(method, root + path, handler, action=f"dis:transferTasks:{action}", doc=doc)

    return [
        route("POST", "", create, "create", _CREATE),
        route("GET", "", list_, "list", _LIST),
        route("PUT", "", update, "update", _UPDATE),
        # Chapter 6 has no action for these two: they change what the task does.
        route("POST", "/action", action, "update", _ACTION),
        route("GET", "/{task_name}", show, "get", _SHOW),
        route("DELETE", "/{task_name}", delete, "delete", _DELETE),
    ]


ROUTES: list[Route] = [
    *_routes("/v2/{project_id}/streams/{stream_name}/transfer-tasks"),
    *_routes("/v2/{project_id}/stream/{stream_name}/transfer-tasks"),
]
