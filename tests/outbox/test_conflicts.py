"""What PostgreSQL asks to run again leaves a unit of work as one kind of error."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from mdb_sqla import Message, TransactionConflict

ISOLATION = {"isolation_level": "REPEATABLE READ"}


def overtake(flavour: Any, unit: Any, order: Any, committed: Any) -> None:
    """Let the unit take its snapshot, and another transaction change a row and a stream."""
    flavour.run(unit.session.connection(execution_options=ISOLATION))
    flavour.run(unit.session.execute(select(order)))
    with flavour.session() as other:
        flavour.run(other.execute(text("UPDATE orders SET state = state || '!'")))
        flavour.run(other.commit())
    committed.write("order-1", Message("Changed"))


@pytest.fixture
def placed(flavour: Any, order: Any, committed: Any) -> None:
    with flavour.session() as session:
        session.add(order(id=1, state="new"))
        flavour.run(session.commit())


@pytest.mark.usefixtures("placed")
def test_at_a_statement_of_the_application(flavour: Any, order: Any, committed: Any) -> None:
    def work() -> None:
        with flavour.session() as session, flavour.unit_of_work(session) as unit:
            overtake(flavour, unit, order, committed)
            flavour.run(unit.session.execute(text("UPDATE orders SET state = 'late'")))

    with pytest.raises(TransactionConflict) as error:
        work()

    assert error.value.sqlstate == "40001"
    assert isinstance(error.value.__cause__, DBAPIError)
    assert committed.orders() == ["new!"]


@pytest.mark.usefixtures("placed")
def test_at_commit(flavour: Any, order: Any, committed: Any) -> None:
    with flavour.session() as session, flavour.unit_of_work(session) as unit:
        overtake(flavour, unit, order, committed)
        unit.write("order-1", Message("Late"))
        with pytest.raises(TransactionConflict):
            flavour.run(unit.commit())


@pytest.mark.usefixtures("placed")
def test_other_errors_stay_what_they_are(flavour: Any) -> None:
    def work() -> None:
        with flavour.session() as session, flavour.unit_of_work(session) as unit:
            flavour.run(unit.session.execute(text("SELECT 1 / 0")))

    with pytest.raises(DBAPIError, match="division by zero"):
        work()


@pytest.mark.usefixtures("placed")
def test_a_library_runs_it_again(flavour: Any, order: Any, committed: Any) -> None:
    attempts: list[str] = []

    @retry(retry=retry_if_exception_type(TransactionConflict), stop=stop_after_attempt(3))
    def work() -> int:
        with flavour.session() as session, flavour.unit_of_work(session) as unit:
            if not attempts:
                attempts.append("overtaken")
                overtake(flavour, unit, order, committed)
            flavour.run(unit.session.execute(text("UPDATE orders SET state = 'late'")))
            written = unit.write("order-1", Message("Late"))
            flavour.run(unit.commit())
        return int(written.position)

    assert work() == 1
    assert committed.orders() == ["late"]
