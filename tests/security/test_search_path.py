"""Nobody else's functions, operators or tables are used by ours, whatever the search path has."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from alembic.runtime.migration import MigrationContext
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, text
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import (
    Consumer,
    Group,
    Message,
    MessageStore,
    StoredMessage,
    StoreNotInstalled,
    UnitOfWork,
    migrations,
)
from mdb_sqla.admin.granularity_switch import set_lock_granularity
from mdb_sqla.migrations import revision_support
from tests.side_by_side.message_db import conninfo

ID = "8a6b1e2c-6f7d-4a5e-9c3b-1d2e3f4a5b6c"
MESSAGE = f"""[{{"id": "{ID}", "stream_name": "account-2", "type": "Opened"}}]"""
QUERY = '[{"categories": ["%s"], "types": ["Opened"]}]'
TAGGED = '[{"categories": ["account"], "tags": ["t"]}]'
CONDITION = f'[{{"query": {QUERY}, "after": 0}}]'
CALLS = [
    "category('account-1+2')",
    "id('account-1+2')",
    "cardinal_id('account-1+2')",
    "is_category('account-1+2')",
    "hash_64('account')",
    "message_store_version()",
    "acquire_lock('account-1')",
    "stream_version('account-1')",
    "write_message(gen_random_uuid()::varchar, 'account-1', 'Opened', '{}', '{}', 0)",
    "write_message(gen_random_uuid()::varchar, 'account-3', 'Opened', '{}')",
    "get_stream_messages('account-1')",
    "get_stream_messages('account-1', condition => 'position = 0')",
    "get_category_messages('account')",
    "get_category_messages('account', 1, 1000, 'shop', 0, 1, 'position = 0')",
    "get_last_stream_message('account-1')",
    "get_last_stream_message('account-1', 'Opened')",
    "get_messages()",
    "get_messages('{account}', 1, 1000, 'shop', 0, 1, 'position = 0')",
    "settled_position()",
    "settled_position('account')",
    f"write_messages('{MESSAGE}', NULL, false)",
    f"write_messages('{MESSAGE}', '{{\"account-2\": -1, \"account-1\": 0}}')",
    f"write_conditionally('{MESSAGE}', '{CONDITION % 'other'}')",
    f"unmet_condition('{CONDITION % 'account'}', '{{account-1}}')",
    f"get_query_messages('{QUERY % 'account'}')",
    # By the index of tags, and by that of the category.
    f"find_matches('{TAGGED}', -5000, 5000, 1)",
    f"find_matches('{TAGGED}', 0, 500, 1)",
    "prepare_copy('{account-1}', 2)",
    "lock_granularity()",
    "set_lock_granularity('stream')",
]
REFUSED = [
    "write_message(gen_random_uuid()::varchar, 'account-1', 'Opened', '{}', NULL, 7)",
    f"write_messages('{MESSAGE}', '{{\"account-2\": 7}}')",
    "write_messages('[]', '{\"account-2\": 7}')",
    f"write_conditionally('{MESSAGE}', '{CONDITION % 'account'}')",
    f"get_query_messages('{QUERY % 'account-1'}')",
    "get_category_messages('account', correlation => 'a-1')",
    "get_messages('{account}', 1, 1, NULL, 3, 2)",
    "get_stream_messages('account')",
    "get_stream_messages('account-1', condition => 'true')",
]
Victim = psycopg.Connection[tuple[object, ...]]


@pytest.fixture(params=["category", "stream"])
def victim(hostile_store: URL, request: pytest.FixtureRequest) -> Iterator[Victim]:
    """A superuser's connection with PostgreSQL's own search path, in a store with a message."""
    with psycopg.connect(conninfo(hostile_store)) as connection:
        for sql in (
            f"SELECT message_store.set_lock_granularity('{request.param}')",
            "SELECT message_store.write_message(gen_random_uuid()::varchar, 'account-1', 'Opened',"
            """ '{}', '{"correlationStreamName": "shop-1", "tags": ["t"]}')""",
            # Temporary tables and types come before all others.
            "CREATE TEMPORARY TABLE messages (stream_name text)",
            "CREATE TEMPORARY TABLE message (id text)",
            "CREATE TEMPORARY TABLE pg_locks (locktype text)",
            "CREATE TEMPORARY TABLE pg_proc (oid oid)",
        ):
            connection.execute(sql.encode())
        yield connection
        connection.rollback()


@pytest.mark.parametrize(
    "call", ["'a'::varchar = 'a'::varchar", "split_part('a'::varchar, '-', 1)"]
)
def test_what_is_in_the_way_is_found(victim: Victim, call: str) -> None:
    """An operator, and a function that our SQL names: the other tests would pass without them."""
    with pytest.raises(psycopg.Error, match="taken by"):
        victim.execute(f"SELECT {call}".encode())


@pytest.mark.parametrize("call", CALLS)
def test_calls(victim: Victim, call: str) -> None:
    victim.execute("SET message_store.sql_condition = 'on'")

    assert victim.execute(f"SELECT * FROM message_store.{call}".encode()).fetchall()


def test_a_category_without_messages(victim: Victim) -> None:
    """A read that finds nothing looks whether the granularity was another meanwhile."""
    assert victim.execute("SELECT message_store.get_category_messages('other')").fetchall() == []


@pytest.mark.parametrize("call", REFUSED)
def test_refusals(victim: Victim, call: str) -> None:
    with pytest.raises(psycopg.Error) as refusal:
        victim.execute(f"SELECT * FROM message_store.{call}".encode())

    assert refusal.value.sqlstate == "P0001"
    assert refusal.value.diag.schema_name == "message_store"


def test_writes_with_an_old_snapshot(hostile_store: URL) -> None:
    with psycopg.connect(conninfo(hostile_store)) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        for number in (-1, 0):
            call = (
                f"write_message(gen_random_uuid()::varchar, 'old-1', 'A', '{{}}', NULL, {number})"
            )
            connection.execute(f"SELECT message_store.{call}".encode())
        with pytest.raises(psycopg.Error, match="Wrong expected version"):
            connection.execute(f"SELECT message_store.{REFUSED[0]}".encode())


REPORTS = ["stream", "type", "stream_type", "type_stream", "category_type", "type_category"]


@pytest.mark.parametrize("report", REPORTS)
def test_reports(victim: Victim, report: str) -> None:
    assert victim.execute(f"SELECT * FROM message_store.{report}_summary".encode()).fetchall()


def test_a_message_that_is_written_again(victim: Victim) -> None:
    call = f"SELECT position FROM message_store.write_messages('{MESSAGE}')".encode()

    assert [victim.execute(call).fetchall() for _ in "12"] == [[(0,)]] * 2


POSTGRESQLS_OWN_PATH = '"$user", public'


@pytest.fixture
def administrator(hostile_database: URL) -> Iterator[Connection]:
    """A superuser's connection; what it does is rolled back."""
    engine = create_engine(hostile_database, poolclass=NullPool)
    with engine.connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()


def foreign(connection: Connection) -> list[str]:
    """What of a store calls something that is neither PostgreSQL's own nor the store's."""
    # So that names are told with their schema.
    connection.exec_driver_sql("SET LOCAL search_path = ''")
    described = text(
        "SELECT object FROM (SELECT pg_describe_object(classid, objid, 0) AS object,"
        " pg_describe_object(refclassid, refobjid, 0) AS called FROM pg_depend) AS dependency "
        "WHERE object ~ 'message_store' AND called ~ 'public[.]'"
    )
    return list(connection.scalars(described))


def test_installation(administrator: Connection) -> None:
    migrations.upgrade(administrator)

    assert administrator.exec_driver_sql("SHOW search_path").scalar() == POSTGRESQLS_OWN_PATH
    assert foreign(administrator) == []


def test_a_refusal_leaves_the_search_path_as_it_was(administrator: Connection) -> None:
    with pytest.raises(StoreNotInstalled):
        migrations.downgrade(administrator)

    assert administrator.exec_driver_sql("SHOW search_path").scalar() == POSTGRESQLS_OWN_PATH


def test_a_revision_in_an_environment_of_the_application(administrator: Connection) -> None:
    context = MigrationContext.configure(administrator)
    with revision_support.running(revision_support.Migration(context, "message_store")):
        revision_support.run(
            "message_store_0001",
            "steps/schema",
            "functions/category",
            "functions/id",
            "functions/cardinal_id",
        )

    assert administrator.exec_driver_sql("SHOW search_path").scalar() == POSTGRESQLS_OWN_PATH
    assert foreign(administrator) == []


def life(engine: Engine) -> int:
    """Write, read and consume, one way or another; returns how many messages were handled."""
    handled: list[StoredMessage] = []
    consumer = Consumer("billing", "order", group=Group(slots=2))
    consumer.on("Placed")(lambda message, _unit: handled.append(message))
    factory = sessionmaker(engine)
    with UnitOfWork(factory) as unit:
        unit.write("order-1", Message("Placed"), expected_version=-1)
        unit.commit()
    with Session(engine) as session:
        store = MessageStore(session)
        store.write_messages([(f"order-{n}", Message("Placed")) for n in range(2, 302)])
        assert len(store.read_stream("order-1")) == 1
        session.commit()
    consumer.catch_up(factory)
    set_lock_granularity(engine, "stream")
    return len(handled)


def test_the_library_with_a_search_path_that_is_safe(hostile_database: URL) -> None:
    engine = create_engine(
        hostile_database,
        connect_args={"options": "-c search_path=pg_catalog"},
        execution_options={"message_store_wake_up": False},
    )

    migrations.upgrade(engine)
    assert life(engine) == 301
    migrations.downgrade(
        engine, delete_messages=True, delete_consumers=True, delete_operations=True
    )
    engine.dispose()
