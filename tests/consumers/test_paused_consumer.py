"""What a paused consumer keeps and what it refuses, and who has paused it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import URL, Engine, create_engine, func, select
from sqlalchemy.orm import sessionmaker

from mdb_sqla import (
    Consumer,
    ConsumerPaused,
    Group,
    Host,
    InvalidArgument,
    Message,
    MessageStore,
    StoreNotInstalled,
    tables,
)
from mdb_sqla.admin import consumers, operations, pause_consumer, resume_consumer
from mdb_sqla.migrations import store_history
from mdb_sqla.migrations.store_transaction import store_transaction
from mdb_sqla.testing.catch_up import catch_up, catch_up_async
from tests.consumers.conftest import Application, Lines
from tests.consumers.pauses import PAUSED, RESUMED, SLOW, Pausing, pause, resume
from tests.consumers.running import Handled, consumer_of, run
from tests.consumers.test_reset import set_back
from tests.waiting import wait_until

# So that a test can wait for what is logged of a pause.
pytestmark = pytest.mark.usefixtures("logged_information")


def test_it_stays_paused_after_a_restart(application: Application, lines: Lines) -> None:
    handler = Handled()
    consumer = consumer_of(handler, poll_interval=SLOW)
    application.write("order-1", 1)
    application.catch_up(consumer)
    pause(application)
    application.write("order-1", 2)

    def stop_at_once() -> None:
        lines.wait_for(PAUSED)

    run(application, consumer, stop_at_once)  # and it stops while it is paused
    lines.wait_for("stopped")
    assert (consumer.state, handler.numbers) == ("stopped", [1])

    def script() -> None:
        lines.wait_for(PAUSED, 2)
        resume(application)
        handler.wait_for(2)

    run(application, consumer, script)
    assert handler.numbers == [1, 2]


@pytest.mark.parametrize("grouped", [False, True])
def test_it_does_not_catch_up(application: Application, grouped: bool) -> None:
    group = Group(slots=4, lease=5) if grouped else None
    handler = Pausing(application, at=2)
    consumer = consumer_of(handler, group=group)
    application.write("order-1", 1, 2, 3)

    with pytest.raises(ConsumerPaused, match=r"can't catch up: it is paused .* by alice") as raised:
        application.catch_up(consumer)

    assert raised.value.consumer == "billing"
    assert raised.value.paused_by == "alice"
    assert handler.numbers == [1, 2]
    assert application.effects() == [1, 2]
    with pytest.raises(ConsumerPaused):
        application.catch_up(consumer)
    in_test: Any = catch_up_async if application.flavour.asynchronous else catch_up
    with pytest.raises(ConsumerPaused):
        application.flavour.run(in_test(application.factory, consumer))
    members = tables.consumer_members.c
    with application.engine.connect() as connection:
        assert connection.scalars(select(members.member)).all() == []
    assert handler.numbers == [1, 2]
    resume(application)
    application.catch_up(consumer)
    assert handler.numbers == [1, 2, 3]


def test_it_is_reset_while_it_is_paused(application: Application, lines: Lines) -> None:
    handler = Pausing(application, at=3)
    consumer = consumer_of(handler, poll_interval=SLOW)
    application.write("order-1", 1, 2, 3, 4)

    def script() -> None:
        lines.wait_for(PAUSED)
        set_back(application, "billing", 2)
        assert consumer.state == "paused"
        resume(application)
        handler.wait_for(4)

    run(application, consumer, script)
    assert handler.numbers == [1, 2, 3, 2, 3, 4]


def test_members_keep_their_slots(application: Application, lines: Lines) -> None:
    """For longer than their lease; all members are paused, and one that joins is, too."""
    lease = 0.6
    handler = Handled()

    def member(name: str) -> Consumer:
        return consumer_of(handler, group=Group(slots=4, lease=lease, member=name))

    first, second = member("first"), member("second")
    slots = tables.consumer_slots.c

    def owners() -> list[str | None]:
        with application.engine.connect() as connection:
            return list(connection.scalars(select(slots.owner).order_by(slots.slot)))

    def alive() -> set[str]:
        with application.engine.connect() as connection:
            (found,) = consumers(connection)
        return {each.name for each in found.members if each.is_alive}

    for number in range(1, 9):
        application.write(f"order-{number}", number)

    def script() -> None:
        for number in range(1, 9):
            handler.wait_for(number)
        pause(application)
        lines.wait_for(PAUSED)
        for number in range(11, 19):
            application.write(f"order-{number}", number)
        engine = create_engine(application.engine.url)
        running = threading.Thread(target=second.run, args=(sessionmaker(engine),))
        running.start()
        try:
            lines.wait_for("started as member second")
            joined = threading.Event()
            assert not joined.wait(2 * lease)
            assert (owners(), alive()) == (["first"] * 4, {"first", "second"})
            assert (len(handler.numbers), first.state) == (8, "paused")
            resume(application)
            for number in range(11, 19):
                handler.wait_for(number)
            wait_until(lambda: set(owners()) == {"first", "second"})
        finally:
            second.stop()
            running.join(20)
            engine.dispose()

    run(application, first, script)
    assert sorted(handler.numbers) == [*range(1, 9), *range(11, 19)]


def test_both_ways_to_pause(application: Application, lines: Lines) -> None:
    """It handles messages again when it is resumed in both ways, in either order."""
    handler = Handled()
    consumer = consumer_of(handler, poll_interval=SLOW)
    application.write("order-1", 1)

    def script() -> None:
        handler.wait_for(1)
        consumer.pause()
        pause(application)
        application.write("order-1", 2)
        consumer.resume()
        lines.wait_for(PAUSED)
        assert (consumer.state, handler.numbers) == ("paused", [1])
        consumer.pause()
        resume(application)
        lines.wait_for(RESUMED)
        assert (consumer.state, handler.numbers) == ("paused", [1])
        consumer.resume()
        handler.wait_for(2)

    run(application, consumer, script)


def test_the_status_of_a_host(application: Application, lines: Lines) -> None:
    if application.flavour.asynchronous:
        pytest.skip("it is the same status")
    handler = Handled()
    consumer = consumer_of(handler)
    host = Host(application.factory, consumer)
    application.write("order-1", 1)

    def script() -> None:
        handler.wait_for(1)
        pause(application)
        lines.wait_for(PAUSED)
        status = host.status()
        assert status.is_healthy
        assert [each.state for each in status.consumers] == ["paused"]

    run(application, consumer, script)


def test_a_store_of_the_version_before(empty_database: URL) -> None:
    engine = create_engine(empty_database)
    with store_transaction(engine, "message_store") as connection:
        store_history.upgrade(connection, "message_store", version="0002")
    with engine.begin() as connection:
        MessageStore(connection).write("order-1", Message("T"))
    consumer = Consumer("billing", "order")
    consumer.on("T")(lambda message, unit: None)

    outdated = r'not up to date; call migrations\.upgrade\("0005"\)'
    with pytest.raises(StoreNotInstalled, match=outdated):
        consumer.catch_up(sessionmaker(engine))
    with engine.begin() as connection, pytest.raises(StoreNotInstalled, match=outdated):
        pause_consumer(connection, "billing")
    with engine.begin() as connection, pytest.raises(StoreNotInstalled, match=outdated):
        operations(connection)
    engine.dispose()


def test_who_has_paused_it(application: Application, handler: Any) -> None:
    consumer = Consumer("billing", "order")
    consumer.on("T")(handler)
    application.catch_up(consumer)
    with application.engine.begin() as connection:
        user = connection.scalar(select(func.session_user()))
        assert pause_consumer(connection, "billing")
        (found,) = consumers(connection)
        assert (found.paused_by, found.paused_at is not None) == (user, True)

        assert not pause_consumer(connection, "billing", by="bob")
        assert consumers(connection) == [found]

        assert resume_consumer(connection, "billing", by="bob")
        (found,) = consumers(connection)
        assert (found.paused_by, found.paused_at) == (None, None)
        assert not resume_consumer(connection, "billing")
        recorded = [(each.kind, each.performed_by) for each in operations(connection)]
        assert recorded == [("resume_consumer", "bob"), ("pause_consumer", user)]


@pytest.mark.parametrize("change", [pause_consumer, resume_consumer])
def test_what_can_not_be_paused(engine: Engine, change: Any) -> None:
    with engine.begin() as connection:
        with pytest.raises(InvalidArgument, match="There is no consumer 'biling'"):
            change(connection, "biling")
        for wrong in ("", 1, "a\0"):
            with pytest.raises(InvalidArgument, match="consumer must be a non-empty string"):
                change(connection, wrong)
            with pytest.raises(InvalidArgument, match="by must be a non-empty string"):
                change(connection, "billing", by=wrong)
        with pytest.raises(InvalidArgument, match="db must be a Session or a Connection"):
            change(engine, "billing")
        assert operations(connection) == []
