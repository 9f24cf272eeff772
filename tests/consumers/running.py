"""Runs a consumer while something happens to its database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import text

from mdb_sqla import Consumer, RetryPolicy

INSERT = text("INSERT INTO effects (number) VALUES (:number)")
FEW = RetryPolicy(max_attempts=2, initial_interval=0.001, max_interval=0.001)


class Handled:
    """Leaves effects, and lets a test wait for one of them."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self._changed = threading.Condition()

    def __call__(self, message: Any, unit: Any) -> None:
        unit.session.execute(INSERT, {"number": message.data})
        self.note(message)

    def note(self, message: Any) -> None:
        with self._changed:
            self.numbers.append(message.data)
            self._changed.notify_all()

    def wait_for(self, number: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: number in self.numbers, timeout=20)


def run(application: Any, consumer: Consumer, script: Callable[[], object]) -> None:
    """Run a consumer while something happens, and stop it then."""

    def happen() -> None:
        try:
            script()
        finally:
            consumer.stop()

    with ThreadPoolExecutor() as threads:
        happening = threads.submit(happen)
        try:
            if application.flavour.asynchronous:
                application.flavour.run(consumer.run_async(application.factory))
            else:
                consumer.run(application.factory)
        finally:
            happening.result()


def consumer_of(handled: Any, **arguments: Any) -> Consumer:
    given = {"poll_interval": (0.002, 0.01), "retry_policy": FEW, **arguments}
    consumer = Consumer("billing", "order", **given)
    consumer.on("T")(handled)
    return consumer
