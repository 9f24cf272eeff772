"""Lines of a file that are no messages, and what is written anew from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Engine, func, select, text

from mdb_sqla import InvalidLine
from mdb_sqla.tables import messages
from mdb_sqla.transfer.json_lines import messages_in
from mdb_sqla.transfer.message_import import import_lines
from tests.cli.test_mdb import mdb
from tests.transfer.conftest import lines


def deep(opening: str, inner: str, closing: str) -> bytes:
    """A good line whose data is nested deeper than Python reads JSON."""
    (line,) = lines()
    data = opening * 100_000 + inner + closing * 100_000
    return line.replace(b'": 7', b'": 9')[:-1] + f', "data": {data}}}'.encode()


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (lines({"id": "x"})[1], 'id must be a lower-case UUID with dashes, got "x"'),
        (lines({"stream_name": 1})[1], "stream_name must be a string, got 1"),
        (lines({"type": None})[1], "type must be a string, got null"),
        (lines({"position": -1})[1], "position must be an integer from 0 .*, got -1"),
        (lines({"position": True})[1], "position must be an integer from 0 .*, got true"),
        (lines({"global_position": 0})[1], "global_position must be an integer from 1 .*, got 0"),
        (lines({"time": "2013-01-01"})[1], "time must be a time with a zone, .*2013-01-01"),
        (lines({"time": "2013-W01-1T00:00:00Z"})[1], "time must be a time with a zone"),
        (lines({"time": "2013-01-01 00:00:00,5+01:00"})[1], "time must be a time with a zone"),
        (lines({"time": "0001-01-01T00:00:00+10:00"})[1], "time must be a time with a zone"),
        (lines({"time": "20000-13-01T00:00:00Z"})[1], "time must be a time with a zone"),
        (lines({"time": "300000-01-01T00:00:00Z"})[1], "time must be a time with a zone"),
        (lines({"time": "4713-11-24T00:00:00Z BC"})[1], "time must be a time with a zone"),
        (lines({"time": "2013-01-01T00:00:00"})[1], "time must be a time with a zone"),
        (lines({"colour": 1})[1], "unknown key 'colour': must be one of data, global_position, id"),
        (lines({"data": "\0"})[1], "PostgreSQL can't store NUL or surrogate characters"),
        (lines({"data": ["\ud800"]})[1], "PostgreSQL can't store NUL or surrogate characters"),
        (lines({"global_position": 7})[1], "must be greater than 7, that of line 1, got 7"),
        (b'{"id"', "invalid JSON: "),
        (lines({"data": float("nan")})[1], "invalid JSON: NaN is not a JSON value"),
        (b"[" * 100_000, "invalid JSON: \\[ is not closed"),
        (b"[" * 100_000 + b"]" * 100_001, "invalid JSON: unmatched ]"),
        (b"[" * 100_000 + b"]" * 100_000 + b"1", "invalid JSON: Extra data"),
        (
            b'{"data": [' * 100_000 + b"1}" + b"]}" * 99_999,
            "invalid JSON: Expecting ',' delimiter",
        ),
        (deep("[", '"', "]"), "invalid JSON: \\[ is not closed"),
        (deep("[", r'"\ud800"', "]"), "PostgreSQL can't store NUL or surrogate characters"),
        (deep("[", "NaN", "]"), "invalid JSON: NaN is not a JSON value"),
        (b"7", "it must be a JSON object, got 7"),
        (b"{}", "missing key 'global_position'"),
        (b"\xff", "not valid UTF-8: "),
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
    assert "Line 1: missing key 'global_position'" in refused
    refused = mdb("import", str(tmp_path / "none.jsonl"), url=database, code=2).stderr
    assert "none.jsonl: No such file or directory" in refused


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"stream_name": "-1"}, 'stream_name must be a stream name with a category, got "-1"'),
        ({"type": ""}, 'type must be a non-empty string, got ""'),
        ({"metadata": [1]}, r"metadata must be a JSON object, got \[1\]"),
        ({"position": 1}, "unknown key 'position': must be one of data, id, metadata"),
    ],
)
def test_what_is_written_anew_keeps_the_rules(change: dict[str, Any], rule: str) -> None:
    line = json.dumps({"stream_name": "account-1", "type": "Opened", **change}).encode()

    with pytest.raises(InvalidLine, match=f"^Line 1: .*{rule}"):
        list(messages_in([line]))


def test_what_is_written_anew_is_nested_no_deeper_than_python_reads() -> None:
    line = b'{"stream_name": "a-1", "type": "T", "data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"

    with pytest.raises(InvalidLine, match=r"^Line 1: .*invalid JSON"):
        list(messages_in([line]))
