"""A store with a stream of a customer, and what is left of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import URL, Engine, create_engine, select, text

from mdb_sqla import Message, MessageStore, StoredMessage, admin, tables
from mdb_sqla.erasure import Erasure, erase_stream

CUSTOMER = "customer-1"


class Shop:
    """Writes messages, erases streams, and looks at what is left."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def write(self, stream_name: str, *data: Any, **metadata: Any) -> None:
        with self.engine.begin() as connection:
            MessageStore(connection).write(
                stream_name, [Message("T", each, metadata or None) for each in data]
            )

    def erase(self, stream_name: str = CUSTOMER, **options: Any) -> Erasure:
        with self.engine.begin() as connection:
            return erase_stream(connection, stream_name, **{"reason": "request 7", **options})

    def messages(self, stream_name: str | None = None) -> list[StoredMessage]:
        with self.engine.connect() as connection:
            found = MessageStore(connection).read_messages(None)
        return [each for each in found if stream_name in (None, each.stream_name)]

    def data(self, stream_name: str | None = None) -> list[Any]:
        return [message.data for message in self.messages(stream_name)]

    def version(self, stream_name: str = CUSTOMER) -> int:
        with self.engine.connect() as connection:
            return MessageStore(connection).version(stream_name)

    def log(self) -> list[tuple[Any, ...]]:
        c = tables.deletions.c
        columns = (c.kind, c.category, c.stream_name, c.subject, c.reason, c.messages)
        statement = select(*columns, c.first_global_position, c.last_global_position)
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(statement.order_by(c.id))]

    def scalar(self, sql: str) -> Any:
        with self.engine.connect() as connection:
            return connection.scalar(text(sql))

    def is_waiting(self) -> bool:
        """Whether a transaction waits for a lock of another one."""
        return bool(self.scalar("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    def is_sound(self) -> bool:
        assert admin.verify(self.engine).differences == []
        return True


@pytest.fixture
def shop(clean_database: URL) -> Iterator[Shop]:
    """With three messages of a customer, and one of another."""
    engine = create_engine(clean_database)
    shop = Shop(engine)
    shop.write(CUSTOMER, {"name": "Ada"}, {"name": "Ada L."}, correlationStreamName="signup-1")
    shop.write("customer-2", {"name": "Bob"})
    shop.write(CUSTOMER, {"city": "London"})
    yield shop
    engine.dispose()
