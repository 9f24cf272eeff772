from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.client import Client


def test_position_batch_size_correlation_group_and_condition(
    client: Client, expected_hash: Callable[[str], int]
) -> None:
    client.set_local("message_store.sql_condition", "on")
    for _ in range(4):
        for number in range(1, 11):
            for correlation in ("shop-1", "other-1"):
                client.write(
                    f"account-{number}",
                    metadata=f'{{"correlationStreamName": "{correlation}"}}',
                )
    everything = client.read("get_category_messages", "account")
    start = everything[20].global_position

    messages = client.read(
        "get_category_messages", "account", start, 5, "shop", 1, 2, "position > 2 OR position = 0"
    )

    kept = [
        message
        for message in everything[20:]
        if "shop-1" in message.metadata
        and abs(expected_hash(message.stream_name.partition("-")[2])) % 2 == 1
        and (message.position > 2 or message.position == 0)
    ]
    assert len(kept) > 5
    assert messages == kept[:5]
