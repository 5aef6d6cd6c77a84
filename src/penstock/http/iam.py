"""Routes of the identity service's management API. Owns the list; users, groups, projects, policies and grants have modules of
their own."""

from __future__ import annotations

from penstock.http import iam_grants, iam_groups, iam_projects, iam_roles, iam_services, iam_users
from penstock.http.call import Route

ROUTES: list[Route] = [
    *iam_users.ROUTES,
    *iam_groups.ROUTES,
    *iam_projects.ROUTES,
    *iam_roles.ROUTES,
    *iam_grants.ROUTES,
    *iam_services.ROUTES,
]
