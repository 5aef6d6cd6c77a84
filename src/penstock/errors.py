"""Every DIS and APIGW error code: one table of code, HTTP status and message form.

Owns the codes and how a message is made from one. Knows nothing of HTTP frameworks or of who raises what.
The table is section 7.1 of the API reference (English and Chinese editions), the gateway codes, and the
consumer group codes real clients look for (400 DIS.4701-4703).

A message may never contain another code: clients search for codes anywhere in the body.
"""

from __future__ import annotations

from typing import NamedTuple


class Code(NamedTuple):
    """One row of the table. `message` may hold one `%s`, filled with the detail."""

    code: str
    status: int
    message: str


def _table(*rows: tuple[int, str, str]) -> dict[str, Code]:
    return {code: Code(code, status, message) for status, code, message in rows}


CODES: dict[str, Code] = _table(
    (403, "DIS.4116", "Invalid RBAC. %s"),
    (400, "DIS.4117", "Invalid Project Id. %s"),
    (400, "DIS.4200", "Invalid request. %s"),
    (400, "DIS.4201", "Invalid partition_id. %s"),
    (400, "DIS.4202", "Empty request."),
    (400, "DIS.4203", "Invalid monitoring period. %s"),
    (400, "DIS.4204", "The monitoring period cannot be longer than 7 days."),
    (400, "DIS.4205", "Stream is not running."),
    (400, "DIS.4208", "Mrs cluster is invalid. %s"),
    (400, "DIS.4209", "Invalid metrics label. %s"),
    (400, "DIS.4215", "Invalid cursor type. %s"),
    (400, "DIS.4216", "Invalid sequence_number. %s"),
    (400, "DIS.4217", "Invalid partition cursor. %s"),
    (400, "DIS.4224", "Sequence_number out of range. %s"),
    (400, "DIS.4225", "Expired partition cursor. %s"),
    (
        400,
        "DIS.4226",
        "A partition iterator error occurred or a record to which the SN corresponds has expired. "
        "Try to obtain the partition iterator again.",
    ),
    (400, "DIS.4300", "Request error. %s"),
    # The form the Java SDK parses: `Stream does not exist. [name][project]` (clients.md section 5).
    (400, "DIS.4301", "Stream does not exist. %s"),
    (400, "DIS.4302", "Partition does not exist. %s"),
    (400, "DIS.4303", "Exceeded traffic control limit."),
    (400, "DIS.4305", "Too many stream requests."),
    (400, "DIS.4306", "Bucket does not exist. %s"),
    (400, "DIS.4307", "The stream already exists."),
    (400, "DIS.4308", "Insufficient quota."),
    (400, "DIS.4309", "Too many request failures. Please try again later."),
    (400, "DIS.4310", "OBS access error."),
    (400, "DIS.4319", "Partition is expired. %s"),
    (400, "DIS.4329", "app quota exceeded."),
    (400, "DIS.4330", "app already exist."),
    (400, "DIS.4331", "app is using."),
    (400, "DIS.4332", "app not found."),
    (400, "DIS.4335", "Invalid IAM agency."),
    (400, "DIS.4336", "Invalid HDFS path."),
    (400, "DIS.4337", "The DLI database does not exist."),
    (400, "DIS.4338", "The DLI table does not exist."),
    (400, "DIS.4339", "Consumer quota exceeded."),
    (400, "DIS.4341", "The CloudTable cluster does not exist."),
    (400, "DIS.4342", "The CloudTable table does not exist"),
    (400, "DIS.4343", "The CloudTable table family does not exist."),
    (400, "DIS.4345", "Invalid CloudTable schema."),
    (400, "DIS.4348", "Invalid CloudTable openTSDB schema."),
    (400, "DIS.4350", "Invalid DWS cluster."),
    (400, "DIS.4351", "Invalid KMS userKey."),
    (400, "DIS.4354", "The transfer task does not exist."),
    (400, "DIS.4355", "The transfer task already exists."),
    (400, "DIS.4357", "Exceeded transfer task quota."),
    (400, "DIS.4360", "Invalid data schema."),
    (400, "DIS.4375", "The app does not commit checkpoint"),
    (400, "DIS.4601", "The number of resource tags has reached the maximum."),
    (400, "DIS.4602", "Invalid resource type."),
    (400, "DIS.4603", "The resource does not exist."),
    (400, "DIS.4604", "The key does not exist."),
    (400, "DIS.4605", "The action is not supported."),
    (400, "DIS.4701", "Rebalance in progress. %s"),
    (400, "DIS.4702", "Member does not exist. %s"),
    (400, "DIS.4703", "Illegal generation. %s"),
    (500, "DIS.5000", "System error. %s"),
    (404, "APIGW.0101", "The API does not exist or has not been published in the environment. %s"),
    (405, "APIGW.0104", "The method is not allowed for this API. %s"),
    (413, "APIGW.0201", "Request entity too large. %s"),
    (400, "APIGW.0106", "Malformed request. %s"),
    (415, "APIGW.0107", "Unsupported media type or content encoding. %s"),
    (401, "APIGW.0301", "Incorrect IAM authentication information. %s"),
    (408, "APIGW.0202", "The request took too long to arrive. %s"),
    (503, "APIGW.0203", "The service is shutting down or overloaded. %s"),
)
"""Code -> row. A `%s` form given no detail loses it; a form without `%s` gets a detail appended in brackets."""


def render(code: str, detail: str = "") -> str:
    """The message of `code`: its form with `detail` in place of `%s`, or appended when the form has none."""
    form = CODES[code].message
    if "%s" in form:
        return (form % detail).rstrip() if detail else form.replace("%s", "").rstrip()
    return f"{form} {detail}" if detail else form


class ApiError(Exception):
    """A refusal the client is told about. `status` overrides the table's HTTP status where clients need it
    (404 with DIS.4301 on GET and DELETE of a stream: what Terraform takes for "gone")."""

    def __init__(self, code: str, detail: str = "", *, status: int | None = None) -> None:
        row = CODES[code]
        self.code = code
        self.status = row.status if status is None else status
        self.message = render(code, detail)
        super().__init__(f"{code} {self.message}")


def invalid(field: str, reason: str) -> ApiError:
    """DIS.4200 naming the field whose value is out of range."""
    return ApiError("DIS.4200", f"[{field}: {reason}]")


def malformed(field: str, reason: str) -> ApiError:
    """DIS.4300 naming the field that could not be read or has the wrong type."""
    return ApiError("DIS.4300", f"[{field}: {reason}]")


def stream_missing(name: str, project_id: str, *, status: int | None = None) -> ApiError:
    """DIS.4301 in the form clients parse: `Stream does not exist. [name][project]`."""
    return ApiError("DIS.4301", f"[{name}][{project_id}]", status=status)
