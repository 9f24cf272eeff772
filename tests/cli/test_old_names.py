"""The tools of Message DB under their names, with the environment variables that they know."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, create_engine

from mdb_sqla import MessageStore
from mdb_sqla.cli.legacy_names import OLD_NAMES, main
from tests.cli import in_process
from tests.cli.running import write
from tests.cli.test_mdb import mdb
from tests.conftest import Databases

ROOT = Path(__file__).parents[2]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


def run(name: str, *arguments: str, url: URL, code: int = 0, **environment: str) -> str:
    """Run what the script calls that the package installs; returns what it prints."""
    done = in_process.run(
        [*arguments], {**own_environment(url), **environment}, tool=name, entry_point=main
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def own_environment(url: URL) -> dict[str, str]:
    host = url.query.get("host", url.host)
    return {
        "PGHOST": str(host),
        "PGPORT": str(url.port or 5432),
        "PGUSER": str(url.username),
        "PGPASSWORD": str(url.password or ""),
        "DATABASE_NAME": str(url.database),
        "DATABASE_USER": str(url.username),
        # What the tools don't know: none of them may touch this one.
        "MDB_DATABASE_URL": "postgresql://localhost:1/other",
        "NO_COLOR": "1",
    }


def script_of(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def test_every_name_is_a_script() -> None:
    scripts = {name for name, where in SCRIPTS.items() if where == "mdb_sqla.cli.legacy_names:main"}

    assert scripts == {*OLD_NAMES, "mdb-print-database-scripts-dir"}
    assert len(scripts) == 19
    for name in scripts:
        assert "from mdb_sqla.cli.legacy_names import main" in script_of(name).read_text()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("mdb-print-messages", "Opened"),
        ("mdb-print-message-store-version", "1.3.0"),
        ("mdb-print-database-scripts-dir", "mdb upgrade --sql"),
    ],
)
def test_a_script(database: URL, name: str, shown: str) -> None:
    write(database, ("account-1", "Opened"))
    done = subprocess.run(
        [script_of(name)],
        capture_output=True,
        text=True,
        env={**os.environ, **own_environment(database)},
        check=True,
    )

    assert shown in done.stdout


def test_print_messages(database: URL) -> None:
    write(database, ("account-1", "Opened"), ("account-2", "Closed"))

    printed = run("mdb-print-messages", url=database)
    assert "mdb-print-messages is now: mdb print" in printed
    assert "Opened" in printed
    assert "Closed" in printed
    assert "Opened" not in run("mdb-print-messages", url=database, STREAM_NAME="account-2")


@pytest.mark.parametrize(
    ("name", "variable", "part", "left_out"),
    [
        ("stream", "STREAM_NAME", "unt-1", "order"),
        ("type", "TYPE", "Open", "Placed"),
        ("stream-type", "STREAM_NAME", "unt-1", "order"),
        ("type-stream", "TYPE", "Open", "Placed"),
        ("category-type", "CATEGORY", "acc", "order"),
        ("type-category", "TYPE", "Open", "Placed"),
    ],
)
def test_reports(database: URL, name: str, variable: str, part: str, left_out: str) -> None:
    write(database, ("account-1", "Opened"), ("order-1", "Placed"))
    tool = f"mdb-print-{name}-summary"

    assert "2 messages" in run(tool, url=database)
    environment: dict[str, Any] = {variable: part}
    filtered = run(tool, url=database, **environment)
    assert "1 message" in filtered
    assert left_out not in filtered.partition("\n")[2]


def test_write_test_messages(database: URL) -> None:
    run("mdb-write-test-message", url=database)
    run(
        "mdb-write-test-message", url=database,
        INSTANCES="3", STREAM_NAME="a-1", TYPE="T", METADATA="'{\"k\": 1}'",
    )  # fmt: skip

    engine = create_engine(database)
    with engine.connect() as connection:
        first, *rest = MessageStore(connection).read_messages()
    engine.dispose()
    assert (first.stream_name[:11], first.type) == ("testStream-", "SomeType")
    assert (first.data, first.metadata) == (
        {"attribute": "some value"},
        {"metaAttribute": "some meta value"},
    )
    assert [(each.stream_name, each.type, each.metadata) for each in rest] == [
        ("a-1", "T", {"k": 1})
    ] * 3


@pytest.mark.parametrize(
    ("literal", "metadata"),
    [("""'{"k": "it''s"}'""", {"k": "it's"}), ('{"k": "\'\'"}', {"k": "''"}), ("NULL", {})],
)
def test_metadata_as_sql(database: URL, literal: str, metadata: dict[str, str]) -> None:
    run("mdb-write-test-message", url=database, METADATA=literal)

    engine = create_engine(database)
    with engine.connect() as connection:
        (message,) = MessageStore(connection).read_messages()
    engine.dispose()
    assert message.metadata == metadata

    refused = run("mdb-write-test-message", url=database, code=2, INSTANCES="x")
    assert "INSTANCES must be an integer of at least 1, got 'x'" in refused


def test_a_database_from_its_beginning_to_its_end(server_url: URL, databases: Databases) -> None:
    url = server_url.set(database=f"mdb_sqla_test_{os.getpid()}_old")
    try:
        assert "created" in run("mdb-create-db", url=url)
        assert "is already up to date" in run("mdb-create-db", url=url, CREATE_DATABASE="off")
        for name in ("update-db", "install-functions", "install-indexes", "install-views",
                     "install-privileges"):  # fmt: skip
            assert "is already up to date" in run(f"mdb-{name}", url=url)
        assert "1.3.0" in run("mdb-print-message-store-version", url=url)
        write(url, ("account-1", "Opened"))
        assert "Deleted 1 message." in run("mdb-clear-messages", url=url)
        write(url, ("account-1", "Opened"))
        assert "is ready" in run("mdb-recreate-db", url=url)
        assert "No messages." in run("mdb-print-type-summary", url=url)
        assert "deleted" in run("mdb-delete-db", url=url)
        assert "does not exist" in run("mdb-delete-db", url=url)
    finally:
        databases.execute(f'DROP DATABASE IF EXISTS "{url.database}" WITH (FORCE)')


def test_what_makes_no_sense_here(database: URL) -> None:
    assert "mdb upgrade --sql" in run("mdb-print-database-scripts-dir", url=database)
    refused = run("mdb-clear-messages", "--help", url=database, code=2)
    assert "mdb-clear-messages is now: mdb clear --yes" in refused
    assert "takes no arguments, got --help: " in refused


def test_the_new_commands_are_there() -> None:
    overview = mdb("--help").stdout
    for arguments in OLD_NAMES.values():
        assert arguments({})[0] in overview
