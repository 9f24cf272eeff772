"""An application of three revisions, of which the second installs the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import URL, BigInteger, Column, Table

from mdb_sqla.migrations.store_history import LATEST
from tests.migrations.two_heads.application import FIRST_REVISION, Application

_STORE = """
from alembic import op
from mdb_sqla import migrations

revision = "app_0002"
down_revision = "app_0001"
branch_labels = None
depends_on = None


def upgrade():
    migrations.upgrade("{version}"{upgrade})
    op.execute('CREATE VIEW written AS SELECT count(*) FROM {schema}.messages')


def downgrade():
    op.execute("DROP VIEW written")
    migrations.downgrade("base"{downgrade})
"""

_LAST = """
import sqlalchemy as sa
from alembic import op

revision = "app_0003"
down_revision = "app_0002"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table("invoices", sa.Column("id", sa.BigInteger, primary_key=True))


def downgrade():
    op.drop_table("invoices")
"""

Arguments = Callable[..., None]


class OneHead(Application):
    """An application that installs the store in a revision of its own."""

    def __init__(self, folder: Path, database: URL) -> None:
        super().__init__(folder, database)
        self.locations = []
        Table("invoices", self.metadata, Column("id", BigInteger, primary_key=True))
        self.write("app_0001", FIRST_REVISION.replace('"message_store_0001"', "None"))
        self.call()
        self.write("app_0003", _LAST)

    def write(self, revision: str, text: str) -> None:
        file = self.folder / "migrations" / "versions" / f"{revision}.py"
        file.write_text(text, encoding="utf-8")

    def call(
        self,
        upgrade: str = "",
        downgrade: str = "",
        schema: str = "message_store",
        version: str = LATEST,
    ) -> None:
        """Write the revision that installs the store, with these arguments after the version."""
        text = _STORE.format(version=version, upgrade=upgrade, downgrade=downgrade, schema=schema)
        self.write("app_0002", text)

    def upgrade(self, revision: str = "head") -> None:
        super().upgrade(revision)

    def upgrade_script(self, revision: str = "head") -> str:
        return super().upgrade_script(revision)

    def downgrade_script(self, revision: str = "app_0003:base", **arguments: str) -> str:
        return super().downgrade_script(revision, **arguments)


@pytest.fixture
def application(tmp_path: Path, empty_database: URL) -> OneHead:
    """The application, on a database with nothing in it."""
    return OneHead(tmp_path, empty_database)
