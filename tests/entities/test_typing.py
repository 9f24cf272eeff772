"""Type checkers know the class of the state; mypy checks this module."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_type

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from mdb_sqla import UnitOfWork
from mdb_sqla.entities import Entity, EntityStore, apply
from tests.entities.accounts import Account, Balance, Deposited, Noted, evolve, types


def test_the_state_has_a_class(engine: Engine) -> None:
    by_methods = EntityStore("account", Account, types=types)
    assert_type(by_methods, EntityStore[Account])
    by_function = EntityStore("account", Balance, evolve=evolve, types=types)
    assert_type(by_function, EntityStore[Balance])
    of_function = EntityStore("account", lambda: Balance(), evolve=evolve, types=types)
    with Session(engine) as session:
        account = by_methods.get(session, 1)
        assert_type(account, Entity[Account])
        assert_type(account.state, Account)
        assert_type(by_function.get(UnitOfWork.of(session), 1).state, Balance)
        assert_type(of_function.get(session, 1).state, Balance)
        assert isinstance(account.state, Account)


def test_methods_stay_methods() -> None:
    class Counter:
        count = 0

        @apply(Deposited, Noted)
        def counted(self, event: Deposited | Noted) -> None:
            self.count += 1

    counter = Counter()
    counter.counted(Noted("x"))
    method: Callable[[Noted], None] = counter.counted
    method(Noted("y"))
    assert counter.count == 2


def test_an_event_of_another_class_is_found_by_type_checkers() -> None:
    class Wrong:
        @apply(Deposited)  # type: ignore[arg-type]
        def deposited(self, event: Noted) -> None: ...

    assert Wrong is not None
