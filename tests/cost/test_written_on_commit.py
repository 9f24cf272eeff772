"""What a message adds to a transaction of the ORM, beside a row of an outbox table."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import DateTime, Engine, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column

from mdb_sqla import Message, write_on_commit
from tests.cost.conftest import Base, Counted, Effect, function_calls

DATA = {"customer": "Ada Lovelace", "total": 120.5}
METADATA = {"correlationStreamName": "checkout-42"}


class OutboxRow(Base):
    __tablename__ = "outbox"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    topic: Mapped[str]
    type: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    headers: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), index=True
    )


def nothing(_session: Session) -> None:
    pass


def a_row(session: Session) -> None:
    session.add(OutboxRow(topic=f"order-{uuid4()}", type="T", payload=DATA, headers=METADATA))


def a_message(session: Session) -> None:
    write_on_commit(session, f"order-{uuid4()}", Message("T", DATA, METADATA))


def two_messages(session: Session) -> None:
    a_message(session)
    a_message(session)


def commit(engine: Engine, add: Any) -> None:
    with Session(engine) as session:
        session.add(Effect(number=1))
        add(session)
        session.commit()


@pytest.mark.parametrize("add", [a_message, two_messages])
def test_messages_add_one_statement_and_round_trip(
    engine: Engine, round_trips: Any, add: Any
) -> None:
    commit(engine, add)  # The first connection asks for more.
    counted = Counted(engine)
    with round_trips() as made:
        commit(engine, add)

    assert [statement.split()[0] for statement in counted.sent] == ["INSERT", "SELECT", "COMMIT"]
    assert "write_messages" in counted.sent[1]
    # With BEGIN, which the driver sends. The notification has a thread and connection of its own.
    assert len(made) == 4


def test_a_message_adds_fewer_function_calls_than_a_row(engine: Engine) -> None:
    def calls(add: Any) -> int:
        def commit_all() -> None:
            for _ in range(30):
                commit(engine, add)

        return function_calls(commit_all)

    without = calls(nothing)
    assert calls(a_message) - without < calls(a_row) - without
