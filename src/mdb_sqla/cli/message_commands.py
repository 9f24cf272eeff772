"""Commands that write and show messages."""

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
from mdb_sqla.transfer.message_tail import Following, Trouble
from mdb_sqla.transfer.raw_reads import RawReader
from mdb_sqla.words.message import Message

__all__ = ["print_messages", "tail", "write"]

Name = Annotated[
    str | None,
    typer.Argument(metavar="[STREAM|CATEGORY]", help="What to read; all messages without it."),
]
Types = Annotated[list[str] | None, typer.Option("--type", help="Only of this type; repeatable.")]
Correlation = Annotated[
    str | None,
    typer.Option(metavar="CATEGORY", help="Only what is correlated with a stream of it."),
]
Position = Annotated[
    int | None,
    typer.Option(min=0, help="Where to begin: the position in a stream, else the global one."),
]


def write(
    url: Url,
    stream: Annotated[str | None, typer.Argument(help="The stream.")] = None,
    type_: Annotated[str | None, typer.Argument(metavar="[TYPE]", help="The type.")] = None,
    data: Annotated[str | None, typer.Option(metavar="JSON", help="The data.")] = None,
    metadata: Annotated[
        str | None, typer.Option(metavar="JSON", help="The metadata, an object.")
    ] = None,
    expected_version: Annotated[
        int | None, typer.Option(min=-1, help="The position of the stream's last message.")
    ] = None,
    id_: Annotated[
        UUID | None, typer.Option("--id", help="The id; what is stored is not written again.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(allow_dash=True, help="A file of JSON lines, all or none; - for stdin."),
    ] = None,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: Json = False,
) -> None:
    """Write a message, or those of a file.

    A line of a file is an object with stream_name and type, and data, metadata and id if you like.

    Example: mdb write account-1 Deposited --data '{"amount": 20}' --expected-version 3

    Example: mdb write --file messages.jsonl
    """
    single = (stream, type_, data, metadata, expected_version, id_)
    if file is not None:
        if any(each is not None for each in single):
            fail("With --file, the messages are in the file: nothing else tells what to write.")
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
        fail("A stream and a type are needed, or --file.")
    values = {"data": _json("data", data), "metadata": _json("metadata", metadata)}
    if id_ is not None:
        values["id"] = id_
    message = Message(type_, **values)
    expected = None if expected_version is None else {stream: expected_version}
    with connected(url, schema, writes=True) as engine, engine.begin() as connection:
        store = MessageStore(connection)
        (at,) = store.write_messages([(stream, message)], expected_versions=expected)
    if as_json:
        print_json({"id": str(message.id), "stream_name": stream, **at._asdict()})
    else:
        where = f"position {at.position} of {stream}, global position {at.global_position}"
        output.print(shown(f"Wrote {type_} at {where}."))


def print_messages(
    url: Url,
    name: Name = None,
    position: Position = None,
    limit: Annotated[int | None, typer.Option(min=1, help="How many at most.")] = None,
    types: Types = None,
    correlation: Correlation = None,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: Json = False,
) -> None:
    """Show messages of a stream, of a category, or all, in order; with --json a line for each.

    Example: mdb print account-1

    Example: mdb print account --type Deposited --limit 10 --json
    """
    reader = RawReader(name, position, correlation)
    with connected(url, schema) as engine, engine.connect() as connection:
        for batch in export(connection, reader):
            connection.commit()
            chosen = _of(batch, types)[:limit]
            _show(chosen, as_json)
            if limit is not None and (limit := limit - len(chosen)) == 0:
                break


def tail(
    url: Url,
    name: Name = None,
    position: Annotated[
        int | None,
        typer.Option(min=0, help="Where to begin, as with mdb print; now, without it."),
    ] = None,
    types: Types = None,
    correlation: Correlation = None,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: Json = False,
) -> None:
    """Show messages as they are written, and skip none, until Ctrl-C.

    Example: mdb tail account --type Deposited
    """
    reader = RawReader(name, position, correlation)
    with connected(url, schema) as engine:
        if position is None:
            with engine.connect() as connection:
                reader.skip(connection)
        following = Following(engine, reader, _report)
        # The listener's own warnings would say the same, with a traceback.
        logging.getLogger("mdb_sqla").addHandler(logging.NullHandler())
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: following.end())
        for batch in following:
            _show(_of(batch, types), as_json)


def _report(error: Trouble) -> None:
    if isinstance(error, StoreRewound):
        words = f"{error}. Continuing after the newest message that is still there, if any."
        words += " Some may be shown again."
    elif isinstance(error, ReadNotExact | TransactionConflict):
        words = f"can't read at the moment, trying again: {error}"
    else:
        words = f"the connection was lost, trying again: {str(error.orig).strip()}"
    errors.print(f"mdb: {words}", style="red")


def _json(name: str, text: str | None) -> Any:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        fail(f"--{name} must be JSON, and is {text!r}: {error}")
    if name == "metadata" and not isinstance(value, dict):
        fail(f"--metadata must be a JSON object, and is {text!r}")
    return value


def _of(batch: list[RawMessage], types: list[str] | None) -> list[RawMessage]:
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
