"""The version with pauses of consumers and the log of operations, and the way back."""

from __future__ import annotations

import pytest
from alembic.util import CommandError

from tests.migrations.catalog import catalog
from tests.migrations.conftest import connected
from tests.migrations.one_head.conftest import OneHead
from tests.migrations.one_head.test_later_version import LATER, versions
from tests.migrations.two_heads.application import run_script

REGISTER = "INSERT INTO consumers (consumer, categories, start) VALUES ('billing', '{order}', 1)"
PAUSE = "UPDATE consumers SET paused_at = now(), paused_by = 'alice'"
RECORD = "INSERT INTO operations (kind) VALUES ('verify')"


@pytest.fixture(params=["", ", roles=True"], ids=["without roles", "with roles"])
def upgraded(application: OneHead, request: pytest.FixtureRequest) -> OneHead:
    """The application, at version 0002 of the store; its last revision can be applied."""
    application.call(upgrade=request.param, version="0002")
    application.write("app_0004", LATER.replace("0002", "0003").replace("0001", "0002"))
    application.upgrade("app_0003")
    return application


def test_it_is_upgraded_and_reverted(upgraded: OneHead) -> None:
    with connected(upgraded.database) as connection:
        connection.execute(REGISTER)
    before = catalog(upgraded.database)

    upgraded.upgrade()
    assert set(versions(upgraded)) == {"0003"}
    after = catalog(upgraded.database)
    assert after != before

    upgraded.downgrade("-1")
    assert set(versions(upgraded)) == {"0002"}
    assert catalog(upgraded.database) == before
    with connected(upgraded.database) as connection:
        assert connection.execute("SELECT consumer FROM consumers").fetchall() == [("billing",)]

    upgraded.upgrade()
    assert catalog(upgraded.database) == after


@pytest.mark.parametrize(
    ("statement", "what"),
    [(PAUSE, r"pauses of consumers \(1\)"), (RECORD, r"log entries of operations \(1\)")],
)
def test_nothing_is_lost(upgraded: OneHead, statement: str, what: str) -> None:
    """Or resumed, without a word."""
    upgraded.upgrade()
    with connected(upgraded.database) as connection:
        connection.execute(REGISTER)
        connection.execute(statement)
    before = catalog(upgraded.database)

    with pytest.raises(CommandError, match=f"{what}.*-x delete_operations=yes"):
        upgraded.downgrade("-1")
    with pytest.raises(CommandError, match=what):
        upgraded.downgrade("base", delete_consumers="yes")
    assert catalog(upgraded.database) == before

    upgraded.downgrade("-1", delete_operations="yes")
    assert set(versions(upgraded)) == {"0002"}


def test_a_script_reverts_it(application: OneHead) -> None:
    application.call(version="0002")
    application.write("app_0004", LATER.replace("0002", "0003").replace("0001", "0002"))
    application.upgrade("app_0003")
    before = catalog(application.database)
    application.upgrade()

    run_script(application.database, application.downgrade_script("app_0004:app_0003"))

    assert catalog(application.database) == before


def test_roles_that_could_change_consumers_may_record_it(application: OneHead) -> None:
    """Those that only read them may not."""
    application.call(version="0002")
    application.write("app_0004", LATER.replace("0002", "0003").replace("0001", "0002"))
    application.upgrade("app_0003")
    with connected(application.database) as connection:
        try:
            connection.execute("CREATE ROLE mdb_sqla_shop; CREATE ROLE mdb_sqla_report")
            connection.execute("GRANT SELECT, UPDATE ON dead_letters TO mdb_sqla_shop")
            connection.execute("GRANT SELECT ON dead_letters TO mdb_sqla_report")

            application.upgrade()

            may = "SELECT has_column_privilege(%s, 'operations', %s, 'INSERT')"
            for role, column, expected in (
                ("mdb_sqla_shop", "kind", True),
                ("mdb_sqla_shop", "performed_by", True),
                ("mdb_sqla_shop", "role", False),
                ("mdb_sqla_report", "kind", False),
            ):
                assert connection.execute(may, (role, column)).fetchone() == (expected,)
        finally:
            connection.execute("DROP OWNED BY mdb_sqla_shop, mdb_sqla_report")
            connection.execute("DROP ROLE mdb_sqla_shop, mdb_sqla_report")


def test_a_pause_has_both_columns(application: OneHead) -> None:
    application.upgrade()
    with connected(application.database) as connection:
        connection.execute(REGISTER)
        for column in ("paused_at = now()", "paused_by = 'alice'"):
            with pytest.raises(Exception, match="consumers_paused"):
                connection.execute(f"UPDATE consumers SET {column}")
