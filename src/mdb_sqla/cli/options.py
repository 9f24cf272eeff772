"""What commands share: their options, what they print to, the engine that they connect with."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, BinaryIO, NoReturn

import typer
from rich.console import Console
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url

from mdb_sqla.cli.printing import shown
from mdb_sqla.database.execution import is_autocommit
from mdb_sqla.migrations.sql_files import SAFE_SEARCH_PATH
from mdb_sqla.tables import SCHEMA
from mdb_sqla.words.lock_granularity import LockGranularity

__all__ = [
    "Granularity",
    "Roles",
    "Schema",
    "Url",
    "connected",
    "database_url",
    "discard_output",
    "errors",
    "fail",
    "opened",
    "output",
    "prepare_streams",
]

# Names may look like rich's markup and emoji.
output = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
if not output.is_terminal:
    output.width = 10_000  # whoever reads it from a pipe or a file wants whole names

Url = Annotated[
    str,
    typer.Option(
        envvar="MDB_DATABASE_URL",
        help="The database, as in postgresql://user:password@host/database.",
        show_default=False,
    ),
]
Schema = Annotated[str, typer.Option(help="The schema of the store.")]
Roles = Annotated[
    bool, typer.Option("--roles", help="Also create the roles, and grant them what they need.")
]
Granularity = Annotated[
    LockGranularity | None,
    typer.Option(
        "--lock-granularity", help="What writers lock in a new store; stream if not given."
    ),
]


def database_url(url: str) -> URL:
    """Return a URL for psycopg; one that is of another database ends the command."""
    try:
        parsed = make_url(url)
    except ValueError as error:
        fail(f"The URL can't be used: {error}")
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        fail(f"The store lives in PostgreSQL, not in {parsed.get_backend_name()}.")
    return parsed.set(drivername="postgresql+psycopg")


@contextmanager
def connected(url: str, schema: str = SCHEMA, *, writes: bool = False) -> Iterator[Engine]:
    """Give an engine for a command; one whose URL is of another database ends the command.

    Args:
        url: the database.
        schema: the schema of the store.
        writes: whether triggers of the application's may run, for which the search path stays.
    """
    engine = create_engine(
        database_url(url),
        poolclass=NullPool,
        # Whatever the role's or the database's default is: others can't read exactly.
        isolation_level="READ COMMITTED",
        execution_options={"schema_translate_map": {SCHEMA: schema}},
        # Behind a transaction pooler, another process would meet what this one has prepared. Names
        # may have any character, whatever PGCLIENTENCODING or the database has.
        connect_args={"prepare_threshold": None, "client_encoding": "utf8"},
    )
    if not writes:
        event.listen(engine, "begin", _take_safe_search_path)
    yield engine
    engine.dispose()


def _take_safe_search_path(connection: Connection) -> None:
    # Whoever runs this may do more than those who put functions and operators into `public`. Not
    # for longer than the transaction: through a pooler, the connection is another's afterwards.
    if not is_autocommit(connection):
        connection.exec_driver_sql(f"SET LOCAL search_path = {SAFE_SEARCH_PATH}")


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """Open a file to read, or stdin for `-`; one that can't be read ends the command."""
    if str(file) == "-":
        yield sys.stdin.buffer
        return
    try:
        lines = file.open("rb")
    except OSError as error:
        fail(f"The file can't be read: {error}")
    with lines:
        yield lines


def prepare_streams() -> None:
    """Have closed streams be empty, and characters that a terminal does not know replaced."""
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 (for good)
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def discard_output() -> None:
    """Have what could not be written to stdout not be tried again at the end of the process."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(message: str) -> NoReturn:
    """Print why the command can't be done, and end it with status 1."""
    errors.print(f"mdb: {shown(message.strip(), lines=True)}", style="red")
    raise SystemExit(1)
