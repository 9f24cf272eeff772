"""Commands that write, print and tail messages."""

from __future__ import annotations

import json
import logging
import re
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.text import Text

from mdb_sqla.cli.listing import print_facts, print_flow
from mdb_sqla.cli.options import (
    Schema,
    Url,
    Verbose,
    connected,
    errors,
    opened,
    output,
    refuse,
)
from mdb_sqla.cli.printing import Json, binary_output, print_json, shown
from mdb_sqla.cli.quantities import parse_position, plural
from mdb_sqla.errors import ReadNotExact, StoreRewound, TransactionConflict
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA
from mdb_sqla.store.message_store import MessageStore
from mdb_sqla.transfer.deletion_watch import DeletedMessages
from mdb_sqla.transfer.json_lines import messages_in
from mdb_sqla.transfer.message_export import export
from mdb_sqla.transfer.message_tail import Following, ReadError
from mdb_sqla.transfer.raw_reads import RawReader
from mdb_sqla.words.message import Message
from mdb_sqla.words.raw_message import RawMessage

__all__ = ["print_messages", "show_deleted", "tail", "write"]

_FRACTION = re.compile(r"\.\d+")  # of a second

Name = Annotated[
    str | None,
    typer.Argument(metavar="STREAM|CATEGORY", help="What to read; default: all messages."),
]
Types = Annotated[
    list[str] | None,
    typer.Option("--type", metavar="TYPE", help="Only this type; repeatable."),
]
Correlation = Annotated[
    str | None,
    typer.Option(metavar="CATEGORY", help="Only messages correlated with this category."),
]
Position = Annotated[
    int | None,
    typer.Option(
        metavar="N", parser=parse_position, help="First position of a stream, or global position."
    ),
]


def write(
    url: Url = None,
    stream: Annotated[str | None, typer.Argument(metavar="STREAM", help="Stream name.")] = None,
    type_: Annotated[str | None, typer.Argument(metavar="TYPE", help="Message type.")] = None,
    data: Annotated[str | None, typer.Option(metavar="JSON", help="Data.")] = None,
    metadata: Annotated[
        str | None, typer.Option(metavar="JSON", help="Metadata, a JSON object.")
    ] = None,
    expected_version: Annotated[
        int | None,
        typer.Option(metavar="N", min=-1, help="Expected stream version; -1 for no stream."),
    ] = None,
    id_: Annotated[
        UUID | None,
        typer.Option("--id", metavar="UUID", help="Message id; a repeated write has no effect."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", allow_dash=True, help="JSON lines, all or none written; - for stdin."
        ),
    ] = None,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: Json = False,
) -> None:
    """Write a message, or the messages of a file.

    Each line of the file is a JSON object with stream_name, type and optional data, metadata, id.

    Example: mdb write account-1 Deposited --data '{"amount": 20}'

    Example: mdb write --file messages.jsonl
    """
    single = (stream, type_, data, metadata, expected_version, id_)
    if file is not None:
        if any(each is not None for each in single):
            refuse("--file can't be combined with STREAM, TYPE or options of a single message.")
        with (
            connected(url, schema, writes=True) as engine,
            engine.begin() as connection,
            opened(file) as lines,
        ):
            number = MessageStore(connection).load(messages_in(lines))
        if as_json:
            print_json({"written": number})
        else:
            output.print(f"Wrote {plural(number, 'message')}.")
        return
    if stream is None or type_ is None:
        refuse("Missing STREAM and TYPE: pass both, or --file.")
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
        where = f"position {written.position:,}, global position {written.global_position:,}"
        output.print(shown(f"Wrote {type_} to {stream} at {where}."))


def print_messages(
    url: Url = None,
    name: Name = None,
    position: Position = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Maximum number of messages.")
    ] = None,
    types: Types = None,
    correlation: Correlation = None,
    schema: Schema = DEFAULT_SCHEMA,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Print a stream, a category or all messages.

    With --json, each message is a line of JSON.

    Example: mdb print account-1

    Example: mdb print account --type Deposited --limit 10 --json
    """
    reader = RawReader(name, position, correlation)
    printed = 0
    with connected(url, schema) as engine, engine.connect() as connection:
        for batch in export(connection, reader):
            connection.commit()
            chosen = _of_types(batch, types)
            chosen = chosen if limit is None else chosen[: limit - printed]
            _show(chosen, as_json, verbose)
            printed += len(chosen)
            if printed == limit:
                break
    if not printed and not as_json:
        errors.print("No messages.")


def tail(
    url: Url = None,
    name: Name = None,
    position: Annotated[
        int | None,
        typer.Option(
            metavar="N", parser=parse_position, help="First position; default: only new messages."
        ),
    ] = None,
    types: Types = None,
    correlation: Correlation = None,
    schema: Schema = DEFAULT_SCHEMA,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Print messages as they are written, until Ctrl-C.

    It skips none: a message appears once all earlier ones are committed or rolled back.

    Example: mdb tail account --type Deposited
    """
    reader = RawReader(name, position, correlation, on_deleted=show_deleted)
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
            _show(_of_types(batch, types), as_json, verbose)


def show_deleted(deleted: DeletedMessages) -> None:
    errors.print(shown(f"mdb: {deleted}."), style="red")


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
        refuse(f"--{name} must be JSON, got {text!r}: {error}")
    if name == "metadata" and not isinstance(value, dict):
        refuse(f"--metadata must be a JSON object, got {text!r}")
    return value


def _of_types(batch: list[RawMessage], types: list[str] | None) -> list[RawMessage]:
    return [message for message in batch if message.type in types] if types else batch


def _show(messages: Iterable[RawMessage], as_json: bool, verbose: bool) -> None:
    if as_json:
        with binary_output() as stdout:
            stdout.writelines(message.line.encode() for message in messages)
        return
    for message in messages:
        time = message.shown_time.replace("T", " ")
        heading = (
            Text(f"{message.global_position:,}", style="bold"),
            f"{shown(message.stream_name)} {message.position:,}",
            Text(shown(message.type), style="bold"),
            time if verbose else _FRACTION.sub("", time),
        )
        print_flow(output, heading)
        facts = {"data": message.data, "metadata": message.metadata}
        if verbose:
            facts["id"] = str(message.id)
        found = {name: shown(value) for name, value in facts.items() if value is not None}
        print_facts(output, found, indent="    ")
