"""The consumer of a projection: batches, groups, failures, and what it refuses."""

from __future__ import annotations

import asyncio
import dataclasses
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    ARRAY,
    Column,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
    create_engine,
    event,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker

from mdb_sqla import (
    Group,
    HandlerFailed,
    Host,
    InvalidArgument,
    Message,
    MessageStore,
    ProjectionFailed,
    ProjectionRefused,
    RetryPolicy,
    StoredMessage,
    admin,
    tables,
)
from mdb_sqla.projections import Projection, make_inline
from mdb_sqla.testing import catch_up
from tests.projections.conftest import Canceled, Paid, Placed, Shop, Total, customers_of, totals_of

ONCE = RetryPolicy(max_attempts=1)

_metadata = MetaData()
kinds = Table(
    "kinds",
    _metadata,
    Column("left", Integer, primary_key=True, autoincrement=False),
    Column("right", Uuid, primary_key=True),
    Column("words", ARRAY(Text)),
    Column("document", JSONB),
)


@dataclasses.dataclass
class Kind:
    left: int
    right: Any
    words: list[str] | None = None
    document: Any = None


def position(shop: Shop, consumer: str) -> list[int]:
    slots = tables.consumer_slots.c
    with shop.engine.connect() as connection:
        rows = select(slots.position).where(slots.consumer == consumer).order_by(slots.slot)
        return list(connection.scalars(rows))


def test_rows_are_written_changed_and_deleted(shop: Shop) -> None:
    totals = totals_of()
    shop.write(1, Placed("ada", Decimal("10.50")), Paid(Decimal(4)))
    shop.write(2, Placed("bob", Decimal(3)))

    totals.consumer().catch_up(shop.factory)

    assert shop.totals() == {"1": (Decimal("10.50"), Decimal(4)), "2": (Decimal(3), Decimal(0))}

    shop.write(1, Paid(Decimal(6)))
    shop.write(2, Canceled())
    shop.write(3, Placed("eve", Decimal(1)), Canceled())
    totals.consumer().catch_up(shop.factory)

    assert shop.totals() == {"1": (Decimal("10.50"), Decimal(10))}
    with shop.factory() as session:
        assert session.get_one(Total, "1").history == ["4", "6"]


def test_the_handlers_are_those_of_the_projection(shop: Shop) -> None:
    totals = totals_of()
    names = totals.consumer().handlers.names
    assert names == {name: each.function.__name__ for name, each in totals.handlers.items()}
    assert "ProjectionBatch" not in str(names)


def test_a_batch_takes_one_statement_for_each_purpose(shop: Shop) -> None:
    shop.place(range(1, 51))
    sent: list[str] = []
    event.listen(shop.engine, "before_cursor_execute", lambda c, x, s, *_: sent.append(s))

    totals_of().consumer(batch_size=1000).catch_up(shop.factory)

    assert len(shop.totals()) == 50
    assert len([each for each in sent if "INSERT INTO public.order_totals" in each]) == 1
    assert len([each for each in sent if "FROM public.order_totals" in each]) == 2  # has rows?
    assert not [each for each in sent if "DELETE" in each]


def test_rows_that_do_not_change_are_not_written(shop: Shop) -> None:
    totals = Projection("totals", "order", row=Total)
    totals.on("Touched")(lambda row, message: row or Total("1", "ada", Decimal(1)))
    with shop.engine.begin() as connection:
        MessageStore(connection).write("order-1", Message("Touched"))
    totals.consumer().catch_up(shop.factory)
    found = text("SELECT xmin::text FROM order_totals")
    with shop.engine.begin() as connection:
        before = connection.scalar(found)
        MessageStore(connection).write("order-1", Message("Touched"))

    totals.consumer().catch_up(shop.factory)

    with shop.engine.connect() as connection:
        assert connection.scalar(found) == before


def test_a_value_that_a_handler_changes_in_place(shop: Shop) -> None:
    totals = Projection("totals", "order", row=Total)
    totals.on("Placed")(lambda row, message: Total("1", "ada", Decimal(1)))

    @totals.on("Noted")
    def noted(row: Total | None, message: StoredMessage) -> Total | None:
        assert row is not None
        row.history.append("noted")
        return row

    for type_ in ("Placed", "Noted", "Noted"):
        with shop.engine.begin() as connection:
            MessageStore(connection).write("order-1", Message(type_))
        totals.consumer().catch_up(shop.factory)

    with shop.factory() as session:
        assert session.get_one(Total, "1").history == ["noted", "noted"]


def test_keys_of_several_columns_arrays_and_documents(shop: Shop) -> None:
    _metadata.create_all(shop.engine)
    projection = Projection(
        "kinds", "kind", row=Kind, table=kinds, key=lambda m: (m.data["left"], m.id)
    )

    @projection.on("Seen")
    def seen(row: Kind | None, message: StoredMessage) -> Kind:
        return Kind(message.data["left"], message.id, ["a", "b"], {"c": [1]})

    @projection.on("Gone")
    def gone(row: Kind | None, message: StoredMessage) -> None:
        return None

    messages = [Message("Seen", {"left": number}) for number in range(3)]
    with shop.engine.begin() as connection:
        MessageStore(connection).write("kind-1", messages)
    projection.consumer().catch_up(shop.factory)
    forget = Projection("kinds", "kind", row=Kind, table=kinds, key=lambda m: (0, messages[0].id))
    forget.on("Gone")(lambda row, message: None)
    with shop.engine.begin() as connection:
        MessageStore(connection).write("kind-1", Message("Gone"))
    forget.consumer().catch_up(shop.factory)

    with shop.engine.connect() as connection:
        rows = connection.execute(select(kinds).order_by(kinds.c.left)).all()
    assert rows == [(n, messages[n].id, ["a", "b"], {"c": [1]}) for n in (1, 2)]


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_in_a_task(shop: Shop, driver: str) -> None:
    shop.place(range(1, 4))

    async def run() -> None:
        engine = create_async_engine(shop.engine.url.set(drivername=f"postgresql+{driver}"))
        await totals_of().consumer().catch_up_async(async_sessionmaker(engine))
        await engine.dispose()

    asyncio.run(run())

    assert shop.totals() == {str(n): (Decimal(n), Decimal(1)) for n in range(1, 4)}


def test_in_a_group_whose_members_share_the_streams(shop: Shop) -> None:
    shop.place(range(1, 41))
    first = totals_of().consumer(group=Group(slots=4, member="a"))
    second = totals_of().consumer(group=Group(slots=4, member="b"))

    catch_up(shop.factory, first, second)

    assert len(shop.totals()) == 40
    assert len(position(shop, "totals:v1")) == 4


def test_in_a_host(shop: Shop) -> None:
    host = Host(shop.factory, totals_of().consumer(), customers_of().consumer())

    assert [each.name for each in host.consumers] == ["totals:v1", "customers:v1"]


def test_a_key_function_and_several_slots(shop: Shop) -> None:
    customers_of().consumer(group=Group(slots=1))
    with pytest.raises(InvalidArgument, match=r"has a key function.*use Group\(slots=1\)"):
        customers_of().consumer(group=Group(slots=2))


def test_handlers_that_come_too_late(shop: Shop) -> None:
    totals = totals_of()
    consumer = totals.consumer()

    with pytest.raises(InvalidArgument, match="was created before this handler, and would skip"):
        totals.on("Noted")
    with pytest.raises(InvalidArgument, match="The consumer belongs to a projection"):
        consumer.on("Noted")(lambda message, unit: None)


def test_with_psycopg2(shop: Shop) -> None:
    shop.place(range(1, 4))
    engine = create_engine(shop.engine.url.set(drivername="postgresql+psycopg2"))

    totals_of().consumer().catch_up(sessionmaker(engine))

    assert shop.totals() == {str(n): (Decimal(n), Decimal(1)) for n in range(1, 4)}
    engine.dispose()


def test_a_message_that_fails_is_dead_lettered_alone(shop: Shop) -> None:
    shop.place(range(1, 4))
    shop.write(4, Paid(Decimal(1)))  # without its order
    shop.write(5, Placed("ada", Decimal(5)))

    totals_of().consumer(on_failure="dead_letter", retry_policy=ONCE).catch_up(shop.factory)

    assert sorted(shop.totals()) == ["1", "2", "3", "5"]
    with shop.factory() as session:
        (letter,) = admin.dead_letters(session)
    assert (letter.stream_name, letter.failed) == ("order-4", True)
    assert "AssertionError" in str(letter.error)


def test_a_failure_names_its_message(shop: Shop) -> None:
    shop.place(range(1, 4))
    at = shop.write(4, Paid(Decimal(1)))
    shop.place(range(5, 8))

    with pytest.raises(HandlerFailed, match=f"message {at} of type 'Paid' in stream order-4"):
        totals_of().consumer(retry_policy=ONCE).catch_up(shop.factory)

    assert shop.totals() == {}


def test_a_key_of_a_wrong_kind_is_a_failed_message(shop: Shop) -> None:
    customers = customers_of()
    totals = Projection("totals", "order", row=Total, key=lambda message: 5)
    totals.on("Placed")(lambda row, message: row)
    shop.place(range(1, 2))

    with pytest.raises(HandlerFailed) as failed:
        totals.consumer(retry_policy=ONCE).catch_up(shop.factory)

    assert isinstance(failed.value.__cause__, ProjectionFailed)
    assert "its key id must be of type str, got 5 (int)" in str(failed.value.__cause__)
    assert customers.version == 1


def test_it_never_applies_messages_twice_to_rows_that_exist(shop: Shop) -> None:
    shop.place(range(1, 3))
    totals_of().consumer().catch_up(shop.factory)
    with shop.engine.begin() as connection:
        admin.delete_consumer(connection, "totals:v1")

    with pytest.raises(ProjectionRefused, match=r"public.order_totals has rows, but its consumer"):
        totals_of().consumer().catch_up(shop.factory)

    totals_of().consumer(start=5).catch_up(shop.factory)
    assert shop.totals()["1"] == (Decimal(1), Decimal(1))


def test_another_version_is_refused_while_one_is_current(shop: Shop) -> None:
    shop.place(range(1, 3))
    totals_of().consumer().catch_up(shop.factory)

    with pytest.raises(ProjectionRefused, match="version 1 is current; to replace it by version 2"):
        totals_of(2).consumer().catch_up(shop.factory)

    assert position(shop, "totals:v2") == []
    totals_of().consumer().catch_up(shop.factory)


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("DROP TABLE order_totals", 'table "order_totals" does not exist'),
        ("ALTER TABLE order_totals DROP COLUMN paid", "public.order_totals has no column 'paid'"),
        (
            "ALTER TABLE order_totals DROP CONSTRAINT order_totals_pkey, "
            "ADD PRIMARY KEY (customer)",
            r"the primary key of table public.order_totals is \(customer\), not \(id\)",
        ),
    ],
)
def test_a_table_that_is_not_as_defined(shop: Shop, statement: str, rule: str) -> None:
    with shop.engine.begin() as connection:
        connection.execute(text(statement))

    with pytest.raises(ProjectionRefused, match=rule):
        totals_of().consumer().catch_up(shop.factory)


def test_a_table_that_is_dropped_stops_the_consumer(shop: Shop) -> None:
    """It is not the fault of a message, which would be retried and dead-lettered."""
    shop.place(range(1, 3))
    consumer = totals_of().consumer(on_failure="dead_letter")
    consumer.catch_up(shop.factory)
    shop.place(range(3, 5))
    consumer.handlers.check_start = lambda session: session.execute(text("DROP TABLE order_totals"))

    with pytest.raises(ProjectionRefused, match='table "order_totals" does not exist'):
        consumer.catch_up(shop.factory)


def test_a_consumer_stops_when_the_projection_becomes_inline(shop: Shop) -> None:
    totals = totals_of()
    shop.place(range(1, 3))
    consumer = totals.consumer()
    consumer.catch_up(shop.factory)
    make_inline(shop.engine, totals)

    with pytest.raises(ProjectionRefused, match="version 1 is maintained inline"):
        consumer.catch_up(shop.factory)
