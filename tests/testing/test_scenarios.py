"""Scenarios of entities, which must fail where something else happens."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import create_async_engine

from mdb_sqla import FoldFailed, InvalidArgument, Message
from mdb_sqla.entities import Entity, EntityStore, Snapshots, apply
from mdb_sqla.testing import Scenario
from tests.entities.accounts import (
    Account,
    Balance,
    Closed,
    Deposited,
    InsufficientFunds,
    Noted,
    Withdraw,
    Withdrawn,
    accounts,
    balances,
    types,
)


def amount(number: int) -> Decimal:
    return Decimal(number)


HUNDRED = Deposited(amount(100))


def close(account: Entity[Account]) -> None:
    if not account.state.is_closed:
        account.write(Closed())


def test_a_command(engine: Engine) -> None:
    outcome = Scenario(balances()).given(HUNDRED).when(Withdraw(amount(30)))
    outcome.then(Withdrawn(amount(30))).then_state(Balance(amount(70))).run(engine)


def test_a_function(engine: Engine) -> None:
    store = accounts(snapshots=Snapshots(every=100), cache=5)
    Scenario(store).given(HUNDRED).when(close).then(Closed()).run(engine)
    Scenario(store).given(HUNDRED).given(Closed()).when(close).then().run(engine)
    Scenario(store, Closed()).when(partial(close)).then()
    Scenario(store).when(lambda account: account.expect()).then().run(engine)


def test_an_error(engine: Engine) -> None:
    scenario = Scenario(balances(), HUNDRED).when(Withdraw(amount(101)))
    scenario.then_raises(InsufficientFunds).then_state(Balance(amount(100))).run(engine)
    scenario.then_raises((KeyError, InsufficientFunds))


def test_over_an_async_engine(engine: Engine) -> None:
    async def run() -> None:
        async_engine = create_async_engine(engine.url)
        outcome = (
            Scenario(balances(), HUNDRED).when(Withdraw(amount(30))).then(Withdrawn(amount(30)))
        )
        await outcome.run_async(async_engine)
        await async_engine.dispose()

    asyncio.run(run())


def test_events_are_compared_as_they_are_stored() -> None:
    number: Any = 30
    Scenario(balances(), HUNDRED).when(Withdraw(amount(30))).then(
        Message("Withdrawn", {"amount": "30"})
    )
    with pytest.raises(AssertionError):
        Scenario(balances(), HUNDRED).when(Withdraw(amount(30))).then(Withdrawn(number + 1))


def test_other_events_are_shown() -> None:
    when = Scenario(balances(), HUNDRED).when(Withdraw(amount(30)))
    with pytest.raises(AssertionError) as caught:
        when.then(Closed(), Withdrawn(amount(40)))

    assert str(caught.value).splitlines() == [
        "Other events happened (- expected, + found):",
        "- Closed {}",
        "- Withdrawn {'amount': '40'}",
        "+ Withdrawn {'amount': '30'}",
    ]


@pytest.mark.parametrize("expected", [(), (Withdrawn(amount(30)),) * 2, (Deposited(amount(30)),)])
def test_other_events_are_found(expected: tuple[Any, ...]) -> None:
    when = Scenario(balances(), HUNDRED).when(Withdraw(amount(30)))
    with pytest.raises(AssertionError, match="Other events happened"):
        when.then(*expected)


def test_another_state_is_shown() -> None:
    outcome = Scenario(balances(), HUNDRED).when(Withdraw(amount(30))).then(Withdrawn(amount(30)))
    with pytest.raises(AssertionError) as caught:
        outcome.then_state(Balance(amount(71)))

    assert str(caught.value).splitlines() == [
        "The state is another one (- expected, + found):",
        "- Balance(amount=Decimal('71'), is_closed=False)",
        "+ Balance(amount=Decimal('70'), is_closed=False)",
    ]


def test_errors_that_are_found() -> None:
    when = Scenario(balances(), HUNDRED).when(Withdraw(amount(101)))
    with pytest.raises(
        AssertionError, match=r"No error was expected, but .*InsufficientFunds"
    ) as caught:
        when.then(Withdrawn(amount(101)))
    assert isinstance(caught.value.__cause__, InsufficientFunds)
    with pytest.raises(AssertionError, match=r"KeyError was expected, but .*InsufficientFunds"):
        when.then_raises(KeyError)
    with pytest.raises(AssertionError, match="InsufficientFunds does not match 'funds'"):
        when.then_raises(InsufficientFunds, match="funds")
    when = Scenario(balances(), HUNDRED).when(Withdraw(amount(1)))
    with pytest.raises(AssertionError, match=r"InsufficientFunds was not raised; (?s:.*)Withdrawn"):
        when.then_raises(InsufficientFunds)
    when = Scenario(balances(), HUNDRED).when(Withdraw(amount(0)))
    with pytest.raises(AssertionError, match="was not raised, and no events happened"):
        when.then_raises(InsufficientFunds)


def test_what_is_given_must_be_possible() -> None:
    class Empty:
        @apply(Deposited)
        def deposited(self, event: Deposited) -> None: ...

    store = EntityStore("account", Empty, types=types)
    when = Scenario(store, Noted("x")).when(lambda entity: None)
    with pytest.raises(FoldFailed):
        when.then()


def test_what_is_not_checked_warns() -> None:
    when = Scenario(balances(), HUNDRED).when(Withdraw(amount(30)))
    with pytest.warns(UserWarning, match="ends without then"):
        del when


def test_what_can_not_be_done() -> None:
    with pytest.raises(InvalidArgument, match="must get a function of an entity, or a command"):
        Scenario(accounts()).when(Withdraw(amount(1)))
    store: Any = Account
    with pytest.raises(InvalidArgument, match="store must be an instance of"):
        Scenario(store)


@dataclass
class Lossy:
    """Its state has what no snapshot can have."""

    count: int = 0

    @apply(Deposited)
    def deposited(self, event: Deposited) -> None:
        self.count += 1
        self.last = event


def test_a_state_that_can_not_be_recorded_is_found(engine: Engine) -> None:
    store = EntityStore("account", Lossy, types=types, snapshots=Snapshots(every=100))
    fails = Scenario(store).when(lambda entity: entity.write(HUNDRED)).then(HUNDRED)
    fails.run(engine)

    class Strict(Lossy):
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Strict) and vars(self) == vars(other)

        __hash__ = None  # type: ignore[assignment]

    store = EntityStore("account", Strict, types=types, snapshots=Snapshots(every=100))
    fails = Scenario(store).when(lambda entity: entity.write(HUNDRED)).then(HUNDRED)
    with pytest.raises(InvalidArgument, match="can't be recorded as a snapshot"):
        fails.run(engine)


def test_an_action_that_differs_with_a_store_is_found(engine: Engine) -> None:
    calls: list[int] = []

    def differs(account: Entity[Account]) -> None:
        calls.append(1)
        account.write(Deposited(amount(len(calls))))

    outcome = Scenario(accounts()).when(differs).then(Deposited(amount(1)))
    with pytest.raises(AssertionError, match="With a message store, other events were written"):
        outcome.run(engine)


def test_a_state_that_differs_with_a_store_is_found(engine: Engine) -> None:
    class Counting:
        total = 0

        def __init__(self) -> None:
            self.number = Counting.total

        @apply(Deposited)
        def deposited(self, event: Deposited) -> None:
            Counting.total += 1

    store = EntityStore("account", Counting, types=types)
    outcome = Scenario(store).when(lambda entity: entity.write(HUNDRED)).then(HUNDRED)
    with pytest.raises(AssertionError, match="With a message store, another state is read"):
        outcome.run(engine)
