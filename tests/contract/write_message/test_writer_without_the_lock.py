"""Who inserts into the table without our functions holds no lock, and may take the position."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from tests.contract.conftest import OpenClient

UNIQUE_VIOLATION = "23505"
SERIALIZATION_FAILURE = "40001"


@pytest.mark.parametrize("expected_version", [None, -1])
@pytest.mark.parametrize(
    ("isolation_level", "sqlstate"),
    [
        ("READ COMMITTED", UNIQUE_VIOLATION),
        ("REPEATABLE READ", SERIALIZATION_FAILURE),
        ("SERIALIZABLE", SERIALIZATION_FAILURE),
    ],
)
def test_taken_position_is_refused(
    open_committing_client: OpenClient,
    blocked_attempt: Callable[..., Future[int | str]],
    attempt: Callable[..., int | str],
    isolation_level: str,
    sqlstate: str,
    expected_version: int | None,
) -> None:
    without_lock, client = open_committing_client(), open_committing_client(isolation_level)
    without_lock.insert("account-1", 1)
    waiting = blocked_attempt(client, "account-1", expected_version)

    without_lock.connection.commit()

    assert waiting.result() == sqlstate
    assert attempt(client, "account-1") == 1
