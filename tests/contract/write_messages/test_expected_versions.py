from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client
    from tests.contract.conftest import OpenClient

ISOLATION_LEVELS = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


@pytest.fixture
def client(client: Client) -> Client:
    client.insert("account-1", 3)
    client.insert("shop-1", 1)
    return client


@pytest.mark.parametrize(
    "expected_versions",
    [
        None,
        {},
        {"account-1": 2},
        {"account-2": -1},
        {"account-1": 2, "account-2": -1},
        # Streams that are only read.
        {"shop-1": 0},
        {"account-1": 2, "shop-1": 0, "shop-2": -1},
    ],
)
def test_expected_versions(client: Client, expected_versions: dict[str, int] | None) -> None:
    written = client.write_batch(
        "account-1", "account-2", "account-1", expected_versions=expected_versions
    )

    assert [position for position, _ in written] == [3, 0, 4]


@pytest.mark.parametrize(
    ("expected_versions", "refusal"),
    [
        ({"account-1": 1}, "1 (Stream: account-1, Stream Version: 2)"),
        ({"account-1": -1}, "-1 (Stream: account-1, Stream Version: 2)"),
        ({"account-2": 0}, "0 (Stream: account-2, Stream Version: -1)"),
        ({"account-2": -2}, "-2 (Stream: account-2, Stream Version: -1)"),
        ({"shop-1": 1}, "1 (Stream: shop-1, Stream Version: 0)"),
        ({"shop-2": 0}, "0 (Stream: shop-2, Stream Version: -1)"),
        ({"account-1": 2, "account-2": 5}, "5 (Stream: account-2, Stream Version: -1)"),
        # The first by name of those that are wrong.
        ({"shop-1": 7, "account-2": 8, "account-1": 9}, "9 (Stream: account-1, Stream Version: 2)"),
    ],
)
@pytest.mark.parametrize("idempotent", [True, False])
def test_wrong_expected_version(
    client: Client, expected_versions: dict[str, int], refusal: str, idempotent: bool
) -> None:
    with client.refused("wrong_expected_version", f"Wrong expected version: {refusal}"):
        client.write_batch(
            "account-1",
            "account-2",
            expected_versions=expected_versions,
            idempotent=idempotent,
        )

    assert client.message_count() == 4


@pytest.mark.parametrize("isolation_level", ISOLATION_LEVELS)
def test_wrong_version_is_told_at_every_isolation_level(
    open_client: OpenClient, isolation_level: str
) -> None:
    client = open_client(isolation_level)
    client.insert("account-1", 3)

    with client.refused(
        "wrong_expected_version", "Wrong expected version: 5 (Stream: account-1, Stream Version: 2)"
    ):
        client.write_batch("account-2", expected_versions={"account-1": 5})

    assert client.message_count() == 3


def test_versions_of_an_empty_document_are_looked_at(client: Client) -> None:
    with client.refused(
        "wrong_expected_version", "Wrong expected version: 0 (Stream: shop-2, Stream Version: -1)"
    ):
        client.write_batch(expected_versions={"shop-2": 0})


def test_null_is_no_expectation(client: Client) -> None:
    assert client.read("write_messages", "[]", '{"account-1": null}') == []
