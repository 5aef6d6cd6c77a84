"""What identity clients look around for: regions, services, endpoints, quotas, and the rules of passwords. Owns their shapes;
the services are those of the catalog in tokens."""

from __future__ import annotations

from typing import Any

from penstock.errors import invalid
from penstock.http.call import Call, Parameter, Reply, Route
from penstock.http.iam_form import (
    Json,
    base_url,
    link,
    links,
    missing,
    own_domain,
    own_project,
    route,
    store_of,
)
from penstock.http.identity import service_catalog
from penstock.iam.passwords import PASSWORD_BYTES
from penstock.limits import UNLIMITED


async def list_regions(call: Call) -> Reply:
    """GET /v3/regions: there is one."""
    return Reply(200, {"regions": [_region(call)], "links": links(call, "/v3/regions")})


async def show_region(call: Call) -> Reply:
    """GET /v3/regions/{region_id}."""
    if call.params["region_id"] != call.context.identity.region:
        raise missing("region", call.params["region_id"])
    return Reply(200, {"region": _region(call)})


def _region(call: Call) -> Json:
    region = call.context.identity.region
    return {
        "id": region,
        "type": "public",
        "description": "",
        "parent_region_id": None,
        "locales": {"zh-cn": region, "en-us": region},
        "links": link(call, f"/v3/regions/{region}"),
    }


def _services(call: Call) -> list[dict[str, Any]]:
    principal = call.require_principal()
    return service_catalog(base_url(call), call.context.identity.region, principal.project_id)


def _service(call: Call, one: dict[str, Any]) -> Json:
    return {
        "id": one["id"],
        "name": one["name"],
        "type": one["type"],
        "description": "",
        "enabled": True,
        "links": links(call, f"/v3/services/{one['id']}"),
    }


async def list_services(call: Call) -> Reply:
    """GET /v3/services."""
    kind = call.query.get("type")
    found = [_service(call, one) for one in _services(call) if kind in (None, one["type"])]
    return Reply(200, {"services": found, "links": links(call, "/v3/services")})


async def show_service(call: Call) -> Reply:
    """GET /v3/services/{service_id}."""
    wanted = call.params["service_id"]
    for one in _services(call):
        if one["id"] == wanted:
            return Reply(200, {"service": _service(call, one)})
    raise missing("service", wanted)


def _endpoints(call: Call) -> list[Json]:
    return [
        {
            "id": endpoint["id"],
            "service_id": service["id"],
            "interface": endpoint["interface"],
            "region": endpoint["region"],
            "region_id": endpoint["region_id"],
            "url": endpoint["url"],
            "enabled": True,
            "links": links(call, f"/v3/endpoints/{endpoint['id']}"),
        }
        for service in _services(call)
        for endpoint in service["endpoints"]
    ]


async def list_endpoints(call: Call) -> Reply:
    """GET /v3/endpoints."""
    interface, service_id = call.query.get("interface"), call.query.get("service_id")
    found = [
        one
        for one in _endpoints(call)
        if interface in (None, one["interface"]) and service_id in (None, one["service_id"])
    ]
    return Reply(200, {"endpoints": found, "links": links(call, "/v3/endpoints")})


async def show_endpoint(call: Call) -> Reply:
    """GET /v3/endpoints/{endpoint_id}."""
    wanted = call.params["endpoint_id"]
    for one in _endpoints(call):
        if one["id"] == wanted:
            return Reply(200, {"endpoint": one})
    raise missing("endpoint", wanted)


async def show_domain_quota(call: Call) -> Reply:
    """GET /v3.0/OS-QUOTA/domains/{domain_id}."""
    domain_id, limits, store = (
        own_domain(call, call.params["domain_id"]).domain_id,
        call.context.limits,
        store_of(call),
    )
    found = [
        _quota("user", limits.users_per_account, len(store.users_of(domain_id))),
        _quota("group", limits.groups_per_account, len(store.groups_of(domain_id))),
        _quota("policy", limits.policies_per_account, len(store.policies_of(domain_id))),
        _quota("project", limits.projects_per_account, len(store.projects_of(domain_id))),
    ]
    if wanted := call.query.get("type"):
        kinds = [one["type"] for one in found]
        if wanted not in kinds:
            raise invalid("type", f"{wanted[:64]} is not one of {', '.join(kinds)}")
        found = [one for one in found if one["type"] == wanted]
    return Reply(200, {"quotas": {"resources": found}})


async def show_project_quota(call: Call) -> Reply:
    """GET /v3.0/OS-QUOTA/projects/{project_id}: projects below it, which there are none of."""
    own_project(call, call.params["project_id"])
    domain_id = call.require_principal().domain_id
    used = len(store_of(call).projects_of(domain_id))
    quota = _quota("project", call.context.limits.projects_per_account, used)
    return Reply(200, {"quotas": {"resources": [quota]}})


def _quota(kind: str, most: int, used: int) -> Json:
    shown = most if most < UNLIMITED else 1_000_000
    return {"type": kind, "used": used, "quota": shown, "max": shown, "min": 0}


async def show_password_policy(call: Call) -> Reply:
    """GET /v3.0/OS-SECURITYPOLICY/domains/{domain_id}/password-policy: what is checked of passwords."""
    own_domain(call, call.params["domain_id"])
    return Reply(
        200,
        {
            "password_policy": {
                "maximum_consecutive_identical_chars": 0,
                "maximum_password_length": PASSWORD_BYTES,
                "minimum_password_age": 0,
                "minimum_password_length": call.context.limits.password_length_min,
                "number_of_recent_passwords_disallowed": 1,
                "password_not_username_or_invert": True,
                "password_requirements": "Printable characters, not the user's name or that backwards.",
                "password_validity_period": 0,
                "password_char_combination": 1,
            }
        },
    )


ROUTES: list[Route] = [
    route("GET", "/v3/regions", list_regions, "List regions"),
    route("GET", "/v3/regions/{region_id}", show_region, "Show a region"),
    route(
        "GET", "/v3/services", list_services, "List services", query=(Parameter("type", "Only that one."),)
    ),
    route("GET", "/v3/services/{service_id}", show_service, "Show a service"),
    route(
        "GET",
        "/v3/endpoints",
        list_endpoints,
        "List endpoints",
        query=(
            Parameter("interface", "`public`, `internal` or `admin`."),
            Parameter("service_id", "Only the service's."),
        ),
    ),
    route("GET", "/v3/endpoints/{endpoint_id}", show_endpoint, "Show an endpoint"),
    route(
        "GET",
        "/v3.0/OS-QUOTA/domains/{domain_id}",
        show_domain_quota,
        "How much of the account's quotas is used",
        query=(Parameter("type", "`user`, `group`, `policy` or `project`."),),
    ),
    route("GET", "/v3.0/OS-QUOTA/projects/{project_id}", show_project_quota, "Quotas of a project"),
    route(
        "GET",
        "/v3.0/OS-SECURITYPOLICY/domains/{domain_id}/password-policy",
        show_password_policy,
        "What a password must be",
    ),
]
