"""A store with messages of all kinds, the file that they are exported to, and an empty store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, create_engine, text

from tests.cli.running import write
from tests.cli.test_mdb import mdb
from tests.conftest import Databases

DIGITS = (
    '{"amount": 1.10, "large": 12345678901234567890.12345678901234567890, "text": "ä\\n\u2028"}'
)


def rows(url: URL) -> list[Any]:
    """All columns of all messages, as the server prints them."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT m::text FROM message_store.messages AS m ORDER BY global_position")
        )
        told = list(found.scalars())
    engine.dispose()
    return told


def statement(url: URL, *sql: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        for each in sql:
            connection.execute(text(each))
    engine.dispose()


@pytest.fixture
def source(database: URL) -> URL:
    """A store with gaps, NULL, JSON null, and numbers that Python would not keep."""
    write(database, ("account-1", "Opened"), ("order-1", "Placed"), ("account-2", "Opened"))
    statement(
        database,
        "SELECT nextval('message_store.messages_global_position_seq') FROM generate_series(1, 5)",
        "SELECT message_store.write_message(gen_random_uuid()::text, 'account-1', 'Odd', "
        f'$${DIGITS}$$, $${{"correlationStreamName": "order-1"}}$$)'.replace(":", r"\:"),
        "SELECT message_store.write_message(gen_random_uuid()\\:\\:text, 'account', 'N', 'null')",
        "UPDATE message_store.messages SET time = time - interval '1000 days' * global_position",
    )
    return database


@pytest.fixture
def target(databases: Databases, template: URL) -> Any:
    with databases.create(template) as url:
        yield url


@pytest.fixture
def file(source: URL, tmp_path: Path) -> Path:
    path = tmp_path / "all.jsonl"
    told = mdb("export", "--file", str(path), url=source)
    assert "Exported 5 messages" in told.stderr
    return path


LINE: dict[str, Any] = {
    "id": "00000000-0000-4000-8000-000000000001",
    "stream_name": "account-1",
    "type": "Opened",
    "position": 0,
    "global_position": 7,
    "time": "2013-01-01T12:00:00Z",
}


def lines(*changes: dict[str, Any]) -> list[bytes]:
    """A good line, and then more of them with changes."""
    changed = [
        {**LINE, "id": LINE["id"][:-1] + str(number), "global_position": 7 + number, **each}
        for number, each in enumerate(changes, 2)
    ]
    return [json.dumps(each).encode() for each in (LINE, *changed)]
