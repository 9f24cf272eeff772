"""A program: three brokers of librdkafka's mock cluster, whose addresses are written to a file."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from confluent_kafka import Producer

if __name__ == "__main__":
    cluster = Producer({"test.mock.num.brokers": 3})
    brokers = cluster.list_topics(timeout=60).brokers.values()
    file = Path(sys.argv[1])
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(",".join(f"{broker.host}:{broker.port}" for broker in brokers))
    unfinished.rename(file)
    signal.pause()
