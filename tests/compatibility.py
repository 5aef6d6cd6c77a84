"""docs/compatibility.md, made from a recorded run of the tests: which field and error code of which route was used by which
client, in which test.

    PENSTOCK_TEST_RECORD=DIR make test
    python -m tests.compatibility write DIR     makes the page; names what no test uses, which it leaves out
    python -m tests.compatibility check DIR     fails when the page claims what the run did not show

Owns the page's form. What there is comes from the OpenAPI description, what was seen from tests.support.recording.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.recording import CLIENTS, read

from penstock.errors import CODES
from penstock.http.openapi import PATH, describe
from penstock.http.routes import ROUTES
from penstock.limits import Limits

PAGE = Path(__file__).parent.parent / "docs/compatibility.md"
ORDER = ("py3", "pyOld", "otcpy", "java", "java-v3", "go-v3", "kafka", "raw")
assert set(ORDER) == {name for name, _ in CLIENTS} | {"raw"}

TOLERATED = 25
"""Claims a run may fail to show: a few hang on which reply a client happened to get first (a refusal while members of a group
rebalance, say). There are thousands."""

_HEAD = """# Compatibility

Made by `make compatibility` from a run of the tests: nothing here is claimed that a test did not do over TCP against a real
server. `clients` are the programs that used a field or met a code in that run: `py3` huaweicloudsdkdis, `pyOld`
huaweicloud-python-sdk-dis, `otcpy` otcextensions, `java` huaweicloud-sdk-java-dis, `java-v3` huaweicloud-sdk-dis (Java), `go-v3`
huaweicloud-sdk-go-v3, `kafka` huaweicloud-dis-kafka-adapter; `raw` are requests written byte by byte, those of clients that are in no
registry (Terraform providers, gophertelekomcloud, dis-agent) among them. `test` is one of the tests.

"""
_ROW = re.compile(r"^\| (\w+) \| `([^`]+)` \| ([\w, -]+) \| `([^`]+)` \|$")
_TITLE = re.compile(r"^### .*`(\w+) (/[^`]*)`$")


class Row(NamedTuple):
    """One thing a route has: a request field, a reply field, a status or an error code."""

    kind: str
    name: str


class Operation(NamedTuple):
    section: str
    summary: str
    method: str
    route: str
    rows: tuple[Row, ...]


def operations() -> list[Operation]:
    """Everything the description has, in order of the sections."""
    document = describe(ROUTES, Limits())
    found = [
        _operation(document, method.upper(), route, operation)
        for route, methods in document["paths"].items()
        if route != PATH
        for method, operation in methods.items()
        if method != "parameters"
    ]
    return sorted(found, key=lambda operation: (_order(operation.section), operation.route, operation.method))


def _operation(document: dict[str, Any], method: str, route: str, operation: dict[str, Any]) -> Operation:
    rows: list[Row] = []
    for parameter in operation["parameters"]:
        rows.append(Row("request", f"?{parameter['name']}"))
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    rows += [Row("request", name) for name in dict.fromkeys(_fields(document, body, ""))]
    for status, response in operation["responses"].items():
        if int(status) < 400:
            rows.append(Row("status", status))
            for content in response.get("content", {}).values():
                rows += [
                    Row("reply", name) for name in dict.fromkeys(_fields(document, content["schema"], ""))
                ]
    codes = {code for route_, method_, code in _codes() if (route_, method_) == (route, method)}
    rows += [Row("code", code) for code in sorted(codes)]
    section = operation.get("description", "").removeprefix("API reference ").rstrip(".")
    return Operation(section, operation["summary"], method, route, tuple(rows))


def _codes() -> Iterator[tuple[str, str, str]]:
    """Codes that routes name themselves."""
    from penstock.http.openapi import HOT

    for method, path, doc in HOT:
        yield from ((path, method, code) for code in doc.errors)
    for route in ROUTES:
        if route.doc is not None:
            yield from ((route.path, route.method, code) for code in route.doc.errors)


def _fields(
    document: dict[str, Any], schema: dict[str, Any] | None, at: str, depth: int = 5
) -> Iterator[str]:
    """Names as the access log writes them."""
    if not schema or not depth:
        return
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for choice in schema.get("anyOf", ()):
        yield from _fields(document, choice, at, depth)
    for name, inner in schema.get("properties", {}).items():
        where = f"{at}.{name}" if at else name
        yield where
        yield from _fields(document, inner, where, depth - 1)
    if isinstance(schema.get("items"), dict):
        yield from _fields(document, schema["items"], f"{at}[]", depth - 1)


def _order(section: str) -> tuple[int, ...]:
    numbers = re.findall(r"\d+", section.split(" ", maxsplit=1)[0]) if section else []
    return tuple(map(int, numbers)) or (99,)


Evidence = dict[tuple[str, str, Row], dict[str, str]]
"""Route, method and row -> client -> the first of its tests."""


def evidence(where: Path) -> Evidence:
    """What a run showed."""
    found: Evidence = defaultdict(dict)
    for seen in read(where):
        rows = [Row("request", name) for name in seen.fields]
        rows += [Row("code", code) for code in seen.codes]
        if seen.status < 400:
            rows += [Row("reply", name) for name in seen.replied]
            rows.append(Row("status", str(seen.status)))
        for row in rows:
            tests = found[seen.route, seen.method, row]
            tests[seen.client] = min(tests.get(seen.client, seen.test), seen.test)
    return found


def page(found: Evidence) -> tuple[str, list[str]]:
    """The page, and what no test used."""
    lines, missing = [_HEAD], []
    met: dict[str, dict[str, str]] = defaultdict(dict)
    for (_, _, row), tests in found.items():
        if row.kind == "code":
            for client, test in tests.items():
                met[row.name][client] = min(met[row.name].get(client, test), test)
    for operation in operations():
        title = f"{operation.section} {operation.summary}".strip()
        lines += [f"### {title}: `{operation.method} {operation.route}`", ""]
        lines += ["| | | clients | test |", "|---|---|---|---|"]
        for row in operation.rows:
            tests = found.get((operation.route, operation.method, row), {})
            if tests:
                lines.append(_line(row, tests))
            else:
                missing.append(f"{operation.method} {operation.route}: {row.kind} {row.name}")
        lines.append("")
    lines += ["## Error codes, whatever the route", "", "| | | clients | test |", "|---|---|---|---|"]
    for code in CODES:
        if met[code]:
            lines.append(_line(Row("code", code), met[code]))
    return "\n".join(lines) + "\n", missing


def _line(row: Row, tests: dict[str, str]) -> str:
    clients = [client for client in ORDER if client in tests]
    shown = tests.get("raw") or tests[clients[0]]
    return f"| {row.kind} | `{row.name}` | {', '.join(clients)} | `{_short(shown)}` |"


def _short(test: str) -> str:
    return test.removeprefix("tests/").split("[")[0]


def unproven(text: str, found: Evidence) -> Iterable[str]:
    """What the page claims and the run did not show."""
    route = method = ""
    for line in text.splitlines():
        if title := _TITLE.match(line):
            method, route = title[1], title[2]
        elif row := _ROW.match(line):
            if line and route:
                tests = found.get((route, method, Row(row[1], row[2])), {})
                for client in row[3].split(", "):
                    if client not in tests:
                        yield f"{method} {route}: {row[1]} {row[2]} by {client}"
        elif line.startswith("## "):
            route = ""


def main(arguments: list[str]) -> int:
    if len(arguments) != 2 or arguments[0] not in ("write", "check"):
        print(__doc__, file=sys.stderr)
        return 2
    found = evidence(Path(arguments[1]))
    if arguments[0] == "check":
        claims = list(unproven(PAGE.read_text(), found))
        print("\n".join(claims))
        print(
            f"{len(claims)} claims of docs/compatibility.md that this run did not show, {TOLERATED} are tolerated"
        )
        return 1 if len(claims) > TOLERATED else 0
    text, missing = page(found)
    PAGE.write_text(text)
    print("\n".join(missing))
    print(f"{text.count(chr(10) + '| ')} rows written; {len(missing)} that no test used")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
