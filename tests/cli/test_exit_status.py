"""Exit status 2 for a wrong command line, 1 for what fails, with one line each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import URL

from mdb_sqla.cli.connection_failure import connection_failure
from tests.cli.in_process import run
from tests.cli.test_mdb import mdb

NOWHERE = "postgresql://localhost:1/shop"
REMEDY = 'pip install "mdb_sqla[binary]"'

WRONG = [
    ("", "Usage: mdb"),
    ("nonsense", "No such command 'nonsense'"),
    ("print --nonsense", "No such option: --nonsense"),
    ("print --position -1", "'-1' is not an integer of at least 0"),
    ("print --position 1.5", "'1.5' is not an integer of at least 0"),
    ("print --limit 0", "--limit"),
    ("print -- -1", "Invalid stream name '-1'"),
    ("print account-1 --correlation b", "correlation must be omitted"),
    ("tail --correlation b-1", "correlation must be a category"),
    ("write account-1", "Missing STREAM and TYPE"),
    ("write account-1 T --file x", "--file can't be combined"),
    ("write account-1 T --data {", "--data must be JSON"),
    ("write --file /none", "Can't read /none: No such file or directory."),
    ("export --file x --position 1", "--file can't be combined with --position"),
    ("import", "Missing argument"),
    ("import /none", "Can't read /none: No such file or directory."),
    ("report nonsense", "must be one of"),
    ("summary --days 1", "--days"),
    ("consumers --schema a$b", "Invalid schema name 'a$b'"),
    ("reset-consumer billing --start 0", "'0' is not an integer of at least 1"),
    ("dead-letters", "Usage: mdb dead-letters"),
    ("retention", "Usage: mdb retention"),
    ("dead-letters skip billing x", "'x' is not an integer of at least 1"),
    ("lock-granularity row", "'row' is not one of"),
    ("host shop.nowhere:host", "No module named 'shop'"),
    ("host os:nothing", "has no attribute 'nothing'"),
    ("host os:name", "os:name must be a Host, got"),
    ("host :", "Can't load a Host from :"),
    ("relay /none.toml", "Can't read /none.toml"),
    ("dev --port 0", "--port"),
    ("delete-database --yes --url postgresql://localhost:1", "has no database name"),
    ("print --url sqlite://", "Unsupported database sqlite: use a postgresql:// URL."),
    ("print --url nonsense", "Invalid database URL: use postgresql://"),
    ("print --url postgresql://localhost:x/shop", "Invalid database URL: use postgresql://"),
]


@pytest.mark.parametrize(("command", "expected"), WRONG, ids=[command for command, _ in WRONG])
def test_a_wrong_command_line(command: str, expected: str, database: URL) -> None:
    done = mdb(*command.split(), url=database, code=2)

    assert expected in " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize(
    "command", ["print", "summary", "consumers", "clear", "upgrade", "version"]
)
def test_no_url(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MDB_DATABASE_URL", raising=False)

    done = run([command], {})

    assert done.returncode == 2
    assert done.stderr == "mdb: No database URL: pass --url, or set MDB_DATABASE_URL.\n"


def test_what_needs_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MDB_DATABASE_URL", raising=False)

    assert "CREATE" in run(["upgrade", "--sql"], {}).stdout


def refusal(url: URL | str) -> str:
    done = mdb("print", url=url, code=1)
    (line,) = done.stderr.splitlines()
    assert done.stdout == ""
    return line


def test_no_server() -> None:
    line = refusal(NOWHERE)

    assert line.startswith("mdb: Can't connect: ")
    assert "Connection refused. Start the server, or correct the host and port" in line


def test_no_host() -> None:
    assert line_of("failed to resolve host 'nowhere'").endswith("Correct the host in the URL.")


def test_no_database(database: URL) -> None:
    line = refusal(database.set(database="no_such_database"))

    assert 'database "no_such_database" does not exist. ' in line
    assert line.endswith("or create it with mdb create-database.")


def test_no_role(database: URL) -> None:
    line = refusal(database.set(username="no_such_role"))

    assert line.endswith('role "no_such_role" does not exist. Correct the user in the URL, '
                         "or create the role.")  # fmt: skip


def line_of(reason: str) -> str:
    prefix = "" if reason.startswith("failed to") else "connection failed: "
    line = connection_failure(Exception(f"{prefix}{reason}"))
    assert line is not None
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ('server failed: FATAL:  password authentication failed for user "a"', "set PGPASSWORD"),
        ("server failed: fe_sendauth: no password supplied", "set PGPASSWORD"),
        ('server failed: FATAL:  no pg_hba.conf entry for host "1"', "the server's pg_hba.conf"),
        ('server failed: FATAL:  permission denied for database "x"', "the privilege CONNECT"),
        ("server failed: FATAL:  sorry, too many clients already", "max_connections"),
        ("server failed: FATAL:  the database system is starting up", "Try again in a moment"),
        ("server failed: SSL error: certificate verify failed", "Check sslmode"),
        ("something new", "Check the URL"),
    ],
)
def test_remedies(reason: str, remedy: str) -> None:
    line = line_of(reason)

    assert remedy in line
    assert "FATAL" not in line


def test_the_address_that_answers() -> None:
    line = line_of(
        'connection to server at "::1", port 5 failed: Connection refused\n'
        "\tIs the server running on that host and accepting TCP/IP connections?\n"
        "Multiple connection attempts failed. All failures were:\n"
        "- host: 'localhost', port: 5, hostaddr: '::1': connection failed: Connection refused\n"
        "- host: 'localhost', port: 5, hostaddr: '127.0.0.1': connection failed: connection to "
        'server at "127.0.0.1", port 5 failed: FATAL:  role "a" does not exist'
    )

    assert line.startswith(
        'Can\'t connect: connection to server at "127.0.0.1", port 5 failed: role "a" does not'
    )


def test_a_lost_connection() -> None:
    line = connection_failure(
        Exception("consuming input failed: server closed the connection unexpectedly\n\tThis p")
    )

    assert line == (
        "Connection lost: consuming input failed: server closed the connection unexpectedly. "
        "Run the command again."
    )


def test_other_errors_are_not_about_a_connection() -> None:
    assert connection_failure(Exception("division by zero")) is None


def test_a_role_that_may_not_create_databases(database: URL) -> None:
    with_role = "CREATE ROLE {0} LOGIN"
    from sqlalchemy import create_engine, text

    name = f"mdb_sqla_plain_{os.getpid()}"
    engine = create_engine(database, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(with_role.format(name)))
        try:
            url = database.set(username=name, database="mdb_sqla_never_made")
            line = mdb("create-database", url=url, code=1).stderr
            other = mdb("delete-database", "--yes", url=database.set(username=name), code=1).stderr
        finally:
            connection.execute(text(f"DROP ROLE {name}"))
    engine.dispose()

    assert line == (
        "mdb: permission denied to create database. Connect as its owner, or as a role with "
        "CREATEDB; to install a store in an existing database, run mdb upgrade.\n"
    )
    assert "must be owner of database" in other


def without_libpq(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as it is after `pip install mdb_sqla`, without a libpq on the system."""
    return subprocess.run(
        [sys.executable, "-m", "mdb_sqla", *arguments],
        env={**os.environ, "PSYCOPG_IMPL": "c", "MDB_DATABASE_URL": NOWHERE, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_needs_no_libpq() -> None:
    done = without_libpq("--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert "upgrade" in done.stdout


@pytest.mark.parametrize("command", ["print", "dev", "demo"])
def test_a_command_without_libpq(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)

    done = run([command], {"MDB_DATABASE_URL": NOWHERE})

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert REMEDY in line
    assert "libpq" in line


def test_psycopg_without_libpq() -> None:
    done = without_libpq("consumers")

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert REMEDY in line


def test_the_package_works_without_libpq(tmp_path: Path) -> None:
    """Applications with asyncpg need none."""
    code = (
        "import mdb_sqla, mdb_sqla.admin, mdb_sqla.transfer, mdb_sqla.migrations\n"
        "from sqlalchemy.ext.asyncio import create_async_engine\n"
        "create_async_engine('postgresql+asyncpg://localhost/shop')"
    )
    subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PSYCOPG_IMPL": "c"}, check=True
    )
