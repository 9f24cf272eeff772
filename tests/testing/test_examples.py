from __future__ import annotations

from datetime import UTC, timedelta
from enum import Enum
from typing import Any

import pytest
from sqlalchemy import Connection

from mdb_sqla import Message, MessageStore, StoredMessage
from mdb_sqla.testing import example_message, example_stored_message, example_stream_name


def test_a_stream_name_is_of_its_category_alone() -> None:
    name = example_stream_name("order:command")

    assert (name.category, name.entity) == ("order:command", "order")
    assert name != example_stream_name("order:command")


def test_a_message_can_be_written(connection: Connection) -> None:
    store, stream_name = MessageStore(connection), example_stream_name()
    message = example_message()
    store.write(stream_name, [message, example_message()])

    read = store.read_stream(stream_name)
    assert [(each.type, each.data) for each in read] == [(message.type, message.data)] * 2


def test_a_stored_message_is_like_one_that_was_read(connection: Connection) -> None:
    store, stream_name = MessageStore(connection), example_stream_name()
    store.write(stream_name, example_message())
    (read,) = store.read_stream(stream_name)
    example = example_stored_message()

    assert [type(value) for value in example] == [type(value) for value in read]
    assert example.time - read.time < timedelta(minutes=1)
    assert (example.position, example.type, example.data) == (read.position, read.type, read.data)
    assert example.metadata == read.metadata


def test_stored_messages_come_after_one_another() -> None:
    first, second = example_stored_message(), example_stored_message()

    assert (first.position, first.time.tzinfo) == (0, UTC)
    assert first.global_position < second.global_position
    assert first.stream_name != second.stream_name
    assert first.id != second.id
    assert first.data is not second.data
    Message("Done").follow(first)


@pytest.mark.parametrize("make", [example_message, example_stored_message])
def test_fields_can_be_given(make: Any) -> None:
    message: Message | StoredMessage = make(type="Placed", data={"total": 7}, metadata={"a": 1})

    assert (message.type, message.data, message.metadata) == ("Placed", {"total": 7}, {"a": 1})
    with pytest.raises((TypeError, ValueError), match="total"):
        make(total=7)


class Name(str, Enum):  # noqa: UP042
    CATEGORY = "order"
    STREAM = "order-1"
    TYPE = "Placed"


def test_a_member_of_an_enum_stands_for_its_value() -> None:
    assert example_stream_name(Name.CATEGORY).category == "order"
    stored = example_stored_message(stream_name=Name.STREAM, type=Name.TYPE)
    assert (type(stored.stream_name), type(stored.type)) == (str, str)
    assert f"{stored.stream_name} {stored.type}" == "order-1 Placed"
