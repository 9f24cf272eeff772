"""A server with Amazon's S3 interface, which keeps objects in memory."""

from __future__ import annotations

import sys
from http.client import HTTPConnection
from pathlib import Path

from tests.brokers.process import free_port
from tests.brokers.server import Server


class S3Server(Server):
    """moto's server."""

    def __init__(self) -> None:
        super().__init__()
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"

    def create_bucket(self, name: str) -> None:
        assert self._status("PUT", f"/{name}") == 200

    def delete_bucket_contents(self) -> None:
        """Delete all buckets and objects."""
        assert self._status("POST", "/moto-api/reset") == 200

    def _command(self) -> list[str | Path]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._port)]

    def _is_ready(self) -> bool:
        return self._status("GET", "/moto-api/data.json") == 200

    def _status(self, method: str, path: str) -> int:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request(method, path, headers={"Content-Length": "0"})
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()
