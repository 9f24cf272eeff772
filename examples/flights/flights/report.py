"""What the tables and the messages hold, for the screen."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import mean

from rich import box
from rich.bar import Bar
from rich.console import Group
from rich.table import Column, Table
from sqlalchemy import func, literal, select, true
from sqlalchemy.orm import Session

from flights.events import read
from flights.models import Aircraft, Airport
from flights.replay import Replay, Total
from flights.sentence import sentence
from mdb_sqla import MessageStore, StoredMessage, StreamName, functions, tables

__all__ = [
    "airports",
    "by_hour",
    "by_type",
    "comparison",
    "hangars",
    "history",
    "latest_aircraft",
]

_BAR_WIDTH = 36

_MOST_LATE = (Aircraft.minutes_late.desc(), Aircraft.tail_number)


def by_type(session: Session) -> Group:
    """Count the messages: a report view."""
    found = session.execute(select(tables.category_type_summary)).all()
    most = max((row.message_count for row in found), default=0)
    table = _table("category", "type", _number("messages"), _number("percent"), "")
    for row in found:
        count = row.message_count
        table.add_row(row.category, row.type, f"{count:,}", str(row.percent), _bar(count, most))
    return _titled("What was told", "the view category_type_summary", table)


def by_hour(replay: Replay) -> Group:
    """Chart how late flights leave in the course of a day: a category, iterated over."""
    average = {hour: mean(delays) for hour, delays in sorted(replay.delays.items())}
    most = max(average.values(), default=0)
    table = _table(_number("hour"), _number("flights"), _number("minutes"), "")
    for hour, minutes in average.items():
        count = len(replay.delays[hour])
        table.add_row(f"{hour}:00", f"{count:,}", f"{minutes:.1f}", _bar(minutes, most))
    return _titled("Minutes late at departure, by scheduled hour", "the category aircraft", table)


def latest_aircraft(session: Session) -> Group:
    """List the aircraft with the most minutes late: their rows, joined with their last messages."""
    stream_name = literal(f"{Aircraft.category}-") + Aircraft.tail_number
    last = functions.get_last_stream_message(stream_name).lateral("last")
    found = session.execute(
        select(Aircraft, *last.c).join(last, true()).order_by(*_MOST_LATE).limit(5)
    )
    table = _table(
        "aircraft", _number("flights"), _number("minutes late"), "flight", "last message"
    )
    for aircraft, *values in found:
        table.add_row(
            aircraft.tail_number,
            f"{aircraft.departed + aircraft.cancelled:,}",
            f"{aircraft.minutes_late:,}",
            *_told(StoredMessage(*values)),
        )
    return _titled(
        "Most minutes late",
        "the table aircraft, joined with get_last_stream_message",
        table,
    )


def history(session: Session) -> Group:
    """Tell how the first of them came to that: a stream, read from a position on."""
    aircraft = session.scalars(select(Aircraft).order_by(*_MOST_LATE).limit(1)).one()
    stream_name = aircraft.stream_name
    table = _table(_number("position"), "flight", "message")
    for message in MessageStore(session).read_stream(stream_name, max(aircraft.version - 7, 0)):
        table.add_row(str(message.position), *_told(message))
    return _titled(f"The history of {aircraft.tail_number}", f"the stream {stream_name}", table)


def airports(session: Session) -> Group:
    """List the airports with the most minutes late: what a consumer has counted."""
    found = session.scalars(
        select(Airport).order_by(Airport.minutes_late.desc(), Airport.code).limit(5)
    )
    table = _table(
        "airport",
        _number("departures"),
        _number("arrivals"),
        _number("minutes late"),
        _number("longest"),
    )
    for airport in found:
        table.add_row(
            airport.code,
            f"{airport.departures:,}",
            f"{airport.arrivals:,}",
            f"{airport.minutes_late:,}",
            f"{airport.longest_delay:,}",
        )
    return _titled("Where the minutes were lost", "the consumer airports", table)


def hangars(session: Session) -> Group:
    """Count what each member of the group has done: its events, by who told them."""
    m = tables.messages.c
    name = m.data["hangar"].as_string()
    tail_number = functions.id(m.stream_name)
    found = session.execute(
        select(name, func.count(), func.count(tail_number.distinct()))
        .where(functions.category(m.stream_name) == "maintenance", m.type == "Inspected")
        .group_by(name)
        .order_by(name)
    ).all()
    most = max((count for _, count, _ in found), default=0)
    table = _table("hangar", _number("inspections"), _number("aircraft"), "")
    for hangar, count, aircraft in found:
        table.add_row(hangar, f"{count:,}", f"{aircraft:,}", _bar(count, most))
    return _titled("Who inspected", "the consumer maintenance, a group", table)


def comparison(totals: Iterable[Total]) -> Group:
    """Set what the messages come to beside what the tables do."""
    table = _table("", _number("messages"), _number("tables"), "")
    for name, told, kept in totals:
        verdict = "[green]equal" if told == kept else "[red]different"
        table.add_row(name, f"{told:,}", f"{kept:,}", verdict)
    return _titled("One story, told twice", "sums over the messages and over the tables", table)


def _titled(title: str, source: str, table: Table) -> Group:
    return Group(f"\n[bold]{title}[/] [dim]– {source}[/]\n", table)


def _table(*columns: Column | str) -> Table:
    return Table(*columns, box=box.SIMPLE_HEAD, show_edge=False, header_style="dim")


def _number(heading: str) -> Column:
    return Column(heading, justify="right")


def _bar(value: float, most: float) -> Bar:
    return Bar(most, 0, max(value, 0), width=_BAR_WIDTH, color="cyan")


def _told(message: StoredMessage) -> tuple[str, str]:
    flight = StreamName(message.metadata["correlationStreamName"])
    return flight.ids[0], sentence(read(message))
