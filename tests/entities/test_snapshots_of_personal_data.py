"""Snapshots of entities with personal data."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import sessionmaker

from mdb_sqla import InvalidArgument, MessageStore, MessageTypes, UnitOfWork
from mdb_sqla.encryption import Encryption, Forgotten, KeyTable, PersonalData
from mdb_sqla.entities import EntityStore, Snapshots, apply
from mdb_sqla.erasure import forget_subject
from tests.entities.accounts import read
from tests.entities.snapshots import recorded


@dataclass(frozen=True)
class Registered:
    customer: str
    name: str


@dataclass(frozen=True)
class Counted:
    number: int


@dataclass
class Customer:
    id: str = ""
    name: str = ""
    count: int = 0

    @apply(Registered)
    def registered(self, event: Registered) -> None:
        self.id, self.name = event.customer, event.name

    @apply(Counted)
    def counted(self, event: Counted) -> None:
        self.count += event.number


CUSTOMER_TYPES = MessageTypes(Registered, Counted)


PERSONAL = {
    "Registered": PersonalData("customer", ["name"]),
    "Recorded": PersonalData("entityData.id", ["entityData.name"]),
}


def test_personal_data(engine: Engine) -> None:
    encryption = Encryption(KeyTable(engine, secrets.token_bytes(32)), PERSONAL)
    store = EntityStore(
        "customer",
        Customer,
        types=CUSTOMER_TYPES,
        snapshots=Snapshots(every=2),
        encryption=encryption,
    )
    for event_ in (Registered("c-1", "Ada"), Counted(1), Counted(2)):
        with UnitOfWork(sessionmaker(engine)) as unit:
            customer = store.get(unit, 1)
            customer.write(event_)
            assert customer.state.name == "Ada"
            unit.commit()

    with engine.connect() as connection:
        everything = MessageStore(connection).read_messages()
    assert {each.stream_name for each in everything} == {"customer-1", "customer:snapshot-1"}
    assert not any("Ada" in str(each.data) for each in everything)
    assert read(engine, store)[0] == Customer("c-1", "Ada", 3)

    unencrypted = EntityStore("customer", Customer, types=CUSTOMER_TYPES)
    with pytest.raises(Exception, match="the EntityStore has no encryption="):
        read(engine, unencrypted)


def test_a_forgotten_subject(engine: Engine) -> None:
    key = secrets.token_bytes(32)

    def store() -> EntityStore[Customer]:
        return EntityStore(
            "customer",
            Customer,
            types=CUSTOMER_TYPES,
            snapshots=Snapshots(every=2),
            encryption=Encryption(KeyTable(engine, key), PERSONAL),
        )

    def add(*events: Any) -> None:
        with UnitOfWork(sessionmaker(engine)) as unit:
            store().get(unit, 1).write(*events)
            unit.commit()

    add(Registered("c-1", "Ada"), Counted(1))
    with engine.begin() as connection:
        forget_subject(connection, "c-1", reason="asked for")
    state, _ = read(engine, store())
    assert isinstance(state.name, Forgotten)
    assert state.count == 1
    # No snapshot can be encrypted any more, but events without personal data can be written.
    add(Counted(2), Counted(3))
    assert len(recorded(engine, "customer:snapshot-1")) == 1
    assert read(engine, store())[0].count == 6


def test_the_personal_data_of_snapshots_must_be_named(engine: Engine) -> None:
    keys = KeyTable(engine, secrets.token_bytes(32))
    named = PERSONAL["Registered"]
    options: dict[str, Any] = {"types": CUSTOMER_TYPES, "snapshots": Snapshots(every=2)}
    encryption = Encryption(keys, {"Registered": named})
    with pytest.raises(InvalidArgument, match="must name the personal data of 'Recorded'"):
        EntityStore("customer", Customer, **options, encryption=encryption)
    encryption = Encryption(keys, {"Registered": named, "Recorded": []})
    EntityStore("customer", Customer, **options, encryption=encryption)
    with pytest.raises(InvalidArgument, match="can't be cached"):
        EntityStore("customer", Customer, types=CUSTOMER_TYPES, encryption=encryption, cache=5)
