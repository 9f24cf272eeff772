"""An order is placed once, however often the form is sent; the token comes from the client."""

from __future__ import annotations

from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import AppendConditionFailed, Message, Query, UnitOfWork
from tests.decisions.conftest import CLIENTS, at_once


def test_a_token_is_used_once(factory: sessionmaker[Session]) -> None:
    def place(order: int, token: str) -> None:
        query = Query(categories=["order"], types=["OrderPlaced"], tags=[f"token:{token}"])
        with UnitOfWork(factory) as unit:
            placed = Message("OrderPlaced")
            unit.write(f"order-{order}", placed, tags=[f"token:{token}"], unless=query.after(0))
            unit.commit()

    results = at_once(*(lambda n=n: place(n, "a") for n in range(CLIENTS)))

    assert sum(each is None for each in results) == 1
    assert sum(isinstance(each, AppendConditionFailed) for each in results) == CLIENTS - 1
    place(CLIENTS, "b")
