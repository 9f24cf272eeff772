from __future__ import annotations

import re

from mdb_sqla.errors import BrokerRejected
from mdb_sqla.relay.broker_target import category
from mdb_sqla.relay.envelope import JSON, Envelope
from mdb_sqla.words.message import StoredMessage

__all__ = ["category_topic", "check_topic", "kafka_headers"]

_MAX_LENGTH = 249
_TOPIC = re.compile(r"[a-zA-Z0-9._-]+")


def category_topic(message: StoredMessage) -> str:
    """Return the category as a Kafka topic: `account:command+new` becomes `account.command-new`."""
    return category(message).replace(":", ".").replace("+", "-")


def check_topic(topic: str, message: StoredMessage) -> None:
    """Check a topic name. Clients mistake an invalid name for a topic that does not exist yet.

    Raises:
        BrokerRejected: the topic name is not valid.
    """
    if len(topic) > _MAX_LENGTH or topic in {".", ".."} or not _TOPIC.fullmatch(topic):
        raise BrokerRejected(message, f"{topic!r} is not a valid Kafka topic name")


def kafka_headers(envelope: Envelope) -> dict[str, str]:
    """Return the Kafka headers of a message."""
    attributes = {f"ce_{name}": value for name, value in envelope.attributes.items()}
    return {**envelope.headers, "content-type": JSON, **attributes}
