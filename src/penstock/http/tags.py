"""Routes of tags (5.7). Owns the mapping of paths, parameters and statuses; the rest is `service.tags`'s.

Table 6-1 prints `{resource_type}` where the sections say `stream`: there every other type is refused with DIS.4602.
"""

from __future__ import annotations

from penstock.http.call import Call, Doc, Handler, Reply, Route
from penstock.service import tags
from penstock.service.tags import (
    AddTagRequest,
    AllTagsReply,
    FilterReply,
    FilterRequest,
    TagsActionRequest,
    TagsReply,
)


async def add(call: Call) -> Reply:
    """POST …/tags: 204."""
    request = call.decode(AddTagRequest)
    await tags.add_tag(call.context, call.project_id, call.params["stream_id"], request)
    return Reply(204)


async def list_(call: Call) -> Reply:
    """GET …/tags."""
    return Reply(200, tags.tags_of(call.context, call.project_id, call.params["stream_id"]))


async def delete(call: Call) -> Reply:
    """DELETE …/tags/{key}: 204."""
    await tags.delete_tag(call.context, call.project_id, call.params["stream_id"], call.params["key"])
    return Reply(204)


async def act(call: Call) -> Reply:
    """POST …/tags/action: 204."""
    request = call.decode(TagsActionRequest)
    await tags.act_on_tags(call.context, call.project_id, call.params["stream_id"], request)
    return Reply(204)


async def list_all(call: Call) -> Reply:
    """GET /stream/tags."""
    return Reply(200, await tags.all_tags(call.context, call.project_id))


async def find(call: Call) -> Reply:
    """POST /stream/resource_instances/action."""
    request = call.decode(FilterRequest)
    return Reply(200, await tags.find_by_tags(call.context, call.project_id, request))


async def other_type(call: Call) -> Reply:
    """Any of them with another type than `stream`."""
    tags.check_type(call.params["resource_type"])
    raise AssertionError("routes of streams come first")


_ROUTES: list[tuple[str, str, Handler, str, Doc]] = [
    (
        "POST",
        "/{stream_id}/tags",
        add,
        "dis:tagResources:create",
        Doc(
            "5.7.1",
            "Add a tag to a stream",
            request=AddTagRequest,
            status=204,
            errors=("DIS.4603", "DIS.4601", "DIS.4200"),
        ),
    ),
    (
        "GET",
        "/{stream_id}/tags",
        list_,
        "dis:tagResources:list",
        Doc("5.7.2", "List a stream's tags", reply=TagsReply, errors=("DIS.4603",)),
    ),
    (
        "DELETE",
        "/{stream_id}/tags/{key}",
        delete,
        "dis:tagResources:delete",
        Doc("5.7.3", "Delete a tag of a stream", status=204, errors=("DIS.4603", "DIS.4604")),
    ),
    (
        "POST",
        "/{stream_id}/tags/action",
        act,
        "dis:tagResources:update",
        Doc(
            "5.7.4, 5.7.7",
            "Add or delete tags in a batch",
            request=TagsActionRequest,
            status=204,
            errors=("DIS.4603", "DIS.4601", "DIS.4605", "DIS.4200"),
        ),
    ),
    (
        "GET",
        "/tags",
        list_all,
        "dis:tags:list",
        Doc("5.7.5", "List all tags of a project's streams", reply=AllTagsReply),
    ),
    (
        "POST",
        "/resource_instances/action",
        find,
        "dis:tagResources:list",
        Doc(
            "5.7.6",
            "Find or count streams by tags",
            request=FilterRequest,
            reply=FilterReply,
            errors=("DIS.4605", "DIS.4200"),
        ),
    ),
]

ROUTES: list[Route] = [
    *(
        Route(method, f"/v2/{{project_id}}/{tags.RESOURCE_TYPE}{path}", handler, action=action, doc=doc)
        for method, path, handler, action, doc in _ROUTES
    ),
    *(
        Route(
            method,
            "/v2/{project_id}/{resource_type}" + path.replace("{stream_id}", "{resource_id}"),
            other_type,
            action=action,
            doc=Doc(doc.section, f"{doc.summary}: other types", status=doc.status, errors=("DIS.4602",)),
        )
        for method, path, _, action, doc in _ROUTES
    ),
]
