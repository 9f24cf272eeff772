"""Until it ends, a transaction that writes holds a lock that names the floor of what it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mdb_sqla import migrations

if TYPE_CHECKING:
    from tests.contract.client import Client
    from tests.contract.conftest import OpenClient

SEQUENCE = "message_store.messages_global_position_seq"


@pytest.fixture
def writer(open_any_client: OpenClient) -> Client:
    return open_any_client()


@pytest.fixture
def other(open_any_client: OpenClient) -> Client:
    """A client whose statements are transactions of their own."""
    return open_any_client("AUTOCOMMIT")


@pytest.fixture
def reader(open_any_client: OpenClient) -> Client:
    return open_any_client()


def positions(reader: Client) -> list[int]:
    return [message.global_position for message in reader.read("get_messages")]


def test_floor_is_the_last_global_position_before_the_first_message(writer: Client) -> None:
    before = writer.call("last_global_position")

    writer.write("account-1")
    writer.write("shop-1")

    assert writer.floors() == [before]


def test_transaction_that_does_not_write_has_none(writer: Client) -> None:
    writer.read("get_messages")
    writer.read("get_stream_messages", "account-1")

    assert writer.floors() == []


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_next_transaction_has_its_own(writer: Client, end: str) -> None:
    for _ in range(3):
        before = writer.call("last_global_position")
        writer.write("account-1")

        assert writer.floors() == [before]
        getattr(writer.connection, end)()


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_setting_that_remembers_it_ends_with_the_transaction(writer: Client, end: str) -> None:
    setting = (
        "SELECT coalesce(current_setting("
        "'message_store.floor_' || 'message_store.messages'::regclass::oid, true), '')"
    )
    writer.write("account-1")
    assert writer.value(setting) == writer.value("SELECT pg_current_xact_id()::text")

    getattr(writer.connection, end)()

    assert writer.value(setting) == ""


def test_refused_write_leaves_none(writer: Client) -> None:
    with writer.refused("wrong_expected_version"):
        writer.write("account-1", expected_version=5)

    assert writer.floors() == []


def test_rollback_to_a_savepoint_takes_it_back(writer: Client, other: Client) -> None:
    with writer.connection.begin_nested() as savepoint:
        writer.write("account-1")
        savepoint.rollback()
    assert writer.floors() == []
    other.write("shop-1")
    before = writer.call("last_global_position")

    writer.write("account-1")

    assert writer.floors() == [before]


def test_rollback_to_a_savepoint_after_it_leaves_it(writer: Client) -> None:
    before = writer.call("last_global_position")
    writer.write("account-1")
    with writer.connection.begin_nested() as savepoint:
        writer.write("account-1")
        savepoint.rollback()
    writer.write("account-1")

    assert writer.floors() == [before]


def test_released_savepoint_leaves_it(writer: Client) -> None:
    before = writer.call("last_global_position")
    with writer.connection.begin_nested():
        writer.write("account-1")
    writer.write("account-1")

    assert writer.floors() == [before]


@pytest.mark.parametrize("restart", ["never called", "restarted"])
def test_first_position_of_the_sequence_is_above_it(
    writer: Client, other: Client, reader: Client, restart: str
) -> None:
    # A sequence that was not called shows its first value, as if that had been drawn.
    start = "" if restart == "never called" else "WITH 1000"
    first = 1 if restart == "never called" else 1000
    other.execute(f"ALTER SEQUENCE {SEQUENCE} RESTART {start}")
    assert other.call("last_global_position") == first - 1

    writer.write("account-1")
    other.write("shop-1")
    assert writer.floors() == [first - 1]
    assert positions(reader) == []

    writer.connection.commit()
    assert positions(reader) == [first, first + 1]


@pytest.mark.parametrize(
    "last", [2**31 - 6, 2**31, 2**32 - 6, 2**32 - 1, 2**32, 2**33 - 6, 2**40, 2**62]
)
def test_only_the_low_bits_of_a_floor_are_kept(
    writer: Client, other: Client, reader: Client, last: int
) -> None:
    other.execute(f"SELECT setval('{SEQUENCE}', {last - 1})")
    other.write("order-1")
    writer.write("account-1")
    for _ in range(10):
        other.write("shop-1")

    assert writer.floors() == [last % 2**32]
    assert reader.call("settled_position") == last
    assert positions(reader) == [last]

    writer.connection.commit()
    assert positions(reader) == list(range(last, last + 12))


def test_last_positions_of_all(writer: Client, other: Client, reader: Client) -> None:
    other.execute(f"SELECT setval('{SEQUENCE}', {2**63 - 4})")
    writer.write("account-1")
    other.write("shop-1")
    assert positions(reader) == []

    writer.connection.commit()
    assert positions(reader) == [2**63 - 3, 2**63 - 2]


def test_lowest_floor_counts_across_the_wrap(
    open_any_client: OpenClient, other: Client, reader: Client
) -> None:
    other.execute(f"SELECT setval('{SEQUENCE}', {2**32 - 2})")
    writers = [open_any_client() for _ in range(4)]
    for number, writer in enumerate(writers):
        writer.write(f"category{number}-1")
    assert [writer.floors() for writer in writers] == [[2**32 - 2], [2**32 - 1], [0], [1]]

    settled = []
    for writer in writers:
        settled.append(reader.call("settled_position"))
        writer.connection.commit()

    assert settled == [2**32 - 2, 2**32 - 1, 2**32, 2**32 + 1]


def test_two_stores_in_one_transaction_have_one_each(client: Client) -> None:
    migrations.upgrade(client.connection, schema="events")
    events = type(client)(client.connection, "events")
    floor = client.call("last_global_position")

    client.write("account-1")
    assert (client.floors(), events.floors()) == ([floor], [])
    events.write("account-1")
    events.write("account-1")
    client.write("account-1")

    assert (client.floors(), events.floors()) == ([floor], [0])
