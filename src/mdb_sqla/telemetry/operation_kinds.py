"""The kinds of operations, with their names in spans and metrics."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PROCESS", "PUBLISH", "READ", "RECEIVE", "SEND", "OperationKind"]

_SENT, _CONSUMED = "messaging.client.sent.messages", "messaging.client.consumed.messages"
_OPERATION, _PROCESS = "messaging.client.operation.duration", "messaging.process.duration"


@dataclass(frozen=True, slots=True)
class OperationKind:
    """A kind of operation.

    Attributes:
        name: the name of the operation, with which span names start.
        type: the type of the operation, of the few that the conventions have.
        span_kind: the name of the span kind.
        duration: the name of the histogram of durations.
        counter: the name of the counter of messages; None if they are counted elsewhere.
    """

    name: str
    type: str
    span_kind: str
    duration: str
    counter: str | None


SEND = OperationKind("send", "send", "PRODUCER", _OPERATION, _SENT)
"""Messages are written to the store."""

READ = OperationKind("read", "receive", "CLIENT", _OPERATION, _CONSUMED)
"""A consumer reads a batch. Only measured: a span would have no trace to be part of."""

PROCESS = OperationKind("process", "process", "CONSUMER", _PROCESS, None)
"""A handler is called. A message is counted when it is read, however often it is handled."""

PUBLISH = OperationKind("publish", "send", "PRODUCER", _OPERATION, _SENT)
"""A relay publishes a message."""

RECEIVE = OperationKind("receive", "process", "CONSUMER", _PROCESS, _CONSUMED)
"""An inbox stores a message that a subscriber has received."""
