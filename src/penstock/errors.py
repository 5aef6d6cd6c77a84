"""Every DIS and APIGW error code: one table of code, HTTP status and message form.

Owns the codes and how a message is made from one. Knows nothing of HTTP frameworks or of who raises what.
The table is section 7.1 of the API reference (English and Chinese editions), the gateway codes, and the
consumer group codes real clients look for (400 DIS.4701-4703).

A message may never contain another code: clients search for codes anywhere in the body.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Code(NamedTuple):
    """One row of the table. `message` may hold one `%s`, filled with the detail; `advice` is for docs/errors.md: what it means, and
    what to do next."""

    code: str
    status: int
    message: str
    advice: str


def _table(*rows: tuple[int, str, str, str]) -> dict[str, Code]:
    return {code: Code(code, status, message, advice) for status, code, message, advice in rows}


CODES: dict[str, Code] = _table(
    (
        403,
        "DIS.4116",
        "Invalid RBAC. %s",
        "The user lacks the action in brackets. Give a group of the user a policy that allows it.",
    ),
    (
        400,
        "DIS.4117",
        "Invalid Project Id. %s",
        "The project in the path is not one the caller may act in. Check the project id, and which project the token is for.",
    ),
    (
        400,
        "DIS.4200",
        "Invalid request. %s",
        "The value of the field in brackets is missing or out of range; the message says what is allowed.",
    ),
    (400, "DIS.4201", "Invalid partition_id. %s", "Partition ids are `shardId-0000000000` or plain numbers."),
    (400, "DIS.4202", "Empty request.", "The request has no body, or an empty list of records."),
    (
        400,
        "DIS.4203",
        "Invalid monitoring period. %s",
        "`start_time` and `end_time` are seconds since the epoch, the first before the second.",
    ),
    (
        400,
        "DIS.4204",
        "The monitoring period cannot be longer than 7 days.",
        "Points are kept for 7 days: ask for a shorter or later period.",
    ),
    (
        400,
        "DIS.4205",
        "Stream is not running.",
        "The stream is being deleted or is frozen. Wait, or have it thawed.",
    ),
    (
        400,
        "DIS.4208",
        "Mrs cluster is invalid. %s",
        "The MRS cluster is not one of `[[mrs]]` in the configuration, or does not answer.",
    ),
    (400, "DIS.4209", "Invalid metrics label. %s", "The message lists the labels there are."),
    (
        400,
        "DIS.4215",
        "Invalid cursor type. %s",
        "Use AT_SEQUENCE_NUMBER, AFTER_SEQUENCE_NUMBER, TRIM_HORIZON, LATEST or AT_TIMESTAMP.",
    ),
    (
        400,
        "DIS.4216",
        "Invalid sequence_number. %s",
        "A sequence number is a whole number from 0 to 9223372036854775807.",
    ),
    (
        400,
        "DIS.4217",
        "Invalid partition cursor. %s",
        "The cursor was not made by this service for this project, or its stream has been deleted. Get a new one.",
    ),
    (
        400,
        "DIS.4224",
        "Sequence_number out of range. %s",
        "The brackets name the number and the range that can be read. Start within it, or with TRIM_HORIZON.",
    ),
    (400, "DIS.4225", "Expired partition cursor. %s", "A cursor lives for 5 minutes. Get a new one."),
    (
        400,
        "DIS.4226",
        "A partition iterator error occurred or a record to which the SN corresponds has expired. "
        "Try to obtain the partition iterator again.",
        "What the cursor points at is over its retention. Get a new cursor with TRIM_HORIZON.",
    ),
    (
        400,
        "DIS.4300",
        "Request error. %s",
        "The body cannot be read, or the field in brackets has the wrong type or size.",
    ),
    # The form the Java SDK parses: `Stream does not exist. [name][project]` (clients.md section 5).
    (
        400,
        "DIS.4301",
        "Stream does not exist. %s",
        "No stream of that name or id in the project, or none that is shared with the caller.",
    ),
    (400, "DIS.4302", "Partition does not exist. %s", "The stream has no such partition. Describe it."),
    (
        400,
        "DIS.4303",
        "Exceeded traffic control limit.",
        "The partition has had its megabytes or records for this second, or the disk is full. Send the record again a little later, or add partitions.",
    ),
    (
        400,
        "DIS.4305",
        "Too many stream requests.",
        "More management requests in a second than a project may send. Slow down.",
    ),
    (
        400,
        "DIS.4306",
        "Bucket does not exist. %s",
        "The bucket is not there. The message says how to make one.",
    ),
    (400, "DIS.4307", "The stream already exists.", "Choose another name, or delete the stream first."),
    (
        400,
        "DIS.4308",
        "Insufficient quota.",
        "The brackets say which quota. Delete something, or raise the limit in the configuration.",
    ),
    (
        400,
        "DIS.4309",
        "Too many request failures. Please try again later.",
        "Too many requests from this address failed to authenticate. Wait a minute; check key and secret.",
    ),
    (
        400,
        "DIS.4310",
        "OBS access error.",
        "The object store refused the request or could not be reached. Check its entry in `[[obs]]`.",
    ),
    (
        400,
        "DIS.4319",
        "Partition is expired. %s",
        "The partition was scaled away and its records are over their retention. Read the partitions that are left.",
    ),
    (400, "DIS.4329", "app quota exceeded.", "Delete apps that are not used any more."),
    (400, "DIS.4330", "app already exist.", "The app can be used as it is."),
    (
        400,
        "DIS.4331",
        "app is using.",
        "Consumers of the app are still at work. Stop them, or wait until they time out.",
    ),
    (400, "DIS.4332", "app not found.", "Create the app first."),
    (
        400,
        "DIS.4335",
        "Invalid IAM agency.",
        "The agency does not exist in the account, or may not use the destination.",
    ),
    (400, "DIS.4336", "Invalid HDFS path.", "The path is not in HDFS, or is not a directory."),
    (
        400,
        "DIS.4337",
        "The DLI database does not exist.",
        "Create the database in the lakehouse catalog first.",
    ),
    (400, "DIS.4338", "The DLI table does not exist.", "Create the table in the lakehouse catalog first."),
    (
        400,
        "DIS.4339",
        "Consumer quota exceeded.",
        "The group has as many members as it may have. Stop one, or add partitions.",
    ),
    (
        400,
        "DIS.4341",
        "The CloudTable cluster does not exist.",
        "The cluster is not one of `[[cloudtable]]` in the configuration, or does not answer.",
    ),
    (400, "DIS.4342", "The CloudTable table does not exist", "Create the HBase table first."),
    (400, "DIS.4343", "The CloudTable table family does not exist.", "Create the column family first."),
    (
        400,
        "DIS.4345",
        "Invalid CloudTable schema.",
        "The brackets name the part of the HBase schema that is wrong.",
    ),
    (
        400,
        "DIS.4348",
        "Invalid CloudTable openTSDB schema.",
        "The brackets name the part of the OpenTSDB schema that is wrong.",
    ),
    (
        400,
        "DIS.4350",
        "Invalid DWS cluster.",
        "The cluster is not one of `[[dws]]` in the configuration, or does not take the user and password.",
    ),
    (400, "DIS.4351", "Invalid KMS userKey.", "The key is not one of `[[kms]]` in the configuration."),
    (
        400,
        "DIS.4354",
        "The transfer task does not exist.",
        "No task of that name or id on the stream. List them.",
    ),
    (400, "DIS.4355", "The transfer task already exists.", "Choose another name, or delete the task first."),
    (400, "DIS.4357", "Exceeded transfer task quota.", "A stream has at most 5 tasks. Delete one."),
    (
        400,
        "DIS.4360",
        "Invalid data schema.",
        "The data schema is not a valid Avro schema; the message says where.",
    ),
    (
        400,
        "DIS.4375",
        "The app does not commit checkpoint",
        "The app has committed no checkpoint that could be deleted.",
    ),
    (
        400,
        "DIS.4601",
        "The number of resource tags has reached the maximum.",
        "A stream has at most 10 tags. Remove one first.",
    ),
    (400, "DIS.4602", "Invalid resource type.", "The only type of resource is `stream`."),
    (400, "DIS.4603", "The resource does not exist.", "No stream with that id in the project."),
    (400, "DIS.4604", "The key does not exist.", "The stream has no tag with that key."),
    (400, "DIS.4605", "The action is not supported.", "The message lists the actions there are."),
    (
        400,
        "DIS.4701",
        "Rebalance in progress. %s",
        "Members of the group are joining or leaving. Join again, then commit.",
    ),
    (400, "DIS.4702", "Member does not exist. %s", "The member has timed out or left. Join again."),
    (400, "DIS.4703", "Illegal generation. %s", "The group has gone on to another generation. Join again."),
    (
        500,
        "DIS.5000",
        "System error. %s",
        "Something failed inside the server, a disk for example. The log has the details under the request id; retry.",
    ),
    (
        404,
        "APIGW.0101",
        "The API does not exist or has not been published in the environment. %s",
        "No such path. Check the version and the project in it.",
    ),
    (
        405,
        "APIGW.0104",
        "The method is not allowed for this API. %s",
        "The message lists the methods the path has.",
    ),
    (413, "APIGW.0201", "Request entity too large. %s", "Send fewer or smaller records in one request."),
    (
        400,
        "APIGW.0106",
        "Malformed request. %s",
        "The bytes are not a request of HTTP that can be understood.",
    ),
    (
        415,
        "APIGW.0107",
        "Unsupported media type or content encoding. %s",
        "Bodies are JSON or, for records, protobuf; encodings are gzip, deflate, snappy, lz4, zstd.",
    ),
    (
        401,
        "APIGW.0301",
        "Incorrect IAM authentication information. %s",
        "The message says what is wrong with the token or the signature.",
    ),
    (
        404,
        "IAM.0004",
        "Could not find it. %s",
        "There is no user, group, project, policy or grant of that id in the account of who asks.",
    ),
    (
        409,
        "IAM.0005",
        "It conflicts with what is there. %s",
        "Names of users, groups, projects and policies are unique within an account: take another.",
    ),
    (
        408,
        "APIGW.0202",
        "The request took too long to arrive. %s",
        "Headers must arrive within 10 s, bodies without a pause of 30 s.",
    ),
    (503, "APIGW.0203", "The service is shutting down or overloaded. %s", "Try again in a moment."),
)
"""Code -> row. A `%s` form given no detail loses it; a form without `%s` gets a detail appended in brackets."""


_ANY_CODE = re.compile(r"(DIS|APIGW)\.(\d{4})")


def render(code: str, detail: str = "") -> str:
    """The message of `code`: its form with `detail` in place of `%s`, or appended when the form has none."""
    form = CODES[code].message
    # A client's own words may hold a code, which other clients would take for ours.
    detail = _ANY_CODE.sub(r"\1_\2", detail)
    if "%s" in form:
        return (form % detail).rstrip() if detail else form.replace("%s", "").rstrip()
    return f"{form} {detail}" if detail else form


class ApiError(Exception):
    """A refusal the client is told about. `status` overrides the table's HTTP status where clients need it
    (404 with DIS.4301 on GET and DELETE of a stream: what Terraform takes for "gone"); `headers` go with the reply."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        status: int | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        row = CODES[code]
        self.code = code
        self.headers = headers
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


def page() -> str:
    """docs/errors.md."""
    lines = [
        "# Error codes",
        "",
        "Every refusal is JSON with `errorCode` and `message`, and the same values as `error_code` and `error_msg`. A `%s` in a",
        "message is the detail, in brackets. Records of a PutRecords request that were not stored carry their own `error_code` and",
        "`error_message` inside a reply with status 200. Streams that are read or deleted and not there answer 404 instead of 400.",
        "",
        "Made by `make errors` from `src/penstock/errors.py`.",
        "",
        "| code | status | message | what it means, what to do |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{row.code}` | {row.status} | {row.message} | {row.advice} |"
        for row in sorted(CODES.values(), key=lambda row: (row.code[:3] != "DIS", row.code))
    ]
    return "\n".join(lines) + "\n"
