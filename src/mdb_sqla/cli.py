"""The command `mdb`."""

from __future__ import annotations

import importlib
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy import URL, Engine, NullPool, create_engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from mdb_sqla import demo as tour
from mdb_sqla import migrate
from mdb_sqla.dead_letters import dead_letters, replay, skip
from mdb_sqla.embedded import EmbeddedPostgres, EmbeddedPostgresError
from mdb_sqla.errors import MessageStoreError
from mdb_sqla.granularity import LockGranularity, lock_granularity, set_lock_granularity
from mdb_sqla.host import Host
from mdb_sqla.lag import Lag
from mdb_sqla.refusals import translated
from mdb_sqla.revisions import DEFAULT_SCHEMA
from mdb_sqla.status import HostStatus
from mdb_sqla.tables import SCHEMA

__all__ = ["main"]

app = typer.Typer(
    name="mdb",
    help="Message store for SQLAlchemy and PostgreSQL.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
letters = typer.Typer(no_args_is_help=True, help="What consumers could not handle.")
app.add_typer(letters, name="dead-letters")
_output = Console(highlight=False, soft_wrap=True)
_errors = Console(stderr=True, highlight=False, soft_wrap=True)

_Url = Annotated[
    str,
    typer.Option(
        envvar="MDB_DATABASE_URL",
        help="The database, as in postgresql://user:password@host/database.",
        show_default=False,
    ),
]
_Schema = Annotated[str, typer.Option(help="The schema of the store.")]


def main() -> None:
    """Run the command; the entry point of `mdb`."""
    try:
        app()
    except (MessageStoreError, EmbeddedPostgresError) as error:
        _fail(str(error))
    except ArgumentError as error:
        _fail(f"The URL can't be used: {error}")
    except SQLAlchemyError as error:
        _fail(str(getattr(error, "orig", None) or error))


@app.command()
def upgrade(
    url: _Url,
    schema: _Schema = DEFAULT_SCHEMA,
    role: Annotated[
        bool, typer.Option("--role", help="Also grant the role message_store what it needs.")
    ] = False,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print a script for psql; nothing is changed.")
    ] = False,
) -> None:
    """Install the store, adopt one that Message DB installed, or bring it up to date.

    Example: mdb upgrade --url postgresql://localhost/shop
    """
    if sql:
        migrate.write_upgrade_script(sys.stdout, schema=schema, role=role)
        return
    with _engine(url) as engine:
        done = migrate.upgrade(engine, schema=schema, role=role)
        for revision in done:
            _output.print(f"Ran {revision}")
        state = "is ready" if done else "was up to date"
        _output.print(f"The store in schema {schema} of database {engine.url.database} {state}.")


@app.command()
def downgrade(
    url: _Url,
    schema: _Schema = DEFAULT_SCHEMA,
    delete_messages: Annotated[
        bool, typer.Option("--delete-messages", help="Delete the messages with it.")
    ] = False,
) -> None:
    """Remove the store; refused while there are messages.

    Example: mdb downgrade --url postgresql://localhost/shop
    """
    with _engine(url) as engine:
        for revision in migrate.downgrade(engine, schema=schema, delete_messages=delete_messages):
            _output.print(f"Took back {revision}")
        _output.print(f"The store in schema {schema} of database {engine.url.database} is gone.")


@app.command(name="lock-granularity")
def granularity(
    url: _Url,
    choice: Annotated[
        LockGranularity | None,
        typer.Argument(metavar="[category|stream]", help="What to lock; without it, it is told."),
    ] = None,
    schema: _Schema = DEFAULT_SCHEMA,
    wait: Annotated[float, typer.Option(min=0.001, help="For how many seconds to try.")] = 60.0,
) -> None:
    """Tell or choose what writers lock: a category each, or a stream each, side by side.

    It waits for the transactions that are writing, and may be done while others write.

    Example: mdb lock-granularity stream
    """
    with _engine(url) as engine:
        if choice is not None:
            set_lock_granularity(engine, choice, schema=schema, wait=wait)
        _output.print(f"Writers lock the {lock_granularity(engine, schema=schema)}.")


@app.command(name="host")
def run_host(
    where: Annotated[
        str, typer.Argument(metavar="MODULE:NAME", help="The Host, as in shop.consumers:host.")
    ],
    http: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:]PORT",
            help="Where to tell a supervisor over HTTP how the consumers are, below /health.",
        ),
    ] = None,
) -> None:
    """Run the consumers of a host until SIGTERM or Ctrl-C.

    Example: mdb host shop.consumers:host --http 8080
    """
    module, _, name = where.partition(":")
    sys.path.insert(0, "")
    try:
        host = attrgetter(name or "host")(importlib.import_module(module))
    except (ImportError, AttributeError, ValueError) as error:
        _fail(f"There is no host at {where}: {error}")
    if not isinstance(host, Host):
        _fail(f"{where} is no Host, but {host!r}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        host.run(http=http, on_start=_report)
    except ExceptionGroup as group:
        for failure in group.exceptions:
            _errors.print(f"mdb: {failure}", markup=False, style="red")
        raise SystemExit(1) from None


def _report(status: HostStatus) -> None:
    table = Table("consumer", "reads", "position", "behind", "group", "handles", box=None)
    for consumer in status.consumers:
        table.add_row(
            consumer.name,
            ", ".join(consumer.categories) or "all categories",
            *_progress(consumer.lag),
            consumer.group,
            ", ".join(consumer.types),
        )
    _output.print(table)
    if status.problem is not None:
        _errors.print(f"mdb: {status.problem}", markup=False, style="red")


def _progress(lag: Lag | None) -> tuple[str, str]:
    if lag is None:
        return "?", "?"
    position = "new" if lag.position is None else str(lag.position)
    return position, f"{lag.messages}{'+' * lag.at_least}"


@letters.command(name="list")
def list_letters(
    url: _Url,
    consumer: Annotated[str | None, typer.Argument(help="Only of this consumer.")] = None,
    tracebacks: Annotated[bool, typer.Option("--traceback", help="With tracebacks.")] = False,
    schema: _Schema = DEFAULT_SCHEMA,
) -> None:
    """Show what consumers have set aside, and why.

    Example: mdb dead-letters list billing
    """
    with _engine(url, schema) as engine, translated(), engine.connect() as connection:
        found = dead_letters(connection, consumer)
    table = Table("consumer", "global position", "stream", "type", "tries", "error", box=None)
    for letter in found:
        why = letter.traceback if tracebacks else letter.error
        table.add_row(
            letter.consumer,
            str(letter.global_position),
            letter.stream_name,
            letter.type,
            str(letter.tries),
            Text(why or "waits for an earlier one of its stream"),
        )
    _output.print(table if found else "Nothing is set aside.")


@letters.command(name="replay")
def replay_letters(
    url: _Url,
    consumer: Annotated[str, typer.Argument(help="The consumer that set them aside.")],
    stream: Annotated[str | None, typer.Option(help="Only those of this stream.")] = None,
    schema: _Schema = DEFAULT_SCHEMA,
) -> None:
    """Have a consumer handle again what has failed; the one that runs does it.

    Example: mdb dead-letters replay billing
    """
    with _engine(url, schema) as engine, translated(), engine.begin() as connection:
        number = replay(connection, consumer, stream)
    _output.print(f"{consumer} handles {number} failed messages again.")


@letters.command(name="skip")
def skip_letter(
    url: _Url,
    consumer: Annotated[str, typer.Argument(help="The consumer that set it aside.")],
    global_position: Annotated[int, typer.Argument(help="The message's global position.")],
    schema: _Schema = DEFAULT_SCHEMA,
) -> None:
    """Leave a message out for good, and have the later ones of its stream handled.

    Example: mdb dead-letters skip billing 4711
    """
    with _engine(url, schema) as engine, translated(), engine.begin() as connection:
        skip(connection, consumer, global_position)
    _output.print(f"{consumer} leaves message {global_position} out.")


@app.command()
def dev(
    directory: Annotated[Path, typer.Option(help="Where the data is kept.")] = Path(".mdb"),
) -> None:
    """Run a PostgreSQL server with a store in it until Ctrl-C, for development.

    Example: mdb dev
    """
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    directory.mkdir(exist_ok=True)
    (directory / ".gitignore").write_text("*\n", encoding="utf-8")
    with EmbeddedPostgres(directory / "postgres") as server:
        engine = create_engine(server.url(), poolclass=NullPool)
        migrate.upgrade(engine)
        _output.print(f"PostgreSQL {server.version} is running, with a store in it:\n")
        _output.print(f"  {_shown(server.url())}\n", markup=False)
        _output.print("Ctrl-C stops it; the data stays.")
        ended.wait()
    _output.print("Stopped.")


@app.command()
def demo() -> None:
    """Show what the store does, on a PostgreSQL server that is gone afterwards.

    Example: mdb demo
    """
    with EmbeddedPostgres() as server:
        engine = create_engine(server.url())
        tour.run(engine, _output)
        engine.dispose()


@contextmanager
def _engine(url: str, schema: str = DEFAULT_SCHEMA) -> Iterator[Engine]:
    parsed = make_url(url)
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        _fail(f"The store lives in PostgreSQL, not in {parsed.get_backend_name()}.")
    engine = create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        poolclass=NullPool,
        execution_options={"schema_translate_map": {SCHEMA: schema}},
    )
    yield engine
    engine.dispose()


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def _fail(message: str) -> None:
    _errors.print(f"mdb: {message.strip()}", markup=False, style="red")
    raise SystemExit(1)
