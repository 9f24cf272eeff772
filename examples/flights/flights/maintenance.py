"""The component that inspects aircraft: it is asked by commands, and tells by events."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from uuid import uuid4

from mdb_sqla import Consumer, Group, Message, StoredMessage, StreamName, UnitOfWork

__all__ = ["Inspect", "Inspected", "hangar"]


@dataclass(frozen=True, slots=True)
class Inspect:
    """The command: inspect an aircraft, which has arrived so many times."""

    arrivals: int


@dataclass(frozen=True, slots=True)
class Inspected:
    """It was inspected after so many arrivals, and in this hangar."""

    arrivals: int
    hangar: str


def hangar() -> Consumer:
    """Return a new member of the group that shares the commands.

    All commands to an aircraft fall to one member at a time, in their order.
    """
    name = f"hangar-{uuid4().hex[:8]}"
    group = Group(slots=4, lease=3.0, member=name)
    consumer = Consumer("maintenance", "maintenance:command", group=group)

    @consumer.on("Inspect")
    def inspect(message: StoredMessage, unit: UnitOfWork) -> None:
        command = Inspect(**message.data)
        tail_number = StreamName(message.stream_name).ids[0]
        event = Inspected(command.arrivals, name)
        # By following, the event has the command's correlation: whoever asked will find it.
        unit.write(
            StreamName.build("maintenance", tail_number),
            Message("Inspected", asdict(event)).follow(message),
        )

    return consumer
