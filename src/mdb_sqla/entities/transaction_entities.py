"""The entities that a session has read in its transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session, SessionTransaction

from mdb_sqla.database.execution import Database
from mdb_sqla.entities.entity import Entity

__all__ = ["find", "remember"]

_ATTRIBUTE = "_mdb_sqla_entities"


def find(db: Database, owner: object, stream_name: str) -> Entity[Any] | None:
    """Return an entity that was read in the current transaction, or None.

    Args:
        db: the session; a connection has no entities.
        owner: the `EntityStore` that has read it.
        stream_name: its stream.
    """
    transaction = _transaction(db)
    entities: dict[Any, Entity[Any]] = getattr(transaction, _ATTRIBUTE, {})
    return entities.get((owner, stream_name))


def remember(db: Database, owner: object, entity: Entity[Any]) -> None:
    """Keep an entity until the session's transaction ends.

    It is an attribute of the outermost `SessionTransaction`, like the outbox.
    """
    if (transaction := _transaction(db)) is not None:
        if not hasattr(transaction, _ATTRIBUTE):
            setattr(transaction, _ATTRIBUTE, {})
        getattr(transaction, _ATTRIBUTE)[owner, entity.stream_name] = entity


def _transaction(db: Database) -> SessionTransaction | None:
    return db.get_transaction() if isinstance(db, Session) else None
