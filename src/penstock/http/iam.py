"""Routes of the identity service's management API. Owns the list; users, groups, projects, policies and grants have modules of
their own."""

from __future__ import annotations

from penstock.http import iam_projects
from penstock.http.call import Route

ROUTES: list[Route] = [
    *iam_projects.ROUTES,
]
