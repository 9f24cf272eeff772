"""Import: what is kept, and that nothing is lost or written twice."""

from __future__ import annotations

import json
import signal
import subprocess
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Engine, NullPool, Text, cast, create_engine, select, text, update
from sqlalchemy.orm import sessionmaker

from mdb_sqla import (
    Consumer,
    DuplicateMessageId,
    InvalidArgument,
    Message,
    MessageStore,
    MessageStoreError,
    migrations,
)
from mdb_sqla.admin.verification import verify
from mdb_sqla.tables import messages
from mdb_sqla.transfer.message_export import export
from mdb_sqla.transfer.message_import import Imported, import_lines
from mdb_sqla.transfer.raw_reads import RawReader
from tests.cli.running import write
from tests.cli.test_mdb import MDB, mdb
from tests.conftest import Databases
from tests.transfer.conftest import LINE, lines, rows, statement


def test_everything_is_kept_in_an_empty_store(source: URL, target: URL, file: Path) -> None:
    told = mdb("import", str(file), url=target)

    assert "Written at their original positions: 5. Skipped: 0." in told.stderr
    assert rows(target) == rows(source)
    write(target, ("account-1", "Next"))
    engine = create_engine(target)
    with engine.connect() as connection:
        last = MessageStore(connection).last_message("account-1")
    assert last is not None
    assert (last.position, last.global_position) == (2, 11)
    assert verify(engine).is_sound
    engine.dispose()


def test_another_run_writes_nothing(target: URL, file: Path) -> None:
    mdb("import", str(file), url=target)
    before = rows(target)

    told = mdb("import", str(file), url=target)

    assert "Written: 0. Skipped: 5." in told.stderr
    assert rows(target) == before


def test_behind_other_messages(source: URL, target: URL, file: Path) -> None:
    write(target, ("account-1", "Here"))

    told = mdb("import", str(file), url=target)

    assert "Written at new global positions: 5. Skipped: 0." in told.stderr
    engine, other = create_engine(source), create_engine(target)
    with engine.connect() as connection, other.connect() as other_connection:
        original = MessageStore(connection).read_messages()
        found = MessageStore(other_connection).read_messages()[1:]
    assert [each.global_position for each in found] == [2, 3, 4, 5, 6]
    assert [(each.id, each.time, each.data) for each in found] == [
        (each.id, each.time, each.data) for each in original
    ]
    assert [(each.stream_name, each.position) for each in found] == [
        ("account-1", 1), ("order-1", 0), ("account-2", 0), ("account-1", 2), ("account", 0),
    ]  # fmt: skip
    assert verify(other).is_sound
    engine.dispose()
    other.dispose()

    told = mdb("import", str(file), url=target)
    assert "Written at new global positions: 0. Skipped: 5." in told.stderr


@pytest.mark.parametrize("begun_with", [None, "account-9"])
def test_a_run_that_was_killed_goes_on(
    target: URL, tmp_path: Path, database: URL, begun_with: str | None
) -> None:
    number = 12_000
    engine = create_engine(database)
    with engine.begin() as connection:
        MessageStore(connection).load(
            (f"a-{n % 100}", Message("T", {"n": n})) for n in range(number)
        )
    engine.dispose()
    path = tmp_path / "many.jsonl"
    mdb("export", "--file", str(path), url=database)
    if begun_with:
        write(target, (begun_with, "Here"))
    # A pipe that is never full: the process is killed while it waits for more, after 5,000.
    url = target.render_as_string(hide_password=False)
    process = subprocess.Popen(
        [*MDB, "import", "-", "--url", url], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    lines = path.read_bytes().splitlines(keepends=True)
    process.stdin.write(b"".join(lines[:7_000]))
    process.stdin.flush()
    while len(rows(target)) < 5_000:
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()

    told = mdb("import", str(path), url=target)

    assert ": 7,000. " in told.stderr
    assert "Skipped: 5,000." in told.stderr
    if begun_with:
        assert "at new global positions" in told.stderr
        assert len(rows(target)) == number + 1
    else:
        assert "at their original positions" in told.stderr
        assert rows(target) == rows(database)


def test_an_id_with_other_content(engine: Engine) -> None:
    with engine.connect() as connection:
        import_lines(connection, lines())
        changes: list[dict[str, Any]] = [
            {"type": "Closed"},
            {"data": 1},
            {"metadata": {}},
            {"stream_name": "a-2"},
        ]
        for change in changes:
            line = json.dumps({**LINE, **change}).encode()
            with pytest.raises(DuplicateMessageId, match=str(LINE["id"])):
                import_lines(connection, [line])
        assert import_lines(connection, lines()) == Imported(0, 1, None)


def test_positions_of_consumers_stay_right(source: URL, target: URL, file: Path) -> None:
    engine = create_engine(target)
    mdb("import", str(file), url=target)
    seen = []
    consumer = Consumer("reader", "account", start=4)
    consumer.on()(lambda message, unit: seen.append(message.type))
    consumer.catch_up(sessionmaker(engine))
    engine.dispose()

    assert seen == ["Odd", "N"]


def test_what_an_import_needs(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(select(1))
        with pytest.raises(InvalidArgument, match="connection is in a transaction"):
            import_lines(connection, lines())
    for level in ("AUTOCOMMIT", "REPEATABLE READ"):
        other = engine.execution_options(isolation_level=level)
        with other.connect() as connection, pytest.raises(InvalidArgument, match=level):
            import_lines(connection, lines())


def test_another_schema(empty_database: URL, file: Path) -> None:
    schema = 'odd "%(name)s'
    engine = create_engine(empty_database)
    migrations.upgrade(engine, schema=schema)
    engine.dispose()

    told = mdb("import", str(file), "--schema", schema, url=empty_database)
    assert "Written at their original positions: 5" in told.stderr
    exported = mdb("export", "--schema", schema, url=empty_database).stdout
    assert exported == file.read_text()


def test_progress_is_told(engine: Engine) -> None:
    told: list[Imported] = []
    with engine.connect() as connection:
        import_lines(connection, lines({}), told.append)

    assert told == [Imported(2, 0, True)]


@pytest.mark.parametrize("before", [[], [("b-1", "T")]], ids=["as they were", "behind"])
def test_what_only_other_clients_write(
    databases: Databases, engine: Engine, template: URL, before: list[Any]
) -> None:
    """The server stores it, so it is exported, and what is exported is imported."""
    odd = [
        ("-7", "T", "{}", None),
        ("", "T", "{}", None),
        ("a-1", "", "{}", None),
        ("a-1", "T", "{}", "[1]"),
        ("a-1", "T", "{}", '"x"'),
        ("a-1", "T", "{}", "null"),
        ("a-1", "T", '{"a": [' * 1_500 + r'"\\ \" [{ ä"' + "]}" * 1_500, None),
    ]
    with engine.begin() as connection:
        for values in odd:
            connection.execute(
                text(
                    "SELECT message_store.write_message(gen_random_uuid()::text, :stream_name, "
                    ":type, CAST(:data AS jsonb), CAST(:metadata AS jsonb))".replace("::", r"\:\:")
                ),
                dict(zip(("stream_name", "type", "data", "metadata"), values, strict=True)),
            )
    columns = [messages.c[name] for name in ("stream_name", "type", "position", "time", "id")]
    stored = select(*columns, *(cast(messages.c[name], Text) for name in ("data", "metadata")))

    with (
        databases.create(template) as url,
        create_engine(url, poolclass=NullPool).connect() as target,
    ):
        write(url, *before)
        with engine.connect() as source:
            exported = [each.line.encode() for each in chain(*export(source, RawReader()))]
            expected = source.execute(stored.order_by(messages.c.global_position)).all()
        assert import_lines(target, exported) == Imported(len(odd), 0, not before)
        found = target.execute(stored.order_by(messages.c.global_position)).all()
        assert found[len(before) :] == expected
        target.rollback()
        assert import_lines(target, exported).stored == len(odd)


ODD_TIMES = {
    "infinity": "infinity",
    "-infinity": "-infinity",
    "20000-02-29": "20000-02-29 00:00:00Z",
    "0044-03-15 BC": "0044-03-15 00:00:00Z BC",
    "294275-12-31 23:59:59.999999": "294275-12-31 23:59:59.999999Z",
    "4712-01-01 BC": "4712-01-01 00:00:00Z BC",
}


def test_times_that_python_does_not_have(databases: Databases, engine: Engine) -> None:
    with engine.begin() as connection:
        for number, time in enumerate(ODD_TIMES):
            name = f"a-{number}"
            MessageStore(connection).write(name, Message("T"))
            moved = update(messages).where(messages.c.stream_name == name)
            connection.execute(moved.values(time=text(f"timestamp '{time}'".replace(":", r"\:"))))

    printed = mdb("print", "--verbose", url=engine.url).stdout
    with (
        databases.create() as url,
        engine.connect() as source,
        create_engine(url, poolclass=NullPool).connect() as target,
    ):
        migrations.upgrade(target)
        target.commit()
        exported = [each.line.encode() for each in chain(*export(source, RawReader()))]
        import_lines(target, exported)
        assert rows(url) == rows(engine.url)
    for shown in ODD_TIMES.values():
        assert shown in printed


@pytest.mark.parametrize("before", [[], [("b-1", "T")]], ids=["as they were", "behind"])
def test_a_trigger_that_drops_messages_is_told(engine: Engine, before: list[Any]) -> None:
    write(engine.url, *before)
    statement(
        engine.url,
        "CREATE FUNCTION drop_odd() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN RETURN CASE WHEN new.type <> 'Odd' THEN new END; END$$",
        "CREATE TRIGGER drop_odd BEFORE INSERT ON message_store.messages "
        "FOR EACH ROW EXECUTE FUNCTION drop_odd()",
    )

    with (
        engine.connect() as connection,
        pytest.raises(MessageStoreError, match="2 of 3 messages were written: a trigger"),
    ):
        import_lines(connection, lines({"type": "Odd"}, {}))

    assert len(rows(engine.url)) == len(before)
