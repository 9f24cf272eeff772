"""The tables, rebuilt from the messages and compared with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from flights.events import Departed, read
from flights.models import Aircraft, Airline, new_row, rows
from mdb_sqla import MessageStore, StoredMessage, StreamName, tables

__all__ = ["Replay", "Total", "totals"]


class Replay:
    """Rows by stream name, and delays by hour, rebuilt from the messages."""

    def __init__(self) -> None:
        self.rows: dict[str, Aircraft | Airline] = {}
        self.delays: defaultdict[int, list[int]] = defaultdict(list)

    def run(self, session: Session, applied: Callable[[], object]) -> None:
        """Read both categories from the beginning, and call `applied` after each message."""
        store = MessageStore(session)
        for model in (Aircraft, Airline):
            for message in store.iterate_category(model.category):
                self._apply(message)
                applied()

    def _apply(self, message: StoredMessage) -> None:
        event = read(message)
        if message.stream_name not in self.rows:
            self.rows[message.stream_name] = new_row(StreamName(message.stream_name))
        self.rows[message.stream_name].apply(event)
        if isinstance(event, Departed):
            self.delays[datetime.fromisoformat(event.scheduled).hour].append(event.delay)

    def differing(self, session: Session) -> list[str]:
        """Return the names of the streams whose rebuilt row differs from the stored row."""
        stored = rows(session)
        names = self.rows.keys() | stored.keys()
        return sorted(name for name in names if self.rows.get(name) != stored.get(name))


class Total(NamedTuple):
    """A figure, computed from the messages and from the tables."""

    name: str
    messages: int
    tables: int


def totals(session: Session) -> list[Total]:
    """Aggregate the messages and the tables on the server, independently of each other."""
    view, m = tables.category_type_summary.c, tables.messages.c
    in_messages = {
        type_: int(count)
        for type_, count in session.execute(
            select(view.type, func.sum(view.message_count))
            .where(view.category.in_([Aircraft.category, Airline.category]))
            .group_by(view.type)
        )
    }
    delay = func.greatest(m.data["delay"].as_integer(), 0)
    in_messages["minutes late"] = (
        session.scalar(select(func.sum(delay)).where(m.type == "Arrived")) or 0
    )
    unassigned = session.scalar(select(func.sum(Airline.cancelled))) or 0
    departed, arrived, diverted, cancelled, minutes_late = session.execute(
        select(
            func.sum(Aircraft.departed),
            func.sum(Aircraft.arrived),
            func.sum(Aircraft.diverted),
            func.sum(Aircraft.cancelled),
            func.sum(Aircraft.minutes_late),
        )
    ).one()
    in_tables = {
        "Departed": departed,
        "Arrived": arrived,
        "Diverted": diverted,
        "Cancelled": cancelled + unassigned,
        "minutes late": minutes_late,
    }
    return [Total(name, in_messages.get(name, 0), count) for name, count in in_tables.items()]
