"""The commands that erase streams, forget keys and protect messages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import URL, Engine, create_engine, insert, select

from mdb_sqla import Message, MessageStore, tables
from tests.cli.test_mdb import mdb

REASON = ("--reason", "request 7")


@pytest.fixture
def shop(database: URL) -> Iterator[Engine]:
    engine = create_engine(database)
    with engine.begin() as connection:
        store = MessageStore(connection)
        store.write("order-1", [Message("T", each) for each in (1, 2, 3)])
        store.write("order-2", Message("T", 4))
        connection.execute(insert(tables.subject_keys).values(subject="ada", key=b"x"))
    yield engine
    engine.dispose()


def data(engine: Engine) -> list[object]:
    with engine.connect() as connection:
        return [message.data for message in MessageStore(connection).read_messages()]


def log(engine: Engine) -> list[tuple[object, ...]]:
    c = tables.deletions.c
    with engine.connect() as connection:
        rows = connection.execute(select(c.kind, c.stream_name, c.subject, c.reason))
        return [tuple(row) for row in rows]


def test_erase(shop: Engine, database: URL) -> None:
    done = mdb("erase", "order-1", *REASON, "--yes", url=database)
    assert done.stdout == "Erased the contents of 3 messages of order-1.\n"
    assert data(shop) == [{}, {}, {}, 4]
    assert log(shop) == [("contents", "order-1", None, "request 7")]
    done = mdb("erase", "order-1", *REASON, "--yes", url=database)
    assert done.stdout == "There was nothing left to erase in order-1.\n"


def test_erase_a_whole_stream(shop: Engine, database: URL) -> None:
    done = mdb("erase", "order-1", *REASON, "--whole", "--announce", "--yes", url=database)
    assert done.stdout == "Deleted 3 messages of order-1.\n"
    assert data(shop) == [4, {}]
    assert log(shop) == [("stream", "order-1", None, "request 7")]


def test_forget(shop: Engine, database: URL) -> None:
    done = mdb("forget", "ada", *REASON, "--yes", url=database)
    assert done.stdout == "Subject ada is forgotten.\n"
    done = mdb("forget", "ada", *REASON, "--yes", url=database)
    assert done.stdout == "Subject ada was already forgotten.\n"
    assert log(shop) == [("key", None, "ada", "request 7")]


@pytest.mark.parametrize("command", ["erase order-1", "erase order-1 --whole", "forget ada"])
def test_without_a_confirmation_nothing_happens(shop: Engine, database: URL, command: str) -> None:
    done = mdb(*command.split(), *REASON, url=database, code=1)
    assert "in schema message_store of database" in done.stdout
    assert data(shop) == [1, 2, 3, 4]
    assert log(shop) == []


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("erase order-3 --reason r --yes", 2, "mdb: There is no stream order-3"),
        ("erase order-1 --yes", 2, "Missing option '--reason'"),
        ("erase order-1 --reason= --yes", 2, "reason must be a non-empty string"),
        ("forget eve --reason r --yes", 2, "mdb: There is no key for subject eve"),
        ("forget ada --yes", 2, "Missing option '--reason'"),
        ("protect maybe", 2, "'maybe' is not one of 'on', 'off'"),
    ],
)
def test_bad_input(shop: Engine, database: URL, command: str, code: int, message: str) -> None:
    assert message in mdb(*command.split(), url=database, code=code).stderr
    assert data(shop) == [1, 2, 3, 4]
    assert log(shop) == []


def test_protect(shop: Engine, database: URL) -> None:
    off, on = (f"Messages are {word}protected from accidental changes.\n" for word in ("not ", ""))
    assert mdb("protect", url=database).stdout == off
    assert mdb("protect", "on", url=database).stdout == on
    assert mdb("protect", url=database).stdout == on
    assert "accidental changes: on\n" in mdb("verify", url=database).stdout
    refused = mdb("clear", "--yes", url=database, code=1).stderr
    assert refused.startswith("mdb: TRUNCATE of messages is refused: they are protected. To ")
    assert len(data(shop)) == 4
    mdb("erase", "order-1", *REASON, "--yes", url=database)
    assert mdb("protect", "off", url=database).stdout == off
    mdb("clear", "--yes", url=database)
    assert data(shop) == []
