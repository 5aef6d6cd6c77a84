"""Tries to reach a project with credentials that are not for it, at random: every one must be refused (R14 of the reliability
plan). The long run, against a server of its own with two accounts:

    python -m tests.support.isolation 100000
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from tests.support.accounts import add_users
from tests.support.server import Server
from tests.support.signing import sign
from tests.support.wire import Wire

REFUSALS = {
    ("DIS.4116", 403),  # the action is not allowed there
    ("DIS.4117", 400),  # the project is not one of the caller's
    ("DIS.4301", 400),  # the stream is not there for the caller
    ("DIS.4301", 404),
    ("DIS.4332", 400),
    ("DIS.4603", 400),
    ("DIS.4217", 400),  # the cursor is not one of the project
    ("IAM.0004", 404),
}


class Victim(NamedTuple):
    """What must not be reached."""

    project_id: str
    stream: str
    stream_id: str
    cursor: str
    domain_id: str = "none"
    user_id: str = "none"


Send = Callable[[str, str, bytes], httpx.Response]


def attempt(chooser: random.Random, send: Send, own_project: str, victim: Victim) -> tuple[str, str]:
    """One try through `send` (method, path with query, body); what was tried, and what is wrong with the answer ("" when it was
    refused as it must be)."""
    method, path, body = _request(chooser, own_project, victim)
    reply = send(method, path, body)
    tried = f"{method} {path} {body.decode()}"
    try:
        code = reply.json()["errorCode"]
    except (ValueError, KeyError, TypeError):
        return tried, f"{reply.status_code} {reply.text[:300]}"
    if (code, reply.status_code) not in REFUSALS:
        return tried, f"{reply.status_code} {reply.text[:300]}"
    return tried, ""


def _request(chooser: random.Random, own: str, victim: Victim) -> tuple[str, str, bytes]:
    """Through the other project's path, or through one's own by the stream's id or a cursor of the other's."""
    name = chooser.choice((victim.stream, victim.stream_id))
    there = f"/{chooser.choice(('v2', 'v2', 'dis/v2'))}/{victim.project_id}"
    record = '{"data":"eA=="}'
    requests = [
        ("POST", f"{there}/records", f'{{"stream_name":"{name}","records":[{record}]}}'),
        ("POST", f"{there}/records", f'{{"stream_id":"{victim.stream_id}","records":[{record}]}}'),
        ("POST", f"/v2/{own}/records", f'{{"stream_id":"{victim.stream_id}","records":[{record}]}}'),
        ("POST", f"/v2/{own}/records", f'{{"stream_name":"{name}","records":[{record}]}}'),
        ("GET", f"{there}/records?partition-cursor={victim.cursor}", ""),
        ("GET", f"/v2/{own}/records?partition-cursor={victim.cursor}", ""),
        ("GET", f"{there}/cursors?stream-name={name}&partition-id=0", ""),
        ("GET", f"/v2/{own}/cursors?stream-name={name}&partition-id=0", ""),
        ("GET", f"/v2/{own}/cursors?stream-id={victim.stream_id}&partition-id=0", ""),
        ("GET", f"{there}/streams", ""),
        ("GET", f"{there}/streams/{name}", ""),
        ("GET", f"/v2/{own}/streams/{name}", ""),
        ("DELETE", f"{there}/streams/{name}", ""),
        ("DELETE", f"/v2/{own}/streams/{name}", ""),
        ("PUT", f"{there}/streams/{name}", f'{{"stream_name":"{name}","target_partition_count":2}}'),
        ("PUT", f"/v2/{own}/streams/{name}", f'{{"stream_name":"{name}","target_partition_count":2}}'),
        ("POST", f"{there}/streams", '{"stream_name":"intruder","partition_count":1}'),
        ("GET", f"{there}/apps", ""),
        ("POST", f"{there}/apps", '{"app_name":"intruder"}'),
        ("GET", f"{there}/streams/{name}/metrics?label=total_put_bytes_per_stream", ""),
        ("GET", f"{there}/streams/{name}/policies", ""),
        ("GET", f"{there}/streams/{name}/transfer-tasks", ""),
        ("POST", f"{there}/stream/{victim.stream_id}/tags", '{"tag":{"key":"a","value":"b"}}'),
        ("GET", f"/v3/users/{victim.user_id}", ""),
        ("DELETE", f"/v3/users/{victim.user_id}", ""),
        ("GET", f"/v3/users?domain_id={victim.domain_id}", ""),
        ("GET", f"/v3/domains/{victim.domain_id}", ""),
        ("POST", "/v3/groups", f'{{"group":{{"name":"x","domain_id":"{victim.domain_id}"}}}}'),
    ]
    method, path, body = chooser.choice(requests)
    return method, path, body.encode()


def with_token(client: httpx.Client, endpoint: str, text: str) -> Send:
    """Requests with a token."""

    def send(method: str, path: str, body: bytes) -> httpx.Response:
        headers = {"X-Auth-Token": text, "Content-Type": "application/json"}
        return client.request(method, endpoint + path, content=body or None, headers=headers)

    return send


def with_key(client: httpx.Client, endpoint: str, ak: str, sk: str) -> Send:
    """Signed requests."""

    def send(method: str, path: str, body: bytes) -> httpx.Response:
        now, host = int(time.time() * 1000), endpoint.partition("://")[2]
        sent = {"Host": host, "Content-Type": "application/json"}
        headers = dict(sign("A", method, path, sent, body, access_key=ak, secret_key=sk, now_ms=now))
        return client.request(method, endpoint + path, content=body or None, headers=headers)

    return send


def main(tries: int, seed: int = 1) -> int:
    """Both accounts at each other; the exit code is 1 when anything was reached."""
    with tempfile.TemporaryDirectory() as directory:
        server = Server(Path(directory) / "data", "--limits", "relaxed")
        with server:
            server.terminate()
            (other,) = add_users(server.data, "other", "owner")
            server.start()
            with Wire.to(server) as wire:
                wire.create("guarded")
                wire.put_data("guarded", b"one")
                stream_id = wire.describe("guarded").json()["stream_id"]
                cursor = wire.cursor("guarded", cursor_type="TRIM_HORIZON")
                mine: Any = wire.http.get(
                    f"{server.endpoint}/v3/auth/domains", headers={"X-Auth-Token": wire.token}
                ).json()
                victim = Victim(server.project_id, "guarded", stream_id, cursor, mine["domains"][0]["id"])
                chooser = random.Random(seed)
                reached: Counter[str] = Counter()
                with httpx.Client(trust_env=False, timeout=30) as client:
                    ways = (
                        with_token(client, server.endpoint, other.token(server)),
                        with_key(client, server.endpoint, other.ak, other.sk),
                    )
                    for _ in range(tries):
                        tried, problem = attempt(chooser, chooser.choice(ways), other.project_id, victim)
                        if problem:
                            reached[f"{tried.split(' ')[0]}: {problem}"] += 1
                intact = [record.data for record in wire.read_all("guarded")] == [b"one"]
        print(
            f"{tries} tries, {sum(reached.values())} not refused, the stream is {'intact' if intact else 'CHANGED'}"
        )
        for problem, count in reached.most_common(20):
            print(f"{count:8} {problem}")
    return 0 if intact and not reached else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
