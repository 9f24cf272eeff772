"""The accounts of the benchmark, as aggregates of pyeventsourcing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from time import perf_counter
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from sqlalchemy import URL

from benchmarks.packages import EVENTSOURCING, environment

__all__ = ["EVENTSOURCING", "Accounts", "account_application", "transcoded"]

AMOUNT, REFERENCE = Decimal("12.30"), "invoice 4711"


class Account(Aggregate):
    def __init__(self) -> None:
        self.balance = Decimal(0)
        self.references: list[str] = []

    @event("Deposited")
    def deposit(self, amount: Decimal, reference: str, at: datetime) -> None:
        self.balance += amount
        self.references = [*self.references[-2:], reference]


def _deposit(account: Account) -> None:
    account.deposit(AMOUNT, REFERENCE, datetime.now(UTC))


class Accounts:
    """An application with accounts."""

    def __init__(self, application: Application[UUID]) -> None:
        self._application = application

    def opened(self, deposits: int) -> UUID:
        """Return the id of a new account with deposits."""
        account = Account()
        for _ in range(deposits):
            _deposit(account)
        self._application.save(account)
        id_: UUID = account.id
        return id_

    def load(self, account: UUID) -> int:
        """Load an account, and return the number of its events."""
        found: Any = self._application.repository.get(account)
        version: int = found.version
        return version

    def deposit(self, account: UUID) -> None:
        """Load an account, deposit, and save it."""
        found: Any = self._application.repository.get(account)
        _deposit(found)
        self._application.save(found)


@contextmanager
def account_application(
    url: URL, snapshots: int | None = None, cache: int | None = None
) -> Iterator[Accounts]:
    """Open an application on a database.

    Args:
        url: the database.
        snapshots: the number of events after which a snapshot is taken; None for no snapshots.
        cache: the number of aggregates in the cache; None for no cache.
    """

    class Bank(Application[UUID]):
        snapshotting_intervals = {} if snapshots is None else {Account: snapshots}

    settings = environment(url, "eventsourcing.postgres")
    if cache is not None:
        settings["AGGREGATE_CACHE_MAXSIZE"] = str(cache)
    with Bank(env=settings) as application:
        yield Accounts(application)


def transcoded(number: int) -> float:
    """Convert events to JSON and back, and return how many a second."""
    application: Application[UUID] = Application()
    account = Account()
    account.collect_events()
    for _ in range(number):
        _deposit(account)
    events = account.collect_events()
    mapper = application.mapper
    begin = perf_counter()
    for each in events:
        mapper.to_domain_event(mapper.to_stored_event(each))
    return number / (perf_counter() - begin)
