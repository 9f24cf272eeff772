from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from tests.contract.client import Client
    from tests.contract.conftest import OpenClient

WRONG_EXPECTED_VERSION = "wrong_expected_version"
SERIALIZATION_FAILURE = "40001"
WRITERS = 6


@pytest.mark.parametrize("expected_version", [-1, None])
def test_second_writer_waits_for_the_commit_of_the_first(
    open_committing_client: OpenClient,
    blocked_attempt: Callable[..., Future[int | str]],
    expected_version: int | None,
) -> None:
    first, second = open_committing_client(), open_committing_client()
    assert first.write("account-1", expected_version=expected_version) == 0
    waiting = blocked_attempt(second, "account-1", expected_version)

    first.connection.commit()

    assert waiting.result() == (WRONG_EXPECTED_VERSION if expected_version == -1 else 1)


def test_second_writer_wins_when_the_first_rolls_back(
    open_committing_client: OpenClient, blocked_attempt: Callable[..., Future[int | str]]
) -> None:
    first, second = open_committing_client(), open_committing_client()
    assert first.write("account-1", expected_version=-1) == 0
    waiting = blocked_attempt(second, "account-1", -1)

    first.connection.rollback()

    assert waiting.result() == 0


def all_at_once(clients: list[Client], write: Callable[[Client], int | str]) -> list[int | str]:
    barrier = Barrier(len(clients))

    def start(client: Client) -> int | str:
        barrier.wait(timeout=20)
        return write(client)

    with ThreadPoolExecutor(len(clients)) as executor:
        return list(executor.map(start, clients))


@pytest.mark.parametrize(
    ("isolation_level", "refusals"),
    [
        ("READ COMMITTED", {WRONG_EXPECTED_VERSION}),
        ("REPEATABLE READ", {WRONG_EXPECTED_VERSION, SERIALIZATION_FAILURE}),
        ("SERIALIZABLE", {WRONG_EXPECTED_VERSION, SERIALIZATION_FAILURE}),
    ],
)
def test_one_of_many_with_the_same_expected_version_wins(
    open_committing_client: OpenClient,
    attempt: Callable[..., int | str],
    isolation_level: str,
    refusals: set[int | str],
) -> None:
    clients = [open_committing_client(isolation_level) for _ in range(WRITERS)]

    outcomes = all_at_once(clients, lambda client: attempt(client, "account-1", -1))

    assert outcomes.count(0) == 1
    assert set(outcomes) - {0} <= refusals


def test_positions_of_many_writers_have_no_gap(
    open_committing_client: OpenClient, attempt: Callable[..., int | str]
) -> None:
    clients = [open_committing_client() for _ in range(WRITERS)]

    def write_five(client: Client) -> int:
        assert all(isinstance(attempt(client, "account-1"), int) for _ in range(5))
        return 5

    all_at_once(clients, write_five)

    messages = clients[0].read("get_stream_messages", "account-1")
    assert [message.position for message in messages] == list(range(WRITERS * 5))
    by_global_position = sorted(messages, key=lambda message: message.global_position)
    assert by_global_position == messages
