"""What is counted: statements, round trips and function calls, which need no clock."""

from __future__ import annotations

import cProfile
import pstats
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL, BigInteger, Engine, Identity, create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from mdb_sqla import Message, MessageStore


class Base(DeclarativeBase):
    pass


class Effect(Base):
    """The row that a handler, or a transaction, adds."""

    __tablename__ = "effects"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    number: Mapped[int]


class Counted:
    """The statements of an engine and its commits, in their order."""

    def __init__(self, engine: Engine) -> None:
        self.sent: list[str] = []
        event.listen(engine, "before_cursor_execute", self._execute)
        event.listen(engine, "commit", lambda _: self.sent.append("COMMIT"))

    def _execute(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        self.sent.append(statement)

    def number(self, text: str) -> int:
        return sum(text in statement for statement in self.sent)


@pytest.fixture
def engine(clean_database: URL) -> Iterator[Engine]:
    engine = create_engine(clean_database)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def write(engine: Engine) -> Callable[[int], None]:
    def write(number: int) -> None:
        with engine.begin() as connection:
            MessageStore(connection).write("order-1", [Message("T", n) for n in range(number)])

    return write


@pytest.fixture
def round_trips(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return a context manager: a list that gets an element for each round trip in this thread."""
    trips: list[object] = []
    wait, thread = psycopg.Connection.wait, threading.get_ident()

    def counted(connection: Any, *arguments: Any) -> Any:
        if threading.get_ident() == thread:
            trips.append(None)
        return wait(connection, *arguments)

    monkeypatch.setattr(psycopg.Connection, "wait", counted)

    @contextmanager
    def counting() -> Iterator[list[object]]:
        trips.clear()
        yield trips

    return counting


def function_calls(work: Callable[[], object]) -> int:
    """Return how many functions a call in this thread calls, after calls that fill caches."""
    for _ in range(2):
        work()
    profile = cProfile.Profile()
    profile.enable()
    work()
    profile.disable()
    calls: int = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]  # typeshed lacks it
    return calls
