from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client
    from tests.contract.conftest import OpenClient

LOCK_NOT_AVAILABLE = "55P03"


@pytest.fixture
def other(open_client: OpenClient) -> Client:
    """A client that does not wait."""
    other = open_client()
    other.set_local("lock_timeout", "20ms")
    return other


@pytest.mark.parametrize("stream_name", ["account-1", "account-2", "account"])
def test_one_client_at_a_time_has_the_lock_of_a_category(
    client: Client, other: Client, stream_name: str
) -> None:
    client.call("acquire_lock", "account-1")

    with other.refused(LOCK_NOT_AVAILABLE):
        other.call("acquire_lock", stream_name)


@pytest.mark.parametrize("stream_name", ["shop-1", "account:command-1", "accounts-1"])
def test_other_categories_are_free(client: Client, other: Client, stream_name: str) -> None:
    client.call("acquire_lock", "account-1")

    other.call("acquire_lock", stream_name)


def test_same_client_may_have_it_again(client: Client) -> None:
    first = client.call("acquire_lock", "account-1")
    second = client.call("acquire_lock", "account-2")

    assert first == second


def test_lock_is_the_advisory_lock_that_other_clients_take_by_themselves(
    client: Client, other: Client
) -> None:
    client.execute("SELECT pg_advisory_xact_lock(message_store.hash_64('account'))")

    with other.refused(LOCK_NOT_AVAILABLE):
        other.call("acquire_lock", "account-1")


def test_write_message_takes_it(client: Client, other: Client) -> None:
    client.write("account-1")

    with other.refused(LOCK_NOT_AVAILABLE):
        other.call("acquire_lock", "account-2")


def test_write_message_waits_for_it(client: Client, other: Client) -> None:
    client.call("acquire_lock", "account-1")

    with other.refused(LOCK_NOT_AVAILABLE):
        other.write("account-2")


@pytest.mark.parametrize(
    ("function", "name"),
    [
        ("get_stream_messages", "account-1"),
        ("get_category_messages", "account"),
        ("get_last_stream_message", "account-1"),
    ],
)
def test_reads_do_not_wait_for_it(client: Client, other: Client, function: str, name: str) -> None:
    client.write("account-1")

    assert other.read(function, name) == []
