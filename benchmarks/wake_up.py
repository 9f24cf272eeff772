"""From a commit to the handler of a consumer that had nothing to do, and what that costs (S11)."""

from __future__ import annotations

import json
import multiprocessing
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing.connection import Connection
from statistics import quantiles
from time import monotonic, perf_counter, sleep
from typing import Any
from uuid import uuid4

from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.client import connect
from benchmarks.comparison import OURS, Bar, Comparison
from benchmarks.content import DATA, METADATA, TYPE
from benchmarks.server import Server
from benchmarks.size import Size
from mdb_sqla import Consumer, Message, write_on_commit

__all__ = ["cost_of_wake_up", "wake_up_99th", "wake_up_median"]

_PATIENCE = 20.0  # seconds
_POLLING = "polling every 100 ms"
_BY_HAND = "LISTEN by hand"
_GAPS = 0.03, 0.1  # seconds between two commits
_SILENT = {"message_store_wake_up": False}

_Consume = Callable[[URL, Connection], None]
"""What runs in the process of a consumer, until something is sent to it."""


class _Idle:
    """A consumer in a process of its own, and a writer here that it waits for."""

    def __init__(self, write: Callable[[], object], answers: Connection) -> None:
        self._write = write
        self._answers = answers
        self._chance = random.Random(1)

    @classmethod
    @contextmanager
    def running(cls, consume: _Consume, url: URL, write: Callable[[], object]) -> Iterator[_Idle]:
        spawn = multiprocessing.get_context("spawn")
        here, there = spawn.Pipe()
        process = spawn.Process(target=consume, args=(url, there))
        process.start()
        # It is ready when it has handled a message.
        write()
        if not here.poll(_PATIENCE):
            raise TimeoutError("The consumer has not started")
        here.recv()
        try:
            yield cls(write, here)
        finally:
            here.send(None)
            process.join(_PATIENCE)

    def latencies(self, number: int) -> list[float]:
        """Commit messages now and then; returns how many seconds each took to its handler."""
        return [self._latency() for _ in range(number)]

    def _latency(self) -> float:
        # What is measured is a time between two events, so there must be one without any.
        sleep(self._chance.uniform(*_GAPS))
        self._write()
        committed = monotonic()
        if not self._answers.poll(_PATIENCE):
            raise TimeoutError("The consumer has not handled the message")
        handled: float = self._answers.recv()
        return max(handled - committed, 0)


def _consume(url: URL, answers: Connection) -> None:
    _run_consumer(url, answers, (0.02, 1.0), {})


def _poll(url: URL, answers: Connection) -> None:
    _run_consumer(url, answers, (0.1, 0.1), _SILENT)


def _run_consumer(
    url: URL, answers: Connection, poll_interval: tuple[float, float], options: dict[str, Any]
) -> None:
    consumer = Consumer("idle", "order", poll_interval=poll_interval)

    @consumer.on()
    def answer(message: Any, unit: Any) -> None:
        # The clock is the machine's, and the same for all processes.
        answers.send(monotonic())

    engine = create_engine(url, execution_options=options)
    with ExitStack() as stack:
        thread = threading.Thread(target=consumer.run, args=(sessionmaker(engine),))
        thread.start()
        stack.callback(engine.dispose)
        stack.callback(thread.join)
        stack.callback(consumer.stop)
        answers.recv()


def _listen(url: URL, answers: Connection) -> None:
    """A consumer without anything of ours: two connections, and a statement for each step."""
    with connect(url) as listening, connect(url) as connection:
        position = 0
        listening.execute("LISTEN by_hand")
        while not answers.poll():
            for row in connection.execute(_READ, (position + 1,)).fetchall():
                with connection.transaction():
                    connection.execute("SELECT 1")
                    position = row[0]
                    answers.send(monotonic())
            list(listening.notifies(timeout=0.5, stop_after=1))


_READ = "SELECT global_position FROM get_category_messages('order', %s, 100)"
_WRITE = "SELECT write_message(%s, %s, %s, %s, %s)"


def _write_by_hand(connection: Any) -> None:
    with connection.transaction():
        values = str(uuid4()), f"order-{uuid4()}", TYPE, json.dumps(DATA), json.dumps(METADATA)
        connection.execute(_WRITE, values)
        connection.execute("NOTIFY by_hand")


def _write(engine: Engine) -> None:
    with Session(engine) as session:
        write_on_commit(session, f"order-{uuid4()}", Message(TYPE, DATA, METADATA))
        session.commit()


@contextmanager
def wake_up_median(server: Server, size: Size) -> Iterator[Comparison]:
    with _latencies(server, size, "commit to handler, median", 50, "1.5 ms", 0.0015) as comparison:
        yield comparison


@contextmanager
def wake_up_99th(server: Server, size: Size) -> Iterator[Comparison]:
    with _latencies(server, size, "commit to handler, 99 of 100", 99, "5 ms", 0.005) as comparison:
        yield comparison


@contextmanager
def _latencies(
    server: Server, size: Size, what: str, percentile: int, limit: str, seconds: float
) -> Iterator[Comparison]:
    with ExitStack() as stack:
        sides: dict[str, Callable[[], float]] = {}
        for name, consume in ((OURS, _consume), (_POLLING, _poll), (_BY_HAND, _listen)):
            url = stack.enter_context(server.ours())
            if consume is _listen:
                write = partial(_write_by_hand, stack.enter_context(connect(url)))
            else:
                engine = create_engine(url)
                stack.callback(engine.dispose)
                write = partial(_write, engine)
            idle = stack.enter_context(_Idle.running(consume, url, write))
            sides[name] = _rate(idle, size, percentile)
        sides[limit] = lambda: 1 / seconds
        bars = [(limit, 1), (_BY_HAND, 0.75), (_POLLING, 1)]
        yield Comparison(
            what, "in a row a second", sides, [Bar("S11", name, target) for name, target in bars]
        )


def _rate(idle: _Idle, size: Size, percentile: int) -> Callable[[], float]:
    return lambda: 1 / quantiles(idle.latencies(size.commits), n=100)[percentile - 1]


@contextmanager
def cost_of_wake_up(server: Server, size: Size) -> Iterator[Comparison]:
    with ExitStack() as stack:
        sides = {}
        for name, options in ((OURS, {}), ("without wake-up", _SILENT)):
            url = stack.enter_context(server.ours())
            engine = create_engine(url, execution_options=options)
            stack.callback(engine.dispose)
            sides[name] = _writing(engine, size.writes)
        yield Comparison(
            "one write, consumers woken",
            "messages/s",
            sides,
            # As far as can be told from no cost at all.
            [Bar("S11", "without wake-up", 0.97)],
        )


def _writing(engine: Engine, number: int) -> Callable[[], float]:
    def side() -> float:
        begin = perf_counter()
        for _ in range(number):
            _write(engine)
        return number / (perf_counter() - begin)

    return side
