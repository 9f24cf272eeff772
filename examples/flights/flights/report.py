"""What the tables and the messages hold, for the screen."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from statistics import mean

from rich import box
from rich.bar import Bar
from rich.console import Group
from rich.table import Column, Table
from sqlalchemy import literal, select, true
from sqlalchemy.orm import Session

from flights.events import Arrived, Cancelled, Departed, Diverted, Event, read
from flights.models import Aircraft
from flights.replay import Replay, Total
from mdb_sqla import MessageStore, StoredMessage, StreamName, functions, tables

__all__ = ["by_hour", "by_type", "comparison", "history", "latest_aircraft"]

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
    return flight.ids[0], _sentence(read(message))


def _sentence(event: Event) -> str:
    match event:
        case Departed(origin, destination, scheduled, delay):
            return f"left {origin} for {destination} on {_day(scheduled)}, {_late(delay)}"
        case Arrived(airport, clock, delay):
            return f"arrived in {airport} at {clock}, {_late(delay)}"
        case Diverted(destination):
            return f"did not reach {destination}"
        case Cancelled(origin, destination, scheduled):
            return f"from {origin} to {destination} on {_day(scheduled)} was cancelled"


def _day(scheduled: str) -> str:
    moment = datetime.fromisoformat(scheduled)
    return f"{moment.day} {moment:%B}"


def _late(minutes: int | None) -> str:
    if minutes is None:
        return "no one says how late"
    if minutes == 0:
        return "on time"
    return f"{abs(minutes)} minutes {'late' if minutes > 0 else 'early'}"
