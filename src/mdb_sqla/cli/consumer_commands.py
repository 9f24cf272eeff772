"""Commands that show the consumers of a store, and set one back."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from mdb_sqla.admin import consumer_overview
from mdb_sqla.admin.consumer_overview import ConsumerOverview
from mdb_sqla.admin.consumer_overview import consumers as read_consumers
from mdb_sqla.cli.open_writer_output import as_dicts, long_open_writers, print_open_writers
from mdb_sqla.cli.options import Schema, Url, connected, output
from mdb_sqla.cli.printing import Json, print_json, shown, table
from mdb_sqla.database.refusals import translated
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA

__all__ = ["consumers", "reset_consumer"]

_UNKNOWN = "?"


def consumers(url: Url, schema: Schema = DEFAULT_SCHEMA, as_json: Json = False) -> None:
    """Show how far consumers are, what lies before them, and who shares their work.

    Transactions that have written and stay open are shown as well: consumers may wait for them.

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
        output.print("No consumer has run yet.")
    print_open_writers(writers)


def _print_consumers(found: list[ConsumerOverview]) -> None:
    told = table("consumer", "reads", "position", "behind", "seconds", "moved", "set aside")
    for consumer in found:
        told.add_row(
            shown(consumer.name),
            shown(_reads(consumer)),
            str(min((slot.position for slot in consumer.slots), default="new")),
            *_behind(consumer),
            _moved(consumer),
            str(consumer.dead_letters),
        )
    output.print(told)
    _print_members(found)
    if any(consumer.reads is None for consumer in found):
        output.print("\n? A consumer tells what it reads when it begins; this one has not yet.")


def reset_consumer(
    url: Url,
    consumer: Annotated[str, typer.Argument(help="The consumer's name.")],
    start: Annotated[
        int, typer.Option(min=1, help="The global position to begin with; 1 for all messages.")
    ] = 1,
    schema: Schema = DEFAULT_SCHEMA,
) -> None:
    """Have a consumer handle messages again, from the beginning or from a position on.

    Its dead letters from there on are deleted: it handles these messages again, too.

    Example: mdb reset-consumer billing --start 4711
    """
    with connected(url, schema) as engine, translated(), engine.begin() as connection:
        consumer_overview.reset_consumer(connection, consumer, start)
    output.print(shown(f"{consumer} handles messages from global position {start} on."))


def _print_members(found: list[ConsumerOverview]) -> None:
    groups = table("consumer", "member", "", "slots")
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
            groups.add_row(shown(consumer.name), "nobody", "", ", ".join(free))
    if groups.rows:
        output.print("\nGroups")
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


def _behind(consumer: ConsumerOverview) -> tuple[str, str]:
    lag = consumer.lag
    if lag is None or consumer.reads is None:
        return _UNKNOWN, _UNKNOWN
    # The condition is not applied.
    most = "at most " if consumer.reads.condition is not None and not lag.at_least else ""
    return f"{most}{lag.messages:,}{'+' * lag.at_least}", f"{lag.seconds:,.1f}"


def _moved(consumer: ConsumerOverview) -> str:
    changed = max((slot.updated_at for slot in consumer.slots), default=None)
    if changed is None:
        return "never"
    ago = datetime.now(UTC) - changed
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
