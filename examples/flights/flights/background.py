"""Consumers in threads, beside what else the process does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from time import monotonic

from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from flights.consumed import Consumed
from mdb_sqla import Consumer

__all__ = ["consuming", "wait_until_consumed"]

_PATIENCE = 10.0  # seconds; a member that was killed is missed after some


@contextmanager
def consuming(engine: Engine, consumers: Sequence[Consumer]) -> Iterator[list[Future[None]]]:
    """Run consumers until the block is left; each of them is a future that ends when it fails."""
    sessions = sessionmaker(engine)
    with ThreadPoolExecutor(len(consumers)) as pool:
        running = [pool.submit(consumer.run, sessions) for consumer in consumers]
        try:
            yield running
        finally:
            # More than once, for a consumer that has yet to begin can't be told to stop.
            while True:
                for consumer in consumers:
                    consumer.stop()
                if not wait(running, timeout=0.1).not_done:
                    break


def wait_until_consumed(engine: Engine, running: list[Future[None]]) -> None:
    """Wait until the consumers have made what they should, or do nothing more for some seconds.

    Raises:
        MessageStoreError: one of them has failed.
    """
    before, end = None, 0.0
    while True:
        with Session(engine) as session:
            consumed = Consumed(session)
        if not consumed.differing():
            return
        made = consumed.airports.made, consumed.aircraft.made
        if made != before:
            before, end = made, monotonic() + _PATIENCE
        elif monotonic() > end:
            return
        for failed in wait(running, timeout=0.3, return_when=FIRST_COMPLETED).done:
            failed.result()
