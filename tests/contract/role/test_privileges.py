from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.client import Client

INSUFFICIENT_PRIVILEGE = "42501"


def test_role_may_make_every_call(
    as_role: Callable[[], Client], every_call_answers: Callable[[Client], None]
) -> None:
    every_call_answers(as_role())


def test_role_is_refused_what_everyone_is_refused(as_role: Callable[[], Client]) -> None:
    client = as_role()

    with client.refused("wrong_expected_version"):
        client.write("account-1", expected_version=5)
    with client.refused("condition_not_activated"):
        client.read("get_stream_messages", "account-1", condition="true")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM message_store.messages",
        "INSERT INTO message_store.messages (stream_name, position, type) "
        "VALUES ('account-1', 0, 'Opened') RETURNING position",
        "SELECT nextval('message_store.messages_global_position_seq') * 0",
        "SELECT last_value * 0 FROM message_store.messages_global_position_seq",
    ],
)
def test_role_may(as_role: Callable[[], Client], sql: str) -> None:
    assert as_role().value(sql) == 0


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE message_store.messages SET type = 'Closed'",
        "DELETE FROM message_store.messages",
        "TRUNCATE message_store.messages",
        "DROP TABLE message_store.messages",
        "ALTER TABLE message_store.messages ADD COLUMN other text",
        "SELECT setval('message_store.messages_global_position_seq', 1)",
        "CREATE TABLE message_store.other ()",
        "CREATE FUNCTION message_store.other() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "DROP SCHEMA message_store CASCADE",
        "SELECT message_store.set_lock_granularity('stream')",
        "SELECT message_store.set_lock_granularity('category')",
    ],
)
def test_role_may_not(as_role: Callable[[], Client], sql: str) -> None:
    client = as_role()
    client.write("account-1")

    with client.refused(INSUFFICIENT_PRIVILEGE):
        client.execute(sql)


TABLE_PRIVILEGES = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"]


@pytest.mark.usefixtures("new_role")
@pytest.mark.parametrize(
    ("relation", "granted"),
    [
        ("messages", {"SELECT", "INSERT"}),
        ("stream_summary", {"SELECT"}),
        ("type_summary", {"SELECT"}),
        ("stream_type_summary", {"SELECT"}),
        ("type_stream_summary", {"SELECT"}),
        ("category_type_summary", {"SELECT"}),
        ("type_category_summary", {"SELECT"}),
    ],
)
def test_privileges_on_relations(client: Client, relation: str, granted: set[str]) -> None:
    def has(privilege: str) -> Any:
        return client.value(
            "SELECT has_table_privilege('message_store', :relation, :privilege)",
            relation=f"message_store.{relation}",
            privilege=privilege,
        )

    assert {privilege for privilege in TABLE_PRIVILEGES if has(privilege)} == granted


@pytest.mark.usefixtures("new_role")
def test_role_owns_nothing(client: Client) -> None:
    owned = client.value(
        "SELECT count(*) FROM pg_shdepend "
        "WHERE refobjid = 'message_store'::regrole AND deptype = 'o'"
    )

    assert owned == 0
