from __future__ import annotations

import re

from mdb_sqla.errors import BrokerRejected
from mdb_sqla.relay.broker_target import category
from mdb_sqla.relay.envelope import JSON, Envelope
from mdb_sqla.words.message import StoredMessage

__all__ = ["category_topic", "check_topic", "kafka_headers"]

_LONGEST = 249
_LEGAL = re.compile(r"[a-zA-Z0-9._-]+")


def category_topic(message: StoredMessage) -> str:
    """Return the category as a topic of Kafka's: `account:command+new` is `account.command-new`."""
    return category(message).replace(":", ".").replace("+", "-")


def check_topic(topic: str, message: StoredMessage) -> None:
    """Check what Kafka would refuse, and clients take for a topic that is not there yet.

    Raises:
        BrokerRejected: it is no name of a topic.
    """
    if len(topic) > _LONGEST or topic in {".", ".."} or not _LEGAL.fullmatch(topic):
        raise BrokerRejected(message, f"Kafka has no topics of the name {topic!r}")


def kafka_headers(envelope: Envelope) -> dict[str, str]:
    """Return the headers of a message in Kafka."""
    attributes = {f"ce_{name}": value for name, value in envelope.attributes.items()}
    return {**envelope.headers, "content-type": JSON, **attributes}
