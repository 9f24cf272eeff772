"""From a commit to the handler of a consumer that had nothing to do, and what that costs (S11)."""

from __future__ import annotations

import multiprocessing
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from statistics import quantiles
from time import monotonic, perf_counter, sleep
from typing import Any
from uuid import uuid4

from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.comparison import OURS, Bar, Comparison
from benchmarks.content import DATA, METADATA, TYPE
from benchmarks.server import Server
from benchmarks.size import Size
from mdb_sqla import Consumer, Message, write_on_commit

__all__ = ["cost_of_wake_up", "wake_up_99th", "wake_up_median"]

_PATIENCE = 20.0  # seconds
_POLLING = "polling every 100 ms"
_GAPS = 0.03, 0.1  # seconds between two commits
_SILENT = {"message_store_wake_up": False}


class _Idle:
    """A consumer in a process of its own, and a writer here that it waits for."""

    def __init__(self, engine: Engine, answers: Connection) -> None:
        self._engine = engine
        self._answers = answers
        self._chance = random.Random(1)

    @classmethod
    @contextmanager
    def running(cls, url: URL, *, wakes_up: bool) -> Iterator[_Idle]:
        spawn = multiprocessing.get_context("spawn")
        here, there = spawn.Pipe()
        process = spawn.Process(target=_consume, args=(url, there, wakes_up))
        process.start()
        engine = create_engine(url)
        try:
            yield cls(engine, here)
        finally:
            engine.dispose()
            here.send(None)
            process.join(_PATIENCE)

    def latencies(self, number: int) -> list[float]:
        """Commit messages now and then; returns how many seconds each took to its handler."""
        return [self._latency() for _ in range(number)]

    def _latency(self) -> float:
        # What is measured is a time between two events, so there must be one without any.
        sleep(self._chance.uniform(*_GAPS))
        _write(self._engine)
        committed = monotonic()
        if not self._answers.poll(_PATIENCE):
            raise TimeoutError("The consumer has not handled the message")
        handled: float = self._answers.recv()
        return max(handled - committed, 0)


def _consume(url: URL, answers: Connection, wakes_up: bool) -> None:
    consumer = Consumer("idle", "order", poll_interval=(0.02, 1.0) if wakes_up else (0.1, 0.1))

    @consumer.on()
    def answer(message: Any, unit: Any) -> None:
        # The clock is the machine's, and the same for all processes.
        answers.send(monotonic())

    engine = create_engine(url, execution_options={} if wakes_up else _SILENT)
    with ExitStack() as stack:
        thread = threading.Thread(target=consumer.run, args=(sessionmaker(engine),))
        thread.start()
        stack.callback(engine.dispose)
        stack.callback(thread.join)
        stack.callback(consumer.stop)
        answers.recv()


def _write(engine: Engine) -> None:
    with Session(engine) as session:
        write_on_commit(session, f"order-{uuid4()}", Message(TYPE, DATA, METADATA))
        session.commit()


@contextmanager
def wake_up_median(server: Server, size: Size) -> Iterator[Comparison]:
    with ExitStack() as stack:
        yield _comparison(
            stack, server, size, "commit to handler, median", 50, {"5 ms": 0.005}, with_polling=True
        )


@contextmanager
def wake_up_99th(server: Server, size: Size) -> Iterator[Comparison]:
    with ExitStack() as stack:
        yield _comparison(stack, server, size, "commit to handler, 99 of 100", 99, {"20 ms": 0.02})


def _comparison(
    stack: ExitStack,
    server: Server,
    size: Size,
    what: str,
    percentile: int,
    limits: dict[str, float],
    *,
    with_polling: bool = False,
) -> Comparison:
    consumers = {OURS: True, **({_POLLING: False} if with_polling else {})}
    sides: dict[str, Callable[[], float]] = {}
    for name, wakes_up in consumers.items():
        url = stack.enter_context(server.ours())
        idle = stack.enter_context(_Idle.running(url, wakes_up=wakes_up))
        sides[name] = _rate(idle, size, percentile)
    for name, seconds in limits.items():
        sides[name] = _constant(1 / seconds)
    bars = [Bar("S11", name, 1) for name in limits]
    return Comparison(
        what, "in a row a second", sides, bars + [Bar("S11", _POLLING, 1)] * with_polling
    )


def _rate(idle: _Idle, size: Size, percentile: int) -> Callable[[], float]:
    return lambda: 1 / quantiles(idle.latencies(size.commits), n=100)[percentile - 1]


def _constant(rate: float) -> Callable[[], float]:
    return lambda: rate


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
