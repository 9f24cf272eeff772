"""What a message adds to a transaction of the ORM, and what a row of an outbox table adds (S10)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from statistics import median
from time import perf_counter
from typing import Any
from uuid import UUID, uuid4

import orjson
from sqlalchemy import DateTime, Engine, create_engine, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from benchmarks.comparison import OURS, Bar, Comparison
from benchmarks.content import DATA, METADATA, TYPE
from benchmarks.server import Server
from benchmarks.size import Size
from mdb_sqla import Message, write_on_commit

__all__ = ["added_message"]

_ROW = "a row of an outbox table"

Add = Callable[[Session], object]


class _Base(DeclarativeBase):
    pass


class _Order(_Base):
    __tablename__ = "orders"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    total: Mapped[int]


class _OutboxRow(_Base):
    __tablename__ = "outbox"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    topic: Mapped[str]
    type: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    headers: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), index=True
    )


def _message(session: Session) -> None:
    write_on_commit(session, f"order-{uuid4()}", Message(TYPE, DATA, METADATA))


def _row(session: Session) -> None:
    session.add(_OutboxRow(topic=f"order-{uuid4()}", type=TYPE, payload=DATA, headers=METADATA))


@contextmanager
def added_message(server: Server, size: Size) -> Iterator[Comparison]:
    with ExitStack() as stack:
        sides = {}
        for name, add in ((OURS, _message), (_ROW, _row)):
            url = stack.enter_context(server.ours())
            engine = create_engine(url, json_serializer=orjson.dumps)
            stack.callback(engine.dispose)
            _Base.metadata.create_all(engine)
            sides[name] = _side(engine, add, size.writes)
        yield Comparison(
            "added to a transaction of the ORM", "in a row a second", sides, [Bar("S10", _ROW, 1)]
        )


def _side(engine: Engine, add: Add, number: int) -> Callable[[], float]:
    def seconds(add: Add | None) -> float:
        begin = perf_counter()
        with Session(engine) as session:
            session.add(_Order(total=120))
            if add is not None:
                add(session)
            session.commit()
        return perf_counter() - begin

    def side() -> float:
        # Each transaction with it follows one without it.
        pairs = [(seconds(None), seconds(add)) for _ in range(number)]
        added = median(with_it for _, with_it in pairs) - median(without for without, _ in pairs)
        return 1 / added

    return side
