"""Who may add entries to the log of operations; nobody may forge or change what it says."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from mdb_sqla import NotPermitted
from mdb_sqla.admin import operations, record_operation
from mdb_sqla.database.error_translation import translated
from tests.privileges.conftest import MemberOf

CONSUMERS = ["message_store_consumer", "message_store"]


@pytest.mark.parametrize("role", CONSUMERS)
def test_a_consumer_records_and_reads(
    member_of: MemberOf, members: dict[str, str], role: str
) -> None:
    with member_of(role).begin() as connection:
        record_operation(connection, f"of:{role}", "billing", details={"n": 1}, by="alice")

    with member_of("message_store_reader").connect() as connection:
        (found,) = operations(connection, kind=f"of:{role}")
    assert (found.performed_by, found.role) == ("alice", members[role])


@pytest.mark.parametrize("role", ["message_store_reader", "message_store_writer"])
def test_others_only_read(member_of: MemberOf, role: str) -> None:
    with member_of(role).begin() as connection:
        operations(connection)
        with pytest.raises(NotPermitted, match="permission denied for table operations"):
            record_operation(connection, "verify")


@pytest.mark.parametrize("role", CONSUMERS)
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO message_store.operations (kind, role) VALUES ('verify', 'postgres')",
        "INSERT INTO message_store.operations (kind, performed_at) VALUES ('verify', now())",
        "UPDATE message_store.operations SET performed_by = 'bob'",
        "DELETE FROM message_store.operations",
        "TRUNCATE message_store.operations",
    ],
)
def test_nothing_is_forged_or_changed(member_of: MemberOf, role: str, statement: str) -> None:
    with (
        member_of(role).begin() as connection,
        pytest.raises(NotPermitted, match="permission denied"),
        translated(),
    ):
        connection.execute(text(statement))
