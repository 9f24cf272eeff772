"""The state is what methods or a function make of the events; all else is an error."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import attrs
import msgspec
import pydantic
import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import (
    DecodingFailed,
    FoldFailed,
    InvalidArgument,
    Message,
    MessageStore,
    MessageTypes,
    UnitOfWork,
    UnknownMessageType,
)
from mdb_sqla.entities import EntityStore, apply
from tests.entities.accounts import (
    Account,
    Balance,
    Closed,
    Deposited,
    Noted,
    Withdrawn,
    accounts,
    balances,
    evolve,
    read,
    types,
    write,
)

EVENTS = [Deposited(Decimal(100)), Noted("rent"), Withdrawn(Decimal(30)), Closed()]


def test_methods_that_change_the_state(engine: Engine) -> None:
    write(engine, *EVENTS)

    expected = Account(Decimal(70), [Decimal(100), Decimal(-30)], is_closed=True)
    assert read(engine, accounts()) == (expected, 3)


def test_a_function_that_returns_the_state(engine: Engine) -> None:
    write(engine, *EVENTS)

    assert read(engine, balances()) == (Balance(Decimal(70), is_closed=True), 3)


def test_without_events_there_is_the_initial_state(engine: Engine) -> None:
    assert read(engine, accounts()) == (Account(), -1)
    store = EntityStore("account", lambda: Balance(Decimal(5)), evolve=evolve, types=types)
    assert read(engine, store) == (Balance(Decimal(5)), -1)


def test_each_entity_has_its_own_initial_state(engine: Engine) -> None:
    store = accounts()
    write(engine, Deposited(Decimal(1)), stream="account-1")
    write(engine, Deposited(Decimal(2)), stream="account-2")

    assert read(engine, store, 1)[0].history == [1]
    assert read(engine, store, 2)[0].history == [2]


@dataclass(frozen=True)
class FrozenDataclass:
    total: Decimal = Decimal(0)

    @apply(Deposited)
    def deposited(self, event: Deposited) -> FrozenDataclass:
        return replace(self, total=self.total + event.amount)

    @apply(Noted)
    def forgotten(self, event: Noted) -> None:
        replace(self, total=Decimal(0))


@attrs.frozen
class FrozenAttrs:
    total: Decimal = Decimal(0)

    @apply(Deposited)
    def deposited(self, event: Deposited) -> FrozenAttrs:
        return attrs.evolve(self, total=self.total + event.amount)

    @apply(Noted)
    def forgotten(self, event: Noted) -> None:
        attrs.evolve(self, total=Decimal(0))


class FrozenStruct(msgspec.Struct, frozen=True):
    total: Decimal = Decimal(0)

    @apply(Deposited)
    def deposited(self, event: Deposited) -> FrozenStruct:
        return msgspec.structs.replace(self, total=self.total + event.amount)

    @apply(Noted)
    def forgotten(self, event: Noted) -> None:
        msgspec.structs.replace(self, total=Decimal(0))


class FrozenModel(pydantic.BaseModel, frozen=True):
    total: Decimal = Decimal(0)

    @apply(Deposited)
    def deposited(self, event: Deposited) -> FrozenModel:
        return self.model_copy(update={"total": self.total + event.amount})

    @apply(Noted)
    def forgotten(self, event: Noted) -> None:
        self.model_copy(update={"total": Decimal(0)})


@pytest.mark.parametrize("class_", [FrozenDataclass, FrozenAttrs, FrozenStruct, FrozenModel])
def test_a_frozen_class_must_return_its_state(engine: Engine, class_: Any) -> None:
    store = EntityStore("account", class_, types=types)
    write(engine, *EVENTS[:1])
    assert read(engine, store)[0] == class_(total=Decimal(100))

    write(engine, Noted("rent"))
    with pytest.raises(FoldFailed, match=r"forgotten must return the state, got None"):
        read(engine, store)


def test_an_event_without_a_method_is_an_error(engine: Engine) -> None:
    class Silent:
        @apply(Deposited)
        def deposited(self, event: Deposited) -> None: ...

    store = EntityStore("account", Silent, types=types)
    write(engine, Deposited(Decimal(1)), Withdrawn(Decimal(1)))

    with pytest.raises(FoldFailed, match=r"has no method with @apply\(Withdrawn\)") as caught:
        read(engine, store)
    error = caught.value
    assert (error.stream_name, error.position, error.type) == ("account-1", 1, "Withdrawn")


def test_a_function_must_return_the_state(engine: Engine) -> None:
    def incomplete(state: Balance, event: Any) -> Any:
        match event:
            case Deposited():
                return state

    store: EntityStore[Any] = EntityStore("account", Balance, evolve=incomplete, types=types)
    write(engine, Deposited(Decimal(1)), Closed())

    with pytest.raises(FoldFailed, match="incomplete must return the state, got None"):
        read(engine, store)


def test_an_error_names_the_event_and_its_cause(engine: Engine) -> None:
    def failing(state: Balance, event: Any) -> Balance:
        raise ZeroDivisionError("cause")

    store = EntityStore("account", Balance, evolve=failing, types=types)
    write(engine, Deposited(Decimal(1)))

    with pytest.raises(FoldFailed) as caught:
        read(engine, store)
    assert str(caught.value) == (
        "The event of type 'Deposited' at position 0 of stream account-1 can't be applied: "
        "ZeroDivisionError: cause"
    )
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_method_must_not_return_something_else(engine: Engine) -> None:
    class Wrong:
        @apply(Deposited)
        def deposited(self, event: Deposited) -> Any:
            return event.amount

    write(engine, Deposited(Decimal(1)))

    with pytest.raises(FoldFailed, match="must return the state or None, got Decimal"):
        read(engine, EntityStore("account", Wrong, types=types))


def test_an_unknown_type_is_an_error(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        MessageStore(session).write("account-1", Message("Opened"))

    with pytest.raises(UnknownMessageType, match=r"position 0 of stream account-1.*'Opened'"):
        read(engine, accounts())


def test_data_that_can_not_be_decoded_is_an_error(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        MessageStore(session).write("account-1", Message("Deposited", {"amount": "a lot"}))

    with pytest.raises(DecodingFailed, match=r"position 0 of stream account-1.*amount"):
        read(engine, accounts())


def test_old_versions_and_former_names(engine: Engine) -> None:
    def from_cents(data: Any) -> Any:
        # The old data could be decoded as well, but means something else.
        return {"amount": str(Decimal(data["amount"]) / 100)}

    names = {"Deposited": Deposited, "Paid": Deposited}
    current = MessageTypes(Withdrawn, Noted, Closed, names, upcasters={Deposited: [from_cents]})
    with Session(engine) as session, session.begin():
        store = MessageStore(session, types=current)
        store.write("account-1", Message("Deposited", {"amount": "100"}))
        store.write("account-1", Message("Paid", {"amount": "200"}, {"schemaVersion": "1"}))
        store.write("account-1", Deposited(Decimal(3)))
        # A property of that name is not the version.
        metadata = {"properties": {"schemaVersion": "2"}}
        store.write("account-1", Message("Deposited", {"amount": "400"}, metadata))

    entities = EntityStore("account", Account, types=current)
    assert read(engine, entities)[0].history == [1, 2, 3, 4]


def test_a_later_version_is_an_error(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        message = Message("Deposited", {"amount": "1"}, {"schemaVersion": "2"})
        MessageStore(session).write("account-1", message)

    with pytest.raises(DecodingFailed, match="schemaVersion is 2, but the current version is 1"):
        read(engine, accounts())


def test_methods_of_base_classes(engine: Engine) -> None:
    class Event:
        pass

    @dataclass(frozen=True)
    class Opened(Event):
        owner: str

    @dataclass(frozen=True)
    class Renamed(Event):
        owner: str

    class Base:
        def __init__(self) -> None:
            self.calls: list[str] = []

        @apply(Event)
        def anything(self, event: Event) -> None:
            self.calls.append(f"anything {type(event).__name__}")

        @apply(Renamed)
        def renamed(self, event: Renamed) -> None:
            self.calls.append("base")

    class Derived(Base):
        def renamed(self, event: Renamed) -> None:
            self.calls.append("derived")

    own = MessageTypes(Opened, Renamed)
    with Session(engine) as session, session.begin():
        MessageStore(session, types=own).write("account-1", [Opened("Ada"), Renamed("Bob")])

    state, _ = read(engine, EntityStore("account", Derived, types=own))
    assert state.calls == ["anything Opened", "derived"]


def test_an_engine_with_its_own_json(database: Any) -> None:
    """What its deserializer makes of the JSON is what the classes get."""

    def loads(value: str) -> Any:
        data = json.loads(value)
        return {"amount": 2 * data["amount"]} if "amount" in data else data

    engine = create_engine(database, json_deserializer=loads)
    with Session(engine) as session, session.begin():
        MessageStore(session).write("account-1", Message("Deposited", {"amount": "7"}))

    assert read(engine, accounts())[0].balance == 77
    engine.dispose()


NAME: Any = "Deposited"


class TwoMethods:
    @apply(Deposited)
    def first(self, event: Deposited) -> None: ...

    @apply(Deposited)
    def second(self, event: Deposited) -> None: ...


class Foreign:
    @apply(Balance)
    def other(self, event: Balance) -> None: ...


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"initial": object()}, "must be a class or a function"),
        ({"initial": Balance}, "needs evolve=, or a class with methods"),
        ({"initial": Balance, "evolve": 3}, "evolve must be a function, got 3"),
        ({"initial": Balance, "evolve": evolve, "decide": 3}, "decide must be a function, got 3"),
        ({"initial": TwoMethods}, "applies .*Deposited in two methods, first and second"),
        ({"initial": Foreign}, "applies .*Balance, which is not among the message types"),
        ({"initial": Account, "types": [Deposited]}, "types must be an instance of mdb_sqla.Mess"),
        ({"initial": Account, "category": "account-1"}, "must be a category"),
        ({"initial": Account, "cache": 0}, "cache must be an integer of at least 1"),
        ({"initial": Account, "snapshots": 5}, "snapshots must be Snapshots"),
        ({"initial": Account, "encryption": 5}, "encryption must be an Encryption"),
    ],
)
def test_arguments_that_are_refused(arguments: dict[str, Any], text: str) -> None:
    values: dict[str, Any] = {"category": "account", "types": types, **arguments}

    with pytest.raises(InvalidArgument, match=text):
        EntityStore(values.pop("category"), values.pop("initial"), **values)


@pytest.mark.parametrize("use", [lambda: apply(NAME), apply])
def test_apply_needs_classes(use: Any) -> None:
    with pytest.raises(InvalidArgument, match="apply must be used with"):
        use()


def test_ids(engine: Engine) -> None:
    store = accounts()
    assert store.stream_name(7) == "account-7"
    assert store.stream_name("a", "b") == "account-a+b"
    assert EntityStore("account:v2", Account, types=types).stream_name(7) == "account:v2-7"
    with UnitOfWork(sessionmaker(engine)) as unit:
        assert store.get(unit, 7).id == "7"
        for ids in [(), ("",), ("a+b",)]:
            with pytest.raises(InvalidArgument):
                store.get(unit, *ids)
