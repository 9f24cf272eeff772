"""What a writer locks: its category, or its stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.client import Client
    from tests.contract.conftest import OpenClient

INVALID_PARAMETER_VALUE = "22023"
INVALID_TRANSACTION_STATE = "25000"
INSUFFICIENT_PRIVILEGE = "42501"


def test_stream_is_the_default(client: Client) -> None:
    assert client.call("lock_granularity") == "stream"


@pytest.mark.parametrize("granularities", [["stream"], ["stream", "category"], ["category"]])
def test_it_is_what_it_was_set_to(client: Client, granularities: list[str]) -> None:
    for granularity in granularities:
        client.call("set_lock_granularity", granularity)

        assert client.call("lock_granularity") == granularity
        assert client.call("granularity_of_snapshot") == granularity


@pytest.mark.parametrize(
    ("granularity", "text"),
    [("table", "table"), ("", ""), ("Stream", "Stream"), ("100%", "100%"), (None, "<NULL>")],
)
def test_other_values_are_refused(client: Client, granularity: str | None, text: str) -> None:
    refusal = f"Lock granularity must be category or stream: {text}"

    with client.refused(INVALID_PARAMETER_VALUE, refusal):
        client.call("set_lock_granularity", granularity)

    assert client.call("lock_granularity") == "stream"


@pytest.mark.parametrize("isolation_level", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("granularity", ["stream", "category"])
def test_old_snapshot_is_refused(
    open_client: OpenClient, isolation_level: str, granularity: str
) -> None:
    client = open_client(isolation_level)
    refusal = (
        "Lock granularity must be set at isolation level read committed "
        f"(Isolation Level: {isolation_level.lower()})"
    )

    with client.refused(INVALID_TRANSACTION_STATE, refusal):
        client.call("set_lock_granularity", granularity)


@pytest.mark.parametrize(("before", "after"), [("category", "stream"), ("stream", "category")])
def test_rollback_to_a_savepoint_brings_the_other_back(
    client: Client, before: str, after: str
) -> None:
    client.call("set_lock_granularity", before)
    with client.connection.begin_nested() as savepoint:
        client.call("set_lock_granularity", after)
        client.write("account-1")
        savepoint.rollback()

    client.write("account-1")

    assert client.call("lock_granularity") == before
    mode = {"category": "ExclusiveLock", "stream": "ShareLock"}[before]
    assert client.category_lock("account") == mode


@pytest.mark.parametrize("granularity", ["stream", "category"])
def test_only_the_owner_may_set_it(client: Client, granularity: str) -> None:
    client.execute("CREATE ROLE message_store_other NOLOGIN")
    client.execute("GRANT USAGE ON SCHEMA message_store TO message_store_other")
    client.execute("GRANT ALL ON ALL TABLES IN SCHEMA message_store TO message_store_other")
    client.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA message_store TO message_store_other")
    client.execute("SET LOCAL ROLE message_store_other")

    with client.refused(INSUFFICIENT_PRIVILEGE):
        client.call("set_lock_granularity", granularity)
    assert client.write("account-1") == 0


def test_owner_needs_no_other_power(
    client: Client, every_call_answers: Callable[[Client], None]
) -> None:
    client.execute("CREATE ROLE message_store_owner NOLOGIN")
    client.execute("GRANT ALL ON SCHEMA message_store TO message_store_owner")
    client.execute(
        "DO $do$ DECLARE item record; BEGIN FOR item IN "
        "SELECT oid::regprocedure AS name FROM pg_proc "
        "WHERE pronamespace = 'message_store'::regnamespace "
        "LOOP EXECUTE format('ALTER ROUTINE %s OWNER TO message_store_owner', item.name); "
        "END LOOP; "
        "FOR item IN SELECT oid::regclass AS name FROM pg_class "
        "WHERE relnamespace = 'message_store'::regnamespace AND relkind IN ('r', 'v') "
        "LOOP EXECUTE format('ALTER TABLE %s OWNER TO message_store_owner', item.name); END LOOP; "
        "END $do$"
    )
    client.execute("SET LOCAL ROLE message_store_owner")

    client.call("set_lock_granularity", "category")
    client.call("set_lock_granularity", "stream")

    every_call_answers(client)
