"""Strings in protobuf that are no UTF-8 refuse the request, whichever they are."""

from __future__ import annotations

import pytest

from penstock.errors import ApiError
from penstock.http.wire import protobuf


@pytest.mark.parametrize(
    "body",
    [
        "0a01ff12031a0178",  # streamName
        "12031a0178f20101ff",  # streamId
        "12061a01782a01ff",  # partitionKey
        "12061a01783201ff",  # partitionId
        "12061a01782201ff",  # explicitHashKey
    ],
)
def test_a_string_that_is_no_utf8_is_refused(body: str) -> None:
    with pytest.raises(ApiError, match=r"DIS\.4300|not UTF-8") as caught:
        protobuf.decode_put(bytes.fromhex(body))
    assert caught.value.code == "DIS.4300"
