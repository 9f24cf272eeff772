"""An application with a table of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from mdb_sqla import MessageStore, tables


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(unique=True)


@pytest.fixture
def order() -> type[Order]:
    return Order


class Committed:
    """What another connection sees."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def orders(self) -> list[str]:
        with Session(self._engine) as session:
            return list(session.scalars(select(Order.state).order_by(Order.id)))

    def messages(self) -> list[tuple[str, str, int]]:
        m = tables.messages.c
        with self._engine.connect() as connection:
            rows = connection.execute(
                select(m.stream_name, m.type, m.position).order_by(m.global_position)
            )
            return [tuple(row) for row in rows]

    def write(self, stream_name: str, *messages: Any) -> None:
        with self._engine.begin() as connection:
            MessageStore(connection).write(stream_name, messages)


@pytest.fixture
def committed(clean_database: Any) -> Iterator[Committed]:
    engine = create_engine(clean_database)
    Base.metadata.create_all(engine)
    yield Committed(engine)
    engine.dispose()


@pytest.fixture
def statements(flavour: Any) -> Callable[[], list[str]]:
    """The statements that the flavour's engine has sent, COMMIT and savepoints included."""
    from sqlalchemy import event

    sent: list[str] = []
    engine = flavour.sync_engine
    event.listen(
        engine, "before_cursor_execute", lambda c, cursor, statement, *_: sent.append(statement)
    )
    event.listen(engine, "commit", lambda c: sent.append("COMMIT"))
    event.listen(engine, "rollback", lambda c: sent.append("ROLLBACK"))
    return lambda: sent


def sync(session: Any) -> Session:
    return getattr(session, "sync_session", session)  # type: ignore[no-any-return]
