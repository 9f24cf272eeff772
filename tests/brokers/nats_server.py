"""NATS with JetStream, one server or a cluster of three."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self

from tests.brokers.process import free_port
from tests.brokers.server import Server, find
from tests.brokers.tls import Tls


class NatsServer(Server):
    """`nats-server` with JetStream, whose streams are on disk.

    `start()` returns once its streams are recovered and, in a cluster, as new as the others'.

    Args:
        tls: with what it speaks TLS, and nothing else.
    """

    def __init__(self, tls: Tls | None = None) -> None:
        self._program = find("nats-server", "nats-server")
        super().__init__()
        self._port, self._monitoring = free_port(), free_port()
        self._cluster: list[str] = []
        self._tls: list[str | Path] = []
        if tls is not None:
            self._tls = ["--tls", "--tlscert", tls.certificate, "--tlskey", tls.key]
        self.url = f"nats://127.0.0.1:{self._port}"

    def join(self, name: str, address: str, routes: list[str]) -> None:
        """Make it a node of a cluster when it's started next."""
        self._cluster = ["--name", name, "--cluster_name", "tests", "--cluster", address]
        self._cluster += ["--routes", ",".join(routes)]

    def _command(self) -> list[str | Path]:
        return [
            *(self._program, "--addr", "127.0.0.1", "--port", str(self._port)),
            *("--http_port", str(self._monitoring)),
            *("--jetstream", "--store_dir", self.folder / "data"),
            *self._cluster,
            *self._tls,
        ]

    def _is_ready(self) -> bool:
        # A server that isn't asked for it is healthy before it has begun with JetStream.
        healthy = self._ask("healthz?js-enabled=true")["status"] == "ok"
        return healthy and (not self._cluster or self._is_led())

    def _is_led(self) -> bool:
        """Whether the cluster and each stream of this node have a leader; nodes are healthy before.

        Without the one no stream can be made, without the other nothing be published to it.
        """
        answer = self._ask("jsz?accounts=true&streams=true")
        accounts = answer.get("account_details", [])
        streams = [stream for account in accounts for stream in account.get("stream_detail", [])]
        return all(
            "leader" in led for led in (answer["meta_cluster"], *(s["cluster"] for s in streams))
        )

    def _ask(self, question: str) -> Any:
        connection = HTTPConnection("127.0.0.1", self._monitoring, timeout=1)
        try:
            connection.request("GET", f"/{question}")
            return json.load(connection.getresponse())
        finally:
            connection.close()


class NatsCluster:
    """Three servers, one of which may be away; its streams may have three replicas.

    While a stream has no leader, as for some seconds after the node that led it was killed, a
    publisher is told that nobody responds, or nothing at all: it has to try again.

    Attributes:
        nodes: the servers.
        urls: their addresses, as FastStream's broker takes them.
    """

    def __init__(self) -> None:
        self.nodes = [NatsServer() for _ in range(3)]
        self.urls = [node.url for node in self.nodes]
        routes = [f"nats://127.0.0.1:{free_port()}" for _ in self.nodes]
        for number, (node, address) in enumerate(zip(self.nodes, routes, strict=True), start=1):
            node.join(f"node-{number}", address, routes)

    @property
    def url(self) -> list[str]:
        return self.urls

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> Self:
        """Start those that don't run, and return once all are ready."""
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait_until_ready()
        return self

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()

    def pause(self) -> None:
        for node in self.nodes:
            node.pause()

    def resume(self) -> None:
        for node in self.nodes:
            node.resume()

    def close(self) -> None:
        for node in self.nodes:
            node.close()
