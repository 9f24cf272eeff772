"""The notification channel of a store."""

from __future__ import annotations

from sqlalchemy import Connection, Engine

from mdb_sqla.database.execution import schema_of

__all__ = ["ANY_CATEGORY", "POLLING", "STORE_OPTIONS", "channel_of", "is_wanted"]

POLLING = "Notifications fail; consumers poll instead"
"""Logged while sending or receiving notifications fails."""

ANY_CATEGORY = ""
"""The payload that wakes the consumers of every category."""

_OPTION = "message_store_wake_up"  # the execution option that turns it off

STORE_OPTIONS = (_OPTION, "schema_translate_map")
"""The execution options that select the store, and whether its consumers are woken."""


def is_wanted(db: Engine | Connection) -> bool:
    """Whether writers on this engine send notifications, and consumers on it listen."""
    return bool(db.get_execution_options().get(_OPTION, True))


def channel_of(db: Engine | Connection) -> str:
    """Return the channel of a store: the name of its schema."""
    return schema_of(db)
