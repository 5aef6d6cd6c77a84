"""One control-plane call: what a handler gets and gives back. Owns reading of parameters and bodies into types and
the table of routes' form; knows no ASGI and no storage. The three hot operations do not come through here.

Rules of reading (clients.md section 0): `""` and null are absent for every optional field, unknown fields are
ignored, a bare or empty query parameter is absent.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from penstock.errors import ApiError, invalid, malformed
from penstock.iam.base import Principal, SentRequest
from penstock.limits import SEQUENCE_MAX, Limits

if TYPE_CHECKING:
    from penstock.service.context import Context

T = TypeVar("T")

_MISSING = re.compile(r"Object missing required field `(.+)`")


class Access(Enum):
    """Who may call a route."""

    OPEN = "open"
    """Anybody: asking for a token, version discovery."""
    IDENTITY = "identity"
    """Anybody who authenticates."""
    PROJECT = "project"
    """Who authenticates for the project named in the path as `{project_id}`."""


class Reply(NamedTuple):
    """`body` None sends a zero-length body (creates, commits and deletes: the Java SDK refuses even `{}`)."""

    status: int
    body: object = None
    headers: tuple[tuple[str, str], ...] = ()


class Call(msgspec.Struct, kw_only=True):
    """A call after authentication and decompression. `params` are the path's parts, decoded; `query` holds the last
    value of each non-empty parameter, decoded; `sent` is the request as received."""

    context: Context
    sent: SentRequest
    principal: Principal | None
    params: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    scheme: str = "http"

    @property
    def project_id(self) -> str:
        return self.params["project_id"]

    def require_principal(self) -> Principal:
        """The principal; routes that are not OPEN always have one."""
        assert self.principal is not None
        return self.principal

    def header(self, name: str) -> str:
        """The first header of that lower-case name, or the empty string."""
        wanted = name.encode()
        for key, value in self.sent.headers:
            if key == wanted:
                return value.decode("latin-1")
        return ""

    def decode(self, kind: type[T]) -> T:
        """The body as `kind`. DIS.4202 for an empty one, DIS.4300 naming the field for anything unreadable."""
        return decode_json(self.body, kind)

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """A query parameter as a whole number; absent, empty and 0 are the default. DIS.4200 when out of range."""
        text = self.query.get(name, "")
        if text in ("", "0"):
            return default
        number = parse_integer(name, text)
        if not low <= number <= high:
            raise invalid(name, f"{text} is outside {low} to {high}")
        return number


def parse_integer(name: str, text: str) -> int:
    """A decimal integer from a query. DIS.4200 naming the parameter otherwise."""
    digits = text[1:] if text.startswith("-") else text
    if not digits.isascii() or not digits.isdigit() or len(digits) > 20:
        raise invalid(name, "not a whole number")
    return int(text)


def decode_json(body: bytes, kind: type[T]) -> T:
    """`body` as `kind`, with nulls and empty strings of optional fields taken as absent where the type says so.

    DIS.4202 for no body; DIS.4200 for a mandatory field that is missing or null, as the real service answers
    (clients.md 1.1); DIS.4300 naming the field for a wrong type and for what is no JSON.
    """
    if not body.strip():
        raise ApiError("DIS.4202")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        reason, at, where = str(error).rpartition(" - at ")
        if not at:
            reason, where = where, ""
        field = where.strip("`").removeprefix("$").removeprefix(".") if where else "body"
        if match := _MISSING.fullmatch(reason):
            raise invalid(f"{field}.{match[1]}" if where and field else match[1], "missing") from error
        if where and reason.endswith("got `null`") and not field.endswith("]"):
            raise invalid(field, "missing") from error
        # What a field that may be "" or a number says of a text in it.
        raise malformed(field, reason.replace("Invalid enum value", "cannot be")) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed("body", f"not JSON: {error}") from error


Handler = Callable[[Call], Awaitable[Reply]]


class Parameter(NamedTuple):
    """A text in the query. `aliases` are other spellings clients send; `values` the only ones accepted, where named."""

    name: str
    description: str = ""
    values: tuple[str, ...] = ()
    required: bool = False
    aliases: tuple[str, ...] = ()

    def of(self, call: Call) -> str:
        """The value; the empty string when absent. DIS.4200 when required or not one of `values`."""
        for name in (self.name, *self.aliases):
            if text := call.query.get(name, ""):
                if self.values and text not in self.values:
                    raise invalid(self.name, f"{text[:64]} is not one of {', '.join(self.values)}")
                return text
        if self.required:
            raise invalid(self.name, "missing")
        return ""


class Number(NamedTuple):
    """A whole number in the query; absent, empty and 0 are the default. `maximum` and `default` are names of limits, or
    numbers."""

    name: str
    description: str = ""
    default: str | int = 0
    minimum: int = 0
    maximum: str | int = SEQUENCE_MAX

    def range(self, limits: Limits) -> tuple[int, int, int]:
        """Default, smallest, largest."""
        default = getattr(limits, self.default) if isinstance(self.default, str) else self.default
        most = getattr(limits, self.maximum) if isinstance(self.maximum, str) else self.maximum
        return default, self.minimum, most

    def of(self, call: Call) -> int:
        """The value. DIS.4200 when it is no number or out of range."""
        return call.integer(self.name, *self.range(call.context.limits))


class Doc(NamedTuple):
    """What the OpenAPI description says of a route. `request` and `reply` are the types that are decoded and encoded, `errors`
    the codes it may answer beside those every route may."""

    section: str
    summary: str
    request: Any = None
    reply: Any = None
    status: int = 200
    query: tuple[Parameter | Number, ...] = ()
    errors: tuple[str, ...] = ()


class Route(NamedTuple):
    """`path` is a template such as `/v2/{project_id}/streams/{stream_name}`; a `{part}` matches one segment.
    Trailing slashes and any prefix before the version do not matter. `action` is what an IAM user must be allowed
    (chapter 6); without one, who may act in the project may call it. `counted` is whether it is one of the control requests
    that a project may send so many of (DIS.4305)."""

    method: str
    path: str
    handler: Handler
    access: Access = Access.PROJECT
    action: str = ""
    doc: Doc | None = None
    counted: bool = True


def to_json(value: Any) -> bytes:
    """A reply's body."""
    return msgspec.json.encode(value)
