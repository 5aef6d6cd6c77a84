"""Routes of monitoring (5.6). Owns the mapping of paths, parameters and statuses.

The old Python client sends a body with its GET (clients.md 1.7); it says nothing that the path does not.
"""

from __future__ import annotations

from penstock.http.call import Call, Doc, Parameter, Reply, Route
from penstock.model.metrics import PARTITION_LABELS, STREAM_LABELS
from penstock.service import metrics
from penstock.service.metrics import MetricsReply, Question

_START = Parameter(
    "start_time", "First second of the window, as a 10-digit timestamp; an hour before the end by default."
)
_END = Parameter("end_time", "Last second of the window, as a 10-digit timestamp; now by default.")


def _query(labels: tuple[str, ...]) -> tuple[Parameter, ...]:
    named = ", ".join(labels)
    return (
        Parameter("label", f"What is asked for: {named}."),
        Parameter("label_list", "Several labels, separated by commas; prevails over label."),
        _START,
        _END,
    )


_STREAM_QUERY = _query(tuple(STREAM_LABELS))
_PARTITION_QUERY = _query(tuple(PARTITION_LABELS))


async def of_stream(call: Call) -> Reply:
    """GET /streams/{stream_name}/metrics."""
    return Reply(
        200,
        await metrics.stream_metrics(
            call.context,
            call.require_principal(),
            call.project_id,
            call.params["stream_name"],
            _question(call, _STREAM_QUERY),
        ),
    )


async def of_partition(call: Call) -> Reply:
    """GET /streams/{stream_name}/partitions/{partition_id}/metrics."""
    return Reply(
        200,
        await metrics.partition_metrics(
            call.context,
            call.require_principal(),
            call.project_id,
            call.params["stream_name"],
            call.params["partition_id"],
            _question(call, _PARTITION_QUERY),
        ),
    )


def _question(call: Call, query: tuple[Parameter, ...]) -> Question:
    return Question(*(parameter.of(call) for parameter in query))


ROUTES: list[Route] = [
    Route(
        "GET",
        "/v2/{project_id}/streams/{stream_name}/metrics",
        of_stream,
        action="dis:streams:get",
        doc=Doc(
            "5.6.1",
            "What a stream has carried, by the minute",
            reply=MetricsReply,
            query=_STREAM_QUERY,
            errors=("DIS.4203", "DIS.4204", "DIS.4209", "DIS.4301"),
        ),
    ),
    Route(
        "GET",
        "/v2/{project_id}/streams/{stream_name}/partitions/{partition_id}/metrics",
        of_partition,
        action="dis:streams:get",
        doc=Doc(
            "5.6.2",
            "What a partition has carried, by the minute",
            reply=MetricsReply,
            query=_PARTITION_QUERY,
            errors=("DIS.4201", "DIS.4203", "DIS.4204", "DIS.4209", "DIS.4301", "DIS.4302"),
        ),
    ),
]
