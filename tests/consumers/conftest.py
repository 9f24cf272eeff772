"""An application with a table of its own, consumers that run until they have caught up, logs."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker

from mdb_sqla import Consumer, Group, Message, MessageStore, tables


class Base(DeclarativeBase):
    pass


class Effect(Base):
    """What a handler has done: a row for each message, and a number that tells it apart."""

    __tablename__ = "effects"

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int]


class Application:
    """Runs consumers in one flavour of SQLAlchemy, and looks at what they have left."""

    def __init__(self, flavour: Any) -> None:
        self.flavour = flavour
        maker: Any = async_sessionmaker if flavour.asynchronous else sessionmaker
        self.factory = maker(flavour.engine)
        url = flavour.engine.url.set(drivername="postgresql+psycopg")
        self.engine = create_engine(url)
        Base.metadata.create_all(self.engine)

    def write(self, stream_name: str, *numbers: int, type_: str = "T", **metadata: Any) -> None:
        with self.engine.begin() as connection:
            MessageStore(connection).write(
                stream_name, [Message(type_, number, metadata or None) for number in numbers]
            )

    def catch_up(self, consumer: Consumer) -> None:
        if self.flavour.asynchronous:
            self.flavour.run(consumer.catch_up_async(self.factory))
        else:
            consumer.catch_up(self.factory)

    def effects(self) -> list[int]:
        with self.engine.connect() as connection:
            return list(connection.scalars(select(Effect.number).order_by(Effect.id)))

    def position(self, consumer: str, slot: int = 0) -> int | None:
        slots = tables.consumer_slots.c
        with self.engine.connect() as connection:
            return connection.scalar(
                select(slots.position).where(slots.consumer == consumer, slots.slot == slot)
            )


@pytest.fixture
def application(flavour: Any) -> Iterator[Application]:
    application = Application(flavour)
    yield application
    application.engine.dispose()


def leave_effect(message: Any, unit: Any) -> None:
    unit.session.add(Effect(number=message.data))


async def leave_effect_async(message: Any, unit: Any) -> None:
    unit.session.add(Effect(number=message.data))
    await unit.session.flush()


@pytest.fixture
def handler(flavour: Any) -> Any:
    """A handler that leaves an effect; an async one in one of the async flavours."""
    is_async = flavour.asynchronous and flavour.engine.dialect.driver == "psycopg"
    return leave_effect_async if is_async else leave_effect


class Lines(logging.Handler):
    """What consumers have logged, with the errors that they have logged with it."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []
        self._changed = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else ""
        with self._changed:
            self._lines.append(f"{record.getMessage()}: {error}")
            self._changed.notify_all()

    def has(self, pattern: str) -> bool:
        return any(re.search(pattern, line) for line in self._lines)

    def wait_for(self, pattern: str, number: int = 1) -> None:
        with self._changed:
            assert self._changed.wait_for(
                lambda: sum(bool(re.search(pattern, line)) for line in self._lines) >= number,
                timeout=20,
            )


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    logger = logging.getLogger("mdb_sqla.consumer")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture
def logged_information(caplog: pytest.LogCaptureFixture) -> None:
    """Consumers log what is no more than information, too."""
    caplog.set_level(logging.INFO, "mdb_sqla.consumer")


@pytest.fixture
def quiet(application: Application) -> Application:
    """The application without notifications: consumers only notice what their statements return."""
    options = {"message_store_wake_up": False}
    kept = application.flavour.engine
    quiet = kept.execution_options(**options)
    application.factory.configure(bind=quiet)
    return application


@pytest.fixture(
    params=[{}, {"transaction_size": 4}, {"group": True}, {"on_failure": "dead_letter"}],
    ids=["one", "transactions", "group", "setting-aside"],
)
def arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    if "group" in request.param:
        return {"group": Group(slots=1, lease=5)}
    return dict(request.param)
