"""Routes of permission policies of streams (5.1.7, 5.1.8). Owns the mapping of paths, parameters and statuses."""

from __future__ import annotations

from penstock.http.call import Route

ROUTES: list[Route] = []
