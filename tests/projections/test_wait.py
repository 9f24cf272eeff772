"""A reader that has just written waits until the projection has applied its message."""

from __future__ import annotations

import asyncio
import threading
import time
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from mdb_sqla import (
    Group,
    InvalidArgument,
    Message,
    MessageStore,
    NotProjected,
    ProjectionRefused,
    RetryPolicy,
)
from mdb_sqla.projections import attach, make_inline
from mdb_sqla.projections.consumer_batch import consumer_of
from mdb_sqla.projections.position_wait import is_applied
from mdb_sqla.store.read_arguments import CategoryFilters
from tests.projections.conftest import Paid, Placed, Shop, totals_of
from tests.waiting import wait_until


def write_other(shop: Shop, stream: str, type_: str = "Noted") -> int:
    with shop.engine.begin() as connection:
        pairs = [(stream, Message(type_))]
        (position,) = MessageStore(connection).write_messages(pairs)
    return position.global_position


@pytest.mark.parametrize("group", [None, Group(slots=4)])
def test_it_returns_when_the_message_is_applied(shop: Shop, group: Any) -> None:
    totals = totals_of()
    consumer = totals.consumer(group=group, poll_interval=(0.02, 30.0))
    thread = threading.Thread(target=consumer.run, args=(shop.factory,))
    thread.start()
    try:
        for number in range(1, 30):
            position = shop.write(number, Placed("ada", Decimal(number)))
            totals.wait_for(shop.factory, position)
            assert shop.totals()[str(number)] == (Decimal(number), Decimal(0))
    finally:
        consumer.stop()
        thread.join()


def test_in_a_task(shop: Shop) -> None:
    totals = totals_of()
    position = shop.write(1, Placed("ada", Decimal(1)))
    totals.consumer().catch_up(shop.factory)

    async def run() -> None:
        engine = create_async_engine(shop.engine.url)
        factory = async_sessionmaker(engine)
        await totals.wait_for_async(factory, position)
        with pytest.raises(NotProjected):
            await totals.wait_for_async(factory, shop.write(2, Placed("ada", Decimal(1))), 0.1)
        await engine.dispose()

    asyncio.run(run())


def test_it_is_notified(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would look again only after twenty seconds."""
    monkeypatch.setattr("mdb_sqla.projections.position_wait._LOOKS", 1)
    for name in ("_FIRST_PAUSE", "_LONGEST_PAUSE"):
        monkeypatch.setattr(f"mdb_sqla.projections.position_wait.{name}", 20.0)
    looks: list[bool] = []

    def look(*arguments: Any) -> bool:
        looks.append(is_applied(*arguments))
        return looks[-1]

    monkeypatch.setattr("mdb_sqla.projections.position_wait.is_applied", look)
    totals = totals_of()
    totals.consumer().catch_up(shop.factory)
    position = shop.write(1, Placed("ada", Decimal(1)))
    waited: list[float] = []

    def wait() -> None:
        totals.wait_for(shop.factory, position, 60)
        waited.append(time.monotonic())

    thread = threading.Thread(target=wait)
    thread.start()
    # Before it listens, after that, and when LISTEN has succeeded.
    wait_until(lambda: len(looks) == 3)
    totals.consumer().catch_up(shop.factory)
    applied = time.monotonic()
    thread.join()

    assert waited[0] - applied < 15


def test_it_times_out(shop: Shop) -> None:
    position = shop.write(1, Placed("ada", Decimal(1)))

    with pytest.raises(NotProjected, match=f"up to global position {position} within 0.1 seconds"):
        totals_of().wait_for(shop.factory, position, 0.1)
    assert issubclass(NotProjected, TimeoutError)


def test_other_messages_are_not_waited_for(shop: Shop) -> None:
    totals = totals_of()
    shop.write(1, Placed("ada", Decimal(1)))
    totals.consumer().catch_up(shop.factory)

    totals.wait_for(shop.factory, write_other(shop, "cart-1", "Placed"), 0.1)
    totals.wait_for(shop.factory, write_other(shop, "order-1", "Noted"), 0.1)
    totals.wait_for(shop.factory, 0, 0.1)


def test_slots_that_have_nothing_to_apply(shop: Shop) -> None:
    """Their positions stay behind, with no message before the position that is waited for."""
    totals = totals_of()
    totals.consumer(group=Group(slots=16)).catch_up(shop.factory)
    position = shop.write(1, Placed("ada", Decimal(1)))
    with pytest.raises(NotProjected):
        totals.wait_for(shop.factory, position, 0.05)

    totals.consumer(group=Group(slots=16)).catch_up(shop.factory)

    totals.wait_for(shop.factory, position, 0.05)


def test_a_slot_that_is_ahead_of_another(shop: Shop) -> None:
    totals = totals_of()
    shop.place(range(1, 9))
    last = max(shop.write(number, Paid(Decimal(1))) for number in range(1, 9))
    for slot in range(2):
        with pytest.raises(NotProjected):
            totals.wait_for(shop.factory, last, 0.05)
        part = CategoryFilters(consumer_group_member=slot, consumer_group_size=2)
        consumer_of(totals, filters=part).catch_up(shop.factory)

    totals.wait_for(shop.factory, last, 0.05)


def test_a_dead_letter_is_not_waited_for(shop: Shop) -> None:
    totals = totals_of()
    policy = RetryPolicy(max_attempts=1)
    position = shop.write(1, Paid(Decimal(1)))
    totals.consumer(on_failure="dead_letter", retry_policy=policy).catch_up(shop.factory)

    with pytest.raises(ProjectionRefused, match=f"message {position} is a dead letter"):
        totals.wait_for(shop.factory, position)


def test_an_inline_projection_need_not_be_waited_for(shop: Shop) -> None:
    totals = totals_of()
    attach(shop.engine, totals)
    make_inline(shop.engine, totals)

    totals.wait_for(shop.factory, shop.write(1, Placed("ada", Decimal(1))), 0.01)


def test_another_version(shop: Shop) -> None:
    position = shop.write(1, Placed("ada", Decimal(1)))
    totals_of().consumer().catch_up(shop.factory)

    with pytest.raises(ProjectionRefused, match="version 1 is current, so version 2 can't be"):
        totals_of(2).wait_for(shop.factory, position)


@pytest.mark.parametrize(("position", "timeout"), [(-1, 1), ("5", 1), (1, 0), (1, "x")])
def test_arguments(shop: Shop, position: Any, timeout: Any) -> None:
    with pytest.raises(InvalidArgument):
        totals_of().wait_for(shop.factory, position, timeout)
