"""Retention policies that an application's revisions set, online and in a script."""

from __future__ import annotations

from datetime import timedelta

import pytest
from alembic.util import CommandError
from sqlalchemy import create_engine

from mdb_sqla import InvalidArgument, migrations, retention
from mdb_sqla.retention import RetentionPolicy
from tests.migrations.one_head.conftest import OneHead
from tests.migrations.two_heads.application import run_script

_REVISION = """
from datetime import timedelta

from mdb_sqla import migrations

revision = "app_0004"
down_revision = "app_0003"


def upgrade():
    migrations.set_retention_policy("order", keep_last=9)
    migrations.set_retention_policy("order", {rules})
    migrations.set_retention_policy("outbox", keep_versions=False)


def downgrade():
    migrations.delete_retention_policy("order")
    migrations.delete_retention_policy("nothing")
"""

ORDER = RetentionPolicy("order", timedelta(days=30, seconds=1.5), 2)
OUTBOX = RetentionPolicy("outbox", keep_versions=False)


@pytest.fixture
def kept(application: OneHead) -> OneHead:
    rules = "keep_age=timedelta(days=30, seconds=1.5), keep_last=2"
    application.write("app_0004", _REVISION.format(rules=rules))
    return application


def policies(application: OneHead) -> list[RetentionPolicy]:
    engine = create_engine(application.database)
    with engine.connect() as connection:
        found = retention.policies(connection)
    engine.dispose()
    return found


def test_online(kept: OneHead) -> None:
    kept.upgrade()
    assert policies(kept) == [ORDER, OUTBOX]
    kept.downgrade("app_0003")
    assert policies(kept) == [OUTBOX]


def test_in_a_script(kept: OneHead) -> None:
    kept.upgrade("app_0003")
    run_script(kept.database, kept.upgrade_script("app_0003:app_0004"))
    assert policies(kept) == [ORDER, OUTBOX]
    run_script(kept.database, kept.downgrade_script("app_0004:app_0003"))
    assert policies(kept) == [OUTBOX]


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ("keep_last=0", "keep_last must be an integer of at least 1, got 0"),
        ("keep_age=timedelta()", "keep_age must be a positive timedelta"),
    ],
)
def test_rules_that_are_refused(application: OneHead, rules: str, why: str) -> None:
    application.write("app_0004", _REVISION.format(rules=rules))
    application.upgrade("app_0003")
    with pytest.raises(CommandError, match=why):
        application.upgrade()
    assert policies(application) == []


def test_before_the_store_is_there(application: OneHead) -> None:
    application.call("")
    application.write("app_0004", _REVISION.format(rules="").replace("app_0003", "app_0001"))
    with pytest.raises(CommandError, match="not installed in this database and schema"):
        application.upgrade("app_0004")


def test_only_in_a_revision() -> None:
    with pytest.raises(InvalidArgument, match="Only an Alembic revision of your application"):
        migrations.set_retention_policy("order", keep_last=1)
