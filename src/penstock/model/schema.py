"""Source data schemas: Avro, as a JSON text (5.1.1 table 5-3 `data_schema`). Owns what is accepted; knows no streams.

Parsing is a library's, in C, which trusts its input: it recurses without a bound, and takes a schema's word that it
was parsed before. Both are ruled out here first.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from fastavro.schema import parse_schema

from penstock.errors import ApiError
from penstock.limits import Limits

_MARKS = ("__fastavro_parsed", "__named_schemas")


def check_schema(text: str, limits: Limits) -> None:
    """Raises DIS.4360 saying what is wrong with the schema."""
    if len(text.encode()) > limits.data_schema_bytes:
        raise _refused(f"longer than {limits.data_schema_bytes} bytes")
    try:
        schema = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise _refused(f"not JSON: {error}") from error
    _check_shape(schema, limits.data_schema_depth)
    try:
        parse_schema(schema)
    except Exception as error:  # whatever the parser trips over, the schema is at fault
        raise _refused(_reason(error)) from error


def schema_text(schema: str | dict[str, Any] | list[Any]) -> str:
    """The schema as kept: a string as it came; an object, as the reference's sample has it, as its JSON text."""
    return (
        schema if isinstance(schema, str) else json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    )


def _check_shape(schema: Any, deepest: int) -> None:
    if not isinstance(schema, (str, dict, list)):
        raise _refused("not an Avro schema: a name, an object or an array is")
    level: list[Any] = [schema]
    for _ in range(deepest):
        level = [child for value in level for child in _children(value)]
        if not level:
            return
    raise _refused(f"nested deeper than {deepest} levels")


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        if any(mark in value for mark in _MARKS):
            raise _refused("holds a parser's own marks")
        return [child for child in value.values() if isinstance(child, (dict, list))]
    return [child for child in value if isinstance(child, (dict, list))] if isinstance(value, list) else []


def _reason(error: Exception) -> str:
    """What the parser said, in a line; a missing key and a wrong type are all its bare exceptions mean."""
    if isinstance(error, KeyError):
        return f"{error} is missing"
    if isinstance(error, (TypeError, AttributeError)):
        return "a part of it has the wrong type"
    return " ".join(str(error).split())[:200]


def _refused(reason: str) -> ApiError:
    return ApiError("DIS.4360", f"[data_schema: {reason}]")
