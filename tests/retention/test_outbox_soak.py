"""A plain outbox at full speed: nothing is lost or doubled, and the table does not grow.

Jobs of other processes are killed at any moment. It takes as many seconds as MDB_SOAK_SECONDS says.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from threading import Event, Thread
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, func, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker

from mdb_sqla import Consumer, Message, UnitOfWork, admin, migrations, retention, tables
from mdb_sqla.embedded import EmbeddedPostgres
from mdb_sqla.host.retention_task import RetentionTask

SECONDS = float(os.environ.get("MDB_SOAK_SECONDS", "20"))
WRITERS = 4

SIZE = text("SELECT pg_total_relation_size('message_store.messages')")


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)


class Published(Base):
    """What the outbox's consumer has handled; the primary key refuses to do it twice."""

    __tablename__ = "published"

    order: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


@pytest.fixture
def engine() -> Iterator[Engine]:
    settings = {"autovacuum_naptime": "1s", "fsync": "off", "max_connections": "50"}
    with EmbeddedPostgres(settings=settings) as server:
        engine = create_engine(server.url(), pool_size=10)
        migrations.upgrade(engine)
        Base.metadata.create_all(engine)
        yield engine
        engine.dispose()


class Soak:
    """Writers, a consumer and jobs, each in a thread, until they are stopped."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.factory = sessionmaker(engine)
        self.stop = Event()
        self.killed = 0
        self.sizes: list[int] = []
        self.problems: list[BaseException] = []
        self.consumer = Consumer("publisher", "outbox", transaction_size=50)
        self.consumer.on()(self._publish)

    def _publish(self, message: Any, unit: Any) -> None:
        unit.session.add(Published(order=message.data["order"]))

    def write(self) -> None:
        while not self.stop.is_set():
            with UnitOfWork(self.factory) as unit:
                order = Order()
                unit.session.add(order)
                unit.session.flush()
                # As many streams as there are orders: none gets a second message.
                unit.write(f"outbox-{order.id}", Message("Placed", {"order": order.id}))
                unit.commit()

    def kill_jobs(self) -> None:
        url = self.engine.url.render_as_string(hide_password=False)
        command = [sys.executable, "-m", "mdb_sqla", "retention", "run", "--url", url]
        while not self.stop.is_set():
            job = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.stop.wait(0.5 + random.random())
            job.kill()
            job.wait()
            self.killed += 1

    def measure(self) -> None:
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while not self.stop.wait(SECONDS / 100):
                self.sizes.append(connection.scalar(SIZE) or 0)

    def start(self, *targets: Callable[[], None]) -> list[Thread]:
        def guarded(target: Callable[[], None]) -> None:
            try:
                target()
            except BaseException as error:
                self.problems.append(error)
                self.stop.set()

        threads = [Thread(target=guarded, args=(target,)) for target in targets]
        for thread in threads:
            thread.start()
        return threads


def test_an_outbox_stays_small_and_loses_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        retention.set_policy(connection, "outbox", keep_versions=False)
    soak = Soak(engine)
    task = RetentionTask(0.2, [soak.consumer.name])
    with ExitStack() as stack:
        stack.callback(task.stop)
        stack.callback(soak.consumer.stop)
        stack.callback(soak.stop.set)
        threads = soak.start(
            *[soak.write] * WRITERS, soak.kill_jobs, soak.measure, lambda: task.run(soak.factory)
        )
        running = soak.start(lambda: soak.consumer.run(soak.factory))
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and not soak.problems:
            soak.stop.wait(0.1)
    for thread in [*threads, *running]:
        thread.join(60)
    assert not soak.problems
    soak.consumer.catch_up(soak.factory)
    retention.run(engine)

    with engine.connect() as connection:
        orders = connection.scalar(select(func.count()).select_from(Order))
        published = connection.scalar(select(func.count()).select_from(Published))
        left = connection.scalar(select(func.count()).select_from(tables.messages))
        deleted = connection.scalar(select(func.sum(tables.deletions.c.messages)))
        heads = connection.scalar(select(func.count()).select_from(tables.stream_heads))
    summary = f"{orders} orders, {published} published, sizes {soak.sizes}, {soak.killed} killed"
    assert orders == published == deleted, summary
    assert (left, heads) == (0, 0)
    assert orders is not None
    assert orders > 50 * SECONDS, summary
    assert soak.killed > SECONDS / 5, summary
    half = len(soak.sizes) // 2
    assert max(soak.sizes[half:]) <= 1.5 * max(soak.sizes[:half]), summary
    assert admin.verify(engine).differences == []
