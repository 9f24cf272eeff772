"""An asynchronous standby that lacks the last transactions is promoted while consumers run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, Group, Message, MessageStore
from tests.consumers.running import Handled
from tests.standby.clusters import Cluster, cluster_of
from tests.waiting import wait_until

KEPT, LOST, NEW = range(10), range(10, 100), range(100, 160)


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with cluster_of(request, {}) as cluster:
        with cluster.primary.begin() as connection:
            connection.execute(text("CREATE TABLE effects (consumer text, id serial, number int)"))
        yield cluster


def write(engine: Engine, numbers: range) -> None:
    with engine.begin() as connection:
        MessageStore(connection).write("order-1", [Message("T", number) for number in numbers])


def test_nothing_is_lost_and_nothing_is_done_that_was_not_kept(cluster: Cluster) -> None:
    """One consumer has nothing in hand, one has most of a batch, and one is a group's member.

    They are paused meanwhile, and their engine pings its connections, so that none of their
    transactions fails.
    """
    engine = create_engine(cluster.url(), pool_pre_ping=True)

    def consumer(name: str, **arguments: Any) -> tuple[Consumer, Handled]:
        handled = Handled()
        made = Consumer(name, "order", poll_interval=(0.005, 0.05), **arguments)

        @made.on("T")
        def handle(message: Any, unit: Any) -> None:
            unit.session.execute(
                text("INSERT INTO effects (consumer, number) VALUES (:consumer, :number)"),
                {"consumer": name, "number": message.data},
            )
            if name == "busy" and message.data == LOST[0]:
                made.pause()
            handled.note(message)

        return made, handled

    consumers = {
        "idle": consumer("idle"),
        "member": consumer("member", group=Group(slots=2, lease=2)),
        "busy": consumer("busy"),
    }
    write(engine, KEPT)
    threads = [
        threading.Thread(target=each.run, args=(sessionmaker(engine),), daemon=True)
        for each, _ in consumers.values()
    ]
    for thread in threads:
        thread.start()
    for _, handled in consumers.values():
        handled.wait_for(KEPT[-1])
    cluster.catch_up()
    cluster.cut_off()
    write(engine, LOST)
    for name, (each, handled) in consumers.items():
        handled.wait_for(LOST[0] if name == "busy" else LOST[-1])
        each.pause()
    wait_until_idle(engine)
    cluster.kill()
    cluster.promote()
    write(engine, NEW)
    for each, handled in consumers.values():
        each.resume()
        handled.wait_for(NEW[-1])
        each.stop()
    for thread in threads:
        thread.join()

    with engine.connect() as connection:
        rows = connection.execute(text("SELECT consumer, number FROM effects ORDER BY id")).all()
    for name in consumers:
        assert [row.number for row in rows if row.consumer == name] == [*KEPT, *NEW]
    engine.dispose()


def wait_until_idle(engine: Engine) -> None:
    """Wait until no connection of the pool's is in use."""
    pool: Any = engine.pool
    wait_until(lambda: not pool.checkedout())
