"""Who is stopped, cancelled or interrupted leaves its group."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from mdb_sqla import Consumer, Group
from tests.consumers.conftest import Lines
from tests.consumers.running import FEW, INSERT, Handled, consumer_of, run


def members(application: Any) -> list[Any]:
    with application.engine.connect() as connection:
        return list(
            connection.execute(
                text(
                    "SELECT member FROM message_store.consumer_members UNION ALL "
                    "SELECT owner FROM message_store.consumer_slots WHERE owner IS NOT NULL"
                )
            )
        )


class InterruptedOnce:
    """Lets the first read of an application fail as if its connection had been lost."""

    def __init__(self, application: Any) -> None:
        self._left = 1
        event.listen(application.flavour.sync_engine, "before_cursor_execute", self._execute)

    def _execute(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if self._left and "get_category_messages" in statement:
            self._left = 0
            raise OperationalError(statement, {}, ConnectionError("the connection is lost"))


def test_one_that_is_stopped_while_it_rests_leaves_its_group(
    application: Any, lines: Lines
) -> None:
    InterruptedOnce(application)
    group = Group(slots=4, lease=60)
    consumer = Consumer(
        "billing", "order", group=group, poll_interval=(0.002, 3600.0), retry_policy=FEW
    )
    consumer.on("T")(Handled())

    # However rarely it polls.
    run(application, consumer, lambda: lines.wait_for("was interrupted; retrying in 10 s.*is lost"))

    assert members(application) == []


def test_a_handler_makes_an_error_of_being_cancelled(application: Any) -> None:
    if not application.flavour.asynchronous:
        pytest.skip("a thread can't be cancelled")

    async def cancel() -> None:
        reached = asyncio.Event()

        async def handle(message: Any, unit: Any) -> None:
            await unit.session.execute(INSERT, {"number": message.data})
            reached.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError as error:
                raise ConnectionError("interrupted") from error

        consumer = consumer_of(handle, group=Group(slots=4, lease=60))
        task = asyncio.create_task(consumer.run_async(application.factory))
        await reached.wait()
        task.cancel()
        async with asyncio.timeout(20):
            with pytest.raises(asyncio.CancelledError):
                await task

    application.write("order-1", 1, 2)
    application.flavour.run(cancel())

    assert members(application) == []
    assert application.effects() == []


@pytest.mark.parametrize("when", ["in a handler", "idle"])
def test_a_task_that_is_cancelled_leaves_its_group(application: Any, when: str) -> None:
    if not application.flavour.asynchronous:
        pytest.skip("a thread can't be cancelled")

    async def cancel() -> None:
        reached = asyncio.Event()

        async def handle(message: Any, unit: Any) -> None:
            await unit.session.execute(INSERT, {"number": message.data})
            reached.set()
            if when == "in a handler":
                await asyncio.Event().wait()

        consumer = consumer_of(handle, group=Group(slots=4, lease=60))
        task = asyncio.create_task(consumer.run_async(application.factory))
        await reached.wait()
        while when == "idle" and application.position("billing", 3) != 1:
            await asyncio.sleep(0.005)
        assert members(application)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    application.write("order-1", 1)
    application.flavour.run(cancel())

    assert members(application) == []
    assert application.effects() == ([1] if when == "idle" else [])


def test_one_that_is_interrupted_leaves_its_group(application: Any) -> None:
    if application.flavour.asynchronous:
        pytest.skip("asyncio cancels the task")

    def interrupt(message: Any, unit: Any) -> None:
        unit.session.execute(INSERT, {"number": message.data})
        raise KeyboardInterrupt

    application.write("order-1", 1)
    with pytest.raises(KeyboardInterrupt):
        consumer_of(interrupt, group=Group(slots=4, lease=60)).run(application.factory)

    assert members(application) == []
    assert application.effects() == []
