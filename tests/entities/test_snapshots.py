"""Snapshots in Eventide's format, which never change what is read."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import (
    EntityErased,
    EventsMissing,
    InvalidArgument,
    Message,
    MessageStore,
    MessageTypes,
    UnitOfWork,
    WrongExpectedVersion,
    retention,
)
from mdb_sqla.encryption import Encryption, Forgotten, KeyTable, PersonalData
from mdb_sqla.entities import EntityStore, Snapshots, apply
from mdb_sqla.erasure import erase_stream, forget_subject
from tests.entities.accounts import (
    Account,
    Closed,
    Deposited,
    accounts,
    deposit,
    execute,
    read,
    types,
)

SNAPSHOTS = "account:snapshot-1"


def pay(engine: Engine, store: EntityStore[Any], *amounts: int) -> None:
    """Deposit amounts, each in a transaction of its own."""
    for amount in amounts:
        with UnitOfWork(sessionmaker(engine)) as unit:
            store.get(unit, 1).write(Deposited(Decimal(amount)))
            unit.commit()


def recorded(engine: Engine, stream: str = SNAPSHOTS) -> list[Any]:
    with Session(engine) as session:
        return MessageStore(session).read_stream(stream)


def rows_read(engine: Engine, store: EntityStore[Any]) -> int:
    """The number of events and snapshots that a read gets from the server."""
    numbers: list[int] = []

    def count(_connection: Any, cursor: Any, *_others: Any) -> None:
        numbers.append(cursor.rowcount)

    event.listen(engine, "after_cursor_execute", count)
    try:
        read(engine, store)
    finally:
        event.remove(engine, "after_cursor_execute", count)
    return sum(numbers)


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


def test_the_events_before_it_may_be_deleted(engine: Engine) -> None:
    store = accounts(snapshots=Snapshots(every=5))
    pay(engine, store, *range(1, 13))
    before = read(engine, store)
    with engine.begin() as connection:
        retention.set_policy(connection, "account", keep_last=3)
        retention.set_policy(connection, "account:snapshot", keep_last=1)
    retention.run(engine)

    assert len(recorded(engine)) == 1
    assert read(engine, store) == before
    for other in (accounts(), accounts(snapshots=Snapshots(every=5, version=2))):
        with pytest.raises(EventsMissing, match="no messages from position 0 to 8:"):
            read(engine, other)


def test_all_events_may_be_deleted(engine: Engine) -> None:
    store = accounts(snapshots=Snapshots(every=2))
    pay(engine, store, 1, 2)
    with engine.begin() as connection:
        retention.set_policy(connection, "account", keep_age=timedelta(microseconds=1))
    retention.run(engine)

    assert read(engine, store) == (Account(Decimal(3), [Decimal(1), Decimal(2)]), 1)
    pay(engine, store, 3)
    assert read(engine, store)[0].balance == 6


def test_events_after_it_are_missing(engine: Engine) -> None:
    store = accounts(snapshots=Snapshots(every=2))
    pay(engine, store, 1, 2, 3, 4, 5)
    execute(engine, "DELETE FROM message_store.messages WHERE type = 'Recorded' AND position = 1")
    execute(
        engine,
        "DELETE FROM message_store.messages WHERE stream_name = 'account-1' AND position = 2",
    )
    with pytest.raises(EventsMissing) as caught:
        read(engine, store)
    assert caught.value.position == 2
    with engine.begin() as connection:
        retention.set_policy(connection, "account", keep_age=timedelta(microseconds=1))
    retention.run(engine)
    with pytest.raises(EventsMissing):
        read(engine, store)


def test_events_between_it_and_the_rest_are_missing(engine: Engine) -> None:
    store = accounts(snapshots=Snapshots(every=2))
    pay(engine, store, 1, 2, 3)
    execute(
        engine,
        "DELETE FROM message_store.messages WHERE stream_name = 'account-1' AND position < 2",
    )
    assert read(engine, store)[0].history == [1, 2, 3]

    deposit(engine, 4)
    execute(
        engine,
        "DELETE FROM message_store.messages WHERE stream_name = 'account-1' AND position < 3",
    )
    with pytest.raises(EventsMissing, match="no messages from position 2 to 2:"):
        read(engine, store)


@pytest.mark.parametrize("position", [0, 1])
def test_an_erased_entity_whose_first_events_were_deleted(engine: Engine, position: int) -> None:
    """An event up to the snapshot was erased, but its anchor was deleted."""
    store = accounts(snapshots=Snapshots(every=3))
    with UnitOfWork(sessionmaker(engine)) as unit:
        store.get(unit, 1).write(Deposited(Decimal(1)), Closed(), Closed())
        unit.commit()
    metadata = "UPDATE message_store.messages SET metadata = '{\"erased\": true}'"
    execute(engine, f"{metadata} WHERE stream_name = 'account-1' AND position = 2")
    execute(
        engine,
        "DELETE FROM message_store.messages WHERE stream_name = 'account-1' AND position <= :last",
        last=position,
    )

    with pytest.raises(EventsMissing, match="no messages from position 0"):
        read(engine, store)


def test_a_stream_that_began_anew(engine: Engine) -> None:
    """The snapshot is of other events at the same positions."""
    store = accounts(snapshots=Snapshots(every=2))
    pay(engine, store, 1, 2)
    execute(engine, "DELETE FROM message_store.messages WHERE stream_name = 'account-1'")
    deposit(engine, 10, 20, 30)

    assert read(engine, store)[0].history == [10, 20, 30]


@pytest.mark.parametrize("events", [(), (Closed(),)])
def test_an_erased_entity(engine: Engine, events: tuple[Any, ...]) -> None:
    """Its snapshot would still have what was erased; an event without contents hides nothing."""
    store = accounts(snapshots=Snapshots(every=1))
    pay(engine, store, 1, 2)
    if events:
        with UnitOfWork(sessionmaker(engine)) as unit:
            store.get(unit, 1).write(*events)
            unit.commit()
    with engine.begin() as connection:
        erase_stream(connection, "account-1", reason="asked for")

    with pytest.raises(EntityErased):
        read(engine, store)


def test_an_erased_snapshot(engine: Engine) -> None:
    store = accounts(snapshots=Snapshots(every=1))
    pay(engine, store, 1, 2)
    with engine.begin() as connection:
        erase_stream(connection, SNAPSHOTS, reason="asked for")

    assert read(engine, store)[0].history == [1, 2]


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
