"""What the server can't do for a while is waited for, and ends no consumer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, text

from mdb_sqla import Group, HandlerFailed, UnitOfWork
from mdb_sqla.consumers.dead_letter_queue import dead_letters
from tests.consumers.conftest import Effect, Lines
from tests.consumers.running import INSERT, Handled, consumer_of, run
from tests.waiting import wait_until


@contextmanager
def setting(engine: Engine, name: str, value: str) -> Iterator[None]:
    """Have all new connections to a database begin with a setting, and end the others."""
    _set(engine, f"SET {name} = '{value}'")
    try:
        yield
    finally:
        _set(engine, f"RESET {name}")


def _set(engine: Engine, what: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("SET TRANSACTION READ WRITE"))
        connection.execute(text(f'ALTER DATABASE "{engine.url.database}" {what}'))
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )


ARGUMENTS = pytest.mark.parametrize(
    "arguments",
    [{}, {"group": True}, {"on_failure": "dead_letter"}],
    ids=["alone", "group", "setting aside"],
)


def made(arguments: dict[str, Any]) -> dict[str, Any]:
    return {"group": Group(slots=1, lease=5)} if "group" in arguments else arguments


def test_a_server_that_is_read_only_while_messages_are_in_flight(
    application: Any, lines: Lines
) -> None:
    """Handlers have sessions of their own, with the same server."""
    if not application.flavour.asynchronous:
        pytest.skip("what is in flight needs a loop")
    handled = Handled()
    in_handler, is_read_only = threading.Event(), threading.Event()

    async def handle(message: Any) -> None:
        in_handler.set()
        await asyncio.to_thread(is_read_only.wait, 20)
        async with application.factory.begin() as session:
            await session.execute(INSERT, {"number": message.data})
        handled.note(message)

    def script() -> None:
        application.write("order-1", 1, 2)
        assert in_handler.wait(20)
        with setting(application.engine, "default_transaction_read_only", "on"):
            is_read_only.set()
            lines.wait_for("was interrupted.*read-only", 4)
        handled.wait_for(2)

    run(application, consumer_of(handle, max_in_flight=4), script)

    assert application.effects() == [1, 2]


@ARGUMENTS
def test_a_disk_that_is_full_when_the_position_is_saved(
    application: Any, arguments: dict[str, Any]
) -> None:
    with application.engine.begin() as connection:
        for statement in (
            "CREATE SEQUENCE tries",
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
            "IF nextval('tries') <= 6 THEN RAISE 'the disk is full' USING ERRCODE = '53100'; "
            "END IF; RETURN new; END$$",
            "CREATE TRIGGER refuse BEFORE UPDATE OF position ON message_store.consumer_slots "
            "FOR EACH ROW EXECUTE FUNCTION refuse()",
        ):
            connection.execute(text(statement))
    application.write("order-1", 1)
    handled = Handled()
    consumer = consumer_of(handled, **made(arguments))
    try:
        run(application, consumer, lambda: wait_until(lambda: application.position("billing") == 1))
    finally:
        with application.engine.begin() as connection:
            connection.execute(text("DROP FUNCTION refuse CASCADE"))

    assert handled.numbers == [1] * 7
    assert application.effects() == [1]


def test_what_a_handler_has_added_fails_as_its_own(application: Any) -> None:
    """Though it is flushed after it; other streams must not wait for it."""

    def handle(message: Any, unit: Any) -> None:
        unit.session.execute(text("SET LOCAL lock_timeout = '5ms'"))
        unit.session.add(Effect(number=message.data))

    async def handle_async(message: Any, unit: Any) -> None:
        await unit.session.run_sync(lambda session: handle(message, UnitOfWork.of(session)))

    application.write("order-1", 1)
    consumer = consumer_of(
        handle_async if application.flavour.asynchronous else handle, on_failure="dead_letter"
    )
    with application.engine.begin() as connection:
        connection.execute(text("LOCK TABLE effects"))
        application.catch_up(consumer)
    application.write("order-2", 2)
    application.catch_up(consumer)

    assert application.effects() == [2]
    with application.engine.connect() as connection:
        letters = dead_letters(connection)
    assert [(letter.global_position, letter.failed) for letter in letters] == [(1, True)]


@ARGUMENTS
def test_a_server_that_is_read_only_for_a_while(
    application: Any, arguments: dict[str, Any], lines: Lines
) -> None:
    handled = Handled()

    def script() -> None:
        application.write("order-1", 1)
        handled.wait_for(1)
        with setting(application.engine, "default_transaction_read_only", "on"):
            with application.engine.begin() as connection:
                connection.execute(text("SET TRANSACTION READ WRITE"))
                connection.execute(
                    text("SELECT message_store.write_message(:id, 'order-1', 'T', '2')"),
                    {"id": "5f1b3f0e-6c0a-4d9e-8f56-5b8d1f7ab001"},
                )
            # More often than a handler may fail.
            lines.wait_for("was interrupted.*read-only", 4)
        handled.wait_for(2)

    run(application, consumer_of(handled, **made(arguments)), script)

    assert application.effects() == [1, 2]
    with application.engine.connect() as connection:
        assert dead_letters(connection) == []


@ARGUMENTS
def test_a_lock_that_somebody_else_holds_for_a_while(
    application: Any, arguments: dict[str, Any], lines: Lines
) -> None:
    handled = Handled()

    def script() -> None:
        application.write("order-1", 1)
        handled.wait_for(1)
        with application.engine.begin() as connection:
            connection.execute(text("LOCK TABLE message_store.messages"))
            lines.wait_for("was interrupted.*lock timeout", 4)
        application.write("order-1", 2)
        handled.wait_for(2)

    with setting(application.engine, "lock_timeout", "20ms"):
        run(application, consumer_of(handled, **made(arguments)), script)

    assert application.effects() == [1, 2]


def test_a_statement_that_takes_too_long_is_its_handlers_failure(application: Any) -> None:
    def slow(message: Any, unit: Any) -> None:
        unit.session.execute(text("SET LOCAL statement_timeout = 10"))
        unit.session.execute(text("SELECT pg_sleep(10)"))

    application.write("order-1", 1)
    with pytest.raises(HandlerFailed) as error:
        application.catch_up(consumer_of(slow))
    assert error.value.attempts == 2


def test_a_handler_that_writes_where_it_has_forbidden_it_fails(application: Any) -> None:
    """It is not waited for without an end."""

    def forbid(message: Any, unit: Any) -> None:
        unit.session.execute(text("SET TRANSACTION READ ONLY"))
        unit.session.execute(INSERT, {"number": message.data})

    application.write("order-1", 1)
    with pytest.raises(HandlerFailed) as error:
        application.catch_up(consumer_of(forbid))
    assert "read-only" in str(error.value.__cause__)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_stricter_isolation_level_loses_no_update(application: Any, level: str) -> None:
    """Another transaction changes the row between its read and its write, as another member's."""
    with application.engine.begin() as connection:
        connection.execute(INSERT, {"number": 0})
    conflicts = iter(range(5))
    read = text("SELECT number FROM effects")
    write = text("UPDATE effects SET number = :number")

    def add(message: Any, unit: Any) -> None:
        number = unit.session.scalar(read)
        if next(conflicts, None) is not None:
            with application.engine.begin() as connection:
                connection.execute(write, {"number": number + 100})
        unit.session.execute(write, {"number": number + message.data})

    application.write("order-1", 1)
    application.catch_up(consumer_of(add, isolation_level=level))

    assert application.effects() == [501]
    assert application.position("billing") == 1


def test_what_conflicts_every_time_fails(application: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mdb_sqla.consumers.retry_loop._MAX_CONFLICTS", 3)
    calls: list[int] = []

    def conflict(message: Any, unit: Any) -> None:
        calls.append(message.data)
        unit.session.execute(
            text("DO $$ BEGIN RAISE SQLSTATE '40001' USING MESSAGE = 'always'; END $$")
        )

    application.write("order-1", 1)
    with pytest.raises(HandlerFailed) as error:
        application.catch_up(consumer_of(conflict))
    assert len(calls) == error.value.attempts == 3
