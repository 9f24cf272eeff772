"""The sessions that applications work with, and what they are bound to."""

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
    """Return the `Session` behind what an application works with.

    Raises:
        InvalidArgument: it is no session.
    """
    # What is a session may have a `registry` of the application's.
    if not isinstance(session, Session) and hasattr(session, "registry"):
        session = session()
    session = getattr(session, "sync_session", session)
    if not isinstance(session, Session):
        raise InvalidArgument(
            f"Messages are handed in to a Session or an AsyncSession: {described(session)}"
        )
    return session


def session_from(source: Any, kind: type[_S], user: str, **options: Any) -> _S:
    """Return the session that a factory or a registry makes, or the source if it is one itself.

    Options are for what is made.

    Raises:
        InvalidArgument: it is of another kind; `user` says who needs it.
    """
    session = source(**options) if callable(source) else source
    if not isinstance(session, kind):
        raise InvalidArgument(
            f"{user} needs a {name_of(kind)}, and its {name_of(type(source))} makes something "
            f"else: {described(session)}"
        )
    return session


def is_joined(session: Session) -> bool:
    """Whether a connection of the application's has the session's transaction.

    That one may go on with what the session has done, also when the session is closed.
    """
    with suppress(UnboundExecutionError):
        return isinstance(bind_of(session), Connection)
    return False
