"""Accounts, in several spellings, for the tests of entities."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import MessageStore, MessageTypes, UnitOfWork
from mdb_sqla.entities import EntityStore, apply

__all__ = [
    "Account",
    "Balance",
    "Closed",
    "Deposited",
    "InsufficientFunds",
    "Noted",
    "Withdraw",
    "Withdrawn",
    "deposit",
    "evolve",
    "types",
]


@dataclass(frozen=True)
class Deposited:
    amount: Decimal


@dataclass(frozen=True)
class Withdrawn:
    amount: Decimal


@dataclass(frozen=True)
class Noted:
    text: str


@dataclass(frozen=True)
class Closed:
    pass


@dataclass(frozen=True)
class Withdraw:
    amount: Decimal


class InsufficientFunds(Exception):
    pass


types = MessageTypes(Deposited, Withdrawn, Noted, Closed)


@dataclass
class Account:
    """Changed by its methods."""

    balance: Decimal = Decimal(0)
    history: list[Decimal] = field(default_factory=list)
    is_closed: bool = False

    @apply(Deposited)
    def deposited(self, event: Deposited) -> None:
        self.balance += event.amount
        self.history.append(event.amount)

    @apply(Withdrawn)
    def withdrawn(self, event: Withdrawn) -> None:
        self.balance -= event.amount
        self.history.append(-event.amount)

    @apply(Closed)
    def closed(self, event: Closed) -> None:
        self.is_closed = True

    @apply(Noted)
    def ignored(self, event: Noted) -> None:
        pass


@dataclass(frozen=True)
class Balance:
    """Replaced by a function."""

    amount: Decimal = Decimal(0)
    is_closed: bool = False


def evolve(state: Balance, event: Deposited | Withdrawn | Closed | Noted) -> Balance:
    match event:
        case Deposited(amount):
            return replace(state, amount=state.amount + amount)
        case Withdrawn(amount):
            return replace(state, amount=state.amount - amount)
        case Closed():
            return replace(state, is_closed=True)
        case Noted():
            return state


def decide(command: Withdraw, state: Balance) -> list[Withdrawn]:
    if command.amount > state.amount:
        raise InsufficientFunds
    return [Withdrawn(command.amount)] if command.amount else []


def accounts(**options: Any) -> EntityStore[Account]:
    return EntityStore("account", Account, types=types, **options)


def balances(**options: Any) -> EntityStore[Balance]:
    return EntityStore("account", Balance, evolve=evolve, decide=decide, types=types, **options)


def deposit(engine: Engine, *amounts: int, stream: str = "account-1") -> None:
    write(engine, *(Deposited(Decimal(amount)) for amount in amounts), stream=stream)


def write(engine: Engine, *events: Any, stream: str = "account-1") -> None:
    with Session(engine) as session, session.begin():
        MessageStore(session, types=types).write(stream, events)


def read(engine: Engine, store: EntityStore[Any], id_: object = 1) -> tuple[Any, int]:
    """The state and the version, read in a transaction of its own."""
    with UnitOfWork(sessionmaker(engine)) as unit:
        entity = store.get(unit, id_)
        return entity.state, entity.version


def execute(engine: Engine, statement: str, **parameters: Any) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement), parameters)
