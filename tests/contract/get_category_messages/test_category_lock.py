"""Where streams are locked, a reader tries the lock of its category, and holds it no longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.contract.client import hash_64

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


def number_of_locks(client: Client) -> int:
    count = client.value(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    )
    return int(count)


@pytest.mark.parametrize("writes", [False, True], ids=["idle", "with a writer"])
def test_no_lock_is_left(writer: Client, other: Client, reader: Client, writes: bool) -> None:
    other.write("account-1")
    if writes:
        writer.write("account-2")
    other.write("shop-1")

    assert len(reader.read("get_category_messages", "account")) == 1
    assert len(reader.read("get_messages", ["account", "shop"])) == (1 if writes else 2)

    assert number_of_locks(reader) == 0


def test_writer_does_not_wait_for_the_transaction_of_a_reader(
    other: Client, reader: Client
) -> None:
    other.write("account-1")
    reader.read("get_category_messages", "account")

    other.execute("SET lock_timeout = '1s'")
    other.write("account-2")
    other.call("acquire_lock", "account-3")


def test_what_the_reader_itself_holds_stays(reader: Client, other: Client) -> None:
    """It has not written, so it has no floor, with which it would not try the lock."""
    for stream_name in ("account-1", "shop-1", "order-1"):
        other.write(stream_name)
    reader.call("lock_streams", ["account-2"])
    reader.execute("SELECT pg_advisory_xact_lock(:key)", key=hash_64("shop"))
    before = number_of_locks(reader)

    assert len(reader.read("get_category_messages", "account")) == 1
    assert len(reader.read("get_messages", ["account", "shop", "order"])) == 3

    assert reader.category_lock("account") == "ShareLock"
    assert reader.category_lock("shop") == "ExclusiveLock"
    assert number_of_locks(reader) == before


def test_a_reader_that_has_written_keeps_its_locks(reader: Client, other: Client) -> None:
    other.write("account-1")
    reader.write("account-2")
    before = number_of_locks(reader)

    assert len(reader.read("get_category_messages", "account")) == 2

    assert reader.category_lock("account") == "ShareLock"
    assert len(reader.floors()) == 1
    assert number_of_locks(reader) == before


def test_lock_of_the_session_stays(reader: Client, other: Client) -> None:
    other.write("account-1")
    key = hash_64("account")
    reader.execute("SELECT pg_advisory_lock(:key)", key=key)

    reader.read("get_category_messages", "account")

    assert reader.category_lock("account") == "ExclusiveLock"
    assert reader.value("SELECT pg_advisory_unlock(:key)", key=key)
    assert number_of_locks(reader) == 0


def test_locks_of_all_are_read_only_beside_a_writer(
    writer: Client, other: Client, reader: Client
) -> None:
    """`pg_locks` takes longer the more connections the server allows."""
    statements: list[str] = []
    connection = reader.connection.connection.driver_connection
    assert isinstance(connection, psycopg.Connection)
    connection.add_notice_handler(lambda notice: statements.append(notice.context or ""))
    other.write("account-1")
    writer.write("shop-1")
    reader.set_local("client_min_messages", "log")
    reader.set_local("log_planner_stats", "on")

    assert len(reader.read("get_category_messages", "account")) == 1
    assert any("pg_try_advisory_lock" in statement for statement in statements)
    assert not any("pg_locks" in statement for statement in statements)

    writer.write("account-2")
    assert len(reader.read("get_category_messages", "account")) == 1
    assert any("pg_locks" in statement for statement in statements)


def test_prepared_transaction_of_another_category(
    other: Client, open_stream_client: OpenClient, reader: Client
) -> None:
    if other.value("SHOW max_prepared_transactions") == "0":
        pytest.skip("The server prepares no transactions")
    preparing = open_stream_client()
    preparing.write("shop-1")
    preparing.execute("PREPARE TRANSACTION 'the shop'")
    try:
        other.write("account-1")
        assert len(reader.read("get_category_messages", "account")) == 1
        assert reader.read("get_messages", ["account", "shop"]) == []
    finally:
        other.execute("ROLLBACK PREPARED 'the shop'")
    assert len(reader.read("get_messages", ["account", "shop"])) == 1
