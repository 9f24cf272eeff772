from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.client import Client
    from tests.contract.conftest import Blocked, OpenClient

LOCK_NOT_AVAILABLE = "55P03"
MOST_STREAMS = 100


def impatient(client: Client) -> Client:
    client.set_local("lock_timeout", "20ms")
    return client


def test_batches_in_opposite_order_do_not_deadlock(
    open_any_client: OpenClient, blocked: Blocked
) -> None:
    first, second = open_any_client(), open_any_client()
    names = ["account-1", "shop-1", "account-2", "order-1"]
    first.write_batch(*names)

    waiting = blocked(second, lambda: second.write_batch(*reversed(names)))
    # What the second has by now must not be in the way of the first.
    first.write_batch(*reversed(names))
    first.connection.commit()

    assert [position for position, _ in waiting.result()] == [2, 2, 2, 2]


@pytest.mark.parametrize("opposite", [False, True])
def test_categories_are_locked_in_the_order_of_their_keys(
    open_any_client: OpenClient,
    blocked: Blocked,
    expected_hash: Callable[[str], int],
    opposite: bool,
) -> None:
    holder, waiting, other = (open_any_client() for _ in range(3))
    low, high = sorted(["account", "shop"], key=expected_hash)
    names = [f"{high}-1", f"{low}-1"] if opposite else [f"{low}-1", f"{high}-1"]
    holder.call("acquire_lock", low)

    future = blocked(waiting, lambda: waiting.read("prepare_copy", names, 0))

    impatient(other).call("acquire_lock", high)
    other.connection.rollback()
    holder.connection.rollback()
    future.result()


@pytest.mark.parametrize("opposite", [False, True])
def test_streams_are_locked_in_the_order_of_their_keys(
    open_stream_client: OpenClient, blocked: Blocked, opposite: bool
) -> None:
    holder, waiting, other = (open_stream_client() for _ in range(3))
    low, high = (
        name
        for (name,) in other.rows(
            "SELECT name FROM unnest(ARRAY['account-1', 'account-2']) AS name ORDER BY "
            "hashtextextended(name, 'message_store.messages'::regclass::oid::bigint)"
        )
    )
    holder.write(low)

    names = [high, low] if opposite else [low, high]
    future = blocked(waiting, lambda: waiting.read("prepare_copy", names, 0))

    assert impatient(other).write(high) == 0
    other.connection.rollback()
    holder.connection.rollback()
    future.result()


def test_batch_waits_for_all_its_categories_before_it_locks_a_stream(
    open_stream_client: OpenClient, blocked: Blocked
) -> None:
    holder, waiting, other = (open_stream_client() for _ in range(3))
    holder.call("acquire_lock", "shop-1")
    future = blocked(waiting, lambda: waiting.write_batch("account-1", "shop-1"))

    assert impatient(other).write("account-1") == 0

    other.connection.rollback()
    holder.connection.rollback()
    assert [position for position, _ in future.result()] == [0, 0]


@pytest.mark.parametrize(
    ("stream_name", "waits"), [("account-1", True), ("account-2", False), ("shop-1", False)]
)
def test_streams_of_a_batch_are_locked_and_no_others(
    open_stream_client: OpenClient, stream_name: str, waits: bool
) -> None:
    client, other = open_stream_client(), impatient(open_stream_client())
    client.write_batch("account-1")

    if waits:
        with other.refused(LOCK_NOT_AVAILABLE):
            other.write_batch(stream_name)
    else:
        assert len(other.write_batch(stream_name)) == 1


def test_streams_that_are_only_expected_are_locked_too(open_stream_client: OpenClient) -> None:
    client, other = open_stream_client(), impatient(open_stream_client())
    client.write_batch("account-1", expected_versions={"shop-1": -1})

    with other.refused(LOCK_NOT_AVAILABLE):
        other.write("shop-1")
    assert other.write("shop-2") == 0


def test_batch_and_single_writes_lock_the_same(open_any_client: OpenClient) -> None:
    client, other = open_any_client(), impatient(open_any_client())
    client.write("account-1")

    with other.refused(LOCK_NOT_AVAILABLE):
        other.write_batch("account-1")


def number_of_locks(client: Client) -> int:
    number: int = client.value(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    )
    return number


def streams(category: str, number: int) -> list[str]:
    return [f"{category}-{each}" for each in range(number)]


@pytest.mark.parametrize(
    ("number", "mode"), [(MOST_STREAMS - 1, "ShareLock"), (MOST_STREAMS, "ExclusiveLock")]
)
def test_many_streams_of_a_category_lock_the_category(
    open_stream_client: OpenClient, number: int, mode: str
) -> None:
    client = open_stream_client()
    client.write_batch(*streams("account", number), "shop-1")

    assert client.category_lock("account") == mode
    assert client.category_lock("shop") == "ShareLock"


def test_number_of_locks_is_bounded(open_stream_client: OpenClient) -> None:
    client = open_stream_client()

    client.write_batch(*streams("account", 5_000))

    # The category's and the floor.
    assert number_of_locks(client) == 2


def test_number_of_locks_is_bounded_over_all_categories(open_stream_client: OpenClient) -> None:
    client = open_stream_client()
    names = [name for number in range(30) for name in streams(f"account{number}", 90)]

    client.write_batch(*names)

    # Those of one category's streams, and all categories.
    assert number_of_locks(client) == 90 + 30 + 1


def test_number_of_locks_is_bounded_over_a_transaction(open_stream_client: OpenClient) -> None:
    client = open_stream_client()

    for number in range(5):
        client.write_batch(*streams(f"account{number}", 90))

    assert number_of_locks(client) == 90 + 5 + 1
    client.connection.commit()
    client.write_batch(*streams("account1", 90))
    assert client.category_lock("account1") == "ShareLock"


def test_streams_that_are_locked_already_count_once(open_stream_client: OpenClient) -> None:
    client = open_stream_client()

    for _ in range(3):
        client.write_batch(*streams("account", 60))
    client.write("shop-1")
    client.write_batch(*streams("shop", 40))

    assert client.category_lock("account") == client.category_lock("shop") == "ShareLock"
    client.write_batch("order-1")
    assert client.category_lock("order") == "ShareLock"
    client.write_batch(*streams("order", 2))
    assert client.category_lock("order") == "ExclusiveLock"


def test_repeated_names_count_once(open_stream_client: OpenClient) -> None:
    client = open_stream_client()

    client.write_batch(*["account-1"] * 2 * MOST_STREAMS)

    assert client.category_lock("account") == "ShareLock"
