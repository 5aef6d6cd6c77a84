"""Agencies: what an account lets another account, or a service, do in its name. Owns the rules of one: whom it trusts, how long it
holds, and the one every account has from the beginning. Knows no HTTP and no storage."""

from __future__ import annotations

import re
from typing import Any

from penstock.catalog.tables.iam import Agency
from penstock.errors import invalid, malformed
from penstock.iam.names import new_id

DEFAULT_NAME = "dis_admin_agency"
"""The agency dump tasks name unless told otherwise (5.5.1)."""

_SERVICE = re.compile(r"op_svc_[a-z0-9_]{1,56}")
_DEFAULT_SERVICE = "op_svc_dis"
_DAYS = re.compile(r"[0-9]{1,5}")
_DAYS_MAX = 36_500


def default_agency(domain_id: str, now_ms: int) -> Agency:
    """What every account is made with: the service may deliver to the account's destinations."""
    return Agency(
        agency_id=new_id(),
        domain_id=domain_id,
        name=DEFAULT_NAME,
        trust_domain_id="",
        trust_domain_name=_DEFAULT_SERVICE,
        description="Lets DIS deliver records to the destinations of dump tasks.",
        created_ms=now_ms,
    )


def is_service(name: str) -> bool:
    """Whether a trusted name is a service's, such as `op_svc_dis`, and no account's."""
    return _SERVICE.fullmatch(name) is not None


def read_duration(field: str, duration: Any) -> int:
    """Days; 0 is for ever. Raises ApiError DIS.4300 for a wrong type, DIS.4200 for a wrong value."""
    if duration is None or duration in ("", "FOREVER"):
        return 0
    if duration == "ONEDAY":
        return 1
    if isinstance(duration, bool) or not isinstance(duration, int | str):
        raise malformed(field, "expected FOREVER, ONEDAY or a number of days")
    text = str(duration)
    if not _DAYS.fullmatch(text) or not 1 <= int(text) <= _DAYS_MAX:
        raise invalid(field, f"FOREVER, ONEDAY, or 1 to {_DAYS_MAX} days")
    return int(text)


def show_duration(agency: Agency) -> str:
    """As replies have it: hours, or FOREVER."""
    return str(agency.days * 24) if agency.days else "FOREVER"


def holds(agency: Agency, now_ms: int) -> bool:
    """Whether it has not run out."""
    return agency.expires_ms is None or now_ms < agency.expires_ms


def resource(agency: Agency) -> str:
    """What policies call it."""
    return f"/iam/agencies/{agency.agency_id}"
