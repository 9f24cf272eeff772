"""Queries by class: a class stands for the name that it has, and for former ones."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import (
    AppendConditionFailed,
    InvalidArgument,
    Message,
    MessageStore,
    MessageTypes,
    Query,
    UnitOfWork,
)


@dataclass(frozen=True)
class Enrolled:
    student: int


@dataclass(frozen=True)
class Withdrawn:
    student: int


types = MessageTypes(Enrolled, Withdrawn, {"Registered": Enrolled})
ENROLLED = Query(categories=["enrollment"], types=[Enrolled], tags=["course:1"])


@pytest.fixture
def seen(engine: Engine) -> int:
    with UnitOfWork(sessionmaker(engine), types=types) as unit:
        unit.write("enrollment-1", Message("Registered", {"student": 1}), tags=["course:1"])
        unit.write("enrollment-2", Enrolled(2), tags=["course:1"])
        unit.write("enrollment-2", Withdrawn(2), tags=["course:1"])
        unit.commit()
        seen = unit.store.read(ENROLLED)
    assert [types.decode(message) for message in seen] == [Enrolled(1), Enrolled(2)]
    return seen.position


def test_a_condition(engine: Engine, seen: int) -> None:
    with UnitOfWork(sessionmaker(engine), types=types) as unit:
        unit.write("enrollment-2", Withdrawn(2), tags=["course:1"], unless=ENROLLED.after(seen))
        unit.commit()
        unit.write("enrollment-1", Withdrawn(1), tags=["course:1"], unless=ENROLLED.after(seen))
        unit.commit()
        former = Message("Registered", {"student": 3}).with_tags("course:1")
        unit.write("enrollment-3", former, unless=ENROLLED.after(seen))
        unit.commit()
        unit.write("enrollment-4", Enrolled(4), unless=ENROLLED.after(seen))
        with pytest.raises(AppendConditionFailed):
            unit.commit()


def test_a_store(engine: Engine, seen: int) -> None:
    with Session(engine) as session:
        store = MessageStore(session, types=types)
        store.write_messages([("enrollment-9", Enrolled(9))], unless=ENROLLED.after(seen))
        store.write("enrollment-9", Enrolled(9), tags=["course:1"], unless=ENROLLED.after(seen))
        with pytest.raises(AppendConditionFailed):
            store.write("enrollment-9", Enrolled(9), unless=ENROLLED.after(seen))


def test_a_class_that_is_not_a_message_type(engine: Engine, seen: int) -> None:
    query = Query(categories=["enrollment"], types=[Message])
    with Session(engine) as session:
        store = MessageStore(session, types=types)
        with pytest.raises(InvalidArgument, match="is not a message type; the message types are"):
            store.read(query)
        with pytest.raises(InvalidArgument, match="is not a message type; the message types are"):
            store.write("enrollment-1", Enrolled(1), unless=query.after(seen))


def test_tags_of_a_message() -> None:
    message = types.message(Enrolled(1), metadata={"tags": ["a"], "b": 1}, tags=["c"])

    assert message.metadata == {"tags": ["a", "c"], "b": 1}
    assert types.message(Enrolled(1)).metadata is None
    with pytest.raises(InvalidArgument, match="tags must be a list of strings, got 'c'"):
        types.message(Enrolled(1), tags="c")
