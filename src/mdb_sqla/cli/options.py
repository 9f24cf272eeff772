"""Options, output streams and engine shared by the commands."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Annotated, BinaryIO, NoReturn

import typer
from rich.console import Console
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from mdb_sqla.cli.printing import shown
from mdb_sqla.database.execution import is_autocommit
from mdb_sqla.migrations.sql_files import SAFE_SEARCH_PATH, checked_schema
from mdb_sqla.store.standbys import Standbys
from mdb_sqla.tables import SCHEMA
from mdb_sqla.words.lock_granularity import LockGranularity

__all__ = [
    "FAILED",
    "LIBPQ_MISSING",
    "USAGE",
    "Granularity",
    "ReadFrom",
    "Roles",
    "Schema",
    "StandbyUrls",
    "Url",
    "Verbose",
    "connected",
    "database_url",
    "discard_output",
    "errors",
    "fail",
    "opened",
    "output",
    "prepare_streams",
    "refuse",
    "require_driver",
    "standbys",
]

FAILED = 1
"""The exit status where what was asked for did not succeed."""

USAGE = 2
"""The exit status where the command line is wrong."""

LIBPQ_MISSING = (
    "psycopg can't load libpq, PostgreSQL's client library: install it with "
    '`pip install "mdb_sqla[binary]"`, or as a system package such as libpq5'
)

# Names may look like rich's markup and emoji.
output = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
if not output.is_terminal:
    output.width = 10_000  # do not wrap in a pipe or a file

Url = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="MDB_DATABASE_URL",
        help="Database, such as postgresql://host/shop.",
        show_default=False,
    ),
]
Schema = Annotated[str, typer.Option(metavar="NAME", help="Schema of the store.")]
ReadFrom = Annotated[
    str | None,
    typer.Option(metavar="URL", help="A standby to read from, in place of the primary server."),
]
StandbyUrls = Annotated[
    list[str] | None,
    typer.Option(
        "--read-from",
        metavar="URL",
        help="A standby to read from, in place of the primary server.",
        show_default=False,
    ),
]
Roles = Annotated[
    bool, typer.Option("--roles", help="Also create the roles and grant their privileges.")
]
Granularity = Annotated[
    LockGranularity | None,
    typer.Option(
        "--lock-granularity",
        metavar="category|stream",
        help="What writers lock in a new store; default: stream.",
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show all details.")]


def database_url(url: str | None) -> URL:
    """Return the URL with the psycopg driver; exit if it is missing or not PostgreSQL's."""
    if not url:
        refuse("No database URL: pass --url, or set MDB_DATABASE_URL.")
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The error may contain the password.
        refuse("Invalid database URL: use postgresql://user:password@host:port/database.")
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        refuse(f"Unsupported database {parsed.get_backend_name()}: use a postgresql:// URL.")
    require_driver()
    return parsed.set(drivername="postgresql+psycopg")


def require_driver() -> None:
    """Exit if psycopg can't be imported, which it can't without libpq."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        fail(f"{LIBPQ_MISSING}.")


@contextmanager
def connected(
    url: str | None, schema: str = SCHEMA, *, writes: bool = False, **connect: object
) -> Iterator[Engine]:
    """Yield an engine for a command; exit if the URL is not a PostgreSQL URL.

    Args:
        url: the database.
        schema: the schema of the store.
        writes: keep the search path, because application triggers may run.
        connect: further connection parameters of libpq.
    """
    engine = create_engine(
        database_url(url),
        poolclass=NullPool,
        # Overrides defaults of the role and database: other levels may skip messages.
        isolation_level="READ COMMITTED",
        execution_options={"schema_translate_map": {SCHEMA: checked_schema(schema)}},
        # A transaction pooler shares prepared statements with other processes. Names may contain
        # any character, regardless of PGCLIENTENCODING and the database's encoding.
        connect_args={"prepare_threshold": None, "client_encoding": "utf8", **connect},
    )
    if not writes:
        event.listen(engine, "begin", _set_safe_search_path)
    yield engine
    engine.dispose()


@contextmanager
def standbys(urls: list[str] | None, schema: str) -> Iterator[Standbys | None]:
    """Yield the standbys of a command, or None if there are none; see `connected`."""
    with ExitStack() as stack:
        engines = [stack.enter_context(connected(url, schema)) for url in urls or ()]
        yield Standbys(*engines) if engines else None


def _set_safe_search_path(connection: Connection) -> None:
    # The role may have more privileges than roles that create functions and operators in `public`.
    # LOCAL: a pooler hands the connection to another client after the transaction.
    if not is_autocommit(connection):
        connection.exec_driver_sql(f"SET LOCAL search_path = {SAFE_SEARCH_PATH}")


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """Open a file to read, or stdin for `-`; exit if it can't be read."""
    if str(file) == "-":
        yield sys.stdin.buffer
        return
    try:
        lines = file.open("rb")
    except OSError as error:
        refuse(f"Can't read {file}: {error.strerror}.")
    with lines:
        yield lines


def prepare_streams() -> None:
    """Replace closed streams by empty ones, and characters that the terminal can't encode by ?."""
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 (stays open)
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def discard_output() -> None:
    """Discard unwritten stdout, so that the exit of the process does not retry writing it."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(message: str, status: int = FAILED) -> NoReturn:
    """Print an error and exit."""
    errors.print(f"mdb: {shown(message.strip(), lines=True)}", style="red")
    raise SystemExit(status)


def refuse(message: str) -> NoReturn:
    """Print what is wrong with the command line and exit with status 2."""
    fail(message, USAGE)
