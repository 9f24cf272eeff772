"""A username is unique, and free again some days after its account was closed or renamed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import Message, Query, QueryResult, UnitOfWork
from tests.decisions.conftest import CLIENTS, at_once, retry_conflicts

RESERVED = timedelta(days=3)


class Taken(Exception):
    pass


def query_of(name: str) -> Query:
    types = ["AccountRegistered", "AccountClosed", "UsernameChanged"]
    return Query(categories=["account"], types=types, tags=[f"username:{name}"])


def check(seen: QueryResult, name: str, now: datetime) -> None:
    taken, free_at = False, datetime.min.replace(tzinfo=UTC)
    for message in seen:
        released = message.data.get("released")
        taken = released != name
        if not taken:
            free_at = datetime.fromisoformat(message.data["at"]) + RESERVED
    if taken or now < free_at:
        raise Taken


class Accounts:
    def __init__(self, factory: sessionmaker[Session]) -> None:
        self.factory = factory
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def register(self, account: int, name: str) -> None:
        query = query_of(name)
        with UnitOfWork(self.factory) as unit:
            seen = unit.store.read(query)
            check(seen, name, self.now)
            registered = Message("AccountRegistered")
            tags = [f"username:{name}"]
            unit.write(f"account-{account}", registered, tags=tags, unless=query.after(seen))
            unit.commit()

    def close(self, account: int, name: str) -> None:
        with UnitOfWork(self.factory) as unit:
            closed = Message("AccountClosed", {"released": name, "at": self.now.isoformat()})
            unit.write(f"account-{account}", closed, tags=[f"username:{name}"])
            unit.commit()

    def rename(self, account: int, old: str, new: str) -> None:
        query = query_of(new)
        with UnitOfWork(self.factory) as unit:
            seen = unit.store.read(query)
            check(seen, new, self.now)
            changed = Message("UsernameChanged", {"released": old, "at": self.now.isoformat()})
            tags = [f"username:{old}", f"username:{new}"]
            unit.write(f"account-{account}", changed, tags=tags, unless=query.after(seen))
            unit.commit()


@pytest.fixture
def accounts(factory: sessionmaker[Session]) -> Accounts:
    return Accounts(factory)


def test_rules(accounts: Accounts) -> None:
    accounts.register(1, "ada")
    accounts.register(2, "bob")
    with pytest.raises(Taken):
        accounts.register(3, "ada")

    accounts.rename(1, "ada", "eve")
    for name in ("ada", "eve", "bob"):
        with pytest.raises(Taken):
            accounts.register(3, name)
    accounts.close(2, "bob")
    accounts.now += RESERVED
    accounts.register(3, "ada")
    accounts.register(4, "bob")
    with pytest.raises(Taken):
        accounts.rename(4, "bob", "eve")


def test_one_of_many(accounts: Accounts, factory: sessionmaker[Session]) -> None:
    register = retry_conflicts(accounts.register)

    results = at_once(*(partial(register, number, "ada") for number in range(CLIENTS)))

    assert sum(each is None for each in results) == 1
    assert sum(isinstance(each, Taken) for each in results) == CLIENTS - 1


def test_without_reading(factory: sessionmaker[Session]) -> None:
    """Nothing has to be read to know that there must be no matching message at all."""

    def register(number: int) -> None:
        with UnitOfWork(factory) as unit:
            registered = Message("AccountRegistered").with_tags("username:ada")
            unit.write(f"account-{number}", registered, unless=query_of("ada").after(0))
            unit.commit()

    results = at_once(*(partial(register, number) for number in range(CLIENTS)))

    assert sum(each is None for each in results) == 1
