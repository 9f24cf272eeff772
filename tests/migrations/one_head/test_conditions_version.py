"""The version with append conditions and the index of tags, and the way back."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from alembic.util import CommandError
from sqlalchemy import URL

from mdb_sqla import migrations
from mdb_sqla.admin import verify
from mdb_sqla.migrations.store_history import LATEST
from tests.migrations.catalog import catalog
from tests.migrations.conftest import connected, engine_of
from tests.migrations.one_head.conftest import OneHead
from tests.migrations.one_head.test_later_version import LATER, versions
from tests.migrations.two_heads.application import run_script

PAGE = Path(__file__).parents[3] / "docs" / "migrations.md"
REVISION = LATER.replace("0002", "0004").replace("0001", "0003")
MAY = "SELECT has_function_privilege(%s, %s::regproc, 'EXECUTE')"


@pytest.fixture
def earlier(application: OneHead) -> OneHead:
    """The application, at version 0003 of the store; its last revision can be applied."""
    application.call(version="0003")
    application.write("app_0004", REVISION)
    application.upgrade("app_0003")
    return application


@pytest.mark.parametrize("roles", ["", ", roles=True"], ids=["without roles", "with roles"])
def test_it_is_upgraded_and_reverted(application: OneHead, roles: str) -> None:
    application.call(upgrade=roles, version="0003")
    application.write("app_0004", REVISION)
    application.upgrade("app_0003")
    with connected(application.database) as connection:
        connection.execute("SELECT write_message(gen_random_uuid()::varchar, 'a-1', 'A', '{}')")
    before = catalog(application.database)

    application.upgrade()
    assert set(versions(application)) == {"0004"}
    after = catalog(application.database)
    assert after != before

    # Nothing is lost, so that nothing has to be allowed.
    application.downgrade("-1")
    assert set(versions(application)) == {"0003"}
    assert catalog(application.database) == before

    application.upgrade()
    assert catalog(application.database) == after


def test_a_script_reverts_it(earlier: OneHead) -> None:
    before = catalog(earlier.database)
    earlier.upgrade()

    run_script(earlier.database, earlier.downgrade_script("app_0004:app_0003"))

    assert catalog(earlier.database) == before


def test_who_may_write_may_write_with_conditions(earlier: OneHead) -> None:
    """And who may read may read by query, whatever the privileges of new functions are."""
    with connected(earlier.database) as connection:
        try:
            connection.execute(
                "CREATE ROLE mdb_sqla_writer; CREATE ROLE mdb_sqla_reader;"
                "CREATE ROLE mdb_sqla_nobody;"
                "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA message_store FROM PUBLIC;"
                "GRANT EXECUTE ON FUNCTION write_messages TO mdb_sqla_writer WITH GRANT OPTION;"
                "GRANT EXECUTE ON FUNCTION get_messages TO mdb_sqla_writer, mdb_sqla_reader;"
                "ALTER DEFAULT PRIVILEGES IN SCHEMA message_store "
                "GRANT EXECUTE ON FUNCTIONS TO mdb_sqla_nobody"
            )

            earlier.upgrade()

            for role, function, expected in (
                ("mdb_sqla_writer", "write_conditionally", True),
                ("mdb_sqla_writer", "get_query_messages", True),
                ("mdb_sqla_reader", "write_conditionally", False),
                ("mdb_sqla_reader", "get_query_messages", True),
                ("mdb_sqla_nobody", "write_conditionally", False),
                ("mdb_sqla_nobody", "get_query_messages", False),
                # Called on behalf of others.
                ("mdb_sqla_reader", "find_matches", True),
                ("mdb_sqla_writer", "check_conditions", True),
            ):
                assert connection.execute(MAY, (role, function)).fetchone() == (expected,), role
            grantable = (
                "SELECT has_function_privilege(%s, %s::regproc, 'EXECUTE WITH GRANT OPTION')"
            )
            for function, expected in (("write_conditionally", True), ("find_matches", False)):
                row = connection.execute(grantable, ("mdb_sqla_writer", function)).fetchone()
                assert row == (expected,)
        finally:
            connection.execute("DROP OWNED BY mdb_sqla_writer, mdb_sqla_reader, mdb_sqla_nobody")
            connection.execute("DROP ROLE mdb_sqla_writer, mdb_sqla_reader, mdb_sqla_nobody")


def index_of_the_page() -> str:
    page = PAGE.read_text(encoding="utf-8")
    (statement,) = re.findall(r"^    (CREATE INDEX .*?)\n\n", page, re.DOTALL | re.MULTILINE)
    return str(statement)


def test_index_that_was_created_before(application: OneHead) -> None:
    application.call(version="0003")
    application.write("app_0004", REVISION.replace('"0004"', f'"{LATEST}"'))
    application.upgrade("app_0003")
    with connected(application.database) as connection:
        connection.execute(index_of_the_page().encode())
        (oid,) = connection.execute("SELECT 'messages_tags'::regclass::oid").fetchone() or ()

        application.upgrade()

        row = connection.execute("SELECT 'messages_tags'::regclass::oid").fetchone()
        assert row == (oid,)
    assert verify(engine_of(application.database)).differences == []


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("CREATE INDEX messages_tags ON messages (type)", "is not the one that version 0004 needs"),
        (
            "CREATE INDEX messages_tags ON messages "
            "USING gin ((metadata -> 'tags') jsonb_path_ops)",
            "is not the one that version 0004 needs",
        ),
        (
            index_of_the_page().replace("CONCURRENTLY", "")
            + ";UPDATE pg_index SET indisvalid = false "
            "WHERE indexrelid = 'messages_tags'::regclass",
            "is not the one that version 0004 needs, and is invalid",
        ),
    ],
)
def test_other_index(earlier: OneHead, statement: str, why: str) -> None:
    with connected(earlier.database) as connection:
        connection.execute(statement.encode())
        before = catalog(earlier.database)

        with pytest.raises(CommandError, match=f"{why}.*Drop it; the upgrade creates the index"):
            earlier.upgrade()
        assert catalog(earlier.database) == before

        connection.execute("DROP INDEX messages_tags")
    earlier.upgrade()


def test_a_store_of_message_db(original_1_3: URL) -> None:
    engine = engine_of(original_1_3)

    migrations.upgrade(engine)

    with connected(original_1_3, role="message_store") as connection:
        connection.execute(
            "SELECT write_conditionally(jsonb_build_array(jsonb_build_object("
            "'id', gen_random_uuid(), 'stream_name', 'account-1', 'type', 'Closed')), "
            """'[{"query": [{"categories": ["other"]}], "after": 0}]')"""
        )
        query = """[{"categories": ["account"], "types": ["Closed"]}]"""
        rows = connection.execute("SELECT type FROM get_query_messages(%s)", [query]).fetchall()
        assert rows == [("Closed",)]
        with pytest.raises(psycopg.errors.RaiseException, match="Append condition failed"):
            connection.execute(
                "SELECT write_conditionally('[]', "
                """'[{"query": [{"categories": ["account"]}], "after": 0}]')"""
            )
