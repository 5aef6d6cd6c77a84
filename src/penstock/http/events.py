"""Routes of events and event subscriptions (chapter 6). Owns the mapping of paths, parameters and statuses."""

from __future__ import annotations

from penstock.http.call import Route

ROUTES: list[Route] = []
