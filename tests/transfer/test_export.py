"""Export: what is in the file, and how it goes on with one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import URL, Connection, Engine

from mdb_sqla import Message, MessageStore, StoreRewound
from mdb_sqla.admin.message_removal import clear
from mdb_sqla.transfer.message_export import export, open_export
from mdb_sqla.transfer.message_import import import_lines
from mdb_sqla.transfer.raw_reads import RawReader
from tests.cli.running import write
from tests.cli.test_mdb import MDB, mdb
from tests.transfer.conftest import lines, rows, statement


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

    refused = mdb("export", "order-1", "--file", str(file), "--position", "1", url=source, code=2)
    assert "can't be combined with --position" in refused.stderr
    refused = mdb("export", "account", "--file", str(file), url=source, code=2)
    assert "contains messages of 'order-1'" in refused.stderr


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"shopping list", "The last line of the file is not an exported message"),
        (b"eggs\nmilk", "The last line of the file is not an exported message"),
        (b"eggs\n\n", "it is blank"),
        (b"\n", "it is blank"),
        (b"\0\xff", "The last line of the file is not an exported message"),
    ],
)
def test_a_file_that_is_no_export_stays_as_it_is(
    source: URL, tmp_path: Path, content: bytes, rule: str
) -> None:
    path = tmp_path / "notes"
    path.write_bytes(content)

    assert rule in mdb("export", "--file", str(path), url=source, code=2).stderr

    assert path.read_bytes() == content


@pytest.mark.parametrize("number", [1, 9])
def test_a_file_of_a_store_that_was_cleared(source: URL, file: Path, number: int) -> None:
    whole = file.read_bytes()
    mdb("clear", "--yes", url=source)
    write(source, *[("account-1", "Opened")] * number)

    refused = mdb("export", "--file", str(file), url=source, code=1).stderr

    assert "which was read at global position 10, no longer exists" in refused
    assert "Export again to a new file" in refused
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
    open_export(path, again).close()

    assert again.position == 2


def test_only_what_is_settled_is_exported(engine: Engine) -> None:
    with engine.begin() as writer, engine.begin() as other, engine.connect() as reader:
        MessageStore(writer).write("a-1", Message("First"))
        MessageStore(other).write("b-1", Message("Second"))
        other.commit()
        raw = RawReader()
        assert list(export(reader, raw)) == []
        assert raw.position == 1


def test_a_file_whose_last_message_is_at_another_position(source: URL, file: Path) -> None:
    """What is exported from then on would have other positions than what is in the file."""
    statement(source, "UPDATE message_store.messages SET global_position = 12 WHERE "
              "global_position = 10", "ALTER SEQUENCE message_store.messages_global_position_seq "
              "RESTART 13")  # fmt: skip

    refused = mdb("export", "--file", str(file), url=source, code=1).stderr

    assert "no longer exists" in refused


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

    refused = mdb("export", "account", "--file", str(path), url=database, code=2).stderr
    assert f"contains messages of {name!r}" in refused
