"""Relays: consumers that publish messages to a broker.

Each broker has a module, which requires the extra of the same name: `mdb_sqla.relay.nats`,
`rabbitmq`, `redis`, `kafka`, `confluent`.
"""

from mdb_sqla.relay.broker_target import Target
from mdb_sqla.relay.cloud_events import CloudEvents
from mdb_sqla.relay.envelope import Envelope
from mdb_sqla.relay.relay import Relay

__all__ = ["CloudEvents", "Envelope", "Relay", "Target"]
