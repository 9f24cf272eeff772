"""A reader never goes past a writer that may still commit what comes before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client
    from tests.contract.conftest import OpenClient

WRITERS: dict[str, Callable[[Client], Any]] = {
    "write_message": lambda client: client.write("account-1"),
    "write_messages": lambda client: client.write_batch("account-1"),
    "prepare_copy": lambda client: client.read("prepare_copy", ["account-1"], 1),
    "acquire_lock": lambda client: client.call("acquire_lock", "account-1"),
}


@pytest.fixture
def writer(open_any_client: OpenClient) -> Client:
    return open_any_client()


@pytest.fixture
def other(open_any_client: OpenClient) -> Client:
    """A client whose messages are committed."""
    return open_any_client("AUTOCOMMIT")


@pytest.fixture
def reader(open_any_client: OpenClient) -> Client:
    return open_any_client()


def streams(reader: Client, *categories: str) -> list[str]:
    messages = reader.read("get_messages", list(categories) or None)
    return [message.stream_name for message in messages]


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_later_message_waits_for_the_writer(
    writer: Client, other: Client, reader: Client, write: Callable[[Client], Any]
) -> None:
    other.write("order-1")
    write(writer)
    other.write("shop-1")

    assert streams(reader) == ["order-1"]

    writer.connection.rollback()
    assert streams(reader) == ["order-1", "shop-1"]


def test_order_is_that_of_the_global_positions_not_of_the_commits(
    writer: Client, other: Client, reader: Client
) -> None:
    writer.write("account-1")
    other.write("shop-1")
    writer.write("account-1")
    assert streams(reader) == []

    writer.connection.commit()

    assert streams(reader) == ["account-1", "shop-1", "account-1"]


@pytest.mark.parametrize(
    ("categories", "seen"),
    [(["shop"], ["shop-1"]), (["shop", "order"], ["shop-1"]), (["shop", "account"], [])],
)
def test_writers_of_other_categories_are_not_waited_for(
    writer: Client, other: Client, reader: Client, categories: list[str], seen: list[str]
) -> None:
    writer.write("account-1")
    other.write("shop-1")

    assert streams(reader, *categories) == seen


def test_writer_of_two_categories_holds_back_the_readers_of_both(
    writer: Client, other: Client, reader: Client
) -> None:
    writer.write("account-1")
    other.write("shop-1")
    writer.write("shop-2")

    assert streams(reader, "shop") == []


def test_floor_of_another_category_does_not_count_beside_a_writer_of_its_own(
    writer: Client, other: Client, reader: Client, open_any_client: OpenClient
) -> None:
    writer.write("shop-1")
    other.write("account-1")
    open_any_client().write("account-2")
    other.write("order-1")

    assert streams(reader, "account") == ["account-1"]
    assert streams(reader, "account", "order") == ["account-1"]
    assert streams(reader, "account", "shop") == []


def test_several_writers(open_stream_client: OpenClient) -> None:
    writers = [open_stream_client() for _ in range(4)]
    reader = open_stream_client()
    for number, writer in enumerate(writers):
        writer.write(f"account-{number}")

    seen = []
    for number in (1, 3, 0, 2):
        writers[number].connection.commit()
        seen.append(len(streams(reader)))

    assert seen == [0, 0, 2, 4]


def test_own_messages_are_seen(writer: Client) -> None:
    writer.write("account-1")
    writer.write_batch("shop-1", "account-2")

    assert streams(writer) == ["account-1", "shop-1", "account-2"]
    assert streams(writer, "shop") == ["shop-1"]


def test_own_messages_wait_for_other_writers_too(writer: Client, reader: Client) -> None:
    writer.write("account-1")
    reader.write("shop-1")

    assert streams(reader) == []
    assert streams(reader, "shop") == ["shop-1"]


def test_lock_of_a_category_that_others_take_by_themselves_is_no_floor(
    writer: Client, other: Client, reader: Client
) -> None:
    writer.execute("SELECT pg_advisory_xact_lock(message_store.hash_64('account'))")
    other.write("shop-1")

    assert streams(reader) == ["shop-1"]


@pytest.mark.parametrize(
    "lock",
    [
        "pg_advisory_xact_lock_shared(1, 0)",
        "pg_advisory_xact_lock_shared('message_store.messages'::regclass::oid::bigint << 32)",
    ],
)
def test_lock_of_others_is_no_floor(
    writer: Client, other: Client, reader: Client, lock: str
) -> None:
    writer.execute(f"SELECT {lock}")
    other.write("shop-1")

    assert streams(reader) == ["shop-1"]


@pytest.fixture
def prepared(writer: Client, other: Client) -> Iterator[str]:
    """A transaction with a message in it, prepared for two-phase commit."""
    if int(writer.value("SHOW max_prepared_transactions")) == 0:
        pytest.skip("the server has no room for prepared transactions")
    name = f"mdb_sqla_test_{uuid4()}"
    writer.write("account-1")
    writer.execute(f"PREPARE TRANSACTION '{name}'")
    yield name
    if other.value("SELECT count(*) FROM pg_prepared_xacts WHERE gid = :name", name=name):
        other.execute(f"ROLLBACK PREPARED '{name}'")


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_prepared_transaction_is_waited_for(
    other: Client, reader: Client, prepared: str, end: str
) -> None:
    other.write("shop-1")
    assert streams(reader) == []
    assert streams(reader, "account") == []

    other.execute(f"{end} PREPARED '{prepared}'")

    written = ["account-1"] if end == "COMMIT" else []
    assert streams(reader) == [*written, "shop-1"]
    assert streams(reader, "account") == written
