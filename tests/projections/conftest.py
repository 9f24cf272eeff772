"""A shop whose read models are projections, and what is in their tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import URL, Engine, create_engine, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column, sessionmaker

from mdb_sqla import MessageTypes, StoredMessage, UnitOfWork
from mdb_sqla.projections import Projection, detach, projections

__all__ = [
    "Base",
    "Canceled",
    "Customer",
    "Paid",
    "Placed",
    "Shop",
    "Total",
    "customers_of",
    "totals_of",
    "types",
    "versions",
]


@dataclasses.dataclass(frozen=True)
class Placed:
    customer: str
    total: Decimal


@dataclasses.dataclass(frozen=True)
class Paid:
    amount: Decimal


@dataclasses.dataclass(frozen=True)
class Canceled:
    pass


types = MessageTypes(Placed, Paid, Canceled)


class Base(MappedAsDataclass, DeclarativeBase):
    pass


class Total(Base):
    """An order's row, keyed by the id of its stream."""

    __tablename__ = "order_totals"

    id: Mapped[str] = mapped_column(primary_key=True)
    customer: Mapped[str] = mapped_column(index=True)
    total: Mapped[Decimal]
    paid: Mapped[Decimal] = mapped_column(default=Decimal(0))
    history: Mapped[list[Any]] = mapped_column(JSONB, default_factory=list)


class Customer(Base):
    """A customer's row, keyed by what is in the message."""

    __tablename__ = "customers"

    customer: Mapped[str] = mapped_column(primary_key=True)
    orders: Mapped[int] = mapped_column(default=0)
    trace: Mapped[str] = mapped_column(default="")


def totals_of(version: int = 1, *, name: str = "totals", factor: int = 1) -> Projection[Total]:
    """Define the projection of orders."""
    totals = Projection(name, "order", row=Total, types=types, version=version)

    @totals.on(Placed)
    def placed(row: Total | None, event: Placed, message: StoredMessage) -> Total | None:
        return Total(message.stream_name.partition("-")[2], event.customer, factor * event.total)

    @totals.on(Paid)
    def paid(row: Total | None, event: Paid, message: StoredMessage) -> Total | None:
        assert row is not None
        row.paid += event.amount
        row.history.append(str(event.amount))
        return row

    @totals.on(Canceled)
    def canceled(row: Total | None, event: Canceled, message: StoredMessage) -> Total | None:
        return None

    return totals


def customers_of(version: int = 1) -> Projection[Customer]:
    """Define the projection of customers, whose order of messages can be seen."""
    customers = Projection("customers", "order", row=Customer, types=types, version=version)

    @customers.on(Placed, key=lambda event, message: event.customer)
    def placed(row: Customer | None, event: Placed, message: StoredMessage) -> Customer:
        row = row or Customer(event.customer)
        row.orders += 1
        row.trace += f"{message.global_position},"
        return row

    return customers


class Shop:
    """An application with a store, whose tables are projections."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.factory = sessionmaker(engine)

    def write(self, order: object, *events: Any) -> int:
        """Write events of an order in a transaction; return the last global position."""
        with UnitOfWork(self.factory, types=types) as unit:
            pending = unit.write(f"order-{order}", events)
            unit.commit()
            return pending.positions[-1].global_position

    def place(self, numbers: range, customer: str = "ada") -> None:
        """Write many orders in one transaction."""
        with UnitOfWork(self.factory, types=types) as unit:
            for number in numbers:
                unit.write(f"order-{number}", [Placed(customer, Decimal(number)), Paid(Decimal(1))])
            unit.commit()

    def totals(self, table: str = "order_totals") -> dict[str, tuple[Decimal, Decimal]]:
        """Return the total and what is paid of each order."""
        with self.engine.connect() as connection:
            rows = connection.exec_driver_sql(f"SELECT id, total, paid FROM {table}")
            return {row.id: (row.total, row.paid) for row in rows}

    def customers(self) -> dict[str, tuple[int, str]]:
        with self.engine.connect() as connection:
            rows = connection.execute(select(Customer.customer, Customer.orders, Customer.trace))
            return {row.customer: (row.orders, row.trace) for row in rows}


def versions(shop: Shop) -> list[tuple[int, str, str | None]]:
    """Return the version, status and table of each version of a projection."""
    with shop.engine.connect() as connection:
        return [(each.version, each.status, each.table) for each in projections(connection)]


@pytest.fixture
def shop(clean_database: URL) -> Iterator[Shop]:
    engine = create_engine(clean_database)
    Base.metadata.create_all(engine)
    yield Shop(engine)
    detach(engine)
    engine.dispose()


@pytest.fixture
def filled(shop: Shop) -> Shop:
    """A shop whose first version is current, and has applied some messages."""
    shop.place(range(1, 31))
    totals_of().consumer().catch_up(shop.factory)
    return shop
