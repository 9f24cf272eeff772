"""Calls that name the store's schema work with any `search_path`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client


@pytest.fixture
def decoy(client: Client) -> None:
    """Objects with the names of the store's own, in a schema that comes first, and temporary."""
    client.execute("CREATE SCHEMA decoy")
    client.execute(
        "DO $do$ DECLARE definition text; BEGIN "
        "FOR definition IN "
        " SELECT format('CREATE FUNCTION decoy.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', proname,"
        "  pg_get_function_identity_arguments(oid), pg_get_function_result(oid),"
        "  'BEGIN RAISE ''decoy''; END')"
        " FROM pg_proc WHERE pronamespace = 'message_store'::regnamespace "
        "LOOP EXECUTE definition; END LOOP; END $do$"
    )
    client.execute("CREATE TYPE decoy.message AS (decoy text)")
    client.execute("CREATE TABLE decoy.messages (decoy text)")
    client.execute("CREATE TEMPORARY TABLE messages (decoy text)")


@pytest.fixture
def message(client: Client) -> None:
    client.write("account-1", metadata='{"correlationStreamName": "shop-1"}')
    client.set_local("message_store.sql_condition", "on")


@pytest.mark.usefixtures("decoy", "message")
@pytest.mark.parametrize("search_path", ["", "pg_catalog", "public", "decoy, public"])
def test_call(client: Client, call: tuple[str, Any], search_path: str) -> None:
    sql, answer = call
    client.set_local("search_path", search_path)

    assert client.value(sql.replace("{schema}", "message_store")) == answer


@pytest.mark.usefixtures("message")
def test_unqualified_call_with_the_schema_on_the_search_path(
    client: Client, call: tuple[str, Any]
) -> None:
    sql, answer = call
    client.set_local("search_path", "message_store")

    assert client.value(sql.replace("{schema}.", "")) == answer


@pytest.mark.usefixtures("decoy")
@pytest.mark.parametrize("search_path", ["", "decoy, public"])
def test_refusal(client: Client, search_path: str) -> None:
    client.set_local("search_path", search_path)

    with client.refused(
        "wrong_expected_version", "Wrong expected version: 5 (Stream: a-1, Stream Version: -1)"
    ):
        client.write("a-1", expected_version=5)
    with client.refused("condition_not_activated", "Retrieval with SQL condition is not activated"):
        client.read("get_stream_messages", "account-1", condition="true")
