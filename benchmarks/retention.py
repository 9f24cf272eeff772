"""Deletion by a retention policy, archives, and what deletion costs those who write meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from multiprocessing import get_context
from statistics import quantiles
from tempfile import TemporaryDirectory
from threading import Thread
from time import monotonic, perf_counter, sleep
from typing import Any

from sqlalchemy import Engine, create_engine, text

from benchmarks.comparison import OURS, Bar, Comparison
from benchmarks.content import DATA, METADATA, TYPE
from benchmarks.server import Server
from benchmarks.size import Size
from mdb_sqla import Message, MessageStore, archive, retention

__all__ = ["archiving", "deletion", "restoring", "writes_beside_retention"]

_WRITERS = 4
_PER_SECOND = 500  # of each writer
_KEPT = timedelta(seconds=2)
_AGE = timedelta(hours=1)

_SPAWN = get_context("spawn")

_AGED = text("UPDATE message_store.messages SET time = time - interval '1 day'")


@contextmanager
def _with_policy(server: Server, keep_age: timedelta, **policy: Any) -> Iterator[Engine]:
    with server.ours() as url:
        engine = create_engine(url, pool_size=_WRITERS + 1)
        with engine.begin() as connection:
            retention.set_policy(connection, "order", keep_age=keep_age, **policy)
        yield engine
        engine.dispose()


def _fill(engine: Engine, number: int) -> None:
    """Write messages that have expired."""
    with engine.begin() as connection:
        MessageStore(connection).load(
            (f"order-{n % 1000}", Message(TYPE, DATA, METADATA)) for n in range(number)
        )
        connection.execute(_AGED)
    with engine.connect() as connection:
        autocommit = connection.execution_options(isolation_level="AUTOCOMMIT")
        autocommit.execute(text("VACUUM ANALYZE message_store.messages"))


def _delete(engine: Engine, number: int) -> float:
    begin = perf_counter()
    (done,) = retention.run(engine)
    seconds = perf_counter() - begin
    assert done.messages == number
    return number / seconds


@contextmanager
def deletion(server: Server, size: Size) -> Iterator[Comparison]:
    with _deletion(server, size, "deletion by a retention policy", 20_000) as comparison:
        yield comparison


@contextmanager
def archiving(server: Server, size: Size) -> Iterator[Comparison]:
    with (
        TemporaryDirectory() as folder,
        _deletion(server, size, "archive and deletion", 30_000, archive=folder) as comparison,
    ):
        yield comparison


@contextmanager
def _deletion(
    server: Server, size: Size, what: str, target: int, **policy: Any
) -> Iterator[Comparison]:
    number = size.read // 2
    rate = f"{target:,}/s"
    with _with_policy(server, _AGE, **policy) as engine:

        def side() -> float:
            _fill(engine, number)
            return _delete(engine, number)

        yield Comparison(
            what, "messages/s", {OURS: side, rate: lambda: float(target)}, [Bar("", rate, 1)]
        )


@contextmanager
def restoring(server: Server, size: Size) -> Iterator[Comparison]:
    number = size.read // 2
    with _with_policy(server, _AGE) as engine, TemporaryDirectory() as folder:
        _fill(engine, number)

        def side() -> float:
            with TemporaryDirectory(dir=folder) as place:
                with engine.begin() as connection:
                    retention.set_policy(connection, "order", keep_age=_AGE, archive=place)
                _delete(engine, number)
                begin = perf_counter()
                (restored,) = archive.restore(engine, place)
                seconds = perf_counter() - begin
            assert restored.messages == number
            return number / seconds

        yield Comparison(
            "restore of an archive",
            "messages/s",
            {OURS: side, "30,000/s": lambda: 30_000.0},
            [Bar("", "30,000/s", 1)],
        )


@contextmanager
def writes_beside_retention(server: Server, size: Size) -> Iterator[Comparison]:
    """The 99th percentile of writes at a steady rate, as how many of them fit into a second."""
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(_with_policy(server, _KEPT)) for _ in range(2))
        yield Comparison(
            "one write, 99th percentile, with a retention policy",
            "writes of that length a second",
            {
                OURS: _latency(ours, size.seconds, with_job=True),
                "without retention": _latency(theirs, size.seconds, with_job=False),
            },
            [Bar("", "without retention", 1 / 1.2)],
        )


def _run_job(url: str, started: Any, ended: Any) -> None:
    engine = create_engine(url)
    retention.run(engine)
    started.set()
    while not ended.wait(0.2):
        retention.run(engine)
    engine.dispose()


def _latency(engine: Engine, seconds: float, *, with_job: bool) -> Callable[[], float]:
    def side() -> float:
        times: list[float] = []

        def write(number: int) -> None:
            deadline = monotonic() + seconds
            due = monotonic()
            while (now := monotonic()) < deadline:
                sleep(max(0.0, due - now))
                due += 1 / _PER_SECOND
                begin = perf_counter()
                with engine.begin() as connection:
                    MessageStore(connection).write(f"order-{number}", Message(TYPE, DATA, METADATA))
                times.append(perf_counter() - begin)

        writers = [Thread(target=write, args=(number,)) for number in range(_WRITERS)]
        # In a process of its own, as in production: it must not compete for the interpreter's lock.
        url = engine.url.render_as_string(hide_password=False)
        started, ended = _SPAWN.Event(), _SPAWN.Event()
        job = _SPAWN.Process(target=_run_job, args=(url, started, ended))
        if with_job:
            job.start()
            started.wait()
        for thread in writers:
            thread.start()
        for thread in writers:
            thread.join()
        if with_job:
            ended.set()
            job.join()
        return 1 / quantiles(times, n=100)[-1]

    return side
