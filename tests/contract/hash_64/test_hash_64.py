from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.client import Client


@pytest.mark.parametrize(
    "value",
    [
        "account",
        "account:command",
        "Account",
        "1",
        "",
        "größe",
        "口座",
        "🏦",
        "a b\tc\n",
        "x" * 10_000,
    ],
)
def test_hash_64_is_the_first_half_of_the_md5(
    client: Client, expected_hash: Callable[[str], int], value: str
) -> None:
    assert client.call("hash_64", value=value) == expected_hash(value)


# What md5sum prints for them begins with these digits.
@pytest.mark.parametrize(
    ("value", "hash_64"),
    [("a", 0x0CC175B9C0F1B6A8), ("account", 0xE268443E43D93DAB - 2**64)],
)
def test_hash_64_is_signed_and_big_endian(client: Client, value: str, hash_64: int) -> None:
    assert client.call("hash_64", value=value) == hash_64


def test_hash_64_of_null_is_null(client: Client) -> None:
    assert client.call("hash_64", None) is None
