"""Commands for dead letters."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from mdb_sqla.cli.listing import print_flow
from mdb_sqla.cli.options import Schema, Url, connected, errors, output
from mdb_sqla.cli.os_user import os_user
from mdb_sqla.cli.printing import Json, print_json, shown
from mdb_sqla.cli.quantities import ago, parse_global_position, plural
from mdb_sqla.cli.traceback_text import innermost, trimmed
from mdb_sqla.consumers.dead_letter_queue import DeadLetter, dead_letters, replay, skip
from mdb_sqla.database.error_translation import translated
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA

__all__ = ["list_letters", "replay_letters", "skip_letter"]

_INDENT = "    "


def list_letters(
    consumer: Annotated[
        str | None, typer.Argument(metavar="CONSUMER", help="Only this consumer.")
    ] = None,
    url: Url = None,
    tracebacks: Annotated[
        bool, typer.Option("--traceback", help="Show tracebacks, without library frames.")
    ] = False,
    schema: Schema = DEFAULT_SCHEMA,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show whole tracebacks.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List dead letters and their errors.

    Example: mdb dead-letters list billing
    """
    with connected(url, schema) as engine, translated(), engine.connect() as connection:
        found = dead_letters(connection, consumer)
    if as_json:
        print_json([letter._asdict() for letter in found])
        return
    if not found:
        errors.print("No dead letters.")
    for number, letter in enumerate(found):
        if number:
            output.print()
        _print_letter(letter)
        if letter.error is not None:
            for line in shown(_error(letter, tracebacks, verbose), lines=True).splitlines():
                output.print(f"{_INDENT}{line}")


def replay_letters(
    consumer: Annotated[str, typer.Argument(metavar="CONSUMER", help="The consumer's name.")],
    url: Url = None,
    stream: Annotated[str | None, typer.Option(metavar="STREAM", help="Only this stream.")] = None,
    schema: Schema = DEFAULT_SCHEMA,
) -> None:
    """Replay a consumer's dead letters.

    The running consumer handles them, and the later messages of their streams.

    Example: mdb dead-letters replay billing
    """
    with connected(url, schema) as engine, translated(), engine.begin() as connection:
        number = replay(connection, consumer, stream, by=os_user())
    output.print(f"Queued {plural(number, 'dead letter')} of {shown(consumer)} for replay.")


def skip_letter(
    consumer: Annotated[str, typer.Argument(metavar="CONSUMER", help="The consumer's name.")],
    global_position: Annotated[
        int,
        typer.Argument(
            metavar="N", parser=parse_global_position, help="Global position of the message."
        ),
    ],
    url: Url = None,
    schema: Schema = DEFAULT_SCHEMA,
) -> None:
    """Skip a dead letter permanently.

    The consumer then handles the later messages of its stream.

    Example: mdb dead-letters skip billing 4711
    """
    with connected(url, schema) as engine, translated(), engine.begin() as connection:
        skip(connection, consumer, global_position, by=os_user())
    output.print(f"Skipped message {global_position:,} for {shown(consumer)}.")


def _print_letter(letter: DeadLetter) -> None:
    heading = (
        Text(shown(letter.consumer), style="bold"),
        f"message {letter.global_position:,}",
        f"{shown(letter.stream_name)} {letter.position:,}",
        shown(letter.type),
    )
    print_flow(output, heading)
    since = f"dead-lettered {ago(letter.dead_lettered_at)}"
    if letter.failed:
        output.print(f"{_INDENT}{since} after {plural(letter.attempts, 'attempt')}")
    elif letter.error is not None:
        output.print(f"{_INDENT}queued for replay; {since}")
    else:
        output.print(f"{_INDENT}blocked by an earlier dead letter of its stream")


def _error(letter: DeadLetter, tracebacks: bool, verbose: bool) -> str:
    error, traceback = letter.error or "", letter.traceback
    if traceback is None:
        return error
    if verbose:
        return traceback
    if tracebacks:
        return trimmed(traceback)
    where = innermost(traceback)
    return error if where is None else f"{error}\n  at {where}"
