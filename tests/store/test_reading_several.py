"""Reads of several categories, or of all, and how far they can go."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest
from sqlalchemy import select

from mdb_sqla import (
    InvalidArgument,
    InvalidStreamName,
    Message,
    NotACategory,
    ReadNotExact,
    functions,
)


@pytest.fixture(params=["category", "stream"])
def store(flavour: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A store over a session, with nine messages in three categories; either granularity."""

    def lock_by(granularity: str) -> None:
        with flavour.session() as session:
            flavour.run(session.execute(select(functions.set_lock_granularity(granularity))))
            flavour.run(session.commit())

    lock_by(request.param)
    with flavour.session() as session:
        store = flavour.store(session)
        for number in range(9):
            metadata = {"correlationStreamName": "shop-1"} if number % 2 else None
            message = Message("T", {"n": number}, metadata)
            flavour.run(store.write(f"{'abc'[number % 3]}-{number}", message))
        flavour.run(session.commit())
        yield store
    lock_by("category")


def numbers(messages: Any) -> list[int]:
    return [message.data["n"] for message in messages]


def test_all(flavour: Any, store: Any) -> None:
    assert numbers(flavour.run(store.read_messages())) == list(range(9))
    assert numbers(flavour.run(store.read_messages(position=4, batch_size=3))) == [3, 4, 5]
    assert numbers(flavour.run(store.read_messages(batch_size=-1))) == list(range(9))
    assert numbers(flavour.run(store.read_messages(correlation="shop"))) == [1, 3, 5, 7]
    assert numbers(flavour.collect(store.iterate_messages(batch_size=2))) == list(range(9))


def test_several(flavour: Any, store: Any) -> None:
    assert numbers(flavour.run(store.read_messages(["a", "c"]))) == [0, 2, 3, 5, 6, 8]
    assert numbers(flavour.run(store.read_messages(("c", "a", "c"), 2, 2))) == [2, 3]
    assert flavour.run(store.read_messages([])) == []
    iterator = store.iterate_messages(iter(["b", "c", "nothing"]), batch_size=2)
    assert numbers(flavour.collect(iterator)) == [1, 2, 4, 5, 7, 8]


def test_a_group_shares_all_of_them(flavour: Any, store: Any) -> None:
    members = [
        numbers(
            flavour.run(store.read_messages(consumer_group_member=member, consumer_group_size=3))
        )
        for member in range(3)
    ]

    assert all(members)
    assert sorted(chain(*members)) == list(range(9))


def test_settled_position_is_the_last_where_nobody_writes(flavour: Any, store: Any) -> None:
    assert flavour.run(store.settled_position()) == 9
    assert flavour.run(store.settled_position("a")) == 9
    assert flavour.run(store.settled_position("nothing")) == 9


def test_a_writer_holds_back_what_was_written_after_it(flavour: Any, store: Any) -> None:
    with flavour.session() as slow, flavour.session() as fast:
        flavour.run(flavour.store(slow).write("a-1", Message("Slow", {"n": 100})))
        flavour.run(flavour.store(fast).write("b-1", Message("Fast", {"n": 101})))
        flavour.run(fast.commit())

        assert numbers(flavour.run(store.read_messages())) == list(range(9))
        assert numbers(flavour.run(store.read_messages(["a", "b"], 9))) == []
        assert numbers(flavour.run(store.read_messages(["b", "c"], 9))) == [8, 101]
        assert numbers(flavour.run(store.read_category("b", 9))) == [101]
        assert flavour.run(store.settled_position()) == 9
        assert flavour.run(store.settled_position("a")) == 9
        # Who locks streams may go on to any category.
        granularity = flavour.run(store._db.scalar(select(functions.lock_granularity())))
        assert flavour.run(store.settled_position("b")) == (9 if granularity == "stream" else 11)

        flavour.run(slow.commit())
        assert numbers(flavour.run(store.read_messages(position=10))) == [100, 101]
        assert flavour.run(store.settled_position()) == 11


def test_own_messages_are_read_before_they_are_committed(flavour: Any, store: Any) -> None:
    flavour.run(store.write("a-1", Message("T", {"n": 100})))

    assert numbers(flavour.run(store.read_messages(position=9))) == [8, 100]
    assert numbers(flavour.run(store.read_category("a", 9))) == [100]


@pytest.mark.parametrize("isolation_level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_snapshot_of_its_own_is_refused(flavour: Any, store: Any, isolation_level: str) -> None:
    with flavour.connection(isolation_level=isolation_level) as connection:
        late = flavour.store(connection)
        for read in (late.read_messages, late.settled_position):
            with pytest.raises(ReadNotExact, match=isolation_level.lower()) as error:
                flavour.run(read())
            assert "READ COMMITTED" in error.value.__notes__[0]
            flavour.run(connection.rollback())


@pytest.mark.parametrize("categories", ["a", 1, [1], ["a-1"], [None]])
def test_bad_categories(flavour: Any, store: Any, categories: Any) -> None:
    with pytest.raises((InvalidArgument, InvalidStreamName, NotACategory)) as error:
        flavour.run(store.read_messages(categories))

    assert str(categories[0] if isinstance(categories, list) else categories) in str(error.value)
    if categories == ["a-1"]:
        assert isinstance(error.value, NotACategory)
        assert error.value.category == "a-1"


def test_a_stream_has_no_settled_position_of_its_own(flavour: Any, store: Any) -> None:
    with pytest.raises(NotACategory, match="a-1"):
        flavour.run(store.settled_position("a-1"))
