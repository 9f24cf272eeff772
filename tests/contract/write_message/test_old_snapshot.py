"""A snapshot that is older than the lock can't tell the version of a stream.

PostgreSQL asks to run the whole transaction again, and the second time it sees what is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from tests.contract.client import Client
    from tests.contract.conftest import OpenClient

SERIALIZATION_FAILURE = "40001"
WRONG_EXPECTED_VERSION = "wrong_expected_version"

pytestmark = pytest.mark.parametrize("isolation_level", ["REPEATABLE READ", "SERIALIZABLE"])


@pytest.fixture
def current(open_committing_client: OpenClient) -> Client:
    """A client that sees everything that is committed."""
    return open_committing_client()


@pytest.fixture
def late(open_committing_client: OpenClient, isolation_level: str) -> Client:
    """A client whose transactions stay with their first snapshot."""
    return open_committing_client(isolation_level)


@pytest.mark.parametrize(
    ("number", "expected_version", "second_attempt"),
    [
        (0, None, 1),
        (3, None, 4),
        # Right in the snapshot, overtaken since.
        (0, -1, WRONG_EXPECTED_VERSION),
        (3, 2, WRONG_EXPECTED_VERSION),
        # Wrong in the snapshot, right by now.
        (0, 0, 1),
        (3, 3, 4),
        # Wrong in both.
        (0, 7, WRONG_EXPECTED_VERSION),
        (3, -1, WRONG_EXPECTED_VERSION),
    ],
)
def test_stream_has_moved(
    current: Client,
    late: Client,
    attempt: Callable[..., int | str],
    number: int,
    expected_version: int | None,
    second_attempt: int | str,
) -> None:
    current.insert("account-1", number)
    current.connection.commit()
    assert late.message_count() == number
    assert attempt(current, "account-1") == number

    assert attempt(late, "account-1", expected_version) == SERIALIZATION_FAILURE
    assert current.message_count() == number + 1
    current.connection.rollback()
    assert attempt(late, "account-1", expected_version) == second_attempt


@pytest.mark.parametrize("number", [0, 3])
@pytest.mark.parametrize("expected_version", [7, -2])
def test_stream_has_not_moved(
    current: Client,
    late: Client,
    attempt: Callable[..., int | str],
    number: int,
    expected_version: int,
) -> None:
    current.insert("account-1", number)
    current.connection.commit()
    assert late.message_count() == number
    # It is another stream that has, in the same category.
    assert attempt(current, "account-2") == 0

    assert attempt(late, "account-1", expected_version) == WRONG_EXPECTED_VERSION
    assert current.message_count() == number + 1


def test_another_stream_has_moved(
    current: Client, late: Client, attempt: Callable[..., int | str]
) -> None:
    assert late.message_count() == 0
    assert attempt(current, "account-2") == 0

    assert attempt(late, "account-1", -1) == 0


@pytest.mark.parametrize("expected_version", [None, -1, 0])
def test_snapshot_grows_old_while_the_write_waits_for_the_lock(
    current: Client,
    late: Client,
    blocked_attempt: Callable[..., Future[int | str]],
    expected_version: int | None,
) -> None:
    current.write("account-1")
    waiting = blocked_attempt(late, "account-1", expected_version)

    current.connection.commit()

    assert waiting.result() == SERIALIZATION_FAILURE
