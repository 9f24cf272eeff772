from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

from mdb_sqla import (
    ConditionNotActivated,
    InvalidArgument,
    InvalidConsumerGroup,
    InvalidCorrelation,
    InvalidStreamName,
    Message,
    NotACategory,
    NotAStream,
    StoreNotInstalled,
)


@pytest.fixture
def store(flavour: Any) -> Any:
    """A store over a session, with twelve messages of one category in three streams."""
    with flavour.session() as session:
        store = flavour.store(session)
        for number in range(12):
            metadata = {"correlationStreamName": f"transfer-{number}"} if number % 2 else None
            message = Message("Even" if number % 2 == 0 else "Odd", {"n": number}, metadata)
            flavour.run(store.write(f"account-{number % 3}", message))
        flavour.run(store.write("other-1", Message("T")))
        flavour.run(session.commit())
        yield store


def numbers(messages: Any) -> list[int]:
    return [message.data["n"] for message in messages]


def test_a_stream(flavour: Any, store: Any) -> None:
    assert numbers(flavour.run(store.read_stream("account-1"))) == [1, 4, 7, 10]
    assert numbers(flavour.run(store.read_stream("account-1", 2))) == [7, 10]
    assert numbers(flavour.run(store.read_stream("account-1", 1, 2))) == [4, 7]
    assert numbers(flavour.run(store.read_stream("account-1", batch_size=-1))) == [1, 4, 7, 10]
    assert flavour.run(store.read_stream("account-1", 4)) == []
    assert flavour.run(store.read_stream("nobody-1")) == []


def test_a_category(flavour: Any, store: Any) -> None:
    assert numbers(flavour.run(store.read_category("account"))) == list(range(12))
    assert numbers(flavour.run(store.read_category("account", 5, 3))) == [4, 5, 6]
    correlated = flavour.run(store.read_category("account", correlation="transfer"))
    assert numbers(correlated) == [1, 3, 5, 7, 9, 11]


def test_a_consumer_group_shares_the_streams(flavour: Any, store: Any) -> None:
    members = [
        flavour.run(
            store.read_category("account", consumer_group_member=member, consumer_group_size=2)
        )
        for member in range(2)
    ]

    streams = [{message.stream_name for message in messages} for messages in members]
    assert streams[0].isdisjoint(streams[1])
    assert sorted(numbers(members[0]) + numbers(members[1])) == list(range(12))


def test_the_last_message(flavour: Any, store: Any) -> None:
    assert flavour.run(store.last_message("account-1")).data == {"n": 10}
    assert flavour.run(store.last_message("account-1", "Odd")).data == {"n": 7}
    assert flavour.run(store.last_message("account-1", "None")) is None
    assert flavour.run(store.last_message("nobody-1")) is None


@pytest.mark.parametrize("batch_size", [1, 3, 4, 5, 1000])
def test_iterators_give_everything_once(flavour: Any, store: Any, batch_size: int) -> None:
    stream = flavour.collect(store.iterate_stream("account-1", 1, batch_size))
    category = flavour.collect(store.iterate_category("account", 3, batch_size))
    odd = flavour.collect(
        store.iterate_category("account", batch_size=batch_size, correlation="transfer")
    )

    assert numbers(stream) == [4, 7, 10]
    assert numbers(category) == list(range(2, 12))
    assert numbers(odd) == [1, 3, 5, 7, 9, 11]


def test_an_iterator_fetches_as_it_goes(flavour: Any, store: Any) -> None:
    """Each batch is a statement of its own, sent when the one before is used up."""
    statements = []
    event.listen(
        flavour.sync_engine, "before_cursor_execute", lambda *arguments: statements.append(1)
    )
    seen = []

    flavour.consume(
        store.iterate_stream("account-1", batch_size=2),
        lambda message: seen.append(len(statements)),
    )

    assert seen == [1, 1, 2, 2]
    assert len(statements) == 3


def test_an_iterator_keeps_memory_flat(flavour: Any) -> None:
    with flavour.session() as session:
        store = flavour.store(session)
        for stream_name, count in (("warm-1", 200), ("few-1", 400), ("many-1", 4000)):
            messages = [Message("T", {"text": "x" * 2000}) for _ in range(count)]
            flavour.run(store.write(stream_name, messages))

        def peak(stream_name: str) -> int:
            tracemalloc.start()
            flavour.consume(store.iterate_stream(stream_name, batch_size=100), lambda message: None)
            _, highest = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            return highest

        peak("warm-1")
        assert peak("many-1") < peak("few-1") * 1.5


def test_a_condition_must_be_activated(flavour: Any) -> None:
    with flavour.session() as session:
        store = flavour.store(session)
        flavour.run(store.write("account-1", [Message("A"), Message("B")]))
        flavour.run(session.execute(text("SET LOCAL message_store.sql_condition = 'on'")))
        (message,) = flavour.run(store.read_stream("account-1", condition="type = 'B'"))
        assert message.type == "B"
        (message,) = flavour.run(store.read_category("account", condition="type = 'A'"))
        assert message.type == "A"
        flavour.run(session.commit())
        with pytest.raises(ConditionNotActivated):
            flavour.run(store.read_stream("account-1", condition="true"))


def test_refusals_carry_their_values(flavour: Any) -> None:
    with flavour.session() as session:
        store = flavour.store(session)

        with pytest.raises(NotAStream, match="Must be a stream name: account") as not_a_stream:
            flavour.run(store.read_stream("account"))
        assert not_a_stream.value.stream_name == "account"
        flavour.run(session.rollback())

        with pytest.raises(NotACategory, match="Must be a category: account-1") as not_a_category:
            flavour.run(store.read_category("account-1"))
        assert not_a_category.value.category == "account-1"
        flavour.run(session.rollback())

        with pytest.raises(InvalidCorrelation) as correlation:
            flavour.run(store.read_category("account", correlation="other-1"))
        assert correlation.value.correlation == "other-1"
        flavour.run(session.rollback())


@pytest.mark.parametrize(("member", "size"), [(0, None), (None, 1), (-1, 2), (2, 2), (0, 0)])
def test_a_consumer_group_must_be_sound(flavour: Any, member: int | None, size: int | None) -> None:
    with flavour.session() as session, pytest.raises(InvalidConsumerGroup) as error:
        flavour.run(
            flavour.store(session).read_category(
                "account", consumer_group_member=member, consumer_group_size=size
            )
        )

    assert (error.value.member, error.value.size) == (member, size)


@pytest.mark.parametrize("position", [-1, 2**63, "0", None, 0.5, True])
def test_a_position_must_be_one(flavour: Any, position: Any) -> None:
    with flavour.session() as session:
        store = flavour.store(session)
        with pytest.raises(InvalidArgument, match="position"):
            flavour.run(store.read_stream("account-1", position))
        with pytest.raises(InvalidArgument, match="position"):
            flavour.run(store.read_category("account", position))


@pytest.mark.parametrize("batch_size", [0, -2, "1", None, 2**63, True])
def test_a_batch_size_must_be_one(flavour: Any, batch_size: Any) -> None:
    with flavour.session() as session:
        store = flavour.store(session)
        with pytest.raises(InvalidArgument, match="batch_size"):
            flavour.run(store.read_stream("account-1", 0, batch_size))
        with pytest.raises(InvalidArgument, match="batch_size"):
            flavour.run(store.read_category("account", 1, batch_size))


def test_an_iterator_complains_when_it_is_made(flavour: Any) -> None:
    with flavour.session() as session:
        store = flavour.store(session)
        for iterate in (store.iterate_stream, store.iterate_category):
            with pytest.raises(InvalidArgument):
                iterate("account", -5)
            with pytest.raises(InvalidArgument):
                iterate("account", 1, 0)
            with pytest.raises(InvalidStreamName):
                iterate("")


@pytest.mark.parametrize("text_", [5, "a\0", b"a"])
def test_a_type_and_a_condition_must_be_text(flavour: Any, text_: Any) -> None:
    with flavour.session() as session:
        store = flavour.store(session)
        with pytest.raises(InvalidArgument, match="type"):
            flavour.run(store.last_message("account-1", text_))
        with pytest.raises(InvalidArgument, match="condition"):
            flavour.run(store.read_stream("account-1", condition=text_))


def test_a_condition_that_fails_is_no_missing_store(flavour: Any) -> None:
    with flavour.session() as session:
        flavour.run(session.execute(text("SET LOCAL message_store.sql_condition = 'on'")))
        with pytest.raises(DBAPIError, match="nothing_like_it"):
            flavour.run(
                flavour.store(session).read_category("a", condition="nothing_like_it(type)")
            )


def test_a_missing_store_is_named(flavour: Any) -> None:
    with flavour.connection(schema_translate_map={"message_store": "elsewhere"}) as connection:
        store = flavour.store(connection)
        with pytest.raises(StoreNotInstalled, match="elsewhere"):
            flavour.run(store.version("a-1"))
        flavour.run(connection.rollback())
        with pytest.raises(StoreNotInstalled, match="elsewhere"):
            flavour.run(store.write("a-1", Message("T")))
        flavour.run(connection.rollback())


def test_a_name_may_have_a_newline(flavour: Any) -> None:
    with flavour.session() as session:
        store = flavour.store(session)
        with pytest.raises(NotAStream) as not_a_stream:
            flavour.run(store.read_stream("a\nb"))
        assert not_a_stream.value.stream_name == "a\nb"
        flavour.run(session.rollback())
        with pytest.raises(InvalidCorrelation) as correlation:
            flavour.run(store.read_category("a", correlation="c\nd-1"))
        assert correlation.value.correlation == "c\nd-1"


def test_an_iterator_has_a_batch_size(flavour: Any) -> None:
    with flavour.session() as session, pytest.raises(InvalidArgument, match="at least 1"):
        flavour.collect(flavour.store(session).iterate_stream("account-1", batch_size=-1))


def test_names_must_be_names(flavour: Any) -> None:
    with flavour.session() as session:
        store = flavour.store(session)
        for call in (store.read_stream, store.read_category, store.version, store.last_message):
            with pytest.raises(InvalidStreamName):
                flavour.run(call(""))
