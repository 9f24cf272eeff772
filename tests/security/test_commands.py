"""No command calls what others have put into the schema `public`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL, create_engine
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, Message, MessageStore, RetryPolicy
from mdb_sqla.cli import main
from tests.conftest import Databases
from tests.security.hostile import plant
from tests.side_by_side.message_db import conninfo

# What commands call beside what the revisions do.
OTHERS = [
    "current_setting(varchar)",
    "set_config(varchar, varchar, boolean)",
    "jsonb_array_elements(varchar)",
    "timezone(varchar, timestamptz)",
    "pg_notify(varchar, text)",
    "unnest(text[])",
]

LINE = (
    '{{"id": "8a6b1e2c-6f7d-4a5e-9c3b-1d2e3f4a5b{number}", "stream_name": "account-1", '
    '"type": "Opened", "position": 0, "global_position": {number}, "time": "2013-01-01T12:00:00Z"}}'
    "\n"
)

COMMANDS = [
    "version",
    "write account-1 Opened --data {}",
    "write --file FOLDER/new.jsonl",
    "print",
    "print account --type Opened --correlation shop",
    "export account-1 --file FOLDER/stream.jsonl",
    "report stream --stream acc",
    "report category-type --category acc --type Op",
    "summary",
    "consumers",
    "dead-letters list",
    "dead-letters list billing",
    "dead-letters replay billing --stream account-1",
    "dead-letters skip billing 1",
    "pause-consumer billing",
    "resume-consumer billing",
    "verify",
    "operations billing",
    "benchmark --messages 10",
    "lock-granularity stream",
    "lock-granularity",
    "upgrade --roles",
    "import FOLDER/first.jsonl",
    "import FOLDER/both.jsonl",
    "clear --yes --reset-consumers",
    "import FOLDER/first.jsonl",
    "import FOLDER/both.jsonl",
    "create-database --maintenance-database HOSTILE",
    "downgrade --delete-messages --delete-consumers --delete-operations",
]


@pytest.fixture
def hostile_with_consumer(databases: Databases, template: URL, attacker: str) -> Iterator[URL]:
    with databases.create(template) as url:
        engine = create_engine(url)
        with engine.begin() as connection:
            MessageStore(connection).write("account-1", Message("Opened"))
        consumer = Consumer(
            "billing", "account", retry_policy=RetryPolicy(1), on_failure="dead_letter"
        )
        consumer.on("Opened")(lambda *_: 1 / 0)
        consumer.catch_up(sessionmaker(engine))
        engine.dispose()
        with psycopg.connect(conninfo(url), autocommit=True) as connection:
            plant(connection, attacker)
            for signature in OTHERS:
                connection.execute(
                    f"CREATE OR REPLACE FUNCTION public.{signature} RETURNS boolean "
                    "LANGUAGE plpgsql AS $$ BEGIN RAISE 'taken by %', current_user; END $$".encode()
                )
        yield url


def test_commands(hostile_with_consumer: URL, hostile_store: URL, tmp_path: Path) -> None:
    (tmp_path / "new.jsonl").write_text('{"stream_name": "account-2", "type": "Opened"}\n' * 300)
    (tmp_path / "first.jsonl").write_text(LINE.format(number=10))
    (tmp_path / "both.jsonl").write_text(LINE.format(number=10) + LINE.format(number=11))
    url = hostile_with_consumer.render_as_string(hide_password=False)

    for command in COMMANDS:
        words = command.replace("FOLDER", str(tmp_path)).split()
        if words[-1] == "HOSTILE":
            words[-1] = hostile_store.database or ""
        with pytest.raises(SystemExit) as ended:
            main([*words, "--url", url])
        assert not ended.value.code, command
