"""Every route of the API but the hot three. Owns the list; each chapter's routes are in its own module."""

from __future__ import annotations

from penstock.http import (
    apps,
    checkpoints,
    events,
    groups,
    iam,
    identity,
    metrics,
    openapi,
    policies,
    quotas,
    scaling,
    streams,
    tags,
    tasks,
)
from penstock.http.call import Route

_CHAPTERS: list[Route] = [
    *streams.ROUTES,
    *scaling.ROUTES,
    *policies.ROUTES,
    *apps.ROUTES,
    *checkpoints.ROUTES,
    *groups.ROUTES,
    *tasks.ROUTES,
    *metrics.ROUTES,
    *tags.ROUTES,
    *quotas.ROUTES,
    *events.ROUTES,
    *identity.ROUTES,
    *iam.ROUTES,
]

ROUTES: list[Route] = [*_CHAPTERS, openapi.make_route(_CHAPTERS)]
