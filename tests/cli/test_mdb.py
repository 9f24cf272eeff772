from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from sqlalchemy import URL, create_engine, inspect
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, InvalidArgument, Message, MessageStore, RetryPolicy
from mdb_sqla.admin.granularity_switch import set_lock_granularity
from tests.cli.in_process import run

MDB = [sys.executable, "-c", "from mdb_sqla.cli import main; main()"]


def mdb(
    *arguments: str, url: URL | str | None = None, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run the command, and have it end with this code."""
    return _ended(run(list(arguments), _environment(url)), code)


def mdb_process(
    *arguments: str, url: URL | str | None = None, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """The same as a process of its own, as people start it."""
    environment = {**os.environ, **_environment(url)}
    done = subprocess.run(
        [*MDB, *arguments], capture_output=True, text=True, env=environment, check=False
    )
    return _ended(done, code)


def _environment(url: URL | str | None) -> dict[str, str]:
    environment = {"COLUMNS": "100", "NO_COLOR": "1"}
    if url is not None:
        text = url if isinstance(url, str) else url.render_as_string(hide_password=False)
        environment["MDB_DATABASE_URL"] = text
    return environment


def _ended(done: subprocess.CompletedProcess[str], code: int) -> subprocess.CompletedProcess[str]:
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def write(url: URL) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        MessageStore(connection).write("account-1", Message("Opened"))
    engine.dispose()


def test_upgrade_and_downgrade(empty_database: URL) -> None:
    url = empty_database.set(drivername="postgresql").render_as_string(hide_password=False)

    first = mdb_process("upgrade", "--url", url)
    assert "Applied message_store_0001" in first.stdout
    assert f"The store in schema message_store of database {empty_database.database} is ready." in (
        first.stdout
    )
    assert "is already up to date" in mdb_process("upgrade", url=url).stdout

    write(empty_database)
    refused = mdb_process("downgrade", url=url, code=1)
    assert "messages (1)" in refused.stderr

    assert "Removed the store" in mdb_process("downgrade", "--delete-messages", url=url).stdout
    engine = create_engine(empty_database)
    assert "message_store" not in inspect(engine).get_schema_names()
    engine.dispose()


def test_another_schema(empty_database: URL) -> None:
    mdb("upgrade", "--schema", "events", url=empty_database)

    engine = create_engine(empty_database)
    assert "messages" in inspect(engine).get_table_names("events")
    engine.dispose()


def test_sql(empty_database: URL) -> None:
    script = mdb("upgrade", "--sql", url=empty_database).stdout

    assert 'FUNCTION "message_store".write_message' in script
    assert "%%" not in script
    engine = create_engine(empty_database)
    assert "message_store" not in inspect(engine).get_schema_names()
    engine.dispose()


@pytest.mark.parametrize(
    ("arguments", "url", "expected", "code"),
    [
        ((), "sqlite://", "Unsupported database sqlite", 2),
        ((), "nonsense", "Invalid database URL", 2),
        ((), "postgresql://localhost:1/nothing", "Can't connect", 1),
        (("--schema", "a$b"), "postgresql://localhost:1/nothing", "Invalid schema name 'a$b'", 2),
    ],
)
def test_what_goes_wrong_is_one_message(
    arguments: tuple[str, ...], url: str, expected: str, code: int
) -> None:
    assert expected in mdb_process("upgrade", *arguments, url=url, code=code).stderr


def test_a_downgrade_of_nothing(empty_database: URL) -> None:
    assert "There is no store" in mdb("downgrade", url=empty_database, code=1).stderr


def test_help_has_an_example_for_each() -> None:
    commands = ["upgrade", "downgrade", "dev", "demo"]
    overview = mdb("--help").stdout
    for command in commands:
        assert command in overview
        assert f"Example: mdb {command}" in mdb(command, "--help").stdout


def test_lock_granularity(database: URL) -> None:
    assert mdb("lock-granularity", url=database).stdout == "Writers lock the stream.\n"

    category = "Writers lock the category.\n"
    assert mdb("lock-granularity", "category", url=database).stdout == category
    assert mdb("lock-granularity", url=database).stdout == category
    refused = mdb("lock-granularity", "row", url=database, code=2)
    assert "'row' is not one of 'category', 'stream'" in refused.stderr

    assert "stream" in mdb("lock-granularity", "stream", url=database).stdout


def test_lock_granularity_of_another_schema(empty_database: URL) -> None:
    mdb("upgrade", "--schema", "events", url=empty_database)

    mdb("lock-granularity", "category", "--schema", "events", url=empty_database)

    told = mdb("lock-granularity", "--schema", "events", url=empty_database)
    assert told.stdout == "Writers lock the category.\n"
    missing = mdb("lock-granularity", url=empty_database, code=1)
    assert "not installed" in missing.stderr


def test_lock_granularity_waits_for_writers_no_longer_than_it_is_told(database: URL) -> None:
    engine = create_engine(database)
    with engine.begin() as connection:
        MessageStore(connection).write("account-1", Message("Opened"))
        refused = mdb("lock-granularity", "category", "--wait", "0.1", url=database, code=1)
    engine.dispose()

    assert "write transactions did not end within 0.1 s" in refused.stderr
    assert mdb("lock-granularity", url=database).stdout == "Writers lock the stream.\n"


@pytest.mark.parametrize("wait", [0, -1.0])
def test_waiting_for_ever_is_refused(database: URL, wait: float) -> None:
    engine = create_engine(database)
    with pytest.raises(InvalidArgument, match=f"positive number of seconds, got {wait}"):
        set_lock_granularity(engine, "stream", wait=wait)
    engine.dispose()


def test_dead_letters(database: URL) -> None:
    assert mdb("dead-letters", "list", url=database).stderr == "No dead letters.\n"
    engine = create_engine(database)
    with engine.begin() as connection:
        MessageStore(connection).write("account-1", [Message("Opened"), Message("Closed")])
    consumer = Consumer(
        "billing", "account", on_failure="dead_letter", retry_policy=RetryPolicy(max_attempts=1)
    )
    consumer.on()(lambda message, unit: [][0])
    consumer.catch_up(sessionmaker(engine))
    engine.dispose()

    told = mdb("dead-letters", "list", "billing", url=database).stdout
    assert "IndexError: list index out of range" in told
    assert "blocked by an earlier dead letter of its stream" in told
    assert "No dead letters." in mdb("dead-letters", "list", "other", url=database).stderr
    letter, waiting = json.loads(mdb("dead-letters", "list", "--json", url=database).stdout)
    assert (letter["consumer"], waiting["error"]) == ("billing", None)
    assert "Traceback" in letter["traceback"]
    assert "Traceback" in mdb("dead-letters", "list", "--traceback", url=database).stdout
    assert (
        "Queued 1 dead letter of billing"
        in mdb("dead-letters", "replay", "billing", url=database).stdout
    )
    assert (
        "Queued 0 dead letters of billing"
        in mdb("dead-letters", "replay", "billing", url=database).stdout
    )
    assert (
        "Skipped message 1 for billing."
        in mdb("dead-letters", "skip", "billing", "1", url=database).stdout
    )
    refused = mdb("dead-letters", "skip", "billing", "1", url=database, code=2)
    assert "'billing' has no dead letter at global position 1" in refused.stderr
