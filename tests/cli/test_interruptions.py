"""Ctrl-C in long commands: what was done, and how to resume."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, create_engine

from mdb_sqla import Message, MessageStore
from tests.cli.running import write
from tests.cli.test_mdb import MDB, mdb


def interrupted(*_: object, **__: object) -> Any:
    raise KeyboardInterrupt


@pytest.fixture
def store(database: URL) -> URL:
    write(database, *[("account-1", "Opened")] * 6)
    return database


@pytest.fixture
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """An export that is interrupted after two batches of two messages."""
    from mdb_sqla.transfer.message_export import export

    def short(connection: Any, reader: Any, **arguments: Any) -> Iterator[Any]:
        fetch = reader.next
        reader.next = lambda db, until: fetch(db, 2, until=until)
        for number, batch in enumerate(export(connection, reader, **arguments)):
            if number == 2:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr("mdb_sqla.cli.transfer_commands.export", short)


@pytest.mark.usefixtures("_small_batches")
def test_an_export_to_a_file(store: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "all.jsonl"
    told = mdb("export", "--file", str(file), url=store, code=130).stderr

    assert told == (
        "mdb: Interrupted. Exported 4 messages. To resume, run the same command again.\n"
    )
    monkeypatch.undo()
    assert "Exported 2 messages" in mdb("export", "--file", str(file), url=store).stderr
    assert len(file.read_text().splitlines()) == 6


@pytest.mark.usefixtures("_small_batches")
def test_an_export_to_stdout(store: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    first = mdb("export", url=store, code=130)

    assert "To resume, run it again with --position 5.\n" in first.stderr
    monkeypatch.undo()
    rest = mdb("export", "--position", "5", url=store).stdout
    assert first.stdout + rest == mdb("export", url=store).stdout


def test_an_import(store: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "all.jsonl"
    mdb("export", "--file", str(file), url=store)
    mdb("clear", "--yes", url=store)
    monkeypatch.setattr("mdb_sqla.transfer.message_import._MAX_MESSAGES", 4)
    monkeypatch.setattr("mdb_sqla.transfer.message_import.announce", once_then_interrupted())

    told = mdb("import", str(file), url=store, code=130).stderr

    assert told == (
        "mdb: Interrupted. Imported 4 messages. To resume, run the same command again.\n"
    )
    monkeypatch.undo()
    assert "Written at their original positions: 2. Skipped: 4." in (
        mdb("import", str(file), url=store).stderr
    )


def once_then_interrupted() -> Any:
    calls: list[object] = []

    def call(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) > 1:
            raise KeyboardInterrupt

    return call


@pytest.mark.parametrize(
    ("command", "what", "advice"),
    [
        ("verify", "verify_commands.run_verify", "Nothing was changed. Pass --quick to skip the"),
        ("benchmark", "verify_commands.run_benchmark", "All writes were rolled back."),
        ("upgrade", "store_commands.migrations.upgrade", "Run it again to finish the upgrade."),
        ("create-database", "database_commands.create", "Run it again to finish."),
        ("clear --yes", "database_commands.clear_store", "Run it again to delete the messages."),
        ("summary", "report_commands.read_summary", ""),
        ("print", "message_commands.export", ""),
    ],
)
def test_other_commands(
    database: URL, command: str, what: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"mdb_sqla.cli.{what}", interrupted)

    told = mdb(*command.split(), url=database, code=130).stderr

    (line,) = told.splitlines()
    assert line.startswith(f"mdb: Interrupted. {advice}".strip())


def test_a_signal(database: URL) -> None:
    """A process that waits for a transaction ends at once, and has changed nothing."""
    engine = create_engine(database)
    address = database.render_as_string(hide_password=False)
    with engine.begin() as connection:
        MessageStore(connection).write("account-1", Message("Opened"))
        process = subprocess.Popen(
            [*MDB, "clear", "--yes", "--wait", "60", "--url", address],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while "ungranted" not in waiting(database):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    with engine.connect() as connection:
        assert MessageStore(connection).version("account-1") == 0
    engine.dispose()

    assert process.returncode == 130, errors
    assert (output, errors) == ("", "mdb: Interrupted. Run it again to delete the messages.\n")


def waiting(database: URL) -> str:
    engine = create_engine(database)
    with engine.connect() as connection:
        statement = (
            "SELECT string_agg(CASE WHEN granted THEN 'granted' ELSE 'ungranted' END, ' ') "
            "FROM pg_locks WHERE database = (SELECT oid FROM pg_database "
            "WHERE datname = current_database())"
        )
        found = connection.exec_driver_sql(statement).scalar()
    engine.dispose()
    return found or ""
