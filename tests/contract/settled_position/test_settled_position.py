"""Up to there, everything is committed, or never will be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client
    from tests.contract.conftest import OpenClient


def test_without_writers_it_is_the_last_global_position(open_any_client: OpenClient) -> None:
    client = open_any_client()
    for _ in range(3):
        client.write("account-1")
    client.connection.commit()

    last = client.call("last_global_position")

    assert client.call("settled_position") == last
    assert client.call("settled_position", "account") == last
    assert client.call("settled_position", "shop") == last


@pytest.mark.parametrize("category", [None, "account", "shop", "other"])
def test_writer_of_any_category_holds_it_at_its_floor(
    open_stream_client: OpenClient, category: str | None
) -> None:
    # Of any, for it may go on to this one.
    before, client = _with_a_writer_of_account(open_stream_client)

    assert client.call("settled_position", category=category) == before


@pytest.mark.parametrize(
    ("category", "beyond"), [(None, 0), ("account", 0), ("shop", 2), ("other", 2)]
)
def test_where_categories_are_locked_a_writer_holds_its_own(
    open_committing_client: OpenClient, category: str | None, beyond: int
) -> None:
    before, client = _with_a_writer_of_account(open_committing_client)

    assert client.call("settled_position", category=category) == before + beyond


def _with_a_writer_of_account(open_client: OpenClient) -> tuple[int, Client]:
    """Begin to write to one category, and write to another; the last position before that."""
    writer, other, client = open_client(), open_client(), open_client()
    before = client.call("last_global_position")
    writer.write("account-1")
    other.write("shop-1")
    other.connection.commit()
    return before, client


def test_read_never_stops_below_it(open_any_client: OpenClient) -> None:
    writer, other = open_any_client(), open_any_client("AUTOCOMMIT")
    other.write("account-1")
    writer.write("shop-1")
    other.write("account-2")
    settled = other.call("settled_position", "account")
    writer.write("account-3")

    messages = other.read("get_category_messages", "account")

    assert messages[-1].global_position >= settled


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_it_goes_on_when_the_writer_has_ended(open_any_client: OpenClient, end: str) -> None:
    writer, client = open_any_client(), open_any_client()
    writer.write("account-1")
    getattr(writer.connection, end)()

    assert client.call("settled_position") == client.call("last_global_position")


def test_lowest_floor_counts(open_stream_client: OpenClient) -> None:
    writers = [open_stream_client() for _ in range(3)]
    client = open_stream_client()
    before = client.call("last_global_position")
    for number, writer in enumerate(writers):
        writer.write(f"account-{number}")

    settled = []
    for writer in writers:
        settled.append(client.call("settled_position", "account"))
        writer.connection.rollback()

    assert settled == [before, before + 1, before + 2]


def test_own_floor_does_not_count(client: Client) -> None:
    client.write("account-1")

    assert client.call("settled_position") == client.call("last_global_position")


@pytest.mark.parametrize("name", ["account-1", "account-", "-1"])
def test_stream_name_is_refused(client: Client, name: str) -> None:
    with client.refused("not_a_category", f"Must be a category: {name}"):
        client.call("settled_position", name)


@pytest.mark.parametrize("isolation_level", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("category", [None, "account"])
def test_old_snapshot_is_refused(
    open_client: OpenClient, isolation_level: str, category: str | None
) -> None:
    client = open_client(isolation_level)

    with client.refused(
        "read_not_exact",
        "Must be read at isolation level read committed, with a snapshot newer than its writers "
        f"(Isolation Level: {isolation_level.lower()}, Lock Granularity: stream)",
    ):
        client.call("settled_position", category)
