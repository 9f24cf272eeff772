from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from tests.contract.client import Client
    from tests.contract.conftest import OpenClient


@pytest.mark.parametrize("categories", [["account-1"], ["shop", "account-1"], ["account-1", None]])
def test_stream_name_is_refused(client: Client, categories: list[str | None]) -> None:
    with client.refused("not_a_category", "Must be a category: account-1"):
        client.read("get_messages", categories)


@pytest.mark.parametrize("correlation", ["other-1", "50%-1"])
def test_stream_name_as_correlation_is_refused(client: Client, correlation: str) -> None:
    with client.refused(
        "invalid_correlation", f"Correlation must be a category (Correlation: {correlation})"
    ):
        client.read("get_messages", correlation=correlation)


def test_consumer_group_is_refused(client: Client) -> None:
    refusal = (
        "Consumer group member must be less than the group size "
        "(Consumer Group Member: 7, Consumer Group Size: 3)"
    )
    with client.refused("invalid_consumer_group", refusal):
        client.read("get_messages", consumer_group_member=7, consumer_group_size=3)


def test_condition_that_is_not_activated_is_refused(client: Client) -> None:
    with client.refused("condition_not_activated", "Retrieval with SQL condition is not activated"):
        client.read("get_messages", condition="true")


@pytest.mark.parametrize("isolation_level", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("categories", [None, ["account"]])
def test_old_snapshot_is_refused(
    open_client: OpenClient, isolation_level: str, categories: list[str] | None
) -> None:
    client = open_client(isolation_level)

    with pytest.raises(DBAPIError) as caught:
        client.read("get_messages", categories)

    assert isinstance(caught.value.orig, psycopg.Error)
    assert caught.value.orig.diag.constraint_name == "read_not_exact"
    assert caught.value.orig.diag.message_primary == (
        "Must be read at isolation level read committed, with a snapshot newer than its writers "
        f"(Isolation Level: {isolation_level.lower()}, Lock Granularity: stream)"
    )
    hint = (
        "Read on another connection, at READ COMMITTED. One category can be read at any level "
        "where writers lock categories: mdb lock-granularity category."
    )
    assert caught.value.orig.diag.message_hint == hint
