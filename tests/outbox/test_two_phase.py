"""Messages of a transaction that is committed in two phases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.orm import Session

from mdb_sqla import Message, write_on_commit


@pytest.fixture
def two_phase_engine(clean_database: URL) -> Iterator[Engine]:
    engine = create_engine(clean_database)
    try:
        with engine.connect() as connection:
            if connection.scalar(text("SHOW max_prepared_transactions")) == "0":
                pytest.skip("the server has max_prepared_transactions = 0")
        yield engine
    finally:
        engine.dispose()


def test_two_phase_commit(two_phase_engine: Engine, committed: Any) -> None:
    with Session(two_phase_engine, twophase=True) as session:
        write_on_commit(session, "order-1", Message("A"))
        session.commit()

    assert committed.messages() == [("order-1", "A", 0)]


def test_two_phase_commit_with_a_savepoint_left_open(
    two_phase_engine: Engine, committed: Any
) -> None:
    with Session(two_phase_engine, twophase=True) as session:
        transaction = session.begin()
        session.begin_nested()
        write_on_commit(session, "order-1", Message("A"))
        transaction.commit()

    assert committed.messages() == [("order-1", "A", 0)]
