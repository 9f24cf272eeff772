"""What an application's own role needs, beside what is open to all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client

INSUFFICIENT_PRIVILEGE = "42501"


@pytest.fixture
def writer(client: Client) -> Client:
    """A client that may select and insert, draw positions and look at the last one."""
    for grant in (
        "USAGE ON SCHEMA message_store",
        "SELECT, INSERT ON message_store.messages, message_store.stream_heads",
        "USAGE, SELECT ON SEQUENCE message_store.messages_global_position_seq",
    ):
        client.execute(f"GRANT {grant} TO shop_of_the_test")
    client.execute("SET LOCAL ROLE shop_of_the_test")
    return client


@pytest.fixture
def reader(client: Client) -> Client:
    """A client that may select, of a store with a message; the last position too, for floors."""
    client.write("account-1")
    for grant in (
        "USAGE ON SCHEMA message_store",
        "SELECT ON message_store.messages, message_store.stream_heads",
        "SELECT ON SEQUENCE message_store.messages_global_position_seq",
    ):
        client.execute(f"GRANT {grant} TO shop_of_the_test")
    client.execute("SET LOCAL ROLE shop_of_the_test")
    return client


@pytest.fixture(autouse=True, params=["category", "stream"])
def granularity(client: Client, request: pytest.FixtureRequest) -> None:
    client.execute("CREATE ROLE shop_of_the_test NOLOGIN")
    client.call("set_lock_granularity", request.param)


def test_writer(writer: Client) -> None:
    assert writer.write("account-1") == 0
    assert [position for position, _ in writer.write_batch("account-1", "shop-1")] == [1, 0]
    assert writer.read("prepare_copy", ["account-1"], 0)[0].versions == [1]
    assert len(writer.read("get_category_messages", "account")) == 2
    assert len(writer.read("get_messages")) == 3


def test_reader(reader: Client) -> None:
    assert len(reader.read("get_category_messages", "account")) == 1
    assert len(reader.read("get_messages")) == 1
    assert len(reader.read("get_stream_messages", "account-1")) == 1
    with reader.refused(INSUFFICIENT_PRIVILEGE):
        reader.write("account-1")
