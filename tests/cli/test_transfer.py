"""Export and import: what is kept, and that nothing is lost or written twice."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    NullPool,
    Text,
    cast,
    create_engine,
    func,
    select,
    text,
    update,
)
from sqlalchemy.orm import sessionmaker

from mdb_sqla import (
    Consumer,
    DuplicateMessageId,
    InvalidArgument,
    InvalidLine,
    Message,
    MessageStore,
    MessageStoreError,
    StoreBusy,
    StoreRewound,
    migrations,
)
from mdb_sqla.admin.message_removal import clear
from mdb_sqla.admin.verification import verify
from mdb_sqla.tables import messages
from mdb_sqla.transfer import message_import as importing_module
from mdb_sqla.transfer.json_lines import messages_in
from mdb_sqla.transfer.message_export import export, go_on
from mdb_sqla.transfer.message_import import Imported, import_lines
from mdb_sqla.transfer.raw_reads import RawReader
from tests.cli.running import write
from tests.cli.test_mdb import MDB, mdb
from tests.conftest import Databases

DIGITS = (
    '{"amount": 1.10, "large": 12345678901234567890.12345678901234567890, "text": "ä\\n\u2028"}'
)


def rows(url: URL) -> list[Any]:
    """All columns of all messages, as the server prints them."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT m::text FROM message_store.messages AS m ORDER BY global_position")
        )
        told = list(found.scalars())
    engine.dispose()
    return told


def statement(url: URL, *sql: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        for each in sql:
            connection.execute(text(each))
    engine.dispose()


@pytest.fixture
def source(database: URL) -> URL:
    """A store with gaps, NULL, JSON null, and numbers that Python would not keep."""
    write(database, ("account-1", "Opened"), ("order-1", "Placed"), ("account-2", "Opened"))
    statement(
        database,
        "SELECT nextval('message_store.messages_global_position_seq') FROM generate_series(1, 5)",
        "SELECT message_store.write_message(gen_random_uuid()::text, 'account-1', 'Odd', "
        f'$${DIGITS}$$, $${{"correlationStreamName": "order-1"}}$$)'.replace(":", r"\:"),
        "SELECT message_store.write_message(gen_random_uuid()\\:\\:text, 'account', 'N', 'null')",
        "UPDATE message_store.messages SET time = time - interval '1000 days' * global_position",
    )
    return database


@pytest.fixture
def target(databases: Databases, template: URL) -> Any:
    with databases.create(template) as url:
        yield url


@pytest.fixture
def file(source: URL, tmp_path: Path) -> Path:
    path = tmp_path / "all.jsonl"
    told = mdb("export", "--file", str(path), url=source)
    assert "Exported 5 messages" in told.stderr
    return path


def test_everything_is_kept_in_an_empty_store(source: URL, target: URL, file: Path) -> None:
    told = mdb("import", str(file), url=target)

    assert "Written: 5, as they were. Stored already: 0." in told.stderr
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

    assert "Written: 0. Stored already: 5." in told.stderr
    assert rows(target) == before


def test_behind_other_messages(source: URL, target: URL, file: Path) -> None:
    write(target, ("account-1", "Here"))

    told = mdb("import", str(file), url=target)

    assert "Written: 5, at new global positions. Stored already: 0." in told.stderr
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
    assert "Written: 0, at new global positions. Stored already: 5." in told.stderr


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

    assert "Written: 7,000" in told.stderr
    assert "Stored already: 5,000." in told.stderr
    if begun_with:
        assert "at new global positions" in told.stderr
        assert len(rows(target)) == number + 1
    else:
        assert "as they were" in told.stderr
        assert rows(target) == rows(database)


def test_a_category_and_a_stream(source: URL, target: URL) -> None:
    category = mdb("export", "account", url=source).stdout
    stream = mdb("export", "account-1", "--position", "1", url=source).stdout

    streams = [json.loads(line)["stream_name"] for line in category.split("\n") if line]
    assert streams == ["account-1", "account-2", "account-1", "account"]
    (line,) = stream.split("\n")[:-1]
    assert (json.loads(line)["position"], json.loads(line)["global_position"]) == (1, 9)
    subprocess.run(
        [*MDB, "import", "-", "--url", target.render_as_string(hide_password=False)],
        input=category.encode(),
        check=True,
        capture_output=True,
    )
    assert rows(target) == [row for row in rows(source) if "account" in row.partition("{")[0]]


def test_an_export_goes_on_where_its_file_ends(source: URL, file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    mdb("export", "--file", str(file), url=source)
    assert file.read_bytes() == whole

    write(source, ("order-1", "Paid"))
    assert "Exported 1 message," in mdb("export", "--file", str(file), url=source).stderr
    assert file.read_bytes().startswith(whole)
    assert "Exported 0 messages" in mdb("export", "--file", str(file), url=source).stderr

    refused = mdb("export", "order-1", "--file", str(file), "--position", "1", url=source, code=1)
    assert "leave --position out" in refused.stderr
    refused = mdb("export", "account", "--file", str(file), url=source, code=1)
    assert "has messages of 'order-1'" in refused.stderr


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"shopping list", "ends with something that is no message"),
        (b"eggs\nmilk", "The last line of the file is no message"),
        (b"eggs\n\n", "it is blank"),
        (b"\n", "it is blank"),
        (b"\0\xff", "ends with something that is no message"),
    ],
)
def test_a_file_that_is_no_export_stays_as_it_is(
    source: URL, tmp_path: Path, content: bytes, rule: str
) -> None:
    path = tmp_path / "notes"
    path.write_bytes(content)

    assert rule in mdb("export", "--file", str(path), url=source, code=1).stderr

    assert path.read_bytes() == content


@pytest.mark.parametrize("number", [1, 9])
def test_a_file_of_a_store_that_was_cleared(source: URL, file: Path, number: int) -> None:
    whole = file.read_bytes()
    mdb("clear", "--yes", url=source)
    write(source, *[("account-1", "Opened")] * number)

    refused = mdb("export", "--file", str(file), url=source, code=1).stderr

    assert "which was read at global position 10, is not there any more" in refused
    assert "Export to another file" in refused
    assert file.read_bytes() == whole


@pytest.mark.parametrize("kept", [1, 8, 9, 100])
def test_a_first_line_that_was_written_in_part(source: URL, file: Path, kept: int) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[:kept])

    mdb("export", "--file", str(file), url=source)

    assert file.read_bytes() == whole


def test_a_dash_stands_for_stdout(source: URL, file: Path) -> None:
    exported = mdb("export", "--file", "-", url=source).stdout

    assert exported.encode() == file.read_bytes()


def test_a_file_whose_last_line_is_longer_than_a_block(
    tmp_path: Path, connection: Connection
) -> None:
    store = MessageStore(connection)
    store.write("a-1", [Message("T"), Message("T", "x" * 200_000)])
    reader = RawReader("a-1")
    path = tmp_path / "a.jsonl"
    with path.open("wb") as output:
        for batch in export(connection, reader):
            output.writelines(each.line.encode() for each in batch)

    again = RawReader("a-1")
    go_on(path, again).close()

    assert again.position == 2


LINE: dict[str, Any] = {
    "id": "00000000-0000-4000-8000-000000000001",
    "stream_name": "account-1",
    "type": "Opened",
    "position": 0,
    "global_position": 7,
    "time": "2013-01-01T12:00:00Z",
}


def lines(*changes: dict[str, Any]) -> list[bytes]:
    """A good line, and then more of them with changes."""
    changed = [
        {**LINE, "id": LINE["id"][:-1] + str(number), "global_position": 7 + number, **each}
        for number, each in enumerate(changes, 2)
    ]
    return [json.dumps(each).encode() for each in (LINE, *changed)]


def deep(opening: str, inner: str, closing: str) -> bytes:
    """A good line whose data is nested deeper than Python reads JSON."""
    (line,) = lines()
    data = opening * 100_000 + inner + closing * 100_000
    return line.replace(b'": 7', b'": 9')[:-1] + f', "data": {data}}}'.encode()


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (lines({"id": "x"})[1], 'the id must be a UUID in lower case with dashes: "x"'),
        (lines({"stream_name": 1})[1], "the stream_name must be a string: 1"),
        (lines({"type": None})[1], "the type must be a string: null"),
        (lines({"position": -1})[1], "the position must be an integer from 0 .*: -1"),
        (lines({"position": True})[1], "the position must be an integer from 0 .*: true"),
        (lines({"global_position": 0})[1], "the global_position must be an integer from 1 .*: 0"),
        (lines({"time": "2013-01-01"})[1], "the time must be a time with a zone, .*2013-01-01"),
        (lines({"time": "2013-W01-1T00:00:00Z"})[1], "the time must be a time with a zone"),
        (lines({"time": "2013-01-01 00:00:00,5+01:00"})[1], "the time must be a time with a zone"),
        (lines({"time": "0001-01-01T00:00:00+10:00"})[1], "the time must be a time with a zone"),
        (lines({"time": "20000-13-01T00:00:00Z"})[1], "the time must be a time with a zone"),
        (lines({"time": "300000-01-01T00:00:00Z"})[1], "the time must be a time with a zone"),
        (lines({"time": "4713-11-24T00:00:00Z BC"})[1], "the time must be a time with a zone"),
        (lines({"time": "2013-01-01T00:00:00"})[1], "the time must be a time with a zone"),
        (lines({"colour": 1})[1], "the key 'colour' must be one of data, global_position, id"),
        (lines({"data": "\0"})[1], "PostgreSQL stores no NUL and no surrogates"),
        (lines({"data": ["\ud800"]})[1], "PostgreSQL stores no NUL and no surrogates"),
        (lines({"global_position": 7})[1], "must be above 7, which line 1 has: 7"),
        (b'{"id"', "it must be JSON: "),
        (lines({"data": float("nan")})[1], "it must be JSON: NaN is no JSON value"),
        (b"[" * 100_000, "it must be JSON: \\[ is not closed"),
        (b"[" * 100_000 + b"]" * 100_001, "it must be JSON: nothing is open that ] closes"),
        (b"[" * 100_000 + b"]" * 100_000 + b"1", "it must be JSON: Extra data"),
        (
            b'{"data": [' * 100_000 + b"1}" + b"]}" * 99_999,
            "it must be JSON: Expecting ',' delimiter",
        ),
        (deep("[", '"', "]"), "it must be JSON: \\[ is not closed"),
        (deep("[", r'"\ud800"', "]"), "PostgreSQL stores no NUL and no surrogates"),
        (deep("[", "NaN", "]"), "it must be JSON: NaN is no JSON value"),
        (b"7", "it must be a JSON object: 7"),
        (b"{}", "the key 'global_position' is missing"),
        (b"\xff", "it must be UTF-8: "),
    ],
)
def test_a_line_that_is_no_message(engine: Engine, line: bytes, rule: str) -> None:
    with engine.connect() as connection:
        with pytest.raises(InvalidLine, match=f"^Line 2: .*{rule}") as caught:
            import_lines(connection, [lines()[0], line])
        assert connection.scalar(select(func.count()).select_from(messages)) == 0

    assert caught.value.number == 2


def test_a_number_of_more_digits_than_python_reads(engine: Engine) -> None:
    digits = "9" * 6000
    line = lines()[0][:-1] + f', "data": [{digits}, 1]}}'.encode()

    with engine.connect() as connection:
        assert import_lines(connection, [line]).written == 1
        stored = connection.scalar(text("SELECT data::text FROM message_store.messages"))
    assert stored == f"[{digits}, 1]"


def test_a_position_of_more_digits_than_python_reads(engine: Engine) -> None:
    line = lines()[0].replace(b'"global_position": 7', b'"global_position": ' + b"9" * 6000)

    with engine.connect() as connection, pytest.raises(InvalidLine, match="must be an integer"):
        import_lines(connection, [line])


def test_a_bad_file_from_the_command_line(database: URL, tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text("{}\n")

    refused = mdb("import", str(file), url=database, code=1).stderr
    assert "Line 1: the key 'global_position' is missing" in refused
    refused = mdb("import", str(tmp_path / "none.jsonl"), url=database, code=1).stderr
    assert "can't be read" in refused


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


def test_no_one_can_write_between(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing_module, "_MOST", 1)

    def intrude(_: Imported) -> None:
        with engine.begin() as other:
            MessageStore(other).write("b-1", Message("T"))

    with engine.connect() as connection:
        with pytest.raises(StoreBusy, match="Others have written"):
            import_lines(connection, lines({}), intrude)
        assert connection.scalar(select(func.max(messages.c.global_position))) == 8


def test_positions_that_were_drawn_in_vain(engine: Engine) -> None:
    draw = select(func.setval("message_store.messages_global_position_seq", 7))
    with engine.begin() as connection:
        connection.execute(draw)

    refusal = pytest.raises(StoreBusy, match="Global position 7 can't be kept, for those up to 7")
    with engine.connect() as connection, refusal:
        import_lines(connection, lines())


def test_an_import_waits_for_writers(engine: Engine) -> None:
    """One that has written, but not yet committed: the store is not empty."""
    done = []

    def run() -> None:
        with engine.connect() as connection:
            done.append(import_lines(connection, lines()))

    thread = threading.Thread(target=run)
    waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND database = "
                 "(SELECT oid FROM pg_database WHERE datname = current_database())")  # fmt: skip
    with engine.begin() as writer:
        MessageStore(writer).write("a-1", Message("T"))
        thread.start()
        while not writer.scalar(waits):
            assert thread.is_alive()
    thread.join(60)

    assert done == [Imported(1, 0, False)]


def test_an_import_does_not_wait_for_ever(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """For who writes after it waits for it."""
    monkeypatch.setattr("mdb_sqla.transfer.history_insert._PATIENCE", 0.1)
    with engine.begin() as writer:
        MessageStore(writer).write("a-1", Message("T"))
        refusal = pytest.raises(StoreBusy, match=r"Others write to the store, .* for 0\.1 s")
        with engine.connect() as connection, refusal:
            import_lines(connection, lines())

    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(messages)) == 1


def test_what_an_import_needs(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(select(1))
        with pytest.raises(InvalidArgument, match="not in a transaction"):
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
    assert "Written: 5, as they were" in told.stderr
    exported = mdb("export", "--schema", schema, url=empty_database).stdout
    assert exported == file.read_text()


def test_only_what_is_settled_is_exported(engine: Engine) -> None:
    with engine.begin() as writer, engine.begin() as other, engine.connect() as reader:
        MessageStore(writer).write("a-1", Message("First"))
        MessageStore(other).write("b-1", Message("Second"))
        other.commit()
        raw = RawReader()
        assert list(export(reader, raw)) == []
        assert raw.position == 1


def test_progress_is_told(engine: Engine) -> None:
    told: list[Imported] = []
    with engine.connect() as connection:
        import_lines(connection, lines({}), told.append)

    assert told == [Imported(2, 0, True)]


def test_a_file_whose_last_message_is_at_another_position(source: URL, file: Path) -> None:
    """What is exported from then on would have other positions than what is in the file."""
    statement(source, "UPDATE message_store.messages SET global_position = 12 WHERE "
              "global_position = 10", "ALTER SEQUENCE message_store.messages_global_position_seq "
              "RESTART 13")  # fmt: skip

    refused = mdb("export", "--file", str(file), url=source, code=1).stderr

    assert "is not there any more" in refused


def test_an_export_from_a_store_that_is_cleared_meanwhile(engine: Engine) -> None:
    with engine.connect() as connection:
        import_lines(connection, lines({}, {}))
        reader = RawReader()
        assert [each.global_position for each in reader.next(connection, 2)] == [7, 9]
        connection.rollback()
        with engine.begin() as other:
            clear(other)
            MessageStore(other).write("a-1", [Message("T") for _ in range(9)])

        with pytest.raises(StoreRewound, match="at global position 9") as caught:
            reader.next(connection, 2)
    assert caught.value.global_position == 9


@pytest.mark.parametrize("others", [0, 1])
def test_an_import_into_a_store_that_is_cleared_meanwhile(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    """What was written is gone, whether it has kept its global positions or not."""
    monkeypatch.setattr(importing_module, "_MOST", 1)
    write(engine.url, *[("b-1", "T")] * others)

    def clear_it(_: Imported) -> None:
        with engine.begin() as other:
            clear(other)

    with engine.connect() as connection:
        with pytest.raises(StoreRewound, match=str(LINE["id"])):
            import_lines(connection, lines({}), clear_it)
        assert import_lines(connection, lines({})).written == 2


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


@pytest.mark.parametrize("name", ["-7", ""])
def test_an_export_goes_on_after_what_only_other_clients_write(
    database: URL, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "all.jsonl"
    for _ in range(2):
        statement(
            database,
            f"SELECT message_store.write_message(gen_random_uuid()\\:\\:text, '{name}', '', '1')",
        )
        assert "Exported 1 message," in mdb("export", "--file", str(path), url=database).stderr

    refused = mdb("export", "account", "--file", str(path), url=database, code=1).stderr
    assert f"has messages of {name!r}" in refused


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"stream_name": "-1"}, 'the stream_name must be .* empty: "-1"'),
        ({"type": ""}, 'the type must be a string that is not empty: ""'),
        ({"metadata": [1]}, r"the metadata must be a JSON object: \[1\]"),
        ({"position": 1}, "the key 'position' must be one of data, id, metadata"),
    ],
)
def test_what_is_written_anew_keeps_the_rules(change: dict[str, Any], rule: str) -> None:
    line = json.dumps({"stream_name": "account-1", "type": "Opened", **change}).encode()

    with pytest.raises(InvalidLine, match=f"^Line 1: .*{rule}"):
        list(messages_in([line]))


def test_what_is_written_anew_is_nested_no_deeper_than_python_reads() -> None:
    line = b'{"stream_name": "a-1", "type": "T", "data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"

    with pytest.raises(InvalidLine, match=r"^Line 1: .*it must be JSON"):
        list(messages_in([line]))


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

    printed = mdb("print", url=engine.url).stdout
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


def test_an_import_that_was_disturbed_does_not_go_on_at_other_positions_unasked(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing_module, "_MOST", 1)

    def intrude(_: Imported) -> None:
        write(engine.url, ("b-1", "T"))

    with engine.connect() as connection:
        with pytest.raises(StoreBusy, match="Others have written"):
            import_lines(connection, lines({}), intrude)
        with pytest.raises(StoreBusy, match=r"up to global position 7 were .* --new-positions"):
            import_lines(connection, lines({}))
        assert import_lines(connection, lines({}), new_positions=True) == Imported(1, 1, False)
