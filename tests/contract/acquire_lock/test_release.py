from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.conftest import OpenClient

IS_FREE = "SELECT pg_try_advisory_xact_lock(message_store.hash_64('account'))"


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_lock_is_held_until_the_transaction_ends(open_client: OpenClient, end: str) -> None:
    holder, other = open_client(), open_client()
    holder.call("acquire_lock", "account-1")
    assert other.value(IS_FREE) is False

    getattr(holder.connection, end)()

    assert other.value(IS_FREE) is True


def test_lock_does_not_outlive_the_savepoint_it_was_taken_in(open_client: OpenClient) -> None:
    holder, other = open_client(), open_client()
    with holder.connection.begin_nested() as savepoint:
        holder.call("acquire_lock", "account-1")
        savepoint.rollback()

    assert other.value(IS_FREE) is True
