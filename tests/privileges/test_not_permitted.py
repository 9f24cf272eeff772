"""What a role may not do is refused with the object's name, and the roles that may."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import URL, text

from mdb_sqla import Message, NotPermitted
from tests.cli.test_mdb import mdb
from tests.conftest import Databases, Flavour

ROLE = f"mdb_sqla_nobody_{os.getpid()}"

CALLS: dict[str, Any] = {
    "write": lambda store: store.write("account-1", Message("Opened")),
    "several": lambda store: store.write("account-1", [Message("Opened")] * 2),
    "stream": lambda store: store.read_stream("account-1"),
    "category": lambda store: store.read_category("account"),
    "version": lambda store: store.version("account-1"),
}


@pytest.fixture(scope="module")
def nobody(databases: Databases) -> Iterator[str]:
    """A role without any rights."""
    databases.execute(f"CREATE ROLE {ROLE} LOGIN")
    yield ROLE
    databases.execute(f"DROP ROLE {ROLE}")


@pytest.mark.parametrize("grant", [None, "USAGE ON SCHEMA message_store"], ids=["none", "schema"])
def test_calls(flavour: Flavour, nobody: str, grant: str | None) -> None:
    named = "schema message_store" if grant is None else "(table|sequence) (messages|stream_heads)"
    with flavour.connection() as connection:
        if grant is not None:
            flavour.run(connection.execute(text(f"GRANT {grant} TO {nobody}")))
        flavour.run(connection.execute(text(f"SET LOCAL ROLE {nobody}")))
        for call in CALLS.values():
            flavour.run(connection.execute(text("SAVEPOINT before")))
            with pytest.raises(NotPermitted, match=f"permission denied for {named}") as refused:
                flavour.run(call(flavour.store(connection)))
            flavour.run(connection.execute(text("ROLLBACK TO SAVEPOINT before")))

            assert "message_store_writer" in str(refused.value)
            assert "docs/privileges.md" in str(refused.value)
            assert "SELECT" not in str(refused.value)


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("upgrade --schema events", "database"),
        ("consumers", "schema message_store"),
        ("lock-granularity stream", "schema message_store"),
    ],
)
def test_commands(clean_database: URL, nobody: str, command: str, named: str) -> None:
    done = mdb(*command.split(), url=clean_database.set(username=nobody), code=1)

    assert f"permission denied for {named}" in done.stderr
    assert "docs/privileges.md" in done.stderr
