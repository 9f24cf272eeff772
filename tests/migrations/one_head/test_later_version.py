"""A later revision of the application upgrades the store to a later version, and reverts it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from alembic.util import CommandError

from mdb_sqla.migrations.store_history import VERSIONS
from tests.migrations.catalog import catalog
from tests.migrations.conftest import connected
from tests.migrations.one_head.conftest import OneHead
from tests.migrations.two_heads.application import run_script

LATER = """
from mdb_sqla import migrations

revision = "app_0004"
down_revision = "app_0003"
branch_labels = None
depends_on = None


def upgrade():
    migrations.upgrade("0002")


def downgrade():
    migrations.downgrade("0001")
"""


@pytest.fixture(params=["", ", roles=True"], ids=["without roles", "with roles"])
def upgraded(application: OneHead, request: pytest.FixtureRequest) -> OneHead:
    """The application, whose last revision can be applied."""
    application.call(upgrade=request.param, version="0001")
    application.write("app_0004", LATER)
    application.upgrade("app_0003")
    return application


def versions(application: OneHead) -> list[str]:
    with connected(application.database) as connection:
        rows = connection.execute("SELECT version_num FROM message_store.mdb_sqla_version")
        return sorted(row[0].rpartition("_")[2] for row in rows)


def test_it_is_upgraded_and_reverted(upgraded: OneHead) -> None:
    before = catalog(upgraded.database)
    assert set(versions(upgraded)) == {"0001"}

    upgraded.upgrade()
    assert set(versions(upgraded)) == {"0002"}
    after = catalog(upgraded.database)
    assert after != before

    upgraded.downgrade("-1")
    assert set(versions(upgraded)) == {"0001"}
    assert catalog(upgraded.database) == before

    upgraded.upgrade()
    assert catalog(upgraded.database) == after
    upgraded.downgrade("base")
    assert [row[0] for row in catalog(upgraded.database)["schemas"]] == ["public"]


def test_a_version_that_it_has_or_that_is_later_is_left(upgraded: OneHead) -> None:
    upgraded.write("app_0004", LATER.replace('downgrade("0001")', 'upgrade("0001")'))
    upgraded.upgrade()
    before = catalog(upgraded.database)

    upgraded.downgrade("-1")

    assert catalog(upgraded.database) == before


def test_what_belongs_to_retention_is_not_lost(upgraded: OneHead) -> None:
    upgraded.upgrade()
    with connected(upgraded.database) as connection:
        connection.execute("INSERT INTO retention_policies (category) VALUES ('order')")
    before = catalog(upgraded.database)

    with pytest.raises(CommandError, match=r"retention policies \(1\).*-x delete_retention=yes"):
        upgraded.downgrade("-1")
    assert catalog(upgraded.database) == before

    upgraded.downgrade("-1", delete_retention="yes")
    assert set(versions(upgraded)) == {"0001"}


def test_messages_and_consumers_stay(upgraded: OneHead) -> None:
    upgraded.upgrade()
    with connected(upgraded.database) as connection:
        connection.execute("SELECT write_message(gen_random_uuid()::text, 'order-1', 'T', '{}')")

    upgraded.downgrade("-1")

    with connected(upgraded.database) as connection:
        connection.execute("SELECT write_message(gen_random_uuid()::text, 'order-1', 'T', '{}')")
        assert connection.execute("SELECT stream_version('order-1')").fetchone() == (1,)


def test_a_script_reverts_it(application: OneHead) -> None:
    application.call(version="0001")
    application.write("app_0004", LATER)
    application.upgrade("app_0003")
    before = catalog(application.database)
    application.upgrade()

    run_script(application.database, application.downgrade_script("app_0004:app_0003"))

    assert catalog(application.database) == before


@pytest.mark.parametrize("roles", ["", ", roles=True"], ids=["without roles", "with roles"])
def test_a_script_reverts_several_revisions(application: OneHead, roles: str) -> None:
    application.call(upgrade=roles, downgrade=roles, version="0001")
    for before, version in pairwise(VERSIONS):
        number = int(version) + 2
        text = LATER.replace("0004", f"{number:04}").replace("0003", f"{number - 1:04}")
        text = text.replace('upgrade("0002")', f'upgrade("{version}"{roles})')
        application.write(
            f"app_{number:04}",
            text.replace('downgrade("0001")', f'downgrade("{before}"{roles})'),
        )
    application.upgrade("app_0003")
    catalog_before, versions_before = catalog(application.database), versions(application)
    application.upgrade()
    last = f"app_{len(VERSIONS) + 2:04}"

    run_script(application.database, application.downgrade_script(f"{last}:app_0003"))

    assert catalog(application.database) == catalog_before
    assert versions(application) == versions_before
    application.upgrade()
    run_script(application.database, application.downgrade_script(f"{last}:base"))
    assert [row[0] for row in catalog(application.database)["schemas"]] == ["public"]


@pytest.mark.parametrize("roles", ["", ", roles=True"], ids=["without roles", "with roles"])
def test_a_script_removes_an_earlier_version(application: OneHead, roles: str) -> None:
    application.call(upgrade=roles, downgrade=roles, version="0001")
    application.upgrade()

    run_script(application.database, application.downgrade_script())

    assert [row[0] for row in catalog(application.database)["schemas"]] == ["public"]


def test_no_later_version_than_the_release_has(application: OneHead) -> None:
    application.write("app_0004", LATER.replace("0001", "0005"))
    application.upgrade()

    with pytest.raises(
        CommandError,
        match="version must be 'base' or '0001' or '0002' or '0003' or '0004' in this release",
    ):
        application.downgrade("-1")
