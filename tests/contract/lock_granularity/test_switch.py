"""No two writers ever go by different granularities."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client
    from tests.contract.conftest import Blocked, OpenClient

LOCK_NOT_AVAILABLE = "55P03"
MODES = {"category": "ExclusiveLock", "stream": "ShareLock"}
WRITERS: dict[str, Callable[[Client], Any]] = {
    "write_message": lambda client: client.write("account-1"),
    "write_messages": lambda client: client.write_batch("account-1"),
    "prepare_copy": lambda client: client.read("prepare_copy", ["account-1"], 1),
}

pytestmark = [
    pytest.mark.parametrize("granularity", ["stream", "category"]),
    pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS),
]


@pytest.fixture
def owner(open_switching_client: OpenClient, granularity: str) -> Client:
    """A client who has yet to switch to the granularity."""
    owner = open_switching_client()
    owner.call("set_lock_granularity", "category" if granularity == "stream" else "stream")
    owner.connection.commit()
    return owner


@pytest.fixture
def writer(open_switching_client: OpenClient, write: Callable[[Client], Any]) -> Client:
    """A client that has written before, and remembers how."""
    writer = open_switching_client()
    for _ in range(6):
        write(writer)
        writer.connection.commit()
    return writer


def test_it_waits_for_a_writer_in_flight(
    owner: Client,
    writer: Client,
    write: Callable[[Client], Any],
    blocked: Blocked,
    granularity: str,
) -> None:
    write(writer)

    switch = blocked(owner, lambda: owner.call("set_lock_granularity", granularity))
    # The writer goes on under the locks that it has.
    write(writer)
    assert writer.category_lock("account") != MODES[granularity]
    writer.connection.commit()

    switch.result()
    owner.connection.commit()
    write(writer)
    assert writer.category_lock("account") == MODES[granularity]


def test_writer_waits_for_it_and_goes_by_the_new_granularity(
    owner: Client,
    writer: Client,
    write: Callable[[Client], Any],
    blocked: Blocked,
    granularity: str,
) -> None:
    owner.call("set_lock_granularity", granularity)

    waiting = blocked(writer, lambda: write(writer))
    owner.connection.commit()
    waiting.result()

    assert writer.category_lock("account") == MODES[granularity]


def test_writer_goes_by_the_old_one_when_it_is_rolled_back(
    owner: Client,
    writer: Client,
    write: Callable[[Client], Any],
    blocked: Blocked,
    granularity: str,
) -> None:
    owner.call("set_lock_granularity", granularity)

    waiting = blocked(writer, lambda: write(writer))
    owner.connection.rollback()
    waiting.result()

    assert writer.category_lock("account") not in {MODES[granularity], None}


def test_it_waits_for_a_writer_that_waits_for_a_category(
    owner: Client,
    writer: Client,
    open_switching_client: OpenClient,
    write: Callable[[Client], Any],
    blocked: Blocked,
    granularity: str,
) -> None:
    holder = open_switching_client()
    holder.call("acquire_lock", "account-1")
    waiting = blocked(writer, lambda: write(writer))
    switch = blocked(owner, lambda: owner.call("set_lock_granularity", granularity))

    holder.connection.commit()
    waiting.result()
    assert not switch.done()
    assert writer.category_lock("account") not in {MODES[granularity], None}

    writer.connection.commit()
    switch.result()
    owner.connection.commit()
    write(writer)
    assert writer.category_lock("account") == MODES[granularity]
