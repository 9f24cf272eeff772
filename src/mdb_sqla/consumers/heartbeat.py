"""The heartbeat of a member of a group."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from mdb_sqla.database.dedicated_connection import OwnConnection, beside, own_connection
from mdb_sqla.errors import MemberReplaced

__all__ = ["Beat", "Submit", "beating"]

_log = logging.getLogger("mdb_sqla.consumer")

_PATIENCE = 2.0  # seconds that the consumer's end waits for a beat that is under way
_LOOK = 0.1  # seconds until it is seen that a beat is for another to end
_LATE = 1.25  # of the time between two beats; the other way is taken then

Submit = Callable[[Callable[[Session], object]], Future[Any]]
"""Has a function called in a transaction of the application's; from any thread."""


@dataclass(frozen=True, slots=True)
class Beat:
    """What is done every so many seconds."""

    work: Callable[[Session], object]
    seconds: float


@contextmanager
def beating(engine: Engine, beat: Beat | None, submit: Submit) -> Iterator[None]:
    """Do something every few seconds, in a thread: a handler may take long, or block its loop.

    It is done over a dedicated connection. An application's connector may be bound to its event
    loop, a pooler may have no connection left: where nothing has come through in time, whatever the
    reason, it is done over the application's own connections.
    """
    if beat is None:
        yield
        return
    heartbeat = _Heartbeat(engine, beat, submit)
    try:
        yield
    finally:
        heartbeat.end()


class _Heartbeat:
    """Two threads: one may hang while it connects, which the other notices."""

    def __init__(self, engine: Engine, beat: Beat, submit: Submit) -> None:
        self._engine = engine
        self._beat = beat
        self._submit = submit
        self._ended = threading.Event()
        self._heard = time.monotonic()
        self._problem: Exception | None = None
        self._dedicated: OwnConnection | None = None
        self._submitted: Future[Any] | None = None
        self._threads = [
            threading.Thread(target=target, name="mdb_sqla heartbeat", daemon=True)
            for target in (self._beat_dedicated, self._beat_where_late)
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """End both threads."""
        self._ended.set()
        if self._dedicated is not None:
            self._dedicated.interrupt()
        deadline = time.monotonic() + _PATIENCE
        for thread in self._threads:
            # What was submitted may need this very thread's loop: it ends by itself.
            while thread.is_alive() and time.monotonic() < deadline and not self._is_submitted:
                thread.join(_LOOK)

    @property
    def _is_submitted(self) -> bool:
        return self._submitted is not None and not self._submitted.done()

    def _beat_dedicated(self) -> None:
        def work(connection: Connection) -> None:
            with Session(connection) as session:
                self._beat.work(session)
                session.commit()

        try:
            with closing(own_connection(beside(self._engine))) as connection:
                self._dedicated = connection
                while not self._ended.wait(self._beat.seconds):
                    try:
                        connection.run(work)
                        self._heard = time.monotonic()
                    except MemberReplaced:
                        self._ended.set()
                    except Exception as error:
                        self._problem = error
        except Exception as error:
            # For example where the process has no more sockets.
            self._problem = error

    def _beat_where_late(self) -> None:
        is_logged = False
        while not self._ended.wait(self._beat.seconds / 2):
            if time.monotonic() - self._heard < _LATE * self._beat.seconds:
                continue
            try:
                self._beat_over_application()
            except MemberReplaced:
                self._ended.set()
            except (Exception, CancelledError):
                if not self._ended.is_set():
                    # The next one may get through; if none does, the slots go to others.
                    _log.warning(
                        "A heartbeat failed, over the dedicated connection (%r) and over the "
                        "application's",
                        self._problem,
                        exc_info=True,
                    )
            else:
                self._heard = time.monotonic()
                if not is_logged:
                    is_logged = True
                    _log.warning(
                        "Heartbeats go over the application's own connections, for none gets "
                        "through over a dedicated one: a handler that blocks the event loop for "
                        "longer than the lease loses its slots",
                        exc_info=self._problem,
                    )

    def _beat_over_application(self) -> None:
        submitted = self._submitted = self._submit(self._beat.work)
        try:
            submitted.result(self._beat.seconds)
        finally:
            submitted.cancel()
