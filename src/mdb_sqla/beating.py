"""The heartbeat of a member of a group."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from mdb_sqla.errors import MemberReplaced
from mdb_sqla.own_connection import beside, own_connection

__all__ = ["Beat", "beating"]

_log = logging.getLogger("mdb_sqla.consumer")

_PATIENCE = 2.0  # seconds that the consumer's end waits for a beat that is under way


@dataclass(frozen=True, slots=True)
class Beat:
    """What is done every so many seconds."""

    work: Callable[[Session], object]
    seconds: float


@contextmanager
def beating(engine: Engine, beat: Beat | None) -> Iterator[None]:
    """Do something every few seconds, in a thread: a handler may take long, or block its loop."""
    if beat is None:
        yield
        return
    ended = threading.Event()

    def work(connection: Connection) -> None:
        with Session(connection) as session:
            beat.work(session)
            session.commit()

    def repeat() -> None:
        with closing(own_connection(beside(engine))) as connection:
            while not ended.wait(beat.seconds):
                try:
                    connection.run(work)
                except MemberReplaced:
                    return
                except Exception:
                    # The next one may get through; if none does, the slots go to others.
                    _log.warning("A heartbeat failed", exc_info=True)

    thread = threading.Thread(target=repeat, name="mdb_sqla heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_PATIENCE)
