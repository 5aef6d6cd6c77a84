"""Routes of the identity service's management API. Owns the list; users, groups, projects, policies, grants, keys, agencies and
accounts have modules of their own."""

from __future__ import annotations

from penstock.http import (
    iam_accounts,
    iam_agencies,
    iam_credentials,
    iam_grants,
    iam_groups,
    iam_projects,
    iam_roles,
    iam_services,
    iam_users,
)
from penstock.http.call import Route

ROUTES: list[Route] = [
    *iam_users.ROUTES,
    *iam_groups.ROUTES,
    *iam_projects.ROUTES,
    *iam_roles.ROUTES,
    *iam_grants.ROUTES,
    *iam_services.ROUTES,
    *iam_credentials.ROUTES,
    *iam_agencies.ROUTES,
    *iam_accounts.ROUTES,
]
