"""The channel of a store, which notifications are sent to and which consumers listen to."""

from __future__ import annotations

from sqlalchemy import Connection, Engine

from mdb_sqla.database.execution import schema_of

__all__ = ["ANY_CATEGORY", "POLLING", "STORE_OPTIONS", "channel_of", "is_wanted"]

POLLING = "Consumers can't be woken, and poll meanwhile"
"""What is logged where neither telling nor listening works."""

ANY_CATEGORY = ""
"""Stands for more categories than are told one by one."""

_OPTION = "message_store_wake_up"  # the execution option that turns it off

STORE_OPTIONS = (_OPTION, "schema_translate_map")
"""The execution options that say which store consumers are woken in, and whether."""


def is_wanted(db: Engine | Connection) -> bool:
    """Whether consumers are to be woken by what is written over this engine, or to listen to it."""
    return bool(db.get_execution_options().get(_OPTION, True))


def channel_of(db: Engine | Connection) -> str:
    """Return the channel of a store, which is the name of its schema."""
    return schema_of(db)
