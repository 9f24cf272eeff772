from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client


def test_minus_one_expects_that_there_is_no_stream_yet(client: Client) -> None:
    client.write("account-2")

    assert client.write("account-1", expected_version=-1) == 0


@pytest.mark.parametrize("number", [1, 2, 7])
def test_expected_version_is_the_position_of_the_last_message(client: Client, number: int) -> None:
    client.insert("account-1", number)

    assert client.write("account-1", expected_version=number - 1) == number


@pytest.mark.parametrize("number", [0, 1, 3])
def test_null_expects_nothing(client: Client, number: int) -> None:
    client.insert("account-1", number)

    assert client.write("account-1", expected_version=None) == number


def test_versions_written_in_the_same_transaction_count(client: Client) -> None:
    assert [client.write("account-1", expected_version=version) for version in (-1, 0, 1)] == [
        0,
        1,
        2,
    ]
