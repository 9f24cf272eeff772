"""Projections that the transactions maintain which write the messages."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import (
    AsyncUnitOfWork,
    Consumer,
    InvalidArgument,
    Message,
    MessageStore,
    ProjectionFailed,
    ProjectionRefused,
    StoredMessage,
    UnitOfWork,
    WrongExpectedVersion,
    admin,
    retention,
    tables,
    write_on_commit,
)
from mdb_sqla.metrics.consumer_measurement import measure_consumers
from mdb_sqla.projections import (
    Projection,
    attach,
    detach,
    make_async,
    make_inline,
    projections,
)
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


@pytest.fixture
def inline(shop: Shop) -> Shop:
    """A shop whose totals are maintained inline."""
    totals = totals_of()
    attach(shop.engine, totals)
    make_inline(shop.engine, totals)
    return shop


def test_rows_are_written_with_the_messages(inline: Shop) -> None:
    with UnitOfWork(inline.factory, types=types) as unit:
        unit.write("order-1", [Placed("ada", Decimal(10)), Paid(Decimal(4))])
        unit.write("order-2", Placed("bob", Decimal(3)))
        unit.commit()
        assert unit.session.get_one(Total, "1").paid == 4

    inline.write(2, Canceled())

    assert inline.totals() == {"1": (Decimal(10), Decimal(4))}


@pytest.mark.parametrize("way", ["store", "connection", "outbox", "load", "copy", "joined"])
def test_every_way_to_write(inline: Shop, way: str) -> None:
    placed = types.message(Placed("ada", Decimal(10)))
    engine = inline.engine
    if way == "store":
        with Session(engine) as session, session.begin():
            MessageStore(session).write("order-1", placed)
    elif way == "connection":
        with engine.connect() as connection, connection.begin():
            MessageStore(connection).write_messages([("order-1", placed)])
    elif way == "outbox":
        with Session(engine.execution_options(some_option=1)) as session, session.begin():
            write_on_commit(session, "order-1", placed)
    elif way == "load":
        with engine.begin() as connection:
            MessageStore(connection).load([("order-1", placed)])
    elif way == "copy":
        others = [types.message(Placed("bob", Decimal(1))) for _ in range(300)]
        with engine.begin() as connection:
            pairs = [(f"order-b{n}", each) for n, each in enumerate(others)]
            MessageStore(connection).write_messages([*pairs, ("order-1", placed)])
        assert len(inline.totals()) == 301
    else:
        with engine.connect() as connection, connection.begin(), Session(connection) as session:
            write_on_commit(session, "order-1", placed)
            session.commit()

    assert inline.totals()["1"] == (Decimal(10), Decimal(0))


def test_in_a_handler_of_a_consumer(inline: Shop) -> None:
    with inline.engine.begin() as connection:
        MessageStore(connection).write("cart-1", Message("CheckedOut"))
    consumer = Consumer("checkout", "cart", types=types)

    @consumer.on("CheckedOut")
    def place(message: StoredMessage, unit: UnitOfWork) -> None:
        unit.write("order-1", Placed("ada", Decimal(10)))

    consumer.catch_up(inline.factory)

    assert inline.totals() == {"1": (Decimal(10), Decimal(0))}


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_in_a_task(inline: Shop, driver: str) -> None:
    async def run() -> None:
        engine = create_async_engine(inline.engine.url.set(drivername=f"postgresql+{driver}"))
        attach(engine, totals_of())
        async with AsyncUnitOfWork(async_sessionmaker(engine), types=types) as unit:
            unit.write("order-1", [Placed("ada", Decimal(10)), Paid(Decimal(4))])
            await unit.commit()
        await engine.dispose()

    asyncio.run(run())

    assert inline.totals() == {"1": (Decimal(10), Decimal(4))}


def test_after_the_pool_was_replaced(inline: Shop) -> None:
    """As in a forked process."""
    inline.engine.dispose()

    inline.write(1, Placed("ada", Decimal(10)))

    assert len(inline.totals()) == 1


def test_a_message_that_can_not_be_applied_is_not_written(inline: Shop) -> None:
    with pytest.raises(ProjectionFailed, match=r"can't apply message 1 .*order-1: Assertion"):
        inline.write(1, Paid(Decimal(4)))

    with inline.factory() as session:
        assert MessageStore(session).read_stream("order-1") == []


def test_a_rejected_write_changes_no_row(inline: Shop) -> None:
    with UnitOfWork(inline.factory, types=types) as unit:
        unit.write("order-1", Placed("ada", Decimal(10)), expected_version=5)
        with pytest.raises(WrongExpectedVersion):
            unit.commit()

    assert inline.totals() == {}


def test_a_repeated_message_is_applied_once(inline: Shop) -> None:
    paid = types.message(Paid(Decimal(4)))
    inline.write(1, Placed("ada", Decimal(10)), paid)

    inline.write(1, paid)
    inline.write(1, paid, Paid(Decimal(1)), paid)
    with Session(inline.engine) as session, session.begin():
        again = types.message(Paid(Decimal(1)))
        MessageStore(session).write("order-1", again)
        MessageStore(session).write("order-1", again)

    assert inline.totals() == {"1": (Decimal(10), Decimal(6))}


def test_a_savepoint_that_is_rolled_back(inline: Shop) -> None:
    with Session(inline.engine) as session, session.begin():
        MessageStore(session, types=types).write("order-1", Placed("ada", Decimal(10)))
        with session.begin_nested() as savepoint:
            MessageStore(session, types=types).write("order-1", Paid(Decimal(4)))
            savepoint.rollback()
        MessageStore(session, types=types).write("order-1", Paid(Decimal(1)))

    assert inline.totals() == {"1": (Decimal(10), Decimal(1))}


def test_other_messages_take_no_statement_more(inline: Shop) -> None:
    from sqlalchemy import event

    sent: list[str] = []
    event.listen(inline.engine, "before_cursor_execute", lambda c, x, s, *_: sent.append(s))

    with UnitOfWork(inline.factory) as unit:
        unit.write("order-1", Message("Noted"))
        unit.write("cart-1", Message("Placed"))
        unit.commit()

    assert len(sent) == 1


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_isolation_levels_that_can_not_keep_the_order(inline: Shop, level: Any) -> None:
    factory = sessionmaker(inline.engine.execution_options(isolation_level=level))
    with UnitOfWork(factory, types=types) as unit:
        unit.write("order-1", Placed("ada", Decimal(10)))
        with pytest.raises(
            InvalidArgument, match=f"requires isolation level READ COMMITTED.*{level}"
        ):
            unit.commit()


def test_without_a_transaction(inline: Shop) -> None:
    engine = inline.engine.execution_options(isolation_level="AUTOCOMMIT")
    with (
        engine.connect() as connection,
        pytest.raises(InvalidArgument, match="requires a transaction; the connection is AUTO"),
    ):
        MessageStore(connection, types=types).write("order-1", Placed("ada", Decimal(1)))


def test_more_rows_than_locks(inline: Shop) -> None:
    inline.place(range(1, 300))

    assert len(inline.totals()) == 299


def test_a_key_that_depends_on_the_position(shop: Shop) -> None:
    totals = Projection("totals", "order", row=Total, key=lambda m: str(m.global_position))
    totals.on("Placed")(lambda row, message: row)
    attach(shop.engine, totals)
    make_inline(shop.engine, totals)

    with pytest.raises(
        ProjectionFailed, match="a key function must depend only on the stream name"
    ):
        shop.write(1, Placed("ada", Decimal(1)))


def test_it_must_be_made_inline(shop: Shop) -> None:
    """Until then, its consumer maintains it, and nothing is applied twice."""
    attach(shop.engine, totals_of())
    with pytest.raises(ProjectionRefused, match="nothing maintains it yet: call make_inline"):
        shop.write(1, Placed("ada", Decimal(10)))
    totals_of().consumer().catch_up(shop.factory)

    shop.write(1, Placed("ada", Decimal(10)), Paid(Decimal(4)))

    assert shop.totals() == {}
    totals_of().consumer().catch_up(shop.factory)
    assert shop.totals() == {"1": (Decimal(10), Decimal(4))}


def test_from_the_consumer_to_inline_and_back(shop: Shop) -> None:
    """No message is lost or applied twice, wherever the consumer was."""
    totals = totals_of()
    attach(shop.engine, totals)
    consumer = totals.consumer()
    consumer.catch_up(shop.factory)
    shop.place(range(1, 4))
    consumer.catch_up(shop.factory)
    shop.write(1, Paid(Decimal(1)))  # what the consumer has not applied

    assert make_inline(shop.engine, totals)
    assert not make_inline(shop.engine, totals)
    assert shop.totals()["1"] == (Decimal(1), Decimal(2))
    shop.write(1, Paid(Decimal(1)))
    assert shop.totals()["1"] == (Decimal(1), Decimal(3))

    assert make_async(shop.engine, totals)
    assert not make_async(shop.engine, totals)
    shop.write(1, Paid(Decimal(1)))
    assert shop.totals()["1"] == (Decimal(1), Decimal(3))
    totals.consumer().catch_up(shop.factory)
    assert shop.totals()["1"] == (Decimal(1), Decimal(4))

    with shop.factory() as session:
        kinds = [each.kind for each in admin.operations(session)]
    assert kinds == ["make_async", "make_inline"]


def test_from_a_group_to_inline_and_back(shop: Shop) -> None:
    from mdb_sqla import Group

    totals = totals_of()
    shop.place(range(1, 21))
    totals.consumer(group=Group(slots=4)).catch_up(shop.factory)
    for number in range(1, 21):
        shop.write(number, Paid(Decimal(1)))
    attach(shop.engine, totals)

    make_inline(shop.engine, totals)
    assert {paid for _, paid in shop.totals().values()} == {2}
    make_async(shop.engine, totals, slots=4)
    totals.consumer(group=Group(slots=4)).catch_up(shop.factory)

    assert {paid for _, paid in shop.totals().values()} == {2}


def test_a_history_that_no_consumer_has_applied(shop: Shop) -> None:
    shop.place(range(1, 4))

    make_inline(shop.engine, totals_of())

    assert len(shop.totals()) == 3


def test_what_can_not_be_made_inline(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    totals = totals_of()
    shop.place(range(1, 20))
    monkeypatch.setattr("mdb_sqla.projections.remaining_messages.MAX_REMAINING", 10)
    with pytest.raises(ProjectionRefused, match="about 10 messages or more left to apply"):
        make_inline(shop.engine, totals)
    with pytest.raises(ProjectionRefused, match="nothing maintains it yet"):
        make_async(shop.engine, totals)
    totals.consumer().catch_up(shop.factory)
    with pytest.raises(ProjectionRefused, match="version 1 is current, not version 2"):
        make_inline(shop.engine, totals_of(2))
    with shop.engine.begin() as connection:
        admin.delete_consumer(connection, "totals:v1")
    with pytest.raises(
        ProjectionRefused, match="order_totals has rows, but nothing has maintained"
    ):
        make_inline(shop.engine, totals)
    with shop.engine.begin() as connection:
        connection.execute(text("TRUNCATE order_totals"))
        retention.set_policy(connection, "order", keep_last=1)
    retention.run(shop.engine)
    with pytest.raises(ProjectionRefused, match="were deleted by a retention policy"):
        make_inline(shop.engine, totals)


def test_it_does_not_hold_back_retention(inline: Shop) -> None:
    inline.place(range(1, 4))
    with inline.engine.begin() as connection:
        retention.set_policy(connection, "order", keep_last=1)

    (deletion,) = retention.run(inline.engine)

    assert (deletion.messages, list(deletion.holds)) == (3, [])


def test_what_can_not_be_attached(shop: Shop) -> None:
    attach(shop.engine, totals_of(), customers_of())
    for arguments, rule in [
        ((shop.engine, totals_of()), "already attached"),
        ((shop.engine,), "at least one projection"),
        ((shop.engine, "totals"), "projection must be an instance"),
        (("engine", totals_of()), "engine must be an Engine or an AsyncEngine"),
    ]:
        with pytest.raises(InvalidArgument, match=rule):
            attach(*arguments)  # type: ignore[arg-type]
    engine = create_engine(shop.engine.url)
    with pytest.raises(InvalidArgument, match="must differ in their name or version"):
        attach(engine, totals_of(), totals_of())
    detach(engine)


def test_another_engine_is_not_attached(inline: Shop) -> None:
    """As the page says of other processes and clients."""
    engine = create_engine(inline.engine.url)
    with engine.begin() as connection:
        MessageStore(connection, types=types).write("order-1", Placed("ada", Decimal(10)))
    engine.dispose()

    assert inline.totals() == {}


def test_the_order_of_the_messages_of_a_row(shop: Shop) -> None:
    """A transaction that writes first is applied first, even if the other one could overtake it."""
    customers = customers_of()
    attach(shop.engine, customers)
    make_inline(shop.engine, customers)
    with Session(shop.engine) as first, Session(shop.engine) as second:
        MessageStore(first, types=types).write("order-1", Placed("ada", Decimal(1)))
        second.execute(text("SET LOCAL lock_timeout = '100ms'"))
        with pytest.raises(Exception, match="lock timeout"):
            MessageStore(second, types=types).write("order-2", Placed("ada", Decimal(1)))
        second.rollback()
        MessageStore(second, types=types).write("order-2", Placed("bob", Decimal(1)))
        second.commit()
        first.commit()

    assert shop.customers() == {"ada": (1, "1,"), "bob": (1, "2,")}


def test_the_registration(inline: Shop) -> None:
    with inline.engine.connect() as connection:
        row = connection.execute(tables.consumers.select()).one()
    assert (row.consumer, row.categories) == ("totals:v1:inline", ["order"])


def test_it_is_not_a_consumer(inline: Shop) -> None:
    inline.write(1, Placed("ada", Decimal(10)))
    with inline.engine.begin() as connection:
        assert admin.consumers(connection) == []
        (version,) = projections(connection)
        assert (version.status, version.lag) == ("inline", None)
        assert list(measure_consumers(connection, 1_000)) == []

        for change in (admin.pause_consumer, admin.reset_consumer, admin.delete_consumer):
            with pytest.raises(InvalidArgument):
                change(connection, "totals:v1:inline")

    inline.write(2, Placed("ada", Decimal(20)))
    assert set(inline.totals()) == {"1", "2"}
