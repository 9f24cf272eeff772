"""The sessions that applications work with."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from mdb_sqla.arguments import described
from mdb_sqla.errors import InvalidArgument

__all__ = ["sync_session_of"]


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
