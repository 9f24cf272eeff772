"""Redis that has written down what it confirms."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.brokers.process import free_port
from tests.brokers.server import Server, find


class RedisServer(Server):
    """`redis-server`, which syncs every command to its append-only file before it answers."""

    def __init__(self) -> None:
        self._program = find("redis-server", "redis-server")
        super().__init__()
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def _command(self) -> list[str | Path]:
        return [
            *(self._program, "--bind", "127.0.0.1", "--port", str(self._port)),
            *("--dir", self.folder, "--save", "", "--appendonly", "yes", "--appendfsync", "always"),
        ]

    def _is_ready(self) -> bool:
        with socket.create_connection(("127.0.0.1", self._port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(7) == b"+PONG\r\n"  # else it is still loading
