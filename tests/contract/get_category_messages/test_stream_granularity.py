"""Where streams are locked, a reader stops below the writers of its category."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from tests.contract.client import Client
    from tests.contract.conftest import OpenClient


@pytest.fixture
def writer(open_stream_client: OpenClient) -> Client:
    return open_stream_client()


@pytest.fixture
def other(open_stream_client: OpenClient) -> Client:
    """A client whose messages are committed."""
    return open_stream_client("AUTOCOMMIT")


@pytest.fixture
def reader(open_stream_client: OpenClient) -> Client:
    return open_stream_client()


def streams(reader: Client, **arguments: object) -> list[str]:
    messages = reader.read("get_category_messages", "account", **arguments)
    return [message.stream_name for message in messages]


@pytest.mark.parametrize(("end", "written"), [("commit", ["account-1"]), ("rollback", [])])
def test_later_message_waits_for_the_writer(
    writer: Client, other: Client, reader: Client, end: str, written: list[str]
) -> None:
    other.write("account-0")
    writer.write("account-1")
    other.write("account-2")
    assert streams(reader) == ["account-0"]

    getattr(writer.connection, end)()

    assert streams(reader) == ["account-0", *written, "account-2"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"correlation": "shop"},
        {"consumer_group_member": 0, "consumer_group_size": 1},
        {"condition": "true"},
        {"batch_size": -1},
        {"batch_size": 1},
    ],
    ids=str,
)
def test_with_every_filter(
    writer: Client, other: Client, reader: Client, arguments: dict[str, object]
) -> None:
    metadata = '{"correlationStreamName": "shop-1"}'
    reader.set_local("message_store.sql_condition", "on")
    writer.write("account-1", metadata=metadata)
    other.write("account-2", metadata=metadata)

    assert streams(reader, **arguments) == []


def test_writers_of_other_categories_are_not_waited_for(
    writer: Client, other: Client, reader: Client
) -> None:
    writer.write("shop-1")
    other.write("account-2")

    assert streams(reader) == ["account-2"]


def test_writer_of_another_category_first_is_waited_for_from_its_floor(
    writer: Client, other: Client, reader: Client
) -> None:
    writer.write("shop-1")
    other.write("account-2")
    writer.write("account-1")

    assert streams(reader) == []


def test_own_messages_are_seen(writer: Client) -> None:
    writer.write("account-1")

    assert streams(writer) == ["account-1"]


def test_message_whose_floor_went_with_a_savepoint_holds_nobody_back(
    writer: Client, other: Client, reader: Client
) -> None:
    with writer.connection.begin_nested() as savepoint:
        writer.write("account-1")
        savepoint.rollback()
    other.write("account-2")

    assert streams(reader) == ["account-2"]


@pytest.mark.parametrize("isolation_level", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("arguments", [{}, {"correlation": "shop"}], ids=str)
def test_old_snapshot_is_refused(
    open_stream_client: OpenClient, isolation_level: str, arguments: dict[str, str]
) -> None:
    client = open_stream_client(isolation_level)

    with pytest.raises(DBAPIError) as caught:
        client.read("get_category_messages", "account", **arguments)

    assert isinstance(caught.value.orig, psycopg.Error)
    assert caught.value.orig.diag.constraint_name == "read_not_exact"
    assert caught.value.orig.diag.message_primary == (
        "Must be read at isolation level read committed, with a snapshot newer than its writers "
        f"(Isolation Level: {isolation_level.lower()}, Lock Granularity: stream)"
    )
    hint = (
        "Read on another connection, at READ COMMITTED. One category can be read at any level "
        "where writers lock categories: mdb lock-granularity category."
    )
    assert caught.value.orig.diag.message_hint == hint


@pytest.mark.parametrize("isolation_level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_streams_may_be_read_with_any_snapshot(
    other: Client, open_stream_client: OpenClient, isolation_level: str
) -> None:
    other.write("account-1")
    reader = open_stream_client(isolation_level)

    assert len(reader.read("get_stream_messages", "account-1")) == 1
    assert len(reader.read("get_last_stream_message", "account-1")) == 1
