"""Routes of checkpoints (5.3). Owns the mapping of paths, parameters and statuses."""

from __future__ import annotations

from penstock.http.call import Route

ROUTES: list[Route] = []
