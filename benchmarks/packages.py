"""Other packages, opened on a database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import orjson
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from message_db.client import MessageDB
from sqlalchemy import URL

from benchmarks.client import SEARCH_PATH
from benchmarks.content import DATA, METADATA, TYPE
from tests.side_by_side.message_db import conninfo

__all__ = [
    "EVENTSOURCING",
    "MESSAGE_DB_PY",
    "create_events_table",
    "environment",
    "event_recorder",
    "message_db_client",
    "stored_events",
]

EVENTSOURCING = "eventsourcing"
MESSAGE_DB_PY = "message-db-py"


@contextmanager
def message_db_client(url: URL) -> Iterator[MessageDB]:
    """A client of message-db-py on a database with the original in it."""
    client = MessageDB.from_url(conninfo(url), options=SEARCH_PATH)
    try:
        yield client
    finally:
        client.connection_pool.closeall()


@contextmanager
def event_recorder(url: URL) -> Iterator[PostgresApplicationRecorder]:
    """A recorder of pyeventsourcing, on a database with its table in it."""
    datastore = PostgresDatastore(
        dbname=url.database or "",
        host=str(url.query["host"]),
        port=url.port or "",
        user=url.username or "",
        password="",
    )
    with datastore:
        yield PostgresApplicationRecorder(datastore)


def environment(url: URL, module: str) -> dict[str, str]:
    """Return the settings of an application of pyeventsourcing on a database."""
    return {
        "PERSISTENCE_MODULE": module,
        "POSTGRES_DBNAME": url.database or "",
        "POSTGRES_HOST": str(url.query["host"]),
        "POSTGRES_PORT": str(url.port or 5432),
        "POSTGRES_USER": url.username or "",
        "POSTGRES_PASSWORD": "",
    }


def create_events_table(url: URL) -> None:
    """Create what a recorder needs; several can't do it at once."""
    with event_recorder(url) as recorder:
        recorder.create_table()


def stored_events(originator: UUID, number: int, *, first: int = 1) -> Sequence[StoredEvent]:
    """Events with the same content as our messages, serialized with orjson."""
    state: dict[str, Any] = {"data": DATA, "metadata": METADATA}
    return [
        StoredEvent(originator, version, TYPE, orjson.dumps(state))
        for version in range(first, first + number)
    ]
