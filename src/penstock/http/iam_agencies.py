"""Agencies over the IAM API (`/v3.0/OS-AGENCY/agencies`), what they are granted, and tokens of those who take one over. Owns
their shapes; what an agency is, is `iam.agencies`', who may take it over, `iam_taking`'s."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.catalog.base import Exists, QuotaExceeded
from penstock.catalog.tables.iam import Agency
from penstock.errors import ApiError, invalid
from penstock.http.call import Call, Parameter, Reply, Route
from penstock.http.iam_form import (
    Json,
    instant,
    manager,
    missing,
    own_domain,
    route,
    same_domain,
    store_of,
)
from penstock.http.iam_grants import domain_in_path, grant_routes, inherited_in_path, project_in_path
from penstock.iam import agencies
from penstock.iam.names import check_name, new_id

NAME_LENGTH = 64
DESCRIPTION_LENGTH = 255


class NewAgency(msgspec.Struct):
    """Trusts an account, by name or id, or a service by its name (`op_svc_dis`). `duration` is FOREVER, ONEDAY or days."""

    name: str
    domain_id: str
    trust_domain_id: str | None = None
    trust_domain_name: str | None = None
    description: str | None = None
    duration: Any = None


class CreateAgency(msgspec.Struct):
    """Body of POST agencies."""

    agency: NewAgency


class AgencyChange(msgspec.Struct):
    """What is to change: the rest stays. Who took it over before has to again."""

    trust_domain_id: str | None = None
    trust_domain_name: str | None = None
    description: str | None = None
    duration: Any = None


class UpdateAgency(msgspec.Struct):
    """Body of PUT agencies/{agency_id}."""

    agency: AgencyChange


def _agency_json(agency: Agency) -> Json:
    expires = agency.expires_ms
    return {
        "id": agency.agency_id,
        "name": agency.name,
        "domain_id": agency.domain_id,
        "trust_domain_id": agency.trust_domain_id or agency.trust_domain_name,
        "trust_domain_name": agency.trust_domain_name,
        "description": agency.description,
        "duration": agencies.show_duration(agency),
        "create_time": instant(agency.created_ms),
        "expire_time": instant(expires) if expires is not None else None,
    }


def own_agency(call: Call) -> Agency:
    """The agency in the path, of the caller's account."""
    agency = store_of(call).agencies.get(call.params["agency_id"])
    if agency is None or agency.domain_id != call.require_principal().domain_id:
        raise missing("agency", call.params["agency_id"])
    return agency


async def create_agency(call: Call) -> Reply:
    """POST agencies."""
    principal = manager(call, "iam:agencies:createAgency")
    wanted = call.decode(CreateAgency).agency
    own_domain(call, same_domain(call, wanted.domain_id))
    name = check_name("agency.name", wanted.name, NAME_LENGTH)
    trust_id, trust_name = _trusted(call, wanted)
    made = Agency(
        agency_id=new_id(),
        domain_id=principal.domain_id,
        name=name,
        trust_domain_id=trust_id,
        trust_domain_name=trust_name,
        description=_description(wanted.description),
        days=agencies.read_duration("agency.duration", wanted.duration),
        created_ms=call.context.clock.now_ms(),
    )
    try:
        await store_of(call).add_agency(made)
    except Exists as error:
        raise ApiError("IAM.0005", "[agency.name: taken]") from error
    except QuotaExceeded as error:
        most = call.context.limits.agencies_per_account
        raise ApiError("DIS.4308", f"[{most} agencies]") from error
    return Reply(201, {"agency": _agency_json(made)})


async def list_agencies(call: Call) -> Reply:
    """GET agencies?domain_id=&name=&trust_domain_id=: those of the account."""
    principal, query = manager(call, "iam:agencies:listAgencies"), call.query
    same_domain(call, query.get("domain_id"))
    found = [
        _agency_json(agency)
        for agency in store_of(call).agencies_of(principal.domain_id)
        if query.get("name") in (None, agency.name)
        and query.get("trust_domain_id") in (None, agency.trust_domain_id or agency.trust_domain_name)
    ]
    return Reply(200, {"agencies": found})


async def show_agency(call: Call) -> Reply:
    """GET agencies/{agency_id}."""
    agency = own_agency(call)
    manager(call, "iam:agencies:getAgency")
    return Reply(200, {"agency": _agency_json(agency)})


async def update_agency(call: Call) -> Reply:
    """PUT agencies/{agency_id}."""
    agency = own_agency(call)
    manager(call, "iam:agencies:updateAgency")
    wanted = call.decode(UpdateAgency).agency
    changes: Json = {}
    if wanted.trust_domain_id or wanted.trust_domain_name:
        changes["trust_domain_id"], changes["trust_domain_name"] = _trusted(call, wanted)
    if wanted.description is not None:
        changes["description"] = _description(wanted.description)
    if wanted.duration not in (None, ""):
        changes["days"] = agencies.read_duration("agency.duration", wanted.duration)
    if changes:
        agency = await store_of(call).update_agency(agency.agency_id, **changes)
    return Reply(200, {"agency": _agency_json(agency)})


async def delete_agency(call: Call) -> Reply:
    """DELETE agencies/{agency_id}: with its grants; whoever took it over has it no more."""
    agency = own_agency(call)
    manager(call, "iam:agencies:deleteAgency")
    await store_of(call).remove_agency(agency.agency_id)
    return Reply(204)


def _trusted(call: Call, wanted: NewAgency | AgencyChange) -> tuple[str, str]:
    """Id and name of who is trusted; no id for a service."""
    name, domain_id = wanted.trust_domain_name, wanted.trust_domain_id
    service = name or domain_id or ""
    if agencies.is_service(service) and domain_id in (None, "", service):
        return "", service
    if not name and not domain_id:
        raise invalid("agency.trust_domain_name", "missing, and so is trust_domain_id")
    domain = call.context.identity.domain(domain_id=domain_id or None, name=name or None)
    if domain is None:
        raise missing("domain", name or domain_id or "")
    if domain.domain_id == call.require_principal().domain_id:
        raise invalid("agency.trust_domain_name", "is this account")
    return domain.domain_id, domain.name


def _description(text: str | None) -> str:
    if text and (len(text) > DESCRIPTION_LENGTH or not text.isprintable()):
        raise invalid("agency.description", f"at most {DESCRIPTION_LENGTH} printable characters")
    return text or ""


def agency_in_path(call: Call) -> str:
    """An agency as grants call it."""
    return f"agency:{own_agency(call).agency_id}"


_AGENCIES = "/v3.0/OS-AGENCY/agencies"
_PROJECT = "/v3.0/OS-AGENCY/projects/{project_id}/agencies/{agency_id}/roles"
_DOMAIN = "/v3.0/OS-AGENCY/domains/{domain_id}/agencies/{agency_id}/roles"
_INHERITED = "/v3.0/OS-INHERIT/domains/{domain_id}/agencies/{agency_id}/roles"

ROUTES: list[Route] = [
    route(
        "POST",
        _AGENCIES,
        create_agency,
        "Make an agency",
        request=CreateAgency,
        status=201,
        errors=("DIS.4300", "IAM.0004", "IAM.0005", "DIS.4308"),
    ),
    route(
        "GET",
        _AGENCIES,
        list_agencies,
        "List agencies",
        query=(
            Parameter("domain_id", "The account."),
            Parameter("name", "Only the agency of that name."),
            Parameter("trust_domain_id", "Only those that trust this account."),
        ),
        errors=("IAM.0004",),
    ),
    route("GET", _AGENCIES + "/{agency_id}", show_agency, "Show an agency"),
    route(
        "PUT",
        _AGENCIES + "/{agency_id}",
        update_agency,
        "Change an agency",
        request=UpdateAgency,
        errors=("DIS.4300",),
    ),
    route("DELETE", _AGENCIES + "/{agency_id}", delete_agency, "Delete an agency", status=204),
    *grant_routes(
        _PROJECT + "/{role_id}", _PROJECT, agency_in_path, project_in_path, "to an agency in a project"
    ),
    *grant_routes(
        _DOMAIN + "/{role_id}", _DOMAIN, agency_in_path, domain_in_path, "to an agency in the account"
    ),
    *grant_routes(
        _INHERITED + "/{role_id}/inherited_to_projects",
        _INHERITED + "/inherited_to_projects",
        agency_in_path,
        inherited_in_path,
        "to an agency in all projects",
    ),
]
