from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.client import Client


@pytest.mark.parametrize(
    ("stream_name", "category"),
    [
        ("account-123", "account"),
        ("account", "account"),
        ("account:command-123", "account:command"),
        ("größe-1", "größe"),
    ],
)
def test_key_is_the_hash_of_the_category(
    client: Client, expected_hash: Callable[[str], int], stream_name: str, category: str
) -> None:
    assert client.call("acquire_lock", stream_name=stream_name) == expected_hash(category)


def test_key_is_that_of_the_advisory_lock_held(
    client: Client, expected_hash: Callable[[str], int]
) -> None:
    client.call("acquire_lock", "account-123")

    # A key of type bigint is shown as its two halves, and as 1 in objsubid.
    locks = client.rows(
        "SELECT (classid::bigint << 32) | objid::bigint, mode FROM pg_locks "
        "WHERE locktype = 'advisory' AND objsubid = 1 AND pid = pg_backend_pid()"
    )

    assert locks == [(expected_hash("account"), "ExclusiveLock")]
