"""The command `mdb consumers`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mdb_sqla.admin.consumer_overview import ConsumerOverview
from mdb_sqla.admin.consumer_overview import consumers as read_consumers
from mdb_sqla.cli.listing import print_paragraph, print_table
from mdb_sqla.cli.open_transaction_output import as_dicts, long_open_writers, print_open_writers
from mdb_sqla.cli.options import Schema, Url, Verbose, connected, errors, output
from mdb_sqla.cli.printing import Json, print_json, shown
from mdb_sqla.cli.quantities import ago
from mdb_sqla.database.error_translation import translated
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA
from mdb_sqla.words.durations import duration

__all__ = ["consumers"]

_UNKNOWN = "?"


def consumers(
    url: Url = None,
    schema: Schema = DEFAULT_SCHEMA,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Show each consumer's position, lag and group members.

    Also shows which consumers are paused, and long-open write transactions, which may hold
    consumers back.

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
        _print_members(found)
        if verbose:
            _print_details(found)
        _print_notes(found)
    else:
        errors.print("No consumers.")
    print_open_writers(writers)


def _print_consumers(found: list[ConsumerOverview]) -> None:
    rows = [
        (
            shown(consumer.name),
            shown(_categories(consumer)),
            f"{min(slot.position for slot in consumer.slots):,}" if consumer.slots else "new",
            *_lag(consumer),
            f"{consumer.dead_letters:,}",
        )
        for consumer in found
    ]
    numbers = ["position", "lag", "behind", "dead letters"]
    print_table(output, ["consumer", "reads"], rows, numbers=numbers)


def _print_members(found: list[ConsumerOverview]) -> None:
    rows = []
    for consumer in found:
        for member in consumer.members:
            status = "alive" if member.is_alive else "dead"
            slots = ", ".join(str(slot) for slot in member.slots) or "none"
            rows.append((shown(consumer.name), shown(member.name), status, slots))
        free = [str(slot.slot) for slot in consumer.slots if slot.owner is None]
        if consumer.members and free:
            rows.append((shown(consumer.name), "unassigned", "", ", ".join(free)))
    if rows:
        output.print("\nGroup members")
        print_table(output, ["consumer", "member", "status", "slots"], rows)


def _print_details(found: list[ConsumerOverview]) -> None:
    for consumer in found:
        output.print(f"\n{shown(consumer.name)}")
        details = [f"reads {_reads(consumer)}"]
        if consumer.slots:
            updated_at = max(slot.updated_at for slot in consumer.slots)
            details.append(f"saved {updated_at:%Y-%m-%d %H:%M:%S.%f}Z, {ago(updated_at)}")
        if len(consumer.slots) > 1:
            slots = (f"{slot.slot}: {slot.position:,}" for slot in consumer.slots)
            details.append(f"positions of its slots: {'; '.join(slots)}")
        for detail in details:
            print_paragraph(output, shown(detail), indent="  ")


def _print_notes(found: list[ConsumerOverview]) -> None:
    if any(consumer.reads is None for consumer in found):
        output.print("\n? unknown: the consumer has not started yet")
    if any(_has_condition(consumer) for consumer in found):
        output.print("\n<= at most: the consumer also has an SQL condition, which is not counted")
    for consumer in found:
        if consumer.paused_at is not None:
            since = f"{consumer.paused_at:%Y-%m-%d %H:%M:%S}Z, {ago(consumer.paused_at)}"
            paused = f"{consumer.name} is paused since {since}, by {consumer.paused_by}"
            output.print()
            print_paragraph(output, shown(paused), indent="")
        if consumer.has_missed_messages:
            output.print()
            missed = (
                f"{consumer.name} has not handled messages that were deleted: messages of its "
                f"categories up to {consumer.deleted_up_to:,} are missing"
            )
            print_paragraph(output, shown(missed), indent="")


def _categories(consumer: ConsumerOverview) -> str:
    if consumer.reads is None:
        return _UNKNOWN
    first, *others = consumer.reads.categories or ["all categories"]
    return f"{first}, +{len(others)}" if others else first


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
    most = "<= " if _has_condition(consumer) else ""
    return f"{most}{lag.messages:,}{'+' * lag.at_least}", duration(lag.seconds)


def _has_condition(consumer: ConsumerOverview) -> bool:
    """Whether the lag ignores a condition, so that the true one may be lower."""
    reads, lag = consumer.reads, consumer.lag
    return (
        reads is not None and reads.condition is not None and lag is not None and not lag.at_least
    )


def _as_dict(consumer: ConsumerOverview) -> dict[str, Any]:
    lag = consumer.lag
    return {
        "name": consumer.name,
        "reads": None if consumer.reads is None else consumer.reads._asdict(),
        "lag": None if lag is None else lag.as_dict(),
        "slots": [slot._asdict() for slot in consumer.slots],
        "members": [asdict(member) for member in consumer.members],
        "dead_letters": consumer.dead_letters,
        "deleted_up_to": consumer.deleted_up_to,
        "has_missed_messages": consumer.has_missed_messages,
        "paused_at": consumer.paused_at,
        "paused_by": consumer.paused_by,
    }
