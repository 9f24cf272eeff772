"""The gauges of a store, its consumers and a host, with their OpenTelemetry names and units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "CATEGORY",
    "COLLECTION_DURATION",
    "CONSUMER",
    "DEAD_LETTERS",
    "DEAD_ROWS",
    "GAUGES",
    "IN_STATE",
    "LAG",
    "LAG_TIME",
    "LAST_POSITION",
    "LIVE_ROWS",
    "MEMBERS",
    "OPEN_WRITERS",
    "OPEN_WRITER_AGE",
    "PART",
    "POSITION",
    "RATE",
    "RETENTION_OVERDUE",
    "SERVER",
    "SETTLED_POSITION",
    "SIZE",
    "SLOTS",
    "STANDBY_AVAILABLE",
    "STATE",
    "UP",
    "Gauge",
    "Sample",
]

CONSUMER = "messaging.consumer.group.name"
CATEGORY = "messaging.destination.name"
SERVER = "messaging.mdb_sqla.server"
PART = "mdb_sqla.part"
IN_STATE = "mdb_sqla.state"


@dataclass(frozen=True)
class Gauge:
    """A gauge.

    Attributes:
        name: the name of the OpenTelemetry instrument.
        unit: the unit, in UCUM.
        description: what it measures.
        attributes: the names of its attributes. Their values are names of consumers or of
            categories with a retention policy, addresses of standbys, or from a fixed list: never
            streams or messages.
    """

    name: str
    unit: str
    description: str
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """The value of a gauge."""

    gauge: Gauge
    value: float
    attributes: Mapping[str, str] = field(default_factory=dict)


UP = Gauge("mdb_sqla.store.up", "1", "1 if the database answered in time, otherwise 0")
LAST_POSITION = Gauge(
    "mdb_sqla.store.last_position", "1", "The last global position that a writer has drawn"
)
SETTLED_POSITION = Gauge(
    "mdb_sqla.store.settled_position",
    "1",
    "The global position beyond which readers of all categories wait for open writers",
)
OPEN_WRITERS = Gauge(
    "mdb_sqla.store.open_writers",
    "{transaction}",
    "Open or prepared transactions that have written messages",
)
OPEN_WRITER_AGE = Gauge(
    "mdb_sqla.store.open_writer.age", "s", "The age of the oldest open writer; 0 if there is none"
)
SIZE = Gauge("mdb_sqla.store.size", "By", "The size of the table of messages", (PART,))
LIVE_ROWS = Gauge(
    "mdb_sqla.store.live_rows", "{row}", "PostgreSQL's estimate of the number of messages"
)
DEAD_ROWS = Gauge(
    "mdb_sqla.store.dead_rows",
    "{row}",
    "PostgreSQL's estimate of the deleted or updated rows that vacuum has yet to remove",
)
COLLECTION_DURATION = Gauge(
    "mdb_sqla.store.collection.duration", "s", "The time that the queries for the gauges took"
)
LAG = Gauge(
    "mdb_sqla.consumer.lag",
    "{message}",
    "Messages that the consumer has yet to handle; counted up to a limit",
    (CONSUMER,),
)
LAG_TIME = Gauge(
    "mdb_sqla.consumer.lag.time",
    "s",
    "The age of the oldest message that the consumer has yet to handle; 0 if there is none",
    (CONSUMER,),
)
POSITION = Gauge(
    "mdb_sqla.consumer.position",
    "1",
    "The global position up to which the consumer has handled all messages",
    (CONSUMER,),
)
DEAD_LETTERS = Gauge(
    "mdb_sqla.consumer.dead_letters",
    "{message}",
    "Messages in the consumer's dead-letter queue",
    (CONSUMER,),
)
SLOTS = Gauge(
    "mdb_sqla.consumer.slots",
    "{slot}",
    "Slots of the consumer group: held by a live member, or free",
    (CONSUMER, IN_STATE),
)
MEMBERS = Gauge(
    "mdb_sqla.consumer.members",
    "{member}",
    "Live members of the consumer group",
    (CONSUMER,),
)
STATE = Gauge(
    "mdb_sqla.consumer.state",
    "1",
    "1 for the state of the consumer in this host, 0 for the other states",
    (CONSUMER, IN_STATE),
)
RATE = Gauge(
    "mdb_sqla.consumer.rate",
    "{message}/s",
    "Messages that the consumer handles per second in this host, over the last minute",
    (CONSUMER,),
)
STANDBY_AVAILABLE = Gauge(
    "mdb_sqla.consumer.standby.available",
    "1",
    "1 if the standby has served the last read that this host asked it for, 0 if it could not",
    (CONSUMER, SERVER),
)
RETENTION_OVERDUE = Gauge(
    "mdb_sqla.retention.overdue",
    "s",
    "How long ago the oldest message of the category should have been deleted; 0 if none is left",
    (CATEGORY,),
)

GAUGES = (
    UP,
    LAST_POSITION,
    SETTLED_POSITION,
    OPEN_WRITERS,
    OPEN_WRITER_AGE,
    SIZE,
    LIVE_ROWS,
    DEAD_ROWS,
    COLLECTION_DURATION,
    LAG,
    LAG_TIME,
    POSITION,
    DEAD_LETTERS,
    SLOTS,
    MEMBERS,
    STATE,
    RATE,
    STANDBY_AVAILABLE,
    RETENTION_OVERDUE,
)
"""All gauges."""
