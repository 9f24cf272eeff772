"""Commands that show and reset consumers."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from mdb_sqla.admin import consumer_overview
from mdb_sqla.admin.consumer_overview import ConsumerOverview
from mdb_sqla.admin.consumer_overview import consumers as read_consumers
from mdb_sqla.cli.open_transaction_output import as_dicts, long_open_writers, print_open_writers
from mdb_sqla.cli.options import Schema, Url, connected, output
from mdb_sqla.cli.printing import Json, print_json, shown, table
from mdb_sqla.database.error_translation import translated
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA

__all__ = ["consumers", "reset_consumer"]

_UNKNOWN = "?"


def consumers(url: Url, schema: Schema = DEFAULT_SCHEMA, as_json: Json = False) -> None:
    """Show each consumer's position, lag and group members.

    Also shows long-open write transactions, which may hold consumers back.

    Example: mdb consumers
    """
    with connected(url, schema) as engine:
        with translated(), engine.connect() as connection:
            found = read_consumers(connection)
        writers = long_open_writers(engine)
    if as_json:
        print_json(
            {
                "consumers": [_as_dict(consumer) for consumer in found],
                "open_writers": as_dicts(writers),
            }
        )
        return
    if found:
        _print_consumers(found)
    else:
        output.print("No consumers.")
    print_open_writers(writers)


def _print_consumers(found: list[ConsumerOverview]) -> None:
    rows = table("consumer", "reads", "position", "lag", "seconds", "updated", "dead letters")
    for consumer in found:
        rows.add_row(
            shown(consumer.name),
            shown(_reads(consumer)),
            str(min((slot.position for slot in consumer.slots), default="new")),
            *_lag(consumer),
            _last_update(consumer),
            str(consumer.dead_letters),
        )
    output.print(rows)
    _print_members(found)
    if any(consumer.reads is None for consumer in found):
        output.print("\n? unknown: the consumer has not started yet")


def reset_consumer(
    url: Url,
    consumer: Annotated[str, typer.Argument(help="The consumer's name.")],
    start: Annotated[
        int, typer.Option(min=1, help="Global position of the first message to handle.")
    ] = 1,
    schema: Schema = DEFAULT_SCHEMA,
) -> None:
    """Restart a consumer from the beginning or from a global position.

    Its dead letters from that position on are deleted, and those messages handled again.

    Example: mdb reset-consumer billing --start 4711
    """
    with connected(url, schema) as engine, translated(), engine.begin() as connection:
        consumer_overview.reset_consumer(connection, consumer, start)
    output.print(shown(f"Reset {consumer} to start at global position {start}."))


def _print_members(found: list[ConsumerOverview]) -> None:
    groups = table("consumer", "member", "status", "slots")
    for consumer in found:
        for member in consumer.members:
            groups.add_row(
                shown(consumer.name),
                shown(member.name),
                "alive" if member.is_alive else "dead",
                ", ".join(str(slot) for slot in member.slots) or "none",
            )
        free = [str(slot.slot) for slot in consumer.slots if slot.owner is None]
        if consumer.members and free:
            groups.add_row(shown(consumer.name), "unassigned", "", ", ".join(free))
    if groups.rows:
        output.print("\nGroup members")
        output.print(groups)


def _reads(consumer: ConsumerOverview) -> str:
    reads = consumer.reads
    if reads is None:
        return _UNKNOWN
    words = [", ".join(reads.categories) or "all categories"]
    if reads.types is not None:
        words.append(f"types {', '.join(reads.types) or 'none'}")
    if reads.correlation is not None:
        words.append(f"correlation {reads.correlation}")
    if reads.condition is not None:
        words.append(f"condition {reads.condition}")
    return "; ".join(words)


def _lag(consumer: ConsumerOverview) -> tuple[str, str]:
    lag = consumer.lag
    if lag is None or consumer.reads is None:
        return _UNKNOWN, _UNKNOWN
    # The lag does not apply the condition.
    most = "at most " if consumer.reads.condition is not None and not lag.at_least else ""
    return f"{most}{lag.messages:,}{'+' * lag.at_least}", f"{lag.seconds:,.1f}"


def _last_update(consumer: ConsumerOverview) -> str:
    updated_at = max((slot.updated_at for slot in consumer.slots), default=None)
    if updated_at is None:
        return "never"
    ago = datetime.now(UTC) - updated_at
    return f"{max(ago.total_seconds(), 0):,.0f} s ago"


def _as_dict(consumer: ConsumerOverview) -> dict[str, Any]:
    lag = consumer.lag
    return {
        "name": consumer.name,
        "reads": None if consumer.reads is None else consumer.reads._asdict(),
        "lag": None if lag is None else lag.as_dict(),
        "slots": [slot._asdict() for slot in consumer.slots],
        "members": [asdict(member) for member in consumer.members],
        "dead_letters": consumer.dead_letters,
    }
