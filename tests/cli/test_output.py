"""Where output goes: pipes, terminals of any encoding, a full disk; and names of any kind in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from sqlalchemy import URL, create_engine, text
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, Message, MessageStore, RetryPolicy
from mdb_sqla.cli.printing import shown
from tests.cli.running import write
from tests.cli.test_mdb import MDB, mdb
from tests.conftest import Databases

ODD = ("new\nline-\x1b[31mred\u202e", "[red]T:smile:\x9b2J")
ODD_AS_SHOWN = (r"new\nline-\u001b[31mred\u202e", r"[red]T:smile:\u009b2J")
LONG = ("account-" + "9" * 150, "Opened")


def run(
    *arguments: str, url: URL, output: IO[bytes] | int = subprocess.PIPE, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    address = url.render_as_string(hide_password=False)
    return subprocess.run(
        [*MDB, *arguments],
        stdout=output,
        stderr=subprocess.PIPE,
        env={**os.environ, "MDB_DATABASE_URL": address, "NO_COLOR": "1", **environment},
        check=False,
    )


@pytest.fixture(scope="module")
def store(databases: Databases, template: URL) -> Iterator[URL]:
    """A store with odd names, one of which a consumer has set aside."""
    with databases.create(template) as url:
        write(url, ODD, LONG, ("café-☃", "T"))
        engine = create_engine(url)
        consumer = Consumer("[b]:x:\x1b", retry_policy=RetryPolicy(1), on_failure="dead_letter")
        consumer.on(ODD[1])(lambda *_: 1 / 0)
        consumer.catch_up(sessionmaker(engine))
        engine.dispose()
        yield url


needs_full_disk = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="there is no /dev/full on this system"
)

READING = [
    "print",
    "report stream-type",
    "summary",
    "consumers",
    "dead-letters list",
    "verify",
]


@pytest.mark.parametrize("command", READING)
def test_names_are_shown_and_not_obeyed(store: URL, command: str) -> None:
    told = mdb(*command.split(), url=store).stdout

    assert all(each == "\n" or each.isprintable() for each in told)
    if command in {"print", "report stream-type", "dead-letters list"}:
        assert all(name in told for name in ODD_AS_SHOWN)
    if command in {"consumers", "dead-letters list"}:
        assert r"[b]:x:\u001b" in told


def test_what_a_refusal_names(store: URL) -> None:
    refused = mdb("write", ODD[0], "T", "--expected-version", "7", url=store, code=1).stderr

    assert r"(Stream: new" in refused
    assert r"line-\u001b[31mred\u202e" in refused


def test_the_name_of_a_schema(empty_database: URL) -> None:
    for command in ("upgrade", "downgrade"):
        assert "schema :smile: of" in mdb(command, "--schema", ":smile:", url=empty_database).stdout


def test_shown() -> None:
    assert shown("\t\r\n\x7f\u2028é☃ ") == r"\t\r\n\u007f\u2028é☃ "
    assert shown("a\nb\x1b", lines=True) == "a\nb\\u001b"


def test_a_pipe_gets_whole_names(store: URL) -> None:
    told = run("report", "stream-type", url=store).stdout.decode()

    assert [LONG[0], LONG[1], "1", "33.33"] in [line.split() for line in told.splitlines()]


def test_a_narrow_terminal_gets_whole_names(store: URL) -> None:
    program = "from mdb_sqla.cli.options import output; output.width = 40; "
    program += "from mdb_sqla.cli import main; main()"
    address = store.render_as_string(hide_password=False)
    told = subprocess.run(
        [sys.executable, "-c", program, "report", "stream", "--url", address],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

    # A block for each row.
    assert f"stream    {LONG[0]}\nmessages  1\n" in told


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("command", READING)
def test_a_terminal_that_knows_few_characters(store: URL, command: str, encoding: str) -> None:
    done = run(*command.split(), url=store, PYTHONIOENCODING=encoding)

    assert (done.returncode, done.stderr) == (0, b"")
    done.stdout.decode(encoding)


@pytest.mark.parametrize("command", ["print", "report stream", "summary", "consumers", "verify"])
def test_json_is_utf_8(store: URL, command: str) -> None:
    plain = mdb(*command.split(), "--json", url=store).stdout.encode()
    told = run(*command.split(), "--json", url=store, PYTHONIOENCODING="ascii").stdout

    for lines in (plain.splitlines(), told.splitlines()) if command == "print" else [[told]]:
        for line in lines:
            json.loads(line)
    assert ("☃" in told.decode()) == (command in {"print", "report stream"})


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_the_encoding_of_other_clients(
    store: URL, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", encoding)
    for command in ("print", "report stream", "export"):
        assert "café-☃" in mdb(*command.split(), url=store).stdout


@needs_full_disk
@pytest.mark.parametrize(
    "command",
    ["print", "print --json", "report stream", "report stream --json", "export", "verify"],
)
def test_a_full_disk(store: URL, command: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run(*command.split(), url=store, output=full)
    (last,) = done.stderr.splitlines()[-1:]

    assert (done.returncode, last) == (1, b"mdb: No space left on device")
    assert b"Traceback" not in done.stderr


@needs_full_disk
def test_a_file_that_can_not_grow(store: URL) -> None:
    done = run("export", "--file", "/dev/full", url=store)

    assert (done.returncode, done.stderr) == (1, b"mdb: No space left on device\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["print", "print --json", "export"])
def test_a_pipe_that_is_closed(database: URL, command: str, unbuffered: str) -> None:
    engine = create_engine(database)
    with engine.begin() as connection:
        MessageStore(connection).load(("a-1", Message("T", "x" * 200)) for _ in range(2000))
    engine.dispose()
    address = database.render_as_string(hide_password=False)
    with subprocess.Popen(
        [*MDB, *command.split(), "--url", address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


def test_a_message_that_python_has_no_time_for(database: URL) -> None:
    engine = create_engine(database)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO message_store.messages (stream_name, type, position, time) "
                "VALUES ('a-1', 'T', 0, 'infinity')"
            )
        )
    engine.dispose()

    assert "infinity" in mdb("print", url=database).stdout


@pytest.mark.parametrize("port", ["abc", "1:2"])
def test_a_port_that_is_no_number(port: str) -> None:
    refused = mdb("print", "--url", f"postgresql://localhost:{port}/x", code=2).stderr

    assert "Invalid database URL" in refused


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_default_isolation_level_of_the_role(
    database: URL, tmp_path: Path, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = f"-c default_transaction_isolation={level.replace(' ', chr(92) + ' ')}"
    monkeypatch.setenv("PGOPTIONS", options)
    file = tmp_path / "all.jsonl"
    for command in (
        "write account-1 Opened",
        "print account",
        f"export --file {file}",
        "verify",
        "clear --yes",
        f"import {file}",
    ):
        assert "mdb:" not in mdb(*command.split(), url=database).stderr, command
    with subprocess.Popen(
        [*MDB, "tail", "--position", "1"],
        stdout=subprocess.PIPE,
        env={
            **os.environ,
            "MDB_DATABASE_URL": database.render_as_string(hide_password=False),
        },
    ) as process:
        assert process.stdout
        assert b"account-1" in process.stdout.readline()
        process.terminate()


@pytest.mark.parametrize("command", ["print", "print --json", "export", "version --json"])
def test_a_closed_stdout(store: URL, command: str) -> None:
    done = run_closed(1, *command.split(), url=store)

    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "code"), [("import -", 0), ("write --file -", 0), ("clear", 1)]
)
def test_a_closed_stdin(store: URL, command: str, code: int) -> None:
    done = run_closed(0, *command.split(), url=store)

    assert done.returncode == code
    assert b"Traceback" not in done.stderr


def run_closed(number: int, *arguments: str, url: URL) -> subprocess.CompletedProcess[bytes]:
    """Run a command one of whose standard streams is closed."""
    closing = f'exec {number}{"<" if number == 0 else ">"}&-; exec "$@"'
    address = url.render_as_string(hide_password=False)
    return subprocess.run(
        ["/bin/sh", "-c", closing, "sh", *MDB, *arguments, "--url", address],
        capture_output=True,
        check=False,
    )
