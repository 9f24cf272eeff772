"""Conditions of a unit of work, which are checked together when it commits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mdb_sqla import (
    AppendConditionFailed,
    InvalidArgument,
    Message,
    NotCommitted,
    Query,
    ReadNotExact,
    write_on_commit,
)

COURSE = Query(categories=["enrollment"], tags=["course:1"])
STUDENT = Query(categories=["enrollment"], tags=["student:1"])


@pytest.fixture
def unit(flavour: Any, committed: Any) -> Iterator[Any]:
    committed.write("enrollment-0", Message("Enrolled").with_tags("course:1"))
    with flavour.session() as session, flavour.unit_of_work(session) as unit:
        yield unit


def test_it_holds(flavour: Any, unit: Any, committed: Any) -> None:
    seen = flavour.run(unit.store.read(COURSE))
    assert len(seen) == 1
    written = unit.write(
        "enrollment-1", Message("Enrolled"), tags=["course:1"], unless=COURSE.after(seen)
    )
    flavour.run(unit.commit())

    assert written.position == 0
    assert committed.messages()[1:] == [("enrollment-1", "Enrolled", 0)]
    assert len(flavour.run(unit.store.read(COURSE))) == 2


def test_a_match_by_another_transaction(flavour: Any, unit: Any, committed: Any) -> None:
    seen = flavour.run(unit.store.read(COURSE))
    committed.write("enrollment-9", Message("Enrolled").with_tags("course:1"))
    written = unit.write("enrollment-1", Message("Enrolled"), unless=COURSE.after(seen))

    with pytest.raises(AppendConditionFailed) as caught:
        flavour.run(unit.commit())

    assert (caught.value.after, caught.value.global_position) == (seen.position, seen.position + 1)
    flavour.run(unit.rollback())
    with pytest.raises(NotCommitted):
        _ = written.position
    assert [name for name, *_ in committed.messages()] == ["enrollment-0", "enrollment-9"]


def test_conditions_of_several_writes(flavour: Any, unit: Any, committed: Any) -> None:
    course, student = (flavour.run(unit.store.read(query)) for query in (COURSE, STUDENT))
    committed.write("enrollment-9", Message("Enrolled").with_tags("student:1"))
    unit.write("enrollment-1", Message("Enrolled"), unless=COURSE.after(course))
    unit.write("order-1", Message("Placed"), unless=[STUDENT.after(student), COURSE.after(course)])

    with pytest.raises(AppendConditionFailed):
        flavour.run(unit.commit())


def test_messages_of_the_same_commit_do_not_count(flavour: Any, unit: Any, committed: Any) -> None:
    seen = flavour.run(unit.store.read(COURSE))
    for number in (1, 2):
        message = Message("Enrolled").with_tags("course:1")
        unit.write(f"enrollment-{number}", message, unless=COURSE.after(seen))
    flavour.run(unit.commit())

    assert len(committed.messages()) == 3


def test_messages_that_the_transaction_has_written_count(flavour: Any, unit: Any) -> None:
    seen = flavour.run(unit.store.read(COURSE))
    flavour.run(unit.store.write("enrollment-1", Message("Enrolled"), tags=["course:1"]))
    unit.write("enrollment-2", Message("Enrolled"), unless=COURSE.after(seen))

    with pytest.raises(AppendConditionFailed):
        flavour.run(unit.commit())


def test_own_messages_that_were_read(flavour: Any, unit: Any, committed: Any) -> None:
    flavour.run(unit.store.write("enrollment-1", Message("Enrolled"), tags=["course:1"]))
    seen = flavour.run(unit.store.read(COURSE))
    assert len(seen) == 2
    unit.write("enrollment-2", Message("Enrolled"), unless=COURSE.after(seen))
    flavour.run(unit.commit())

    assert len(committed.messages()) == 3


def test_conditions_are_forgotten_with_a_rollback(flavour: Any, unit: Any, committed: Any) -> None:
    unit.write("enrollment-1", Message("Enrolled"), unless=COURSE.after(0))
    flavour.run(unit.rollback())
    unit.write("enrollment-1", Message("Enrolled"))
    flavour.run(unit.commit())

    assert len(committed.messages()) == 2


def test_conditions_of_a_savepoint(flavour: Any, unit: Any, committed: Any) -> None:
    savepoint = flavour.run(unit.session.begin_nested())
    unit.write("enrollment-1", Message("Enrolled"), unless=COURSE.after(0))
    flavour.run(savepoint.rollback())
    unit.write("enrollment-2", Message("Enrolled"))
    flavour.run(unit.commit())

    assert len(committed.messages()) == 2


def test_write_on_commit(flavour: Any, committed: Any) -> None:
    committed.write("enrollment-0", Message("Enrolled").with_tags("course:1"))
    with flavour.session() as session:
        write_on_commit(
            session, "enrollment-1", Message("Enrolled"), tags=["a"], unless=COURSE.after(0)
        )
        with pytest.raises(AppendConditionFailed):
            flavour.run(session.commit())
        flavour.run(session.rollback())
        write_on_commit(
            session, "enrollment-1", Message("Enrolled"), tags=["a"], unless=COURSE.after(1)
        )
        flavour.run(session.commit())

    assert len(committed.messages()) == 2


def test_a_condition_can_be_the_only_reason(flavour: Any, unit: Any) -> None:
    """With a write to another category than that of the query."""
    unit.write("order-1", Message("Placed"), unless=COURSE.after(0))

    with pytest.raises(AppendConditionFailed):
        flavour.run(unit.commit())


@pytest.mark.parametrize("unless", [COURSE, [COURSE.after(0), 7], 0, "enrollment"])
def test_invalid_conditions(unit: Any, unless: Any) -> None:
    with pytest.raises(InvalidArgument, match="unless must be an append condition"):
        unit.write("order-1", Message("Placed"), unless=unless)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_old_snapshots(flavour: Any, committed: Any, level: str) -> None:
    flavour.engine = flavour.engine.execution_options(isolation_level=level)
    with flavour.session() as session:
        write_on_commit(session, "order-1", Message("Placed"), unless=COURSE.after(0))
        with pytest.raises(ReadNotExact, match="read committed"):
            flavour.run(session.commit())
