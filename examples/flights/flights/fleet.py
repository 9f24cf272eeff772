"""A process manager: it requests inspections of aircraft, and receives their outcome."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from flights.maintenance import Inspect
from flights.models import Base, Maintenance
from mdb_sqla import Consumer, Group, Message, StoredMessage, StreamName, UnitOfWork

__all__ = ["ARRIVALS_BETWEEN_INSPECTIONS", "fleet", "inspections"]

ARRIVALS_BETWEEN_INSPECTIONS = 5

fleet = Consumer("fleet", "aircraft", group=Group(slots=1, lease=3.0), transaction_size=100)

# Only the events of maintenance that the fleet has requested.
inspections = Consumer(
    "inspections", "maintenance", correlation="fleet", group=Group(slots=1, lease=3.0)
)

_table = Base.metadata.tables[Maintenance.__tablename__]
_COUNT = (
    insert(_table)
    .on_conflict_do_update(index_elements=["tail_number"], set_={"arrivals": _table.c.arrivals + 1})
    .returning(_table.c.arrivals)
)


@fleet.on("Arrived")
def arrived(message: StoredMessage, unit: UnitOfWork) -> None:
    tail_number = StreamName(message.stream_name).ids[0]
    first = {"tail_number": tail_number, "arrivals": 1, "due": 0, "done": 0}
    arrivals = unit.session.scalars(_COUNT, first).one()
    if arrivals % ARRIVALS_BETWEEN_INSPECTIONS == 0:
        add(unit.session, tail_number, due=1)
        # follow() copies the correlation of the arrival, which is a flight; it is replaced below.
        command = Message("Inspect", asdict(Inspect(arrivals))).follow(message)
        unit.write(
            StreamName.build("maintenance", tail_number, types="command"),
            command.with_correlation(StreamName.build("fleet", tail_number)),
        )


@inspections.on("Inspected")
def inspected(message: StoredMessage, unit: UnitOfWork) -> None:
    own_stream = StreamName(message.metadata["correlationStreamName"])
    add(unit.session, own_stream.ids[0], due=-1, done=1)


def add(session: Session, tail_number: str, *, due: int = 0, done: int = 0) -> None:
    """Change the number of inspections of an aircraft."""
    session.execute(
        update(_table)
        .where(_table.c.tail_number == tail_number)
        .values(due=_table.c.due + due, done=_table.c.done + done)
    )
