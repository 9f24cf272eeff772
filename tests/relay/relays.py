"""Processes of `mdb relay`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.relay.receiving import FromKafka

MAIN = "from mdb_sqla.cli import main; main()"
BROKER = {
    "FromNats": ("nats", 'stream = "{category}"'),
    "FromRabbitMQ": ("rabbitmq", ""),
    "FromRedis": ("redis", ""),
    "FromKafka": ("kafka", "idempotent = false"),
    "FromConfluent": ("confluent", "idempotent = false"),
}


class Relays:
    """Processes of `mdb relay`, over the shop's database."""

    def __init__(self, folder: Path, shop: Any, receiving: Any) -> None:
        self._folder = folder
        self._url = shop.database.render_as_string(hide_password=False)
        self.processes: list[subprocess.Popen[bytes]] = []
        address = "bootstrap_servers" if isinstance(receiving, FromKafka) else "url"
        broker, more = BROKER[type(receiving).__name__]
        self._relay = f'[relays.relay]\ncategories = ["{shop.category}"]\n'
        self._broker = (
            f'[relays.relay.{broker}]\n{address} = "{receiving.server.url}"\n'
            + more.format(category=shop.category)
        )
        self.configure("")

    def configure(self, more: str) -> None:
        """Write the file, with other lines about the relay."""
        (self._folder / "relay.toml").write_text(f"{self._relay}{more}\n{self._broker}")

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text()

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", MAIN, "relay", "relay.toml", *arguments],
                cwd=self._folder,
                env={**os.environ, "MDB_DATABASE_URL": self._url, "COLUMNS": "120"},
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process
