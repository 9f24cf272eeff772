"""Application sessions."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Session

from mdb_sqla.database.execution import bind_of
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.words.argument_checks import described, name_of

__all__ = ["is_joined", "session_from", "sync_session_of"]

_S = TypeVar("_S")


def sync_session_of(session: Any) -> Session:
    """Return the underlying `Session` of a scoped or async session.

    Raises:
        InvalidArgument: the argument is not a session.
    """
    # A subclass of Session may have an attribute `registry`.
    if not isinstance(session, Session) and hasattr(session, "registry"):
        session = session()
    session = getattr(session, "sync_session", session)
    if not isinstance(session, Session):
        raise InvalidArgument(
            f"session must be a Session or an AsyncSession, got {described(session)}"
        )
    return session


def session_from(source: Any, kind: type[_S], user: str, **options: Any) -> _S:
    """Return a session from a factory or registry, or the source itself if it is a session.

    Args:
        source: a factory, a registry or a session.
        kind: the required type.
        user: what requires the session, for the error message.
        options: passed to the factory.

    Raises:
        InvalidArgument: the session is of another type.
    """
    session = source(**options) if callable(source) else source
    if not isinstance(session, kind):
        raise InvalidArgument(
            f"{user} requires a {name_of(kind)}, but its {name_of(type(source))} returned "
            f"{described(session)}"
        )
    return session


def is_joined(session: Session) -> bool:
    """Return whether the session has joined the transaction of an external connection.

    Such a transaction may continue after the session is closed.
    """
    with suppress(UnboundExecutionError):
        return isinstance(bind_of(session), Connection)
    return False
