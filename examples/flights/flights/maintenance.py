"""A component that inspects aircraft: it handles commands, and writes events."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from uuid import uuid4

from mdb_sqla import Consumer, Group, Message, StoredMessage, StreamName, UnitOfWork

__all__ = ["Inspect", "Inspected", "hangar"]


@dataclass(frozen=True, slots=True)
class Inspect:
    """A command: inspect an aircraft after so many arrivals."""

    arrivals: int


@dataclass(frozen=True, slots=True)
class Inspected:
    """An event: the aircraft was inspected after so many arrivals, in this hangar."""

    arrivals: int
    hangar: str


def hangar() -> Consumer:
    """Return a new member of the consumer group.

    One member at a time handles the commands for an aircraft, in order.
    """
    name = f"hangar-{uuid4().hex[:8]}"
    group = Group(slots=4, lease=3.0, member=name)
    consumer = Consumer("maintenance", "maintenance:command", group=group)

    @consumer.on("Inspect")
    def inspect(message: StoredMessage, unit: UnitOfWork) -> None:
        command = Inspect(**message.data)
        tail_number = StreamName(message.stream_name).ids[0]
        event = Inspected(command.arrivals, name)
        # follow() copies the command's correlation, by which its sender finds the event.
        unit.write(
            StreamName.build("maintenance", tail_number),
            Message("Inspected", asdict(event)).follow(message),
        )

    return consumer
