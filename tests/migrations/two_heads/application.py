"""A small application with an Alembic history of its own, to which the store's is added."""

from __future__ import annotations

import shutil
import subprocess
from argparse import Namespace
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import Script
from sqlalchemy import URL, BigInteger, Column, MetaData, Table, Text

from tests.side_by_side.message_db import conninfo

STORE = "mdb_sqla.versions:"
ROLE = "mdb_sqla.versions.role:"

_ENVIRONMENT = """
from alembic import context
from sqlalchemy import NullPool, create_engine

options = context.config.attributes
url = context.config.get_main_option("sqlalchemy.url")

if context.is_offline_mode():
    context.configure(url=url, literal_binds=True, **options["configure"])
    with context.begin_transaction():
        context.run_migrations()
else:
    engine = create_engine(url, connect_args=options["connect_args"], poolclass=NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, **options["configure"])
        with context.begin_transaction():
            context.run_migrations()
"""

FIRST_REVISION = """
import sqlalchemy as sa
from alembic import op

revision = "app_0001"
down_revision = None
branch_labels = ("app",)
depends_on = "message_store_0001"


def upgrade():
    op.create_table(
        "orders",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("customer", sa.Text, nullable=False, index=True),
    )
    op.execute("COMMENT ON TABLE orders IS 'the application''s own'")


def downgrade():
    op.drop_table("orders")
"""

_SCRIPT_TEMPLATE = """
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade():
    ${upgrades if upgrades else "pass"}


def downgrade():
    ${downgrades if downgrades else "pass"}
"""


def orders(metadata: MetaData, *more: Column[Any]) -> Table:
    """The table that the first revision of the application creates."""
    return Table(
        "orders",
        metadata,
        Column("id", BigInteger, primary_key=True),
        Column("customer", Text, nullable=False, index=True),
        *more,
        comment="the application's own",
    )


class Application:
    """The application in a folder, on a database.

    Attributes:
        metadata: the tables of the application.
        configure: what its env.py passes to `context.configure`, beside the connection.
        connect_args: what its engine passes to psycopg.
        options: the lines of its alembic.ini beside those that every application has.
    """

    def __init__(self, folder: Path, database: URL) -> None:
        self.folder = folder
        self.database = database
        self.metadata = MetaData()
        orders(self.metadata)
        self.configure: dict[str, Any] = {}
        self.connect_args: dict[str, Any] = {}
        self.options: dict[str, str] = {}
        self.locations = [STORE]
        versions = folder / "migrations" / "versions"
        versions.mkdir(parents=True)
        (versions / "app_0001.py").write_text(FIRST_REVISION)
        (folder / "migrations" / "env.py").write_text(_ENVIRONMENT)
        (folder / "migrations" / "script.py.mako").write_text(_SCRIPT_TEMPLATE)

    def config(self, **arguments: str) -> Config:
        """What Alembic is called with; `arguments` are those of `-x`."""
        url = self.database.render_as_string(hide_password=False)
        lines = [
            "[alembic]",
            "script_location = %(here)s/migrations",
            "path_separator = newline",
            "version_locations =",
            *(f"    {each}" for each in ["%(here)s/migrations/versions", *self.locations]),
            f"sqlalchemy.url = {url.replace('%', '%%')}",
            *(f"{name} = {value.replace('%', '%%')}" for name, value in self.options.items()),
        ]
        ini = self.folder / "alembic.ini"
        ini.write_text("\n".join(lines), encoding="utf-8")
        pyproject = self.folder / "pyproject.toml"
        config = Config(
            ini,
            toml_file=pyproject if pyproject.exists() else None,
            stdout=StringIO(),
            output_buffer=StringIO(),
            cmd_opts=Namespace(x=[f"{name}={value}" for name, value in arguments.items()]),
        )
        config.attributes["configure"] = {"target_metadata": self.metadata, **self.configure}
        config.attributes["connect_args"] = self.connect_args
        return config

    def upgrade(self, revision: str = "heads") -> None:
        command.upgrade(self.config(), revision)

    def downgrade(self, revision: str = "base", **arguments: str) -> None:
        command.downgrade(self.config(**arguments), revision)

    def upgrade_script(self, revision: str = "heads") -> str:
        return self._script(command.upgrade, revision, self.config())

    def downgrade_script(
        self, revision: str = "message_store@head:message_store@base", **arguments: str
    ) -> str:
        # Without a database there can be one revision to begin with, and there are two heads.
        return self._script(command.downgrade, revision, self.config(**arguments))

    def _script(self, run: Any, revision: str, config: Config) -> str:
        run(config, revision, sql=True)
        assert isinstance(config.output_buffer, StringIO)
        return config.output_buffer.getvalue()

    def check(self) -> None:
        """Raises `AutogenerateDiffsDetected` if Alembic would propose anything."""
        command.check(self.config())

    def proposed(self) -> str:
        """What `revision --autogenerate` writes, of which the file is removed again."""
        script = command.revision(self.config(), autogenerate=True, head="app@head")
        assert isinstance(script, Script)
        file = Path(script.path)
        text = file.read_text(encoding="utf-8")
        file.unlink()
        return text[text.index("def upgrade") :]


def run_script(database: URL, script: str) -> None:
    """Run a script as psql does; with psql itself where there is one."""
    with psycopg.connect(conninfo(database), autocommit=True) as connection:
        row = connection.execute("SELECT setting FROM pg_config WHERE name = 'BINDIR'").fetchone()
        beside_server = shutil.which("psql", path=row[0] if row else None)
        psql = shutil.which("psql") or beside_server
        if psql is None:
            connection.execute(script.encode())
            return
    done = subprocess.run(
        [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", conninfo(database)],
        input=script,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    if done.returncode != 0:
        raise ScriptFailedError(done.stderr)


class ScriptFailedError(Exception):
    """A script failed; the message is what psql printed."""
