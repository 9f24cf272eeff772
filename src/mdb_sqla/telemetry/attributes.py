"""Names of span and metric attributes.

They follow the messaging conventions of OpenTelemetry. What these don't name is in the namespace
that they reserve for a messaging system, `messaging.mdb_sqla`.
"""

from __future__ import annotations

__all__ = [
    "CONSUMER",
    "CONVERSATION_ID",
    "DESTINATION",
    "DUPLICATE",
    "ERROR_TYPE",
    "GLOBAL_POSITION",
    "MDB_SQLA",
    "MESSAGE_COUNT",
    "MESSAGE_ID",
    "MESSAGE_TYPE",
    "OPERATION_NAME",
    "OPERATION_TYPE",
    "SERVER",
    "STREAM_NAME",
    "SYSTEM",
    "error_type",
]

MDB_SQLA = "mdb_sqla"
"""The messaging system, unless it is that of a relay's broker."""

SYSTEM = "messaging.system"
OPERATION_NAME = "messaging.operation.name"
OPERATION_TYPE = "messaging.operation.type"
DESTINATION = "messaging.destination.name"
CONSUMER = "messaging.consumer.group.name"
MESSAGE_ID = "messaging.message.id"
MESSAGE_COUNT = "messaging.batch.message_count"
CONVERSATION_ID = "messaging.message.conversation_id"
ERROR_TYPE = "error.type"

STREAM_NAME = "messaging.mdb_sqla.stream.name"
MESSAGE_TYPE = "messaging.mdb_sqla.message.type"
GLOBAL_POSITION = "messaging.mdb_sqla.message.global_position"
DUPLICATE = "messaging.mdb_sqla.message.duplicate"
SERVER = "messaging.mdb_sqla.server"


def error_type(error: BaseException) -> str:
    """Return the value of `error.type`: the error's class, which has few values."""
    kind = type(error)
    is_builtin = kind.__module__ == "builtins"
    return kind.__qualname__ if is_builtin else f"{kind.__module__}.{kind.__qualname__}"
