"""Routes of quotas and statistics (chapter 6, the note below table 6-1), under /v1 and /v2. Owns the mapping of paths; what is
counted is `service.statistics`'s.

Table 6-1 has no action for them ("configure system-defined policy ..."): each of the system-defined policies allows these.
"""

from __future__ import annotations

from penstock.http.call import Call, Doc, Reply, Route
from penstock.service import statistics
from penstock.service.statistics import QuotasReply, StatisticsReply


async def quotas(call: Call) -> Reply:
    """GET /quotas."""
    return Reply(200, statistics.quotas(call.context, call.project_id))


async def statistics_(call: Call) -> Reply:
    """GET /statistics."""
    return Reply(200, await statistics.statistics(call.context, call.project_id))


_QUOTAS = Doc("6", "Quotas of the project and what is used of them", reply=QuotasReply)
_STATISTICS = Doc("6", "What the project has and what it carries", reply=StatisticsReply)

ROUTES: list[Route] = [
    route
    for version in ("v1", "v2")
    for route in (
        Route("GET", f"/{version}/{{project_id}}/quotas", quotas, action="dis:quotas:list", doc=_QUOTAS),
        Route(
            "GET",
            f"/{version}/{{project_id}}/statistics",
            statistics_,
            action="dis:statistics:list",
            doc=_STATISTICS,
        ),
    )
]
