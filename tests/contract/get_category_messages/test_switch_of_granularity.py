"""A snapshot from before a switch of the granularity shows nothing that is not in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import DBAPIError

from tests.contract.client import kind_of

if TYPE_CHECKING:
    from tests.contract.client import Client
    from tests.contract.conftest import OpenClient

OLD_SNAPSHOT = "read_not_exact"

pytestmark = pytest.mark.parametrize("isolation_level", ["REPEATABLE READ", "SERIALIZABLE"])


@pytest.fixture
def owner(open_switching_client: OpenClient) -> Client:
    return open_switching_client("AUTOCOMMIT")


@pytest.fixture
def reader(open_switching_client: OpenClient, isolation_level: str) -> Client:
    """A client whose transactions stay with their first snapshot, and that has read before."""
    reader = open_switching_client(isolation_level)
    for _ in range(6):
        reader.read("get_category_messages", "account")
    reader.connection.rollback()
    return reader


def read(reader: Client, correlation: str | None) -> list[str]:
    messages = reader.read("get_category_messages", "account", correlation=correlation)
    return [message.stream_name for message in messages]


CORRELATED = '{"correlationStreamName": "shop-1"}'
correlations = pytest.mark.parametrize("correlation", [None, "shop"])


@correlations
def test_switch_to_stream(owner: Client, reader: Client, correlation: str | None) -> None:
    owner.write("account-1", metadata=CORRELATED)
    assert reader.message_count() == 1
    owner.call("set_lock_granularity", "stream")
    owner.write("account-2", metadata=CORRELATED)

    # Up to its snapshot, each category has had one writer at a time; but a session may learn of the
    # switch before it gets that far.
    try:
        outcome: list[str] | str = read(reader, correlation)
    except DBAPIError as error:
        outcome = kind_of(error)
    assert outcome in (["account-1"], OLD_SNAPSHOT)


@correlations
def test_switch_to_category(
    owner: Client, open_switching_client: OpenClient, reader: Client, correlation: str | None
) -> None:
    owner.call("set_lock_granularity", "stream")
    writer = open_switching_client()
    writer.write("account-1", metadata=CORRELATED)
    owner.write("account-2", metadata=CORRELATED)
    # Sees the second message, and will never see the first.
    assert reader.message_count() == 1
    writer.connection.commit()
    owner.call("set_lock_granularity", "category")

    with reader.refused(OLD_SNAPSHOT):
        read(reader, correlation)

    reader.connection.rollback()
    assert read(reader, correlation) == ["account-1", "account-2"]


@correlations
def test_switch_there_and_back(owner: Client, reader: Client, correlation: str | None) -> None:
    owner.write("account-1", metadata=CORRELATED)
    assert reader.message_count() == 1
    owner.call("set_lock_granularity", "stream")
    owner.call("set_lock_granularity", "category")
    owner.write("account-2", metadata=CORRELATED)

    assert read(reader, correlation) == ["account-1"]


@correlations
def test_same_granularity_again(owner: Client, reader: Client, correlation: str | None) -> None:
    owner.write("account-1", metadata=CORRELATED)
    assert reader.message_count() == 1
    owner.call("set_lock_granularity", "category")

    assert read(reader, correlation) == ["account-1"]
