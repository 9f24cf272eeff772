from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
from sqlalchemy import URL, Connection, Engine, create_engine, event, func, select, text
from sqlalchemy.exc import OperationalError

from mdb_sqla import InvalidArgument, Message, MessageStore, StoreRewound
from mdb_sqla.admin.message_removal import clear
from mdb_sqla.transfer.message_tail import Following
from mdb_sqla.transfer.raw_reads import RawReader
from mdb_sqla.words.raw_message import RawMessage
from tests.cli.running import told, write
from tests.cli.test_mdb import MDB, mdb
from tests.waiting import backends


def shown(*arguments: str, url: URL) -> list[Any]:
    """The lines that `mdb print --json` prints."""
    output = mdb("print", *arguments, "--json", url=url).stdout
    return [json.loads(line) for line in output.split("\n")[:-1]]


def test_write_and_print(database: URL) -> None:
    wrote = mdb(
        "write", "account-1", "Opened", "--data", '{"amount": 20}', "--metadata", '{"a": 1}',
        "--expected-version", "-1", url=database,
    )  # fmt: skip
    assert wrote.stdout == "Wrote Opened to account-1 at position 0, global position 1.\n"
    second = told("write", "account-1", "Closed", "--expected-version", "0", url=database)
    assert (second["position"], second["global_position"]) == (1, 2)

    printed = mdb("print", "account-1", url=database).stdout.splitlines()
    assert printed[0].startswith("1  account-1 0  Opened  ")
    assert printed[1:3] == ['    data      {"amount": 20}', '    metadata  {"a": 1}']
    assert printed[3].startswith("2  account-1 1  Closed  ")
    assert len(printed) == 4
    details = mdb("print", "account-1", "--position", "1", "--verbose", url=database).stdout
    assert details.splitlines()[1:] == [f"    id  {second['id']}"]
    first, last = shown("account-1", url=database)
    assert (first["data"], first["metadata"]) == ({"amount": 20}, {"a": 1})
    assert last.keys() == {"id", "stream_name", "type", "position", "global_position", "time"}


def test_a_wrong_version(database: URL) -> None:
    refused = mdb("write", "a-1", "T", "--expected-version", "3", url=database, code=1).stderr
    assert "Wrong expected version: 3 (Stream: a-1, Stream Version: -1)" in refused
    assert shown(url=database) == []


def test_the_same_id_is_not_written_again(database: URL) -> None:
    id_ = str(uuid4())
    first = told("write", "a-1", "T", "--id", id_, url=database)
    assert told("write", "a-1", "T", "--id", id_, url=database) == first
    refused = mdb("write", "a-1", "U", "--id", id_, url=database, code=1).stderr
    assert id_ in refused


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (("a-1", "T", "--data", "{"), "--data must be JSON, got '{'"),
        (("a-1", "T", "--data", "NaN"), "the data must be JSON: NaN is not a JSON value"),
        (("a-1", "T", "--metadata", "[1]"), "--metadata must be a JSON object, got '[1]'"),
        (("--", "-1", "T"), "Invalid stream name '-1': the category must not be empty"),
        (("a-1", ""), "the type must be a non-empty string"),
        (("a-1",), "Missing STREAM and TYPE: pass both, or --file."),
        (("a-1", "T", "--file", "x"), "--file can't be combined with STREAM"),
        (("--file", "/none"), "Can't read /none: No such file or directory"),
    ],
)
def test_bad_input(database: URL, arguments: tuple[str, ...], rule: str) -> None:
    assert rule in mdb("write", *arguments, url=database, code=2).stderr
    assert shown(url=database) == []


def test_a_file(database: URL, tmp_path: Path) -> None:
    file = tmp_path / "messages.jsonl"
    good: list[dict[str, Any]] = [
        {"stream_name": "a-1", "type": "T", "data": {"n": 1}, "id": str(uuid4())},
        {"stream_name": "b-1", "type": "U", "metadata": {"k": 1}, "data": None},
    ]
    file.write_text("".join(json.dumps(each) + "\n" for each in good) + "\n")
    bad = tmp_path / "bad.jsonl"
    bad.write_text(file.read_text() + '{"stream_name": "c-1"}\n')

    refused = mdb("write", "--file", str(bad), url=database, code=1).stderr
    assert "Line 4: missing key 'type'" in refused
    assert shown(url=database) == []

    assert mdb("write", "--file", str(file), url=database).stdout == "Wrote 2 messages.\n"
    first, second = shown(url=database)
    assert (first["id"], first["data"]) == (good[0]["id"], {"n": 1})
    assert (second["stream_name"], second["data"], second["metadata"]) == ("b-1", None, {"k": 1})

    piped = subprocess.run(
        [*MDB, "write", "--file", "-", "--url", database.render_as_string(hide_password=False)],
        input=b'{"stream_name": "c-1", "type": "V"}',
        capture_output=True,
        check=True,
    )
    assert piped.stdout == b"Wrote 1 message.\n"


@pytest.fixture
def five(database: URL) -> URL:
    write(database, ("a-1", "T"), ("b-1", "T"), ("a-1", "U"), ("a-2", "[red]"))
    mdb("write", "a-2", "T", "--metadata", '{"correlationStreamName": "c-1"}', url=database)
    return database


@pytest.mark.parametrize(
    ("arguments", "positions"),
    [
        ((), [1, 2, 3, 4, 5]),
        (("a",), [1, 3, 4, 5]),
        (("a-1",), [1, 3]),
        (("a-1", "--position", "1"), [3]),
        (("a", "--position", "4"), [4, 5]),
        (("a", "--limit", "2"), [1, 3]),
        (("--type", "T"), [1, 2, 5]),
        (("--type", "T", "--type", "U", "--limit", "3"), [1, 2, 3]),
        (("a", "--correlation", "c"), [5]),
        (("--correlation", "d"), []),
    ],
)
def test_what_is_printed(five: URL, arguments: tuple[str, ...], positions: list[int]) -> None:
    assert [each["global_position"] for each in shown(*arguments, url=five)] == positions


def test_nothing_is_taken_for_markup(five: URL) -> None:
    assert "4  a-2 0  [red]  " in mdb("print", url=five).stdout


def test_what_can_not_be_printed(database: URL, empty_database: URL) -> None:
    refused = mdb("print", "a-1", "--correlation", "c", url=database, code=2).stderr
    assert "correlation must be omitted for stream 'a-1'" in refused
    refused = mdb("print", "a", "--correlation", "c-1", url=database, code=2).stderr
    assert "correlation must be a category, got 'c-1'" in refused
    assert "not installed" in mdb("print", url=empty_database, code=1).stderr


@contextmanager
def tailing(*arguments: str, url: URL) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*MDB, "tail", *arguments, "--json", "--url", url.render_as_string(hide_password=False)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # Where something is missing, its end is awaited, and not that of the test run.
    deadline = threading.Timer(60, process.kill)
    deadline.start()
    try:
        yield process
    finally:
        deadline.cancel()
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_tail(database: URL, ending: signal.Signals) -> None:
    write(database, ("a-1", "First"))
    with tailing("a", "--position", "1", "--type", "First", "--type", "Last", url=database) as tail:
        assert line(tail)["type"] == "First"
        write(database, ("b-1", "Last"), ("a-1", "Other"), ("a-1", "Last"))
        assert line(tail)["global_position"] == 4
        tail.send_signal(ending)
        rest, errors = tail.communicate(timeout=30)

    assert (tail.returncode, rest, errors) == (0, "", "")


def test_a_lost_connection(database: URL) -> None:
    engine = create_engine(database)
    write(database, ("a-1", "Before"))
    with tailing("a", "--position", "1", url=database) as tail:
        assert line(tail)["type"] == "Before"
        with engine.begin() as connection:
            (reading,) = backends(connection, "^(BEGIN|SET LOCAL|SELECT|COMMIT)")
            connection.execute(select(func.pg_terminate_backend(reading)))
        assert tail.stderr is not None
        told = tail.stderr.readline()
        write(database, ("a-1", "After"))
        assert line(tail)["type"] == "After"
        tail.send_signal(signal.SIGINT)
        _, errors = tail.communicate(timeout=30)
    engine.dispose()

    assert told.startswith("mdb: connection lost, retrying: ")
    # The server's last words, or that there were none any more to be read.
    assert "terminating connection" in told or "server closed the connection" in told
    assert "Traceback" not in errors
    assert tail.returncode == 0


def test_what_is_written_late_is_not_skipped(database: URL) -> None:
    """The first message becomes visible after the second."""
    engine = create_engine(database)
    write(database, ("a-1", "Begun"))
    with tailing("--position", "1", url=database) as tail:
        assert line(tail)["type"] == "Begun"
        with engine.begin() as slow:
            MessageStore(slow).write("a-1", Message("Slow"))
            write(database, ("b-1", "Fast"))
        assert [line(tail)["type"] for _ in range(2)] == ["Slow", "Fast"]
    engine.dispose()


def test_it_is_woken(database: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it only looked every hour, what is written would come by a notification alone."""
    monkeypatch.setattr("mdb_sqla.transfer.message_tail._POLL_INTERVAL", 3600.0)
    engine = create_engine(database)
    following = Following(engine, RawReader("a"), lambda error: pytest.fail(str(error)))
    batches = []

    def follow() -> None:
        for batch in following:
            batches.append([message.type for message in batch])
            if batch[-1].type == "Second":
                following.end()

    thread = threading.Thread(target=follow)
    thread.start()
    listens = select(text("count(*)")).select_from(text("pg_stat_activity"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        of_listener = listens.where(text("query LIKE 'LISTEN%' AND state = 'idle'"))
        while not connection.scalar(of_listener.where(text("datname = current_database()"))):
            assert thread.is_alive()
    for type_ in ("First", "Second"):
        with engine.begin() as connection:
            MessageStore(connection).write("a-1", Message(type_))
    thread.join(60)
    assert not thread.is_alive()
    engine.dispose()

    assert [type_ for batch in batches for type_ in batch] == ["First", "Second"]


def test_it_begins_with_what_comes(database: URL) -> None:
    write(database, ("a-1", "Before"))
    engine = create_engine(database)
    with engine.connect() as connection:
        category, stream = RawReader("a"), RawReader("a-1")
        ends = category.end(connection), stream.end(connection)
    engine.dispose()

    assert ends == (1, 0)


def rewind(engine: Engine, last: int) -> None:
    """Take the store back to a position, as a failover to a standby that lacks the rest does."""
    sequence = "message_store.messages_global_position_seq"
    with engine.begin() as connection:
        connection.execute(
            text("DELETE FROM message_store.messages WHERE global_position > :last"), {"last": last}
        )
        connection.execute(text(f"ALTER SEQUENCE {sequence} RESTART {last + 1}"))


@pytest.fixture
def store(engine: Engine) -> Callable[..., None]:
    def write_to(*streams: str) -> None:
        write(engine.url, *((stream, "T") for stream in streams))

    return write_to


Tail = Callable[..., Iterator[list[RawMessage]]]


@pytest.fixture
def reports() -> list[Exception]:
    return []


@pytest.fixture
def tail_of(engine: Engine, reports: list[Exception]) -> Iterator[Tail]:
    with ExitStack() as stack:

        def tail(reader: RawReader) -> Iterator[list[RawMessage]]:
            batches = iter(Following(engine, reader, reports.append))
            stack.callback(cast(Any, batches).close)
            return batches

        yield tail


def positions(batch: list[RawMessage]) -> list[int]:
    return [message.global_position for message in batch]


def test_a_connection_that_is_lost_after_the_read(
    engine: Engine, store: Callable[..., None], tail_of: Tail, reports: list[Exception]
) -> None:
    """What was read is shown, though the transaction can't be ended any more."""
    store("a-1")
    tail = tail_of(RawReader("a"))
    assert positions(next(tail)) == [1]
    store("a-1", "a-1")

    def lose(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        driver.pgconn.finish()

    event.listen(engine, "commit", lose, once=True)
    assert positions(next(tail)) == [2, 3]
    store("a-1")
    assert positions(next(tail)) == [4]
    assert [type(each) for each in reports] == [OperationalError]


def test_a_store_that_is_cleared_meanwhile(
    engine: Engine, store: Callable[..., None], tail_of: Tail, reports: list[Exception]
) -> None:
    """What is written since is shown, be it less or more than there was."""
    store("a-1", "b-1", "a-1")
    tail = tail_of(RawReader("a"))
    assert positions(next(tail)) == [1, 3]
    for number in (1, 5):
        with engine.begin() as connection:
            clear(connection)
        store(*["a-1"] * number)
        assert positions(next(tail)) == list(range(1, number + 1))

    assert [type(each) for each in reports] == [StoreRewound] * 2
    assert "was read at global position 3, no longer exists" in str(reports[0])


@pytest.mark.parametrize(
    ("name", "shown"), [(None, [18, 19, 20, 21, 22]), ("a", [18, 20, 22]), ("a-1", [18, 20, 22])]
)
def test_a_store_that_has_lost_its_end(
    engine: Engine,
    store: Callable[..., None],
    tail_of: Tail,
    reports: list[Exception],
    name: str | None,
    shown: list[int],
) -> None:
    """It goes on where the store still was the same, and not with the beginning."""
    store(*["a-1", "b-1"] * 10)
    reader = RawReader(name)
    with engine.connect() as connection:
        reader.skip(connection)
    tail = tail_of(reader)
    rewind(engine, 17)
    store(*["a-1", "b-1"] * 2, "a-1")

    assert positions(next(tail)) == shown
    assert len(reports) == 1
    store("a-1")
    assert positions(next(tail)) == [23]


def test_positions_that_are_drawn_again(engine: Engine, store: Callable[..., None]) -> None:
    """A crash forgets the positions of transactions that came to nothing."""
    store("a-1")
    reader = RawReader()
    with engine.connect() as connection:
        assert positions(reader.next(connection)) == [1]
        connection.rollback()
        MessageStore(connection).write("a-1", Message("T"))
        connection.rollback()
        assert reader.next(connection) == []
    rewind(engine, 1)
    store("a-1")

    with engine.connect() as connection:
        assert positions(reader.next(connection)) == [2]


def test_a_position_that_was_never_reached(engine: Engine, store: Callable[..., None]) -> None:
    store("a-1", "b-1", "a-1")
    for name, last in ((None, 3), ("a", 3), ("a-1", 1), ("c-1", -1)):
        with engine.connect() as connection:
            refusal = f"position {last + 2} is beyond the end of the store, {last}: "
            with pytest.raises(InvalidArgument, match=refusal):
                RawReader(name, last + 2).next(connection)
            assert RawReader(name, last + 1).next(connection) == []
