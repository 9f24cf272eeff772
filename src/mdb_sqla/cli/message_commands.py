"""Commands that write, print and tail messages."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.text import Text

from mdb_sqla.cli.options import Schema, Url, connected, errors, fail, opened, output
from mdb_sqla.cli.printing import Json, binary_output, print_json, shown
from mdb_sqla.errors import ReadNotExact, StoreRewound, TransactionConflict
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA
from mdb_sqla.store.message_store import MessageStore
from mdb_sqla.transfer.json_lines import RawMessage, messages_in
from mdb_sqla.transfer.message_export import export
from mdb_sqla.transfer.message_tail import Following, ReadError
from mdb_sqla.transfer.raw_reads import RawReader
from mdb_sqla.words.message import Message

__all__ = ["print_messages", "tail", "write"]

Name = Annotated[
    str | None,
    typer.Argument(metavar="[STREAM|CATEGORY]", help="What to read; default: all messages."),
]
Types = Annotated[list[str] | None, typer.Option("--type", help="Only this type; repeatable.")]
Correlation = Annotated[
    str | None,
    typer.Option(metavar="CATEGORY", help="Only messages correlated with this category."),
]
Position = Annotated[
    int | None,
    typer.Option(min=0, help="First position of a stream, or first global position."),
]


def write(
    url: Url,
    stream: Annotated[str | None, typer.Argument(help="Stream name.")] = None,
    type_: Annotated[str | None, typer.Argument(metavar="[TYPE]", help="Message type.")] = None,
    data: Annotated[str | None, typer.Option(metavar="JSON", help="Data.")] = None,
    metadata: Annotated[
        str | None, typer.Option(metavar="JSON", help="Metadata, a JSON object.")
    ] = None,
    expected_version: Annotated[
        int | None,
        typer.Option(min=-1, help="Expected stream version; -1 if there must be no stream."),
    ] = None,
    id_: Annotated[
        UUID | None,
        typer.Option("--id", help="Message id; a message is not written twice under one id."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(allow_dash=True, help="JSON lines file, written atomically; - for stdin."),
    ] = None,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: Json = False,
) -> None:
    """Write a message, or the messages of a file.

    Each line of the file is a JSON object with stream_name, type and optional data, metadata, id.

    Example: mdb write account-1 Deposited --data '{"amount": 20}' --expected-version 3

    Example: mdb write --file messages.jsonl
    """
    single = (stream, type_, data, metadata, expected_version, id_)
    if file is not None:
        if any(each is not None for each in single):
            fail("--file can't be combined with STREAM, TYPE or options of a single message.")
        with (
            connected(url, schema, writes=True) as engine,
            engine.begin() as connection,
            opened(file) as lines,
        ):
            number = MessageStore(connection).load(messages_in(lines))
        if as_json:
            print_json({"written": number})
        else:
            output.print(f"Wrote {number:,} message{'s' * (number != 1)}.")
        return
    if stream is None or type_ is None:
        fail("Missing STREAM and TYPE: pass both, or --file.")
    values = {"data": _json("data", data), "metadata": _json("metadata", metadata)}
    if id_ is not None:
        values["id"] = id_
    message = Message(type_, **values)
    expected = None if expected_version is None else {stream: expected_version}
    with connected(url, schema, writes=True) as engine, engine.begin() as connection:
        store = MessageStore(connection)
        (written,) = store.write_messages([(stream, message)], expected_versions=expected)
    if as_json:
        print_json({"id": str(message.id), "stream_name": stream, **written._asdict()})
    else:
        where = f"position {written.position}, global position {written.global_position}"
        output.print(shown(f"Wrote {type_} to {stream} at {where}."))


def print_messages(
    url: Url,
    name: Name = None,
    position: Position = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of messages.")] = None,
    types: Types = None,
    correlation: Correlation = None,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: Json = False,
) -> None:
    """Print a stream, a category or all messages in order; --json prints JSON lines.

    Example: mdb print account-1

    Example: mdb print account --type Deposited --limit 10 --json
    """
    reader = RawReader(name, position, correlation)
    with connected(url, schema) as engine, engine.connect() as connection:
        for batch in export(connection, reader):
            connection.commit()
            chosen = _of_types(batch, types)[:limit]
            _show(chosen, as_json)
            if limit is not None and (limit := limit - len(chosen)) == 0:
                break


def tail(
    url: Url,
    name: Name = None,
    position: Annotated[
        int | None,
        typer.Option(min=0, help="First position, as for mdb print; default: new messages only."),
    ] = None,
    types: Types = None,
    correlation: Correlation = None,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: Json = False,
) -> None:
    """Print messages as they are written, without gaps, until Ctrl-C.

    Example: mdb tail account --type Deposited
    """
    reader = RawReader(name, position, correlation)
    with connected(url, schema) as engine:
        if position is None:
            with engine.connect() as connection:
                reader.skip(connection)
        following = Following(engine, reader, _report)
        # The listener's warnings repeat these errors with a traceback.
        logging.getLogger("mdb_sqla").addHandler(logging.NullHandler())
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: following.end())
        for batch in following:
            _show(_of_types(batch, types), as_json)


def _report(error: ReadError) -> None:
    if isinstance(error, StoreRewound):
        text = f"{error}. Continuing after the last message that still exists;"
        text += " some messages may be printed again."
    elif isinstance(error, ReadNotExact | TransactionConflict):
        text = f"read failed, retrying: {error}"
    else:
        text = f"connection lost, retrying: {str(error.orig).strip()}"
    errors.print(f"mdb: {text}", style="red")


def _json(name: str, text: str | None) -> Any:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        fail(f"--{name} must be JSON, got {text!r}: {error}")
    if name == "metadata" and not isinstance(value, dict):
        fail(f"--metadata must be a JSON object, got {text!r}")
    return value


def _of_types(batch: list[RawMessage], types: list[str] | None) -> list[RawMessage]:
    return [message for message in batch if message.type in types] if types else batch


def _show(messages: Iterable[RawMessage], as_json: bool) -> None:
    if as_json:
        with binary_output() as stdout:
            stdout.writelines(message.line.encode() for message in messages)
        return
    for message in messages:
        heading = Text.assemble(
            (f"{message.global_position}", "bold"),
            f"  {shown(message.stream_name)} {message.position}  ",
            (shown(message.type), "bold"),
            f"  {message.shown_time.replace('T', ' ')}  {message.id}",
        )
        output.print(heading)
        for name in ("data", "metadata"):
            value = getattr(message, name)
            if value is not None:
                output.print(f"    {name:8}  {shown(value)}")
