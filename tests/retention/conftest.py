"""A store with messages of any age, and consumers that have handled some of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import URL, Engine, create_engine, func, insert, literal, select, text, update
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, Message, MessageStore, admin, tables
from mdb_sqla.retention import RetentionPolicy, set_policy

m = tables.messages.c


class Store:
    """Writes, ages and looks at messages."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.factory = sessionmaker(engine)

    def write(self, stream_name: str, number: int = 1, *, days: float = 0) -> None:
        """Write messages, as if some days ago."""
        with self.engine.begin() as connection:
            MessageStore(connection).write(
                stream_name, [Message("T", each) for each in range(number)]
            )
            newest = select(m.global_position).order_by(m.global_position.desc()).limit(number)
            if days:
                connection.execute(
                    update(tables.messages)
                    .where(m.global_position.in_(newest))
                    .values(time=func.timezone("utc", func.now()) - timedelta(days=days))
                )

    def policy(self, category: str, **rules: Any) -> RetentionPolicy:
        with self.engine.begin() as connection:
            return set_policy(connection, category, **rules)

    def consume(self, name: str, *categories: str, **options: Any) -> None:
        """Let a consumer handle all there is."""
        consumer = Consumer(name, *categories, **options)
        consumer.on()(lambda message, unit: None)
        consumer.catch_up(self.factory)

    def left(self, category: str | None = None) -> list[tuple[str, int]]:
        """The streams and positions of the messages that are left, in global order."""
        statement = select(m.stream_name, m.position).order_by(m.global_position)
        with self.engine.connect() as connection:
            return [
                (name, position)
                for name, position in connection.execute(statement)
                if category is None or name.partition("-")[0] == category
            ]

    def rows(self, table: Any) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(select(table).order_by(*table.c[:1]))]

    def execute(self, sql: str, **parameters: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(sql), parameters)

    def dead_letter(self, consumer: str, stream_name: str, position: int) -> None:
        letters = tables.dead_letters
        found = select(
            literal(consumer),
            m.global_position,
            text("0"),
            m.stream_name,
            m.position,
            m.type,
            text("true"),
        ).where(m.stream_name == stream_name, m.position == position)
        columns = [
            "consumer",
            "global_position",
            "slot",
            "stream_name",
            "position",
            "type",
            "failed",
        ]
        with self.engine.begin() as connection:
            connection.execute(insert(letters).from_select(columns, found))

    def is_sound(self) -> bool:
        found = admin.verify(self.engine)
        assert found.differences == []
        return True


@pytest.fixture
def store(clean_database: URL) -> Iterator[Store]:
    engine = create_engine(clean_database)
    yield Store(engine)
    engine.dispose()
