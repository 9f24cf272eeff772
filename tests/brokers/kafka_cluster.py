"""Three brokers that speak the protocol of Kafka: the cluster that librdkafka carries for tests."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.brokers.server import Server


class KafkaCluster(Server):
    """librdkafka's mock cluster, in a process of its own.

    It gives numbers to idempotent producers, and takes what they send, of aiokafka and librdkafka
    alike; `tansu` (`KafkaServer`) does not. It may be paused. All that it has is in its memory, so
    a kill ends it for good. It makes a topic that somebody asks about, with 4 partitions, and
    forgets the oldest of what is more than 5 MB in one of them. It recognises no repeats.
    """

    @property
    def _addresses(self) -> Path:
        return self.folder / "addresses"

    def _command(self) -> list[str | Path]:
        program = Path(__file__).with_name("mock_cluster.py")
        return [sys.executable, "-I", program, self._addresses]

    def _is_ready(self) -> bool:
        if not self._addresses.exists():
            return False
        self.url = self._addresses.read_text()
        return True
