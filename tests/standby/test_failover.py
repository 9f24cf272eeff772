"""An asynchronous standby that lacks the last transactions is promoted while consumers run."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, NullPool, create_engine, text
from sqlalchemy.orm import sessionmaker
from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

from mdb_sqla import Consumer, Group, Message, MessageStore, migrations
from mdb_sqla.embedded import EmbeddedPostgres
from tests.consumers.running import Handled
from tests.standby.conftest import replayed, replicating

KEPT, LOST, NEW = range(10), range(10, 100), range(100, 160)


class Cluster:
    """Two servers behind one address, which is that of the primary."""

    def __init__(self, folder: Path, primary: EmbeddedPostgres, standby: EmbeddedPostgres) -> None:
        self._folder = folder
        self._address = folder / "address"
        self._point_to(primary)
        self.url = primary.url().set(query={"host": str(self._address)})
        self._standby = standby
        self._engines = [create_engine(s.url(), poolclass=NullPool) for s in (primary, standby)]

    def _point_to(self, server: EmbeddedPostgres) -> None:
        link = self._address.with_name("next")
        link.symlink_to(str(server.url().query["host"]))
        link.replace(self._address)

    def cut_off(self) -> None:
        """Have the standby receive nothing more than there is by now."""
        primary, standby = self._engines
        replayed(primary, standby)()
        rules = self._folder / "primary" / "pg_hba.conf"
        rules.write_text(f"local replication all reject\n{rules.read_text()}")
        with primary.connect() as connection:
            connection.execute(text("SELECT pg_reload_conf()"))

        @retry(retry=retry_if_result(bool), stop=stop_after_delay(20), wait=wait_fixed(0.01))
        def senders() -> int:
            with primary.connect() as connection:
                return len(
                    connection.execute(
                        text("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
                    ).all()
                )

        senders()

    def fail_over(self) -> None:
        """Crash the primary, and put the standby in its place."""
        postmaster = (self._folder / "primary" / "postmaster.pid").read_text().split()[0]
        os.kill(int(postmaster), signal.SIGQUIT)
        with self._engines[1].connect() as connection:
            assert connection.scalar(text("SELECT pg_promote()"))
        self._point_to(self._standby)


@pytest.fixture
def cluster(request: pytest.FixtureRequest, folder: Path) -> Iterator[Cluster]:
    with replicating(request, folder) as (primary, standby):
        cluster = Cluster(folder, primary, standby)
        engine = create_engine(cluster.url, poolclass=NullPool)
        migrations.upgrade(engine)
        with engine.begin() as connection:
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
    engine = create_engine(cluster.url, pool_pre_ping=True)

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
    cluster.cut_off()
    write(engine, LOST)
    for name, (each, handled) in consumers.items():
        handled.wait_for(LOST[0] if name == "busy" else LOST[-1])
        each.pause()
    wait_until_idle(engine)
    cluster.fail_over()
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

    @retry(retry=retry_if_result(bool), stop=stop_after_delay(20), wait=wait_fixed(0.01))
    def checked_out() -> int:
        pool: Any = engine.pool
        return int(pool.checkedout())

    checked_out()
