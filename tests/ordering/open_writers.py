"""Writes, and looks for those who hold others back."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, text

from mdb_sqla import Message, MessageStore
from mdb_sqla.consumers.open_transactions import holding_back, open_writers
from mdb_sqla.consumers.open_writer import OpenWriter


def pid_of(connection: Connection) -> int:
    return int(connection.scalar(text("SELECT pg_backend_pid()")) or 0)


def commit(engine: Engine, *streams: str) -> None:
    with engine.begin() as connection:
        for stream in streams:
            MessageStore(connection).write(stream, Message("T"))


def found(engine: Engine) -> list[OpenWriter]:
    with engine.connect() as connection:
        return open_writers(connection, at_least=0)


def held_back(engine: Engine, categories: list[str], position: int) -> list[int | None]:
    """The processes that hold back a reader."""
    with engine.connect() as connection:
        return [writer.pid for writer in holding_back(connection, categories, position)]
