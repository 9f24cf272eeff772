from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest
from sqlalchemy import URL, create_engine, func, inspect, select, text
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, InvalidArgument, Message, MessageStore, RetryPolicy, migrations
from mdb_sqla.admin.message_removal import clear
from mdb_sqla.tables import messages
from tests.cli.in_process import run
from tests.cli.running import told, write
from tests.cli.test_mdb import mdb
from tests.conftest import Databases

NAME = 'odd "%(name)s'


@pytest.fixture
def absent(databases: Databases, server_url: URL) -> Iterator[URL]:
    """A database that is not there yet."""
    name = f"mdb_sqla_test_{os.getpid()}_absent {NAME}"
    yield server_url.set(database=name)
    quoted = name.replace('"', '""').replace(":", r"\:")
    databases.execute(f'DROP DATABASE IF EXISTS "{quoted}" WITH (FORCE)')


def number(url: URL) -> int:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = connection.scalar(select(func.count()).select_from(messages))
    engine.dispose()
    assert found is not None
    return found


def answer(*arguments: str, url: URL, answer: str) -> subprocess.CompletedProcess[str]:
    options = ["--url", url.render_as_string(hide_password=False)]
    return run([*arguments, *options], {}, answer=answer)


def test_create_a_database(absent: URL) -> None:
    created = mdb("create-database", url=absent).stdout
    assert f"Database {absent.database} created." in created
    assert f"The store in schema message_store of database {absent.database} is ready." in created

    write(absent, ("account-1", "Opened"))
    again = mdb("create-database", url=absent).stdout
    assert "already exists." in again
    assert "is already up to date." in again
    assert number(absent) == 1


def test_the_store_is_installed_in_a_database_that_is_there(empty_database: URL) -> None:
    assert "is ready" in mdb("create-database", "--schema", "events", url=empty_database).stdout

    engine = create_engine(empty_database)
    assert "messages" in inspect(engine).get_table_names("events")
    engine.dispose()


def test_delete_and_recreate_a_database(absent: URL) -> None:
    mdb("create-database", url=absent)
    write(absent, ("account-1", "Opened"))

    for reply in ("n\n", ""):
        refused = answer("delete-database", url=absent, answer=reply)
        assert refused.returncode == 1
        assert f"Delete database {absent.database} and everything in it?" in refused.stdout
    assert answer("recreate-database", url=absent, answer="n\n").returncode == 1
    assert number(absent) == 1

    assert "is ready" in mdb("recreate-database", "--yes", url=absent).stdout
    assert number(absent) == 0

    deleted = answer("delete-database", url=absent, answer="y\n")
    assert f"Database {absent.database} deleted." in deleted.stdout
    assert "does not exist" in mdb("delete-database", "--yes", url=absent).stdout
    assert "created" in mdb("recreate-database", "--yes", url=absent).stdout


def test_others_are_connected(absent: URL) -> None:
    mdb("create-database", url=absent)
    engine = create_engine(absent)
    with engine.connect() as connection:
        connection.execute(select(1))
        refused = mdb("delete-database", "--yes", url=absent, code=1).stderr
        assert "was not deleted: there are other connections to it" in refused
        assert "deleted" in mdb("delete-database", "--yes", "--force", url=absent).stdout
        connection.invalidate()
    engine.dispose()


def test_names_that_can_not_be(server_url: URL) -> None:
    refused = mdb("delete-database", "--yes", url=server_url.set(database=""), code=2).stderr
    assert "has no database name" in refused
    for command in ("create-database", "delete-database"):
        yes = ["--yes"] if command == "delete-database" else []
        refused = mdb(command, *yes, url=server_url.set(database="postgres"), code=2).stderr
        assert "Database postgres is the maintenance database" in refused


def consume(url: URL) -> None:
    engine = create_engine(url)
    consumer = Consumer(
        "billing", "account", on_failure="dead_letter", retry_policy=RetryPolicy(max_attempts=1)
    )
    consumer.on()(lambda message, unit: [][0])
    consumer.catch_up(sessionmaker(engine))
    engine.dispose()


def test_a_database_is_not_deleted_for_a_name_that_can_be_none(database: URL) -> None:
    write(database, ("account-1", "Opened"))

    mdb("recreate-database", "--yes", "--schema", "a$b", url=database, code=2)

    assert number(database) == 1


@pytest.mark.parametrize("schema", ["message_store", NAME])
def test_clear(empty_database: URL, schema: str) -> None:
    engine = create_engine(empty_database)
    migrations.upgrade(engine, schema=schema)
    mapped = engine.execution_options(schema_translate_map={"message_store": schema})
    with mapped.begin() as connection:
        MessageStore(connection).write("account-1", [Message("Opened"), Message("Closed")])

    refused = answer("clear", "--schema", schema, url=empty_database, answer="n\n")
    assert refused.returncode == 1
    question = f"Delete 2 messages of schema {schema} in database {empty_database.database}?"
    assert question in refused.stdout
    with mapped.connect() as connection:
        assert MessageStore(connection).version("account-1") == 1

    cleared = mdb("clear", "--yes", "--schema", schema, url=empty_database).stdout
    assert cleared == "Deleted 2 messages.\n"
    with mapped.begin() as connection:
        store = MessageStore(connection)
        assert store.write("account-1", Message("Opened")) == 0
        assert store.read_messages()[0].global_position == 1
    engine.dispose()


@pytest.mark.parametrize("level", ["AUTOCOMMIT", "REPEATABLE READ"])
def test_clearing_sees_what_it_has_waited_for(database: URL, level: str) -> None:
    engine = create_engine(database, isolation_level=level)
    with engine.connect() as connection, pytest.raises(InvalidArgument, match=level):
        clear(connection)
    engine.dispose()


def test_consumers_would_skip_messages(database: URL) -> None:
    write(database, ("account-1", "Opened"), ("account-2", "Opened"))
    consume(database)

    refused = mdb("clear", "--yes", url=database, code=1).stderr
    assert "'billing' would skip new messages up to their saved positions" in refused
    assert "--reset-consumers" in refused
    assert number(database) == 2

    mdb("clear", "--yes", "--reset-consumers", url=database)
    assert mdb("dead-letters", "list", url=database).stderr == "No dead letters.\n"
    write(database, ("account-3", "Opened"))
    (consumer,) = told("consumers", url=database)["consumers"]
    assert [slot["position"] for slot in consumer["slots"]] == [0]
    assert consumer["lag"]["messages"] == 1
    consume(database)
    assert "account-3" in mdb("dead-letters", "list", url=database).stdout


def test_a_running_consumer_does_not_save_the_position_that_it_had(database: URL) -> None:
    write(database, ("account-1", "Opened"))
    consume(database)
    engine = create_engine(database)
    token = text("SELECT token FROM message_store.consumer_slots")
    with engine.connect() as connection:
        before = connection.scalar(token)
        connection.rollback()
        mdb("clear", "--yes", "--reset-consumers", url=database)
        assert connection.scalar(token) == (before or 0) + 1
    engine.dispose()


def test_clear_waits_no_longer_than_it_is_told(database: URL) -> None:
    engine = create_engine(database)
    with engine.begin() as connection:
        MessageStore(connection).write("account-1", Message("Opened"))
        refused = mdb("clear", "--yes", "--wait", "0.1", url=database, code=1).stderr
    engine.dispose()

    assert "did not end within 0.1 s" in refused
    assert number(database) == 1


def test_version(database: URL, empty_database: URL) -> None:
    assert mdb("version", url=database).stdout.startswith("Message store 1.3.0, mdb_sqla ")
    assert told("version", url=database)["contract"] == "1.3.0"
    assert "not installed" in mdb("version", url=empty_database, code=1).stderr


@pytest.mark.parametrize(
    "command",
    [
        "create-database", "delete-database", "recreate-database", "clear", "version",
        "write", "print", "tail", "export", "import",
    ],
)  # fmt: skip
def test_help_has_an_example(command: str) -> None:
    assert f"Example: mdb {command}" in mdb(command, "--help").stdout
