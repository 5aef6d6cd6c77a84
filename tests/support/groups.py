"""Members of a consumer group, byte by byte: the requests of both versions of the Kafka adapter (clients.md 1.9)."""

from __future__ import annotations

import httpx
from tests.support.controls import advance
from tests.support.server import Server
from tests.support.wire import Json, Wire, done, ok


class Group:
    """Calls of the members of one group."""

    def __init__(self, server: Server, wire: Wire, name: str) -> None:
        self.server = server
        self.wire = wire
        self.name = name

    def post(self, path: str, body: object) -> httpx.Response:
        return self.wire.call("POST", f"/apps/{self.name}/consumers/{path}", body=body)

    def join(self, client: str, *streams: str, **fields: object) -> Json:
        """As version 1.2.2: it sends nothing else."""
        return ok(self.try_join(client, *streams, **fields))

    def try_join(self, client: str, *streams: str, **fields: object) -> httpx.Response:
        body = {"groupId": self.name, "clientId": client}
        return self.post("", body | ({"interestedStream": list(streams)} if streams else {}) | fields)

    def sync(self, client: str, generation: int = -1) -> Json:
        return ok(self.try_sync(client, generation))

    def try_sync(self, client: str, generation: int = -1) -> httpx.Response:
        body = {"groupId": self.name, "clientId": client, "generation": generation}
        return self.post(f"{client}/partitions/", body)

    def beat(self, client: str, generation: int) -> str:
        body = {"clientId": client, "groupId": self.name, "generation": generation}
        reply = ok(self.post(f"{client}/heartbeats/", body))
        assert list(reply) == ["state"]
        return str(reply["state"])

    def leave(self, client: str) -> None:
        done(self.wire.call("DELETE", f"/apps/{self.name}/consumers/{client}/"), 204)

    def commit(
        self, client: str, generation: int | None, stream: str, partition: str = "0"
    ) -> httpx.Response:
        """As version 1.2.20."""
        body: Json = {
            "app_name": self.name,
            "checkpoint_type": "LAST_READ",
            "stream_name": stream,
            "partition_id": f"shardId-{partition:0>10}",
            "sequence_number": "0",
            "metadata": "",
            "client_id": client,
            "generation_id": generation,
        }
        return self.wire.call("POST", "/checkpoints/", body={k: v for k, v in body.items() if v is not None})

    def advance(self, seconds: float) -> None:
        advance(self.server, seconds)

    def stable(self, *clients: str, on: tuple[str, ...], **fields: object) -> int:
        """All of these join and sync; the generation."""
        generation = -1
        for client in clients:
            assert self.join(client, *on, **fields)["state"] == "OK"
        self.advance(1.1)
        for client in clients:
            reply = self.sync(client)
            assert reply["state"] == "OK", reply
            generation = reply["generation"]
            assert self.beat(client, generation) == "STABLE"
        return generation


def renew(server: Server, wire: Wire) -> None:
    """Another token: the server's clock has gone on, or it is another process."""
    server._tokens.clear()
    wire.token = server.token()
