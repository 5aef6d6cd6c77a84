"""What a catalog may say instead of doing. Owns nothing else."""

from __future__ import annotations


class CatalogError(Exception):
    """Base of what a catalog may say instead of doing."""


class Exists(CatalogError):
    """A row with that name or id is there already."""


class QuotaExceeded(CatalogError):
    """The write would go over a quota; nothing was written."""


class Damaged(CatalogError):
    """A stored row fails its checksum, or the file is no catalog: names the row or the file."""


class TooNew(CatalogError):
    """The store was written by a later version of Penstock: nothing was changed."""


class Missing(CatalogError):
    """There is no such row to change."""
