from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client

METADATA = {
    "account-1": '{"correlationStreamName": "shop-1"}',
    "account-2": '{"correlationStreamName": "shop-2+3"}',
    "account-3": '{"correlationStreamName": "shop"}',
    "account-4": '{"correlationStreamName": "shop:order-1"}',
    "account-5": '{"correlationStreamName": "shopping-1"}',
    "account-6": '{"correlationStreamName": null}',
    "account-7": '{"correlation_stream_name": "shop-1"}',
    "account-8": '{"properties": {"correlationStreamName": "shop-1"}}',
    "account-9": "{}",
    "account-10": None,
    "other-1": '{"correlationStreamName": "shop-1"}',
}


@pytest.fixture
def messages(client: Client) -> None:
    for stream_name, metadata in METADATA.items():
        client.write(stream_name, metadata=metadata)


@pytest.mark.usefixtures("messages")
@pytest.mark.parametrize(
    ("correlation", "streams"),
    [
        ("shop", ["account-1", "account-2", "account-3"]),
        ("shop:order", ["account-4"]),
        ("shopping", ["account-5"]),
        ("sho", []),
        ("", []),
    ],
)
def test_correlation_keeps_messages_of_the_category(
    client: Client, correlation: str, streams: list[str]
) -> None:
    messages = client.read("get_category_messages", "account", correlation=correlation)

    assert [message.stream_name for message in messages] == streams


@pytest.mark.usefixtures("messages")
def test_null_keeps_all_messages(client: Client) -> None:
    messages = client.read("get_category_messages", "account", correlation=None)

    assert [message.stream_name for message in messages] == list(METADATA)[:-1]


@pytest.mark.usefixtures("messages")
def test_batch_size_counts_what_the_correlation_keeps(client: Client) -> None:
    client.write("account-1", metadata=METADATA["account-1"])

    messages = client.read("get_category_messages", "account", batch_size=4, correlation="shop")

    assert [message.stream_name for message in messages] == [
        "account-1",
        "account-2",
        "account-3",
        "account-1",
    ]


@pytest.mark.parametrize("correlation", ["other-1", "other-", "50%-1"])
def test_stream_name_is_refused(client: Client, correlation: str) -> None:
    refusal = f"Correlation must be a category (Correlation: {correlation})"

    with client.refused("invalid_correlation", refusal):
        client.read("get_category_messages", "account", correlation=correlation)
