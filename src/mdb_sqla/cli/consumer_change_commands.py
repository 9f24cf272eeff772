"""Commands that pause, resume, reset and delete consumers."""

from __future__ import annotations

from typing import Annotated

import typer

from mdb_sqla.admin import consumer_changes
from mdb_sqla.cli.options import Schema, Url, connected, output
from mdb_sqla.cli.os_user import os_user
from mdb_sqla.cli.printing import shown
from mdb_sqla.cli.quantities import parse_global_position
from mdb_sqla.database.error_translation import translated
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA

__all__ = ["delete_consumer", "pause_consumer", "reset_consumer", "resume_consumer"]

Name = Annotated[str, typer.Argument(metavar="CONSUMER", help="The consumer's name.")]


def pause_consumer(consumer: Name, url: Url = None, schema: Schema = DEFAULT_SCHEMA) -> None:
    """Pause a consumer in all processes until it is resumed.

    It finishes its current transaction and keeps its slots. It stays paused when it is restarted.

    Example: mdb pause-consumer billing
    """
    with connected(url, schema) as engine, translated(), engine.begin() as connection:
        changed = consumer_changes.pause_consumer(connection, consumer, by=os_user())
    output.print(shown(f"Paused {consumer}." if changed else f"{consumer} is already paused."))


def resume_consumer(consumer: Name, url: Url = None, schema: Schema = DEFAULT_SCHEMA) -> None:
    """Resume a paused consumer.

    Example: mdb resume-consumer billing
    """
    with connected(url, schema) as engine, translated(), engine.begin() as connection:
        changed = consumer_changes.resume_consumer(connection, consumer, by=os_user())
    output.print(shown(f"Resumed {consumer}." if changed else f"{consumer} is not paused."))


def reset_consumer(
    consumer: Name,
    url: Url = None,
    start: Annotated[
        int,
        typer.Option(
            metavar="N",
            parser=parse_global_position,
            help="Global position of the first message to handle.",
        ),
    ] = 1,
    schema: Schema = DEFAULT_SCHEMA,
) -> None:
    """Restart a consumer from the beginning or a global position.

    It handles all messages from there on again; their dead letters are deleted.

    Example: mdb reset-consumer billing --start 4711
    """
    with connected(url, schema) as engine, translated(), engine.begin() as connection:
        consumer_changes.reset_consumer(connection, consumer, start, by=os_user())
    output.print(shown(f"Reset {consumer} to start at global position {start:,}."))


def delete_consumer(consumer: Name, url: Url = None, schema: Schema = DEFAULT_SCHEMA) -> None:
    """Delete a retired consumer.

    Deletes its positions, dead letters and registration, but no messages. It no longer holds back
    retention. Stop the consumer first.

    Example: mdb delete-consumer billing
    """
    with connected(url, schema) as engine, translated(), engine.begin() as connection:
        consumer_changes.delete_consumer(connection, consumer, by=os_user())
    output.print(shown(f"Deleted consumer {consumer}."))
