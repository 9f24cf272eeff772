"""A message whose JSON can't be decoded is named, and those around it can be read."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from mdb_sqla import Message, StoredMessage, UndecodableMessage

# Python decodes no integer of 5001 digits, which another client may write.
_WRITE = (
    "SELECT message_store.write_message(gen_random_uuid()::varchar, 'order-1', 'Bad', '{bad}', {m})"
)


@pytest.fixture
def store(flavour: Any) -> Iterator[Any]:
    """A store with five messages, of which the third of three of `order-1` is global position 4."""
    with flavour.session() as session:
        store = flavour.store(session)
        for stream in ("order-1", "order-2", "order-1"):
            flavour.run(store.write(stream, Message("T")))
        connection = flavour.run(session.connection())
        statement = _WRITE.format(bad='{"n": 1e5000}', m="NULL").replace(":", r"\:")
        flavour.run(connection.execute(text(statement)))
        flavour.run(store.write("order-2", Message("T")))
        flavour.run(session.commit())
        yield store


def assert_names_it(error: UndecodableMessage) -> None:
    assert (error.stream_name, error.position, error.global_position) == ("order-1", 2, 4)
    assert "Message 4 of type 'Bad', position 2 of stream order-1," in str(error)
    assert isinstance(error.__cause__, ValueError)


def test_a_read_names_it(flavour: Any, store: Any) -> None:
    reads: list[tuple[Any, list[int]]] = [
        (lambda: store.read_stream("order-1"), [1, 3]),
        (lambda: store.read_category("order"), [1, 2, 3]),
        (lambda: store.read_messages(), [1, 2, 3]),
        (lambda: store.last_message("order-1"), []),
    ]
    for read, before in reads:
        with pytest.raises(UndecodableMessage) as raised:
            flavour.run(read())

        assert_names_it(raised.value)
        assert [message.global_position for message in raised.value.before] == before
    # The transaction can still be used.
    assert len(flavour.run(store.read_category("order", 5))) == 1


@pytest.mark.parametrize("size", [1, 3])
def test_an_iterator_gives_what_comes_before_it(flavour: Any, store: Any, size: int) -> None:
    iterators = [
        (store.iterate_stream("order-1", batch_size=size), [1, 3]),
        (store.iterate_category("order", batch_size=size), [1, 2, 3]),
        (store.iterate_messages(batch_size=size), [1, 2, 3]),
    ]
    for iterator, before in iterators:
        taken: list[StoredMessage] = []

        with pytest.raises(UndecodableMessage) as raised:
            flavour.consume(iterator, taken.append)

        assert_names_it(raised.value)
        assert [message.global_position for message in taken] == before


def test_metadata_that_can_not_be_decoded(flavour: Any, store: Any) -> None:
    with flavour.connection() as connection:
        statement = _WRITE.format(bad="{}", m="""'{"n": 1e5000}'""").replace(":", r"\:")
        flavour.run(connection.execute(text(statement)))

        with pytest.raises(UndecodableMessage, match="Message 6 of type 'Bad'"):
            flavour.run(flavour.store(connection).read_stream("order-1", 3))


def test_the_error_goes_from_process_to_process(flavour: Any, store: Any) -> None:
    with pytest.raises(UndecodableMessage) as raised:
        flavour.run(store.read_stream("order-1"))

    copy = pickle.loads(pickle.dumps(raised.value))
    assert vars(copy) == vars(raised.value)


@pytest.mark.parametrize("time", ["infinity", "-infinity", "20000-01-01", "0044-03-15 BC"])
def test_a_time_that_python_does_not_have(flavour: Any, store: Any, time: str) -> None:
    with flavour.connection() as connection:
        change = f"time = '{time}', data = 'null'"
        statement = f"UPDATE message_store.messages SET {change} WHERE type = 'Bad'"
        flavour.run(connection.execute(text(statement)))
        flavour.run(connection.commit())

    reads: list[Any] = [
        lambda: store.read_category("order"),
        lambda: store.read_stream("order-1"),
    ]
    for read in reads:
        with pytest.raises(UndecodableMessage, match="owner of the store") as raised:
            flavour.run(read())
        assert_names_it(raised.value)
    assert len(raised.value.before) == 2
    with pytest.raises(UndecodableMessage, match="outside the years 1 to 9999"):
        flavour.run(store.last_message("order-1"))


@pytest.mark.parametrize("time", ["0001-01-01", "9999-12-31 23:59:59.999999"])
def test_the_first_and_the_last_time_of_python(flavour: Any, store: Any, time: str) -> None:
    with flavour.connection() as connection:
        statement = f"UPDATE message_store.messages SET time = '{time}' WHERE type = 'T'"
        flavour.run(connection.execute(text(statement.replace(":", r"\:"))))
        flavour.run(connection.commit())

    (message,) = flavour.run(store.read_stream("order-1", 0, 1))
    assert message.time.replace(tzinfo=None).isoformat().startswith(time.replace(" ", "T"))
