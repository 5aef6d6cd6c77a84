"""Tags (5.7) through `huaweicloudsdkdis`, unmodified, over TCP. The other Python SDKs have no call for tags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkdis.v2 import (
    BatchCreateTagsReq,
    BatchCreateTagsRequest,
    BatchDeleteTagsReq,
    BatchDeleteTagsRequest,
    CreateTagReq,
    CreateTagRequest,
    DeleteTagRequest,
    ListResourceInstancesReq,
    ListResourcesByTagsRequest,
    ListTagsRequest,
    ShowStreamTagsRequest,
    Tag,
    Tags,
)
from tests.support.wire import Wire, ok

Make = Callable[..., str]


@pytest.fixture
def stream(wire: Wire, make: Make) -> tuple[str, str]:
    """Name and id."""
    name = make()
    return name, ok(wire.describe(name))["stream_id"]


def tags_of(client: Any, stream_id: str) -> dict[str, str]:
    reply = client.show_stream_tags(ShowStreamTagsRequest(stream_id=stream_id))
    return {tag.key: tag.value for tag in reply.tags}


def find(client: Any, action: str = "filter", **fields: object) -> Any:
    body = ListResourceInstancesReq(action=action, **fields)
    return client.list_resources_by_tags(ListResourcesByTagsRequest(body=body))


def test_one_at_a_time(client: Any, stream: tuple[str, str]) -> None:
    """5.7.1 to 5.7.3."""
    for value in ("old", "new"):
        body = CreateTagReq(tag=Tag(key="k", value=value))
        reply = client.create_tag(CreateTagRequest(stream_id=stream[1], body=body))
        assert reply.status_code == 204
        assert tags_of(client, stream[1]) == {"k": value}
    assert client.delete_tag(DeleteTagRequest(stream_id=stream[1], key="k")).status_code == 204
    assert tags_of(client, stream[1]) == {}
    with pytest.raises(ClientRequestException) as error:
        client.delete_tag(DeleteTagRequest(stream_id=stream[1], key="k"))
    assert (error.value.status_code, error.value.error_code) == (400, "DIS.4604")


def test_batches(client: Any, stream: tuple[str, str]) -> None:
    """5.7.4 and 5.7.7."""
    tags = [Tag(key="a", value="1"), Tag(key="b", value="2")]
    body: Any = BatchCreateTagsReq(action="create", tags=tags)
    reply = client.batch_create_tags(BatchCreateTagsRequest(stream_id=stream[1], body=body))
    assert reply.status_code == 204
    assert tags_of(client, stream[1]) == {"a": "1", "b": "2"}
    body = BatchDeleteTagsReq(action="delete", tags=[Tag(key="a", value="1"), Tag(key="c")])
    reply = client.batch_delete_tags(BatchDeleteTagsRequest(stream_id=stream[1], body=body))
    assert reply.status_code == 204
    assert tags_of(client, stream[1]) == {"b": "2"}
    with pytest.raises(ClientRequestException) as error:
        body = BatchCreateTagsReq(action="update", tags=tags)
        client.batch_create_tags(BatchCreateTagsRequest(stream_id=stream[1], body=body))
    assert error.value.error_code == "DIS.4605"


def test_all_tags_of_the_project(client: Any, make: Make) -> None:
    """5.7.5."""
    for value in ("x", "y"):
        make(tags=[{"key": "sdk-tags", "value": value}])
    reply = client.list_tags(ListTagsRequest())
    (found,) = (tag for tag in reply.tags if tag.key == "sdk-tags")
    assert found.values == ["x", "y"]


def test_finding_and_counting(client: Any, make: Make) -> None:
    """5.7.6. `matches` is a text in this SDK."""
    names = [make(f"sdk-find-{number}", tags=[{"key": "find", "value": f"v{number}"}]) for number in range(3)]
    wanted = [Tags(key="find", values=["v0", "v2"])]
    reply = find(client, tags=wanted, limit="1", offset="1")
    assert reply.total_count == 2
    assert [(one.resource_name, one.resource_detail) for one in reply.resources] == [(names[2], None)]
    assert [(tag.key, tag.value) for tag in reply.resources[0].tags] == [("find", "v2")]
    assert find(client, "count", tags=wanted).total_count == 2
    assert find(client, "count", tags_any=wanted, matches="sdk-find-0").total_count == 1
    named = [{"key": "resource_name", "value": "sdk-find"}]
    assert find(client, "count", matches=named, not_tags=wanted).total_count == 1
    assert find(client, "count", matches=named, not_tags_any=[Tags(key="find", values=[])]).total_count == 0
    with pytest.raises(ClientRequestException) as error:
        find(client, limit="1001")
    assert error.value.error_code == "DIS.4200"
    assert "limit" in error.value.error_msg


def test_a_stream_that_is_not_there(client: Any) -> None:
    with pytest.raises(ClientRequestException) as error:
        client.show_stream_tags(ShowStreamTagsRequest(stream_id="nobody"))
    assert (error.value.status_code, error.value.error_code) == (400, "DIS.4603")
