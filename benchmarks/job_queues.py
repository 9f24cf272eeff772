"""The same handler as a consumer's, and as the job of two job queues, in one process (S13).

The handler inserts a row with SQLAlchemy. A consumer saves its position in the transaction of the
handler, so the row is there exactly once; messages stay in order. A job commits the row itself, and
the queue records afterwards that it is done. Both queues run up to ten jobs at a time, which can
share a flush of the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from itertools import count
from time import perf_counter
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it has no types
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.domain.types import QueueExecutionMode
from pgqueuer.queries import Queries
from procrastinate import App, PsycopgConnector
from sqlalchemy import URL, insert
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from benchmarks.comparison import OURS, Bar, Comparison, Experiment
from benchmarks.consumers import effects, fill
from benchmarks.content import TYPE
from benchmarks.server import Server
from benchmarks.size import Size
from mdb_sqla import Consumer
from tests.side_by_side.message_db import conninfo

__all__ = ["job_queues"]

_AT_ONCE = 10  # what a worker of pgqueuer takes at a time by default

Insert = Callable[[str], Awaitable[object]]
Side = Callable[[], float]


def job_queues() -> Iterator[Experiment]:
    """Compare with one message a transaction, and with 100."""
    for transaction_size, name in ((1, "job_queues_one_by_one"), (100, "job_queues_in_batches")):
        experiment = contextmanager(partial(_compared, transaction_size=transaction_size))
        experiment.__name__ = name
        yield experiment


def _compared(server: Server, size: Size, transaction_size: int) -> Iterator[Comparison]:
    messages = "one message" if transaction_size == 1 else f"{transaction_size} messages"
    with ExitStack() as stack:
        ours, pgqueuer, procrastinate = (stack.enter_context(server.ours()) for _ in range(3))
        fill(ours, size.handled)
        for url in (pgqueuer, procrastinate):
            fill(url, 0)
        asyncio.run(_install_pgqueuer(pgqueuer))
        asyncio.run(_install_procrastinate(procrastinate))
        yield Comparison(
            f"async consumer, {messages} per transaction",
            "messages/s",
            {
                OURS: _consumer(ours, size.handled, transaction_size),
                "pgqueuer": _pgqueuer(pgqueuer, size.handled),
                "procrastinate": _procrastinate(procrastinate, size.handled),
            },
            [Bar("S13", "pgqueuer", 1.5), Bar("S13", "procrastinate", 1.5)],
        )


def _consumer(url: URL, number: int, transaction_size: int) -> Side:
    names = count()
    engine_url = url.set(drivername="postgresql+asyncpg")

    async def run() -> float:
        engine = create_async_engine(engine_url)
        name = f"consumer-{next(names)}"
        consumer = Consumer(name, "order", transaction_size=transaction_size)

        @consumer.on(TYPE)
        async def handle(message: Any, unit: Any) -> None:
            await unit.session.execute(insert(effects).values(stream_name=message.stream_name))

        begin = perf_counter()
        await consumer.catch_up_async(async_sessionmaker(engine))
        seconds = perf_counter() - begin
        await engine.dispose()
        return number / seconds

    return lambda: asyncio.run(run())


@asynccontextmanager
async def _inserting(url: URL) -> AsyncIterator[Insert]:
    """What a job does: insert a row, and commit it."""
    engine = create_async_engine(url.set(drivername="postgresql+asyncpg"), pool_size=_AT_ONCE)

    async def add(stream_name: str) -> None:
        async with AsyncSession(engine) as session:
            await session.execute(insert(effects).values(stream_name=stream_name))
            await session.commit()

    try:
        yield add
    finally:
        await engine.dispose()


async def _connect(url: URL) -> Any:
    return await asyncpg.connect(
        host=url.query["host"], port=url.port, user=url.username, database=url.database
    )


async def _install_pgqueuer(url: URL) -> None:
    connection = await _connect(url)
    await Queries(AsyncpgDriver(connection)).install()
    await connection.close()


def _pgqueuer(url: URL, number: int) -> Side:
    async def run() -> float:
        connection = await _connect(url)
        queue = PgQueuer(AsyncpgDriver(connection))
        names = [f"order-{n % 100}" for n in range(number)]
        await queue.qm.queries.enqueue(
            ["order"] * number, [name.encode() for name in names], [0] * number
        )
        async with _inserting(url) as add:
            # Only `make bench` installs it, and `make check` may run before.
            @queue.entrypoint("order")  # type: ignore[untyped-decorator, unused-ignore]
            async def handle(job: Any) -> None:
                await add(job.payload.decode())

            begin = perf_counter()
            await queue.qm.run(batch_size=_AT_ONCE, mode=QueueExecutionMode.drain)
            seconds = perf_counter() - begin
        await connection.close()
        return number / seconds

    return lambda: asyncio.run(run())


async def _install_procrastinate(url: URL) -> None:
    async with App(connector=PsycopgConnector(conninfo=conninfo(url))).open_async() as app:
        await app.schema_manager.apply_schema_async()


def _procrastinate(url: URL, number: int) -> Side:
    async def run() -> float:
        app = App(connector=PsycopgConnector(conninfo=conninfo(url)))
        async with app.open_async(), _inserting(url) as add:
            # As above.
            @app.task(name="order")  # type: ignore[untyped-decorator, unused-ignore]
            async def handle(stream_name: str) -> None:
                await add(stream_name)

            jobs: list[Any] = [{"stream_name": f"order-{n % 100}"} for n in range(number)]
            await handle.batch_defer_async(*jobs)
            begin = perf_counter()
            await app.run_worker_async(
                wait=False,
                concurrency=_AT_ONCE,
                install_signal_handlers=False,
                listen_notify=False,
                delete_jobs="successful",
            )
            return number / (perf_counter() - begin)

    return lambda: asyncio.run(run())
