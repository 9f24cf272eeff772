"""The server of `mdb dev`: its data directory, port and password."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import URL, NullPool, create_engine, text

from mdb_sqla import migrations
from mdb_sqla.cli.options import fail
from mdb_sqla.embedded import EmbeddedPostgres, EmbeddedPostgresError
from mdb_sqla.embedded.environment import status_of
from mdb_sqla.embedded.loopback import free_addresses, free_port

__all__ = ["DevServer", "running_server"]

_HOST = "localhost"
_FILE = "connection.json"


@dataclass(frozen=True)
class DevServer:
    """A running development server.

    Attributes:
        version: PostgreSQL's major version.
        url: with the password.
    """

    version: int
    url: URL


@contextmanager
def running_server(directory: Path, port: int | None) -> Iterator[DevServer]:
    """Start a server with a store, and stop it at the end.

    Port and password are chosen at the first start, and kept in the directory.

    Args:
        directory: the directory of the server, created if it does not exist.
        port: the port from now on; None for the one in the directory, or a free one.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / ".gitignore").write_text("*\n", encoding="utf-8")
    kept = _read(directory / _FILE)
    port, password = port or kept.port, kept.password
    data = directory / "postgres"
    server = EmbeddedPostgres(data, port=port)
    try:
        server.start()
    except EmbeddedPostgresError:
        if status_of(data) == "ready":
            fail(f"A server is already running in {directory}: use it, or stop it first.")
        try:
            free_addresses(port)
        except EmbeddedPostgresError as error:
            fail(f"{error}. Stop the program that uses it, or choose another port with --port.")
        raise
    with server:
        _write(directory / _FILE, _Connection(port, password))
        engine = create_engine(server.url(), poolclass=NullPool)
        migrations.upgrade(engine)
        with engine.begin() as connection:
            # DDL takes no parameters.
            quoted = text("SELECT format('ALTER ROLE postgres PASSWORD %L', CAST(:new AS text))")
            statement = connection.scalar(quoted, {"new": password})
            connection.exec_driver_sql(statement or "", execution_options={"no_parameters": True})
        url = server.url().set(host=_HOST, port=port, password=password, query={})
        yield DevServer(server.version, url)


class _Connection(NamedTuple):
    port: int
    password: str


def _read(file: Path) -> _Connection:
    """Return port and password from a file, or new ones."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        return _Connection(int(values["port"]), str(values["password"]))
    except FileNotFoundError:
        return _Connection(free_port(), secrets.token_urlsafe(6))
    except (ValueError, KeyError, TypeError):
        fail(f"{file} is damaged: delete it to choose a new port and password.")


def _write(file: Path, connection: _Connection) -> None:
    # Others must not read the password, not even while it is written.
    file.touch(0o600)
    file.write_text(json.dumps(connection._asdict()), encoding="utf-8")
