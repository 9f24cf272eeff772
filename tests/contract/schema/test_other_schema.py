"""The store works under another name of its schema; nothing in it names the usual one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mdb_sqla import migrations

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.client import Client

SCHEMAS = ["events", 'Some "odd" name', "it's 100% odd", "user", "Ereignisse für alle"]


@pytest.fixture(params=SCHEMAS)
def other(client: Client, request: pytest.FixtureRequest) -> Client:
    """A client of a store in another schema, in a database that has no other."""
    client.execute("DROP SCHEMA message_store CASCADE")
    migrations.upgrade(client.connection, schema=request.param)
    return type(client)(client.connection, request.param)


def test_every_call(other: Client, every_call_answers: Callable[[Client], None]) -> None:
    every_call_answers(other)


def test_refusal(other: Client) -> None:
    with other.refused(
        "wrong_expected_version", "Wrong expected version: 5 (Stream: a-1, Stream Version: -1)"
    ):
        other.write("a-1", expected_version=5)


def test_granularity_is_switched(other: Client) -> None:
    other.call("set_lock_granularity", "category")

    assert other.call("lock_granularity") == "category"
    assert other.write("account-1") == 0
    assert len(other.read("get_category_messages", "account")) == 1


def test_stores_side_by_side_are_apart(client: Client) -> None:
    migrations.upgrade(client.connection, schema="events")
    other = type(client)(client.connection, "events")

    client.write("account-1")
    other.write("account-1")

    assert other.call("stream_version", "account-1") == 0
    assert len(other.read("get_category_messages", "account")) == 1
