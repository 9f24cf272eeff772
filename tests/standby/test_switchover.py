"""Clients that find no primary, and writers that no longer wait for the standby."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import AsyncMessageStore, Consumer, Message, MessageStore, StoredMessage
from tests.cli.test_mdb import mdb
from tests.consumers.conftest import Lines
from tests.consumers.conftest import lines as lines
from tests.consumers.running import Handled
from tests.standby.clusters import SYNCHRONOUS, Cluster, cluster_of
from tests.waiting import wait_until


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with cluster_of(request, SYNCHRONOUS) as cluster:
        yield cluster


def ids(engine: Engine) -> set[UUID]:
    with Session(engine) as session:
        return {each.id for each in MessageStore(session).read_stream("order-1")}


def noting(handled: Handled) -> Callable[[StoredMessage, Any], None]:
    return lambda message, _: handled.note(message)


def test_consumers_that_find_no_primary_wait_for_one(cluster: Cluster, lines: Lines) -> None:
    with Session(cluster.primary) as session:
        MessageStore(session).write("order-1", Message("T", 1))
        session.commit()
    cluster.catch_up()
    engine = create_engine(cluster.url_without_primary("psycopg"))
    handled = {"psycopg": Handled(), "asyncpg": Handled()}
    consumers = {driver: Consumer(driver, "order") for driver in handled}
    for driver, consumer in consumers.items():
        consumer.on("T")(noting(handled[driver]))

    async def consume() -> None:
        async_engine = create_async_engine(cluster.url_without_primary("asyncpg"))
        await consumers["asyncpg"].run_async(async_sessionmaker(async_engine))
        await async_engine.dispose()

    with ThreadPoolExecutor() as threads:
        running = [
            threads.submit(consumers["psycopg"].run, sessionmaker(engine)),
            threads.submit(lambda: asyncio.run(consume())),
        ]
        try:
            for driver in handled:
                lines.wait_for(f"Consumer {driver} was interrupted.*(read-only|hosts match)")
            cluster.kill()
            cluster.promote()
            for each in handled.values():
                each.wait_for(1)
        finally:
            for consumer in consumers.values():
                consumer.stop()
        for done in running:
            done.result(20)
    engine.dispose()


def test_what_does_not_wait_for_the_standby_can_be_lost(
    cluster: Cluster, runner: asyncio.Runner
) -> None:
    """A commit that is canceled while it waits is there for others, and so published by a relay."""
    durable, local, canceled = (Message("T", name) for name in ("durable", "local", "canceled"))
    with Session(cluster.primary) as session:
        MessageStore(session).write("order-1", durable)
        session.commit()
    cluster.cut_off()
    with Session(cluster.primary) as session:
        session.execute(text("SET LOCAL synchronous_commit = local"))
        MessageStore(session).write("order-1", local)
        session.commit()

    async def cancel() -> None:
        engine = create_async_engine(cluster.url())
        async with AsyncSession(engine) as session:
            await AsyncMessageStore(session).write("order-1", canceled)
            commit = asyncio.create_task(session.commit())
            await asyncio.to_thread(wait_until, cluster.waiting_commits)
            assert ids(cluster.primary) == {durable.id, local.id}
            commit.cancel()
            with suppress(asyncio.CancelledError):
                await commit
        await engine.dispose()

    runner.run(cancel())

    wait_until(lambda: ids(cluster.primary) == {durable.id, local.id, canceled.id})
    cluster.kill()
    only_standby = mdb("print", "order-1", url=cluster.url(), code=1).stderr
    assert "session is read-only. Promote a standby, or add the primary's host" in only_standby
    assert ids(cluster.promote()) == {durable.id}
    assert "durable" in mdb("print", "order-1", url=cluster.url()).stdout
