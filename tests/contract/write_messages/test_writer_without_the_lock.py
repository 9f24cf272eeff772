"""Who inserts into the table without our functions holds no lock, and may take a position."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.conftest import Blocked, OpenClient

SERIALIZATION_FAILURE = "40001"


@pytest.mark.parametrize("isolation_level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("expected_versions", [None, {"account-1": -1}])
def test_taken_position_is_a_serialization_failure(
    open_any_client: OpenClient,
    blocked: Blocked,
    isolation_level: str,
    expected_versions: dict[str, int] | None,
) -> None:
    without_lock, client = open_any_client(), open_any_client(isolation_level)
    without_lock.insert("account-1", 1)

    def write() -> None:
        with client.refused(SERIALIZATION_FAILURE):
            client.write_batch("shop-1", "account-1", expected_versions=expected_versions)

    waiting = blocked(client, write)
    without_lock.connection.commit()
    waiting.result()

    client.connection.rollback()
    assert [position for position, _ in client.write_batch("shop-1", "account-1")] == [0, 1]
