from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.conftest import OpenClient

ISOLATION_LEVELS = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


@pytest.mark.parametrize("isolation_level", ISOLATION_LEVELS)
@pytest.mark.parametrize(
    ("number", "expected_version", "refusal"),
    [
        (3, 1, "Wrong expected version: 1 (Stream: account-123, Stream Version: 2)"),
        (3, 3, "Wrong expected version: 3 (Stream: account-123, Stream Version: 2)"),
        (1, -1, "Wrong expected version: -1 (Stream: account-123, Stream Version: 0)"),
        (0, 0, "Wrong expected version: 0 (Stream: account-123, Stream Version: -1)"),
        (0, 11, "Wrong expected version: 11 (Stream: account-123, Stream Version: -1)"),
        (0, -2, "Wrong expected version: -2 (Stream: account-123, Stream Version: -1)"),
        (1, -2, "Wrong expected version: -2 (Stream: account-123, Stream Version: 0)"),
    ],
)
def test_wrong_expected_version(
    open_client: OpenClient,
    isolation_level: str,
    number: int,
    expected_version: int,
    refusal: str,
) -> None:
    client = open_client(isolation_level)
    client.insert("account-123", number)

    with client.refused("wrong_expected_version", refusal):
        client.write("account-123", expected_version=expected_version)

    assert client.message_count() == number
    assert client.write("account-123", expected_version=number - 1) == number


def test_stream_name_is_quoted_as_it_is(open_client: OpenClient) -> None:
    refusal = "Wrong expected version: 5 (Stream: a%b'c\"ä-1 (x), Stream Version: -1)"
    client = open_client()

    with client.refused("wrong_expected_version", refusal):
        client.write("a%b'c\"ä-1 (x)", expected_version=5)


def test_version_is_looked_at_before_the_id(open_client: OpenClient) -> None:
    client = open_client()

    with client.refused("wrong_expected_version"):
        client.write("account-1", id="no uuid", expected_version=5)
