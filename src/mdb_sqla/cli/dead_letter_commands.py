"""Commands for what consumers could not handle."""

from __future__ import annotations

from typing import Annotated

import typer

from mdb_sqla.cli.options import Schema, Url, connected, output
from mdb_sqla.cli.printing import Json, print_json, shown, table
from mdb_sqla.consumers.dead_letter_queue import dead_letters, replay, skip
from mdb_sqla.database.refusals import translated
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA

__all__ = ["list_letters", "replay_letters", "skip_letter"]


def list_letters(
    url: Url,
    consumer: Annotated[str | None, typer.Argument(help="Only of this consumer.")] = None,
    tracebacks: Annotated[bool, typer.Option("--traceback", help="With tracebacks.")] = False,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: Json = False,
) -> None:
    """Show what consumers have set aside, and why.

    Example: mdb dead-letters list billing
    """
    with connected(url, schema) as engine, translated(), engine.connect() as connection:
        found = dead_letters(connection, consumer)
    if as_json:
        print_json([letter._asdict() for letter in found])
        return
    told = table("consumer", "global position", "stream", "type", "attempts", "error")
    for letter in found:
        why = letter.traceback if tracebacks else letter.error
        told.add_row(
            shown(letter.consumer),
            str(letter.global_position),
            shown(letter.stream_name),
            shown(letter.type),
            str(letter.attempts),
            shown(why or "waits for an earlier one of its stream", lines=True),
        )
    output.print(told if found else "Nothing is set aside.")


def replay_letters(
    url: Url,
    consumer: Annotated[str, typer.Argument(help="The consumer that set them aside.")],
    stream: Annotated[str | None, typer.Option(help="Only those of this stream.")] = None,
    schema: Schema = DEFAULT_SCHEMA,
) -> None:
    """Have a consumer handle again what has failed; the one that runs does it.

    Example: mdb dead-letters replay billing
    """
    with connected(url, schema) as engine, translated(), engine.begin() as connection:
        number = replay(connection, consumer, stream)
    output.print(f"{consumer} handles {number} failed messages again.")


def skip_letter(
    url: Url,
    consumer: Annotated[str, typer.Argument(help="The consumer that set it aside.")],
    global_position: Annotated[int, typer.Argument(help="The message's global position.")],
    schema: Schema = DEFAULT_SCHEMA,
) -> None:
    """Leave a message out for good, and have the later ones of its stream handled.

    Example: mdb dead-letters skip billing 4711
    """
    with connected(url, schema) as engine, translated(), engine.begin() as connection:
        skip(connection, consumer, global_position)
    output.print(f"{consumer} leaves message {global_position} out.")
