"""What `mdb host` prints if a handler fails, as a process of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from sqlalchemy import URL, create_engine

from mdb_sqla import Message, MessageStore
from tests.cli.test_mdb import MDB

MODULE = """
import os
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker
from mdb_sqla import Consumer, Host, RetryPolicy

policy = RetryPolicy(max_attempts=3, initial_interval=0.01)
billing = Consumer("billing", "order", retry_policy=policy)

def charge(card):
    raise ValueError("no such card")

@billing.on("Placed")
def bill(message, unit):
    charge(message.data)

host = Host(sessionmaker(create_engine(os.environ["URL"])), billing)
"""


def run(
    folder: Path, *arguments: str, source: str = MODULE, **environment: str
) -> tuple[int, list[str]]:
    (folder / "shop.py").write_text(source, encoding="utf-8")
    done = subprocess.run(
        [*MDB, "host", "shop:host", *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr.splitlines()


def fail(folder: Path, database: URL, *arguments: str) -> list[str]:
    engine = create_engine(database)
    with engine.begin() as connection:
        MessageStore(connection).write("order-1", Message("Placed", 1))
    engine.dispose()
    url = database.render_as_string(hide_password=False)
    code, lines = run(folder, *arguments, URL=url)
    assert code == 1
    return lines


def test_one_traceback_and_one_line(tmp_path: Path, database: URL) -> None:
    lines = fail(tmp_path, database)

    first = lines.index("Traceback (most recent call last):")
    frames = [line.split(", in ")[1] for line in lines if line.startswith("  File ")]
    assert frames == ["bill", "charge"]
    assert lines[first + 1 : first + 7] == [
        f'  File "{tmp_path / "shop.py"}", line 15, in bill',
        "    charge(message.data)",
        f'  File "{tmp_path / "shop.py"}", line 11, in charge',
        '    raise ValueError("no such card")',
        lines[first + 5],
        "ValueError: no such card",
    ]
    assert "library frames left out)" in lines[first + 5]
    attempts = [line for line in lines if "could not handle message 1 of type Placed (" in line]
    assert [line.partition("(attempt ")[2] for line in attempts] == [
        "1 of 3)",
        "2 of 3): ValueError: no such card",
        "3 of 3): ValueError: no such card",
    ]
    assert lines[-1] == (
        "mdb: Consumer 'billing' could not handle message 1 of type 'Placed' in stream "
        "order-1 after 3 attempts: ValueError: no such card"
    )
    assert len(lines) < 20


def test_whole_tracebacks(tmp_path: Path, database: URL) -> None:
    lines = fail(tmp_path, database, "--verbose")

    assert any("handler_invocation.py" in line for line in lines)
    assert lines.count("Traceback (most recent call last):") == 1


def test_an_application_without_libpq(tmp_path: Path) -> None:
    code, lines = run(tmp_path, source="import psycopg", PSYCOPG_IMPL="c")

    assert code == 1
    (line,) = lines
    assert 'pip install "mdb_sqla[binary]"' in line
