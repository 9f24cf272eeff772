"""A writer with a condition has the categories of its queries to itself before it looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.write_messages.test_locks import LOCK_NOT_AVAILABLE, MOST_STREAMS, impatient

if TYPE_CHECKING:
    from tests.contract.client import Client
    from tests.contract.conftest import Blocked, OpenClient

COURSE: list[dict[str, Any]] = [{"categories": ["course"], "tags": ["course:1"]}]
DEADLOCK = "40P01"
WRITERS: dict[str, Callable[[Client], Any]] = {
    "write_message": lambda client: client.write("course-9"),
    "write_messages": lambda client: client.write_batch("course-9", "course-8"),
    "write_conditionally": lambda client: client.write_conditionally(
        "invoice-1", unless=[([{"categories": ["course"], "tags": ["course:2"]}], 0)]
    ),
    "prepare_copy": lambda client: client.read("prepare_copy", ["course-9"], 1),
    "acquire_lock": lambda client: client.call("acquire_lock", "course-9"),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_it_waits_for_all_writers_and_sees_what_they_wrote(
    open_any_client: OpenClient, blocked: Blocked, write: Callable[[Client], Any]
) -> None:
    writer, decider = open_any_client(), open_any_client()
    write(writer)
    written = writer.write_tagged("course-9", "course:1")

    def decide() -> Any:
        with decider.refused("append_condition_failed") as caught:
            decider.write_conditionally("invoice-2", unless=[(COURSE, 0)])
        return f"Global Position: {written}," in str(caught.value)

    waiting = blocked(decider, decide)
    writer.connection.commit()

    assert waiting.result()


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_all_writers_wait_for_it(
    open_any_client: OpenClient, blocked: Blocked, write: Callable[[Client], Any]
) -> None:
    decider, writer = open_any_client(), open_any_client()
    decider.write_conditionally("invoice-2", unless=[(COURSE, 0)])

    waiting = blocked(writer, lambda: write(writer))
    decider.connection.commit()

    waiting.result()


def test_writer_that_rolls_back_was_never_there(
    open_any_client: OpenClient, blocked: Blocked
) -> None:
    writer, decider = open_any_client(), open_any_client()
    writer.write_tagged("course-9", "course:1")

    waiting = blocked(decider, lambda: decider.write_conditionally("a-1", unless=[(COURSE, 0)]))
    writer.connection.rollback()

    assert waiting.result()[0][0] == 0


def test_other_categories_are_not_locked_exclusively(open_stream_client: OpenClient) -> None:
    client, other = open_stream_client(), impatient(open_stream_client())

    client.write_conditionally("invoice-1", unless=[(COURSE, 0)])

    assert client.category_lock("course") == "ExclusiveLock"
    assert client.category_lock("invoice") == "ShareLock"
    assert other.write("invoice-2") == 0
    assert other.write("order-1") == 0
    for stream_name in ("course-1", "invoice-1"):
        with other.refused(LOCK_NOT_AVAILABLE):
            other.write(stream_name)


def test_many_streams(open_stream_client: OpenClient) -> None:
    client = open_stream_client()
    names = [f"invoice-{number}" for number in range(MOST_STREAMS + 1)]

    client.write_conditionally(*names, unless=[(COURSE, 0)])

    assert client.category_lock("course") == "ExclusiveLock"
    assert client.category_lock("invoice") == "ExclusiveLock"


@pytest.mark.parametrize("opposite", [False, True])
def test_categories_are_locked_in_the_order_of_their_keys(
    open_any_client: OpenClient,
    blocked: Blocked,
    expected_hash: Callable[[str], int],
    opposite: bool,
) -> None:
    holder, waiting, other = (open_any_client() for _ in range(3))
    low, high = sorted(["account", "shop"], key=expected_hash)
    queried, written = (high, low) if opposite else (low, high)
    query = [{"categories": [queried]}]
    holder.call("acquire_lock", low)

    future = blocked(
        waiting, lambda: waiting.write_conditionally(f"{written}-1", unless=[(query, 0)])
    )

    impatient(other).call("acquire_lock", high)
    other.connection.rollback()
    holder.connection.rollback()
    future.result()


def test_no_deadlock_with_a_batch(open_any_client: OpenClient, blocked: Blocked) -> None:
    first, second = open_any_client(), open_any_client()
    query = [{"categories": ["account", "shop"]}]
    first.write_conditionally("order-1", unless=[(query, 0)])

    waiting = blocked(second, lambda: second.write_batch("shop-1", "order-2", "account-1"))
    # What the second has by now must not be in the way of the first.
    first.write_conditionally("order-3", "account-2", unless=[(query, 0)])
    first.connection.commit()

    assert [position for position, _ in waiting.result()] == [0, 0, 0]


def test_two_that_have_written_before_deadlock(
    open_stream_client: OpenClient, blocked: Blocked
) -> None:
    """Each holds a shared lock of the category, and waits for the other's."""
    first, second = open_stream_client(), open_stream_client()
    first.write("course-1")
    second.write("course-2")
    query = [{"categories": ["course"], "types": ["None"]}]

    waiting = blocked(first, lambda: first.write_conditionally("course-1", unless=[(query, 0)]))
    try:
        second.write_conditionally("course-2", unless=[(query, 0)])
    except Exception as error:
        assert DEADLOCK in str(getattr(error.orig, "sqlstate", ""))  # type: ignore[attr-defined] # noqa: PT017
        second.connection.rollback()
        assert waiting.result()[0][0] == 1
    else:
        error_of_first: Any = waiting.exception()
        assert error_of_first.orig.sqlstate == DEADLOCK
