"""The whole life of a store, as a role that owns its database, or a schema in one, and no more."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, DataExists, Group, Message, RetryPolicy, StoredMessage, migrations
from mdb_sqla.admin.granularity_switch import set_lock_granularity
from mdb_sqla.admin.verification import verify
from mdb_sqla.consumers import dead_letter_queue
from mdb_sqla.store.copy_writes import COPY_THRESHOLD
from tests.conftest import Databases, Flavour
from tests.managed.conftest import PSYCOPG


@pytest.fixture(params=["database", "schema"])
def schema(request: pytest.FixtureRequest, own_database: Any, databases: Databases) -> str:
    """The store's schema, in a database of the role's own or by itself."""
    if request.param == "database":
        return "message_store"
    owner = create_engine(own_database, poolclass=NullPool)
    with owner.begin() as connection:
        role = connection.scalar(
            text("SELECT datdba::regrole FROM pg_database WHERE datname = current_database()")
        )
        connection.execute(text(f"CREATE SCHEMA events AUTHORIZATION {role}"))
        connection.execute(text(f'ALTER DATABASE "{own_database.database}" OWNER TO CURRENT_USER'))
    return "events"


@pytest.mark.parametrize("granularity", ["category", "stream"])
def test_life(managed: Flavour, schema: str, granularity: str) -> None:
    in_schema = {"schema_translate_map": {"message_store": schema}}
    engine = managed.engine.execution_options(**in_schema)
    url = managed.engine.url.set(drivername="postgresql+psycopg")
    administration = create_engine(url, poolclass=NullPool, **PSYCOPG)

    in_transaction(managed, lambda connection: migrations.upgrade(connection, schema=schema))
    set_lock_granularity(administration, granularity, schema=schema)
    write(managed, engine)
    consume(managed, engine)
    assert verify(administration, schema=schema).differences == []
    with pytest.raises(DataExists):
        migrations.downgrade(administration, schema=schema)
    in_transaction(
        managed,
        lambda connection: migrations.downgrade(
            connection,
            schema=schema,
            delete_messages=True,
            delete_consumers=True,
            delete_operations=True,
        ),
    )
    with administration.connect() as connection:
        left = text("SELECT count(*) FROM pg_class WHERE relnamespace::regnamespace::text = :name")
        assert connection.scalar(left, {"name": schema}) == 0


def in_transaction(managed: Flavour, work: Any) -> None:
    with managed.connection() as connection:
        if not managed.asynchronous:
            with connection.begin():
                work(connection)
            return

        def within(sync: Connection) -> None:
            with sync.begin():
                work(sync)

        managed.run(connection.run_sync(within))


def write(managed: Flavour, engine: Any) -> None:
    with managed.unit_of_work(factory_of(managed, engine)) as unit:
        unit.write("order-1", Message("Placed", {"n": 1}), expected_version=-1)
        managed.run(unit.commit())
    with managed.unit_of_work(factory_of(managed, engine)) as unit:
        for number in range(2, COPY_THRESHOLD + 2):
            unit.write(f"order-{number}", Message("Placed"))
        managed.run(unit.commit())
    with managed.unit_of_work(factory_of(managed, engine)) as unit:
        placed = managed.run(unit.store.read_stream("order-1"))
        assert [message.data for message in placed] == [{"n": 1}]
        orders = managed.collect(unit.store.iterate_category("order", batch_size=50))
        assert len(orders) == COPY_THRESHOLD + 1
        assert managed.collect(unit.store.iterate_messages(["order"], batch_size=50)) == orders


def consume(managed: Flavour, engine: Any) -> None:
    factory = factory_of(managed, engine)
    once = RetryPolicy(max_attempts=1)
    billing = Consumer(
        "billing", "order", group=Group(slots=2), on_failure="dead_letter", retry_policy=once
    )
    handled: list[str] = []
    failing = True

    def bill(message: StoredMessage, unit: Any) -> None:
        if failing and message.stream_name == "order-1":
            raise LookupError
        handled.append(message.stream_name)
        unit.write("invoice-1", Message("Drawn").follow(message))

    async def bill_async(message: StoredMessage, unit: Any) -> None:
        bill(message, unit)

    billing.on("Placed")(bill_async if managed.asynchronous else bill)

    def catch_up() -> None:
        if managed.asynchronous:
            managed.run(billing.catch_up_async(factory))
        else:
            billing.catch_up(factory)

    catch_up()
    assert len(handled) == COPY_THRESHOLD
    failing = False
    with managed.unit_of_work(factory) as unit:
        replay = dead_letter_queue.replay
        if managed.asynchronous:
            managed.run(unit.session.run_sync(lambda session: replay(session, "billing")))
        else:
            replay(unit.session, "billing")
        managed.run(unit.commit())
    catch_up()
    assert handled[-1] == "order-1"
    assert len(handled) == COPY_THRESHOLD + 1


def factory_of(managed: Flavour, engine: Any) -> Any:
    kind: Any = async_sessionmaker if managed.asynchronous else sessionmaker
    return kind(engine)
