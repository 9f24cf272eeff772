"""Commands for dead letters."""

from __future__ import annotations

from typing import Annotated

import typer

from mdb_sqla.cli.options import Schema, Url, connected, output
from mdb_sqla.cli.printing import Json, print_json, shown, table
from mdb_sqla.consumers.dead_letter_queue import dead_letters, replay, skip
from mdb_sqla.database.error_translation import translated
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA

__all__ = ["list_letters", "replay_letters", "skip_letter"]


def list_letters(
    url: Url,
    consumer: Annotated[str | None, typer.Argument(help="Only this consumer.")] = None,
    tracebacks: Annotated[bool, typer.Option("--traceback", help="Show tracebacks.")] = False,
    schema: Schema = DEFAULT_SCHEMA,
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
    rows = table("consumer", "global position", "stream", "type", "attempts", "error")
    for letter in found:
        error = letter.traceback if tracebacks else letter.error
        rows.add_row(
            shown(letter.consumer),
            str(letter.global_position),
            shown(letter.stream_name),
            shown(letter.type),
            str(letter.attempts),
            shown(error or "blocked by an earlier dead letter of its stream", lines=True),
        )
    output.print(rows if found else "No dead letters.")


def replay_letters(
    url: Url,
    consumer: Annotated[str, typer.Argument(help="Consumer to replay for.")],
    stream: Annotated[str | None, typer.Option(help="Only this stream.")] = None,
    schema: Schema = DEFAULT_SCHEMA,
) -> None:
    """Replay a consumer's dead letters; the running consumer handles them.

    Example: mdb dead-letters replay billing
    """
    with connected(url, schema) as engine, translated(), engine.begin() as connection:
        number = replay(connection, consumer, stream)
    output.print(f"Queued {number} dead letter{'s' * (number != 1)} of {consumer} for replay.")


def skip_letter(
    url: Url,
    consumer: Annotated[str, typer.Argument(help="Consumer to skip the message for.")],
    global_position: Annotated[int, typer.Argument(help="Global position of the message.")],
    schema: Schema = DEFAULT_SCHEMA,
) -> None:
    """Skip a dead letter permanently; later messages of its stream are handled.

    Example: mdb dead-letters skip billing 4711
    """
    with connected(url, schema) as engine, translated(), engine.begin() as connection:
        skip(connection, consumer, global_position)
    output.print(f"Skipped message {global_position} for {consumer}.")
