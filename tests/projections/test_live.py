"""Rows that are computed from the messages in the store."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from mdb_sqla import MessageStore, ProjectionFailed, ProjectionRefused, retention
from mdb_sqla.projections import Projection
from tests.projections.conftest import (
    Canceled,
    Paid,
    Placed,
    Shop,
    Total,
    customers_of,
    totals_of,
    types,
)


def test_a_row_of_a_stream(shop: Shop) -> None:
    shop.write(1, Placed("ada", Decimal(10)), Paid(Decimal(4)))
    shop.write(2, Placed("bob", Decimal(3)))
    shop.write(3, Placed("bob", Decimal(3)), Canceled())

    with shop.factory() as session:
        row = totals_of().live(session, "1")
        others = totals_of().live(session, "3"), totals_of().live(session, "4")

    assert row == Total("1", "ada", Decimal(10), Decimal(4), ["4"])
    assert others == (None, None)
    assert shop.totals() == {}


def test_streams_of_several_categories_in_global_order(shop: Shop) -> None:
    totals = Projection("totals", "order", "payment", row=Total, types=types)
    totals.on(Placed)(lambda row, event, message: Total("1", event.customer, event.total))
    totals.on(Paid)(lambda row, event, message: _paid(row, event))
    shop.write(1, Placed("ada", Decimal(10)))
    with shop.engine.begin() as connection:
        MessageStore(connection, types=types).write("payment-1", Paid(Decimal(4)))
    shop.write(1, Placed("ada", Decimal(20)))
    with shop.engine.begin() as connection:
        MessageStore(connection, types=types).write("payment-1", Paid(Decimal(5)))

    with shop.factory() as session:
        row = totals.live(session, "1")

    assert row == Total("1", "ada", Decimal(20), Decimal(5))


def _paid(row: Total | None, event: Paid) -> Total | None:
    assert row is not None
    row.paid += event.amount
    return row


def test_a_row_with_a_key_function(shop: Shop) -> None:
    shop.place(range(1, 3))
    shop.place(range(3, 4), "bob")

    with shop.factory() as session:
        row = customers_of().live(session, "ada")

    assert row is not None
    assert row.orders == 2


def test_in_an_async_session(shop: Shop) -> None:
    shop.place(range(1, 2))

    async def run() -> Total | None:
        engine = create_async_engine(shop.engine.url)
        async with AsyncSession(engine) as session:
            row = await session.run_sync(totals_of().live, "1")
        await engine.dispose()
        return row

    assert asyncio.run(run()) == Total("1", "ada", Decimal(1), Decimal(1), ["1"])


def test_a_message_that_fails(shop: Shop) -> None:
    shop.write(1, Paid(Decimal(1)))

    with shop.factory() as session, pytest.raises(ProjectionFailed, match="AssertionError"):
        totals_of().live(session, "1")


def test_deleted_messages(shop: Shop) -> None:
    """A row that depends on them can't be computed; others can."""
    shop.write(1, Placed("ada", Decimal(10)), Paid(Decimal(4)))
    shop.write(2, Placed("bob", Decimal(3)))
    totals_of().consumer().catch_up(shop.factory)
    with shop.engine.begin() as connection:
        retention.set_policy(connection, "order", keep_last=1)
    retention.run(shop.engine)

    with shop.factory() as session:
        assert totals_of().live(session, "2") is not None
        with pytest.raises(ProjectionRefused, match="messages of stream order-1 were deleted"):
            totals_of().live(session, "1")
        with pytest.raises(ProjectionRefused, match="messages of its categories up to 1 were"):
            customers_of().live(session, "ada")
