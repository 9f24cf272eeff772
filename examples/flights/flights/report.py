"""Reports on the tables and the messages, for the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import mean

from rich import box
from rich.bar import Bar
from rich.console import Group
from rich.table import Column, Table
from sqlalchemy import func, literal, select, true
from sqlalchemy.orm import Session

from flights.checkpoint import Checkpoint
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
    "consumption",
    "consumption_event",
    "files",
    "hangars",
    "history",
    "latest_aircraft",
]

_BAR_WIDTH = 36

_MOST_LATE = (Aircraft.minutes_late.desc(), Aircraft.tail_number)

_FILES = {
    "README.md": "the example explained",
    "flights/load.py": "one transaction for rows and messages",
    "flights/airports.py": "a consumer that maintains a read model",
    "flights/fleet.py": "a process manager that sends commands",
    "flights/maintenance.py": "a consumer group that handles commands",
    "flights/consumption.py": "the consumer processes, and the kill",
    "flights/departure_relay.py": "a relay to a broker, and an inbox",
}


def by_type(session: Session) -> Group:
    """Count the messages by category and type."""
    found = session.execute(select(tables.category_type_summary)).all()
    most = max((row.message_count for row in found), default=0)
    table = _table("category", "type", _number("messages"), _number("percent"), "")
    for row in found:
        count = row.message_count
        table.add_row(row.category, row.type, f"{count:,}", str(row.percent), _bar(count, most))
    return _titled("Messages by type", "the view category_type_summary", table)


def by_hour(replay: Replay) -> Group:
    """Chart the delay at departure in the course of a day."""
    average = {hour: mean(delays) for hour, delays in sorted(replay.delays.items())}
    most = max(average.values(), default=0)
    table = _table(_number("hour"), _number("flights"), _number("minutes"), "")
    for hour, minutes in average.items():
        count = len(replay.delays[hour])
        table.add_row(f"{hour}:00", f"{count:,}", f"{minutes:.1f}", _bar(minutes, most))
    return _titled("Minutes late at departure by scheduled hour", "the category aircraft", table)


def latest_aircraft(session: Session) -> Group:
    """List the aircraft with the longest total delay, joined with their last messages."""
    stream_name = literal(f"{Aircraft.category}-") + Aircraft.tail_number
    last = functions.get_last_stream_message(stream_name).lateral("last")
    found = session.execute(
        select(Aircraft, *last.c).join(last, true()).order_by(*_MOST_LATE).limit(5)
    )
    table = _table("aircraft", _number("flights"), _number("minutes"), "flight", "last message")
    for aircraft, *values in found:
        table.add_row(
            aircraft.tail_number,
            f"{aircraft.departed + aircraft.cancelled:,}",
            f"{aircraft.minutes_late:,}",
            *_described(StoredMessage(*values)),
        )
    return _titled(
        "The most delayed aircraft", "a table joined with get_last_stream_message", table
    )


def history(session: Session) -> Group:
    """List the last messages of the most delayed aircraft."""
    aircraft = session.scalars(select(Aircraft).order_by(*_MOST_LATE).limit(1)).one()
    stream_name = aircraft.stream_name
    table = _table(_number("position"), "flight", "message")
    for message in MessageStore(session).read_stream(stream_name, max(aircraft.version - 7, 0)):
        table.add_row(str(message.position), *_described(message))
    return _titled(f"Recent history of {aircraft.tail_number}", f"the stream {stream_name}", table)


def airports(session: Session) -> Group:
    """List the airports with the longest total delay."""
    found = session.scalars(
        select(Airport).order_by(Airport.minutes_late.desc(), Airport.code).limit(5)
    )
    table = _table(
        "airport",
        _number("departures"),
        _number("arrivals"),
        _number("minutes late"),
        _number("longest delay"),
    )
    for airport in found:
        table.add_row(
            airport.code,
            f"{airport.departures:,}",
            f"{airport.arrivals:,}",
            f"{airport.minutes_late:,}",
            f"{airport.longest_delay:,}",
        )
    return _titled("The most delayed airports", "the consumer airports", table)


def hangars(session: Session) -> Group:
    """Count the inspections by each member of the consumer group."""
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
    return _titled("Inspections by hangar", "the consumer maintenance, a group", table)


def comparison(totals: Iterable[Total]) -> Group:
    """Compare figures from the messages with those from the tables."""
    table = _table("", _number("messages"), _number("tables"), "")
    for name, in_messages, in_tables in totals:
        verdict = _verdict(in_messages, in_tables)
        table.add_row(name, f"{in_messages:,}", f"{in_tables:,}", verdict)
    return _titled("Messages and tables compared", "computed independently of each other", table)


def consumption() -> Group:
    """Return the header of the lines about consumption."""
    columns = f"{'position':>11}{'remaining':>11}{'in messages':>13}{'in table':>10}"
    heading = _heading("Departures and arrivals", "handled and counted by the consumer airports")
    return Group(heading, f"[dim]  {'':25}{columns}[/]")


def consumption_event(event: str, checkpoint: Checkpoint | None) -> str:
    """Return a line about an event, with the checkpoint of the consumer airports."""
    if checkpoint is None:
        return f"  [bold]{event}[/]"
    position, remaining, in_messages, in_table = checkpoint
    figures = f"{position:>11,}{remaining:>11,}{in_messages:>13,}{in_table:>10,}"
    return f"  {event:<25}{figures}  {_verdict(in_messages, in_table)}"


def files() -> Group:
    """List the files to read next."""
    table = Table.grid(padding=(0, 2))
    for path, subject in _FILES.items():
        table.add_row(f"  {path}", subject)
    return _titled("Read the code", "in examples/flights", table)


def _titled(title: str, source: str, table: Table) -> Group:
    return Group(_heading(title, source), table)


def _heading(title: str, source: str) -> str:
    return f"\n[bold]{title}[/] [dim]– {source}[/]\n"


def _table(*columns: Column | str) -> Table:
    return Table(*columns, box=box.SIMPLE_HEAD, show_edge=False, header_style="dim")


def _number(heading: str) -> Column:
    return Column(heading, justify="right")


def _bar(value: float, most: float) -> Bar:
    return Bar(most, 0, max(value, 0), width=_BAR_WIDTH, color="cyan")


def _verdict(in_messages: int, in_tables: int) -> str:
    return "[green]equal[/]" if in_messages == in_tables else "[red]different[/]"


def _described(message: StoredMessage) -> tuple[str, str]:
    flight = StreamName(message.metadata["correlationStreamName"])
    return flight.ids[0], sentence(read(message))
