"""The notification channel of a store."""

from __future__ import annotations

from sqlalchemy import Connection, Engine

from mdb_sqla.database.execution import schema_of

__all__ = ["ANY_CATEGORY", "POLLING", "STORE_OPTIONS", "channel_of", "is_enabled"]

POLLING = "Notifications are failing; consumers fall back to polling"
"""Logged when notifications can't be sent or received."""

ANY_CATEGORY = ""
"""The payload that wakes the consumers of every category."""

_OPTION = "message_store_wake_up"  # the execution option that disables notifications

STORE_OPTIONS = (_OPTION, "schema_translate_map")
"""The execution options that select the store and whether to use notifications."""


def is_enabled(db: Engine | Connection) -> bool:
    """Return whether writers on this engine send notifications and consumers on it listen."""
    return bool(db.get_execution_options().get(_OPTION, True))


def channel_of(db: Engine | Connection) -> str:
    """Return the channel of a store, which is the name of its schema."""
    return schema_of(db)
