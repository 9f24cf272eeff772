"""Snapshots in Eventide's format, which never change what is read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import InvalidArgument, Message, MessageStore, UnitOfWork, WrongExpectedVersion
from mdb_sqla.entities import EntityStore, Snapshots, apply
from tests.entities.accounts import Account, Deposited, accounts, deposit, execute, read, types
from tests.entities.snapshots import SNAPSHOTS, pay, recorded, rows_read


def test_the_format(engine: Engine) -> None:
    store = accounts(snapshots=Snapshots(every=2))
    pay(engine, store, 1, 2, 3, 4, 5)

    first, second = recorded(engine)
    assert (first.type, second.type) == ("Recorded", "Recorded")
    assert first.data.keys() == {"entityData", "entityVersion", "time"}
    assert first.data["entityData"] == {
        "balance": "3",
        "history": ["1", "2"],
        "is_closed": False,
    }
    assert [each.data["entityVersion"] for each in (first, second)] == [1, 3]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.data["time"])
    age = datetime.now(UTC) - datetime.fromisoformat(first.data["time"])
    assert abs(age) < timedelta(minutes=1)
    assert "schemaVersion" not in first.metadata


def test_only_what_follows_is_read(engine: Engine) -> None:
    store = accounts(snapshots=Snapshots(every=10))
    pay(engine, store, *range(12))

    assert rows_read(engine, accounts()) == 12
    # The snapshot, its last event, and two more.
    assert rows_read(engine, store) == 4
    assert read(engine, store) == read(engine, accounts())


def test_a_write_of_many_events_is_recorded_once(engine: Engine) -> None:
    store = accounts(snapshots=Snapshots(every=2))
    with UnitOfWork(sessionmaker(engine)) as unit:
        account = store.get(unit, 1)
        account.write(*(Deposited(Decimal(1)) for _ in range(7)))
        account.write(Deposited(Decimal(1)))
        unit.commit()

    assert [each.data["entityVersion"] for each in recorded(engine)] == [6]


def test_what_is_rolled_back_is_not_recorded(engine: Engine) -> None:
    store = accounts(snapshots=Snapshots(every=1))
    with UnitOfWork(sessionmaker(engine)) as unit:
        store.get(unit, 1).write(Deposited(Decimal(1)))
        deposit(engine, 2)
        with pytest.raises(WrongExpectedVersion):
            unit.commit()

    assert recorded(engine) == []


def test_without_them_nothing_changes(engine: Engine) -> None:
    store = accounts(snapshots=Snapshots(every=2))
    pay(engine, store, 1, 2, 3)
    before = read(engine, store)
    execute(engine, "DELETE FROM message_store.messages WHERE type = 'Recorded'")

    assert read(engine, store) == before == read(engine, accounts())


def _record(engine: Engine, data: Any, metadata: Any = None, type_: str = "Recorded") -> None:
    with Session(engine) as session, session.begin():
        MessageStore(session).write(SNAPSHOTS, Message(type_, data, metadata))


STATE = {"balance": "1000", "history": [], "is_closed": False}


def test_one_of_eventide_is_read(engine: Engine) -> None:
    """Its keys are those that its transformer writes; it has no metadata."""
    deposit(engine, 1, 2, 3)
    time = "2026-01-02T03:04:05.678Z"
    _record(engine, {"entityData": STATE, "entityVersion": 1, "time": time})

    assert read(engine, accounts(snapshots=Snapshots(every=100)))[0].balance == 1003


def test_its_category_is_that_of_the_class(engine: Engine) -> None:
    """Eventide derives the category of snapshots from the name of the class."""
    store = accounts(snapshots=Snapshots(every=2, category="savingsAccount:snapshot"))
    pay(engine, store, 1, 2)

    assert len(recorded(engine, "savingsAccount:snapshot-1")) == 1
    assert rows_read(engine, store) == 2


def test_a_category_with_types(engine: Engine) -> None:
    store = EntityStore("account:v2", Account, types=types, snapshots=Snapshots(every=1))
    pay(engine, store, 1)

    assert len(recorded(engine, "account:v2+snapshot-1")) == 1


@pytest.mark.parametrize(
    ("data", "metadata"),
    [
        ({"entityData": STATE, "entityVersion": 1}, {"schemaVersion": "2"}),
        ({"entityData": {**STATE, "balance": "much"}, "entityVersion": 1}, None),
        ({"entityData": {}, "entityVersion": 3}, None),
        ({"entityData": STATE, "entityVersion": 10**17}, None),
        ({"entityData": STATE, "entityVersion": 10**30}, None),
        ({"entityData": STATE, "entityVersion": "x"}, None),
        ({"entityData": STATE, "entityVersion": -1}, None),
        ({"entityData": STATE, "entityVersion": 1.5}, None),
        ({"entityData": STATE}, None),
        ({"entityVersion": 1}, None),
        ([1], None),
        ("text", None),
        (None, None),
        ({"entityData": STATE, "entityVersion": 1}, {"encryptedFields": {"a": "b"}}),
        (
            {"entityData": STATE, "entityVersion": 1},
            {"localProperties": {"anchorPosition": 1, "anchorId": str(uuid4())}},
        ),
        (
            {"entityData": STATE, "entityVersion": 1},
            {"localProperties": {"anchorPosition": 2}},
        ),
        ({"entityData": STATE, "entityVersion": 1}, {"localProperties": "x"}),
        ({"entityData": STATE, "entityVersion": 5}, {"localProperties": {"anchorPosition": 1}}),
    ],
)
def test_what_is_ignored(engine: Engine, data: Any, metadata: Any) -> None:
    deposit(engine, 1, 2, 3)
    _record(engine, data, metadata)

    assert read(engine, accounts(snapshots=Snapshots(every=100))) == read(engine, accounts())


def test_the_version_of_the_class(engine: Engine) -> None:
    pay(engine, accounts(snapshots=Snapshots(every=1, version=2)), 1, 2)
    assert [each.metadata["schemaVersion"] for each in recorded(engine)] == ["2", "2"]

    # Only a snapshot of the same version is used.
    execute(
        engine,
        "UPDATE message_store.messages "
        "SET data = jsonb_set(data, '{entityData,balance}', to_jsonb('9'::text)) "
        "WHERE type = 'Recorded'",
    )
    found = [
        read(engine, accounts(snapshots=Snapshots(every=100, version=version)))[0].balance
        for version in (1, 2, 3)
    ]
    assert found == [3, 9, 3]


def test_another_message_in_its_stream(engine: Engine) -> None:
    pay(engine, accounts(snapshots=Snapshots(every=1)), 1)
    _record(engine, {"entityData": {**STATE}, "entityVersion": 0}, type_="Noted")

    assert read(engine, accounts(snapshots=Snapshots(every=1)))[0].balance == 1


def test_a_state_that_can_not_be_recorded(engine: Engine) -> None:
    @dataclass
    class Hiding:
        balance: Decimal = Decimal(0)
        hidden: Decimal = field(default=Decimal(0), init=False)

        def __post_init__(self) -> None:
            self.outside = 0

        @apply(Deposited)
        def deposited(self, event: Deposited) -> None:
            self.balance += event.amount
            self.outside += 1

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Hiding) and vars(self) == vars(other)

        __hash__ = None  # type: ignore[assignment]

    store = EntityStore("account", Hiding, types=types, snapshots=Snapshots(every=1))
    with Session(engine) as session:
        with pytest.raises(InvalidArgument, match=r"recorded as a snapshot: .* is decoded as"):
            store.get(session, 1).write(Deposited(Decimal(1)))
        session.commit()
    assert read(engine, store)[1] == -1


def test_a_class_that_can_not_be_recorded() -> None:
    class Plain:
        @apply(Deposited)
        def deposited(self, event: Deposited) -> None: ...

    with pytest.raises(InvalidArgument, match="Plain can't be recorded as a snapshot"):
        EntityStore("account", Plain, types=types, snapshots=Snapshots(every=1))


@pytest.mark.parametrize(
    "options", [{"every": 0}, {"every": 1, "version": 0}, {"every": 1, "category": "a-1"}]
)
def test_options_that_are_refused(options: Any) -> None:
    with pytest.raises(InvalidArgument):
        Snapshots(**options)
