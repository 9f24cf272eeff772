"""Invoice numbers are consecutive."""

from __future__ import annotations

from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import Message, Query, UnitOfWork
from tests.decisions.conftest import CLIENTS, at_once, retry_conflicts

CREATED = Query(categories=["invoice"], types=["InvoiceCreated"])


def test_numbers_have_no_gaps(factory: sessionmaker[Session]) -> None:
    @retry_conflicts
    def create() -> int:
        with UnitOfWork(factory) as unit:
            seen = unit.store.read(CREATED)
            number = 1 + max((message.data["number"] for message in seen), default=0)
            created = Message("InvoiceCreated", {"number": number})
            unit.write(f"invoice-{number}", created, unless=CREATED.after(seen))
            unit.commit()
        return number

    def create_some() -> list[int]:
        return [create() for _ in range(5)]

    results = at_once(*[create_some] * CLIENTS)

    assert sorted(number for numbers in results for number in numbers) == [
        *range(1, 5 * CLIENTS + 1)
    ]


def test_only_what_is_new_is_read(factory: sessionmaker[Session]) -> None:
    """A process that keeps its state reads on after the position of the last result."""
    number, position = 0, 0
    for _ in range(5):
        with UnitOfWork(factory) as unit:
            seen = unit.store.read(CREATED, position=position + 1)
            number = max([number, *(message.data["number"] for message in seen)]) + 1
            created = Message("InvoiceCreated", {"number": number})
            unit.write(f"invoice-{number}", created, unless=CREATED.after(seen))
            unit.commit()
            assert len(seen) == (number > 1)
            position = seen.position

    assert number == 5
