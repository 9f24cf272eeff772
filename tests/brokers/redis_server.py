"""Redis that has written down what it confirms."""

from __future__ import annotations

from pathlib import Path

from tests.brokers.process import free_port
from tests.brokers.server import Server, find
from tests.brokers.tls import Tls, connected


class RedisServer(Server):
    """`redis-server`, which syncs every command to its append-only file before it answers.

    Args:
        tls: with what it speaks TLS, and nothing else.
    """

    def __init__(self, tls: Tls | None = None) -> None:
        self._program = find("redis-server", "redis-server")
        super().__init__()
        self._tls = tls
        self._port = free_port()
        self.url = f"{'redis' if tls is None else 'rediss'}://127.0.0.1:{self._port}/0"

    def _command(self) -> list[str | Path]:
        return [
            *(self._program, "--bind", "127.0.0.1", *self._listening()),
            *("--dir", self.folder, "--save", "", "--appendonly", "yes", "--appendfsync", "always"),
        ]

    def _listening(self) -> list[str | Path]:
        port = str(self._port)
        if self._tls is None:
            return ["--port", port]
        return [
            *("--port", "0", "--tls-port", port, "--tls-auth-clients", "no"),
            *("--tls-cert-file", self._tls.certificate, "--tls-key-file", self._tls.key),
            *("--tls-ca-cert-file", self._tls.authority),
        ]

    def _is_ready(self) -> bool:
        with connected(self._port, self._tls) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(7) == b"+PONG\r\n"  # else it is still loading
