"""The heartbeat of a group member."""

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

from mdb_sqla.database.dedicated_connection import (
    DedicatedConnection,
    dedicated_connection,
    dedicated_engine,
)
from mdb_sqla.errors import MemberReplaced
from mdb_sqla.log_event import log_event

__all__ = ["Heartbeat", "Submit", "run_heartbeat"]

_log = logging.getLogger("mdb_sqla.consumer")

_END_TIMEOUT = 2.0  # seconds that a stopping consumer waits for a heartbeat in progress
_CHECK_INTERVAL = 0.1  # seconds between two checks while waiting
_LATE = 1.25  # intervals without a heartbeat after which the fallback sends one

Submit = Callable[[Callable[[Session], object]], Future[Any]]
"""Calls a function in a transaction over the application's connections, from any thread."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """How to send a heartbeat, and how often.

    Attributes:
        consumer: the consumer's name.
        send: sends one heartbeat, in a transaction.
        interval: the interval in seconds.
    """

    consumer: str
    send: Callable[[Session], object]
    interval: float


@contextmanager
def run_heartbeat(engine: Engine, heartbeat: Heartbeat | None, submit: Submit) -> Iterator[None]:
    """Send heartbeats from a thread, because a handler may take long or block its event loop.

    Heartbeats use a dedicated connection. If none gets through in time, they use the application's
    connections instead: the application's connector may be bound to its event loop, or a pooler may
    have no connection left.
    """
    if heartbeat is None:
        yield
        return
    sender = _Sender(engine, heartbeat, submit)
    try:
        yield
    finally:
        sender.end()


class _Sender:
    """Sends heartbeats from two threads: one may hang while connecting, and the other notices."""

    def __init__(self, engine: Engine, heartbeat: Heartbeat, submit: Submit) -> None:
        self._engine = engine
        self._heartbeat = heartbeat
        self._submit = submit
        self._ended = threading.Event()
        self._sent_at = time.monotonic()
        self._problem: Exception | None = None
        self._dedicated: DedicatedConnection | None = None
        self._submitted: Future[Any] | None = None
        self._threads = [
            threading.Thread(target=target, name="mdb_sqla heartbeat", daemon=True)
            for target in (self._send_over_dedicated, self._send_if_late)
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """End both threads."""
        self._ended.set()
        if self._dedicated is not None:
            self._dedicated.interrupt()
        deadline = time.monotonic() + _END_TIMEOUT
        for thread in self._threads:
            # A submitted heartbeat may need the event loop of this thread: don't wait for it.
            while thread.is_alive() and time.monotonic() < deadline and not self._is_submitted:
                thread.join(_CHECK_INTERVAL)

    @property
    def _is_submitted(self) -> bool:
        return self._submitted is not None and not self._submitted.done()

    def _send_over_dedicated(self) -> None:
        def send(connection: Connection) -> None:
            with Session(connection) as session:
                self._heartbeat.send(session)
                session.commit()

        try:
            with closing(dedicated_connection(dedicated_engine(self._engine))) as connection:
                self._dedicated = connection
                while not self._ended.wait(self._heartbeat.interval):
                    try:
                        connection.run(send)
                        self._sent_at = time.monotonic()
                    except MemberReplaced:
                        self._ended.set()
                    except Exception as error:
                        # The other thread notices that no heartbeat gets through, and logs this.
                        self._problem = error
        except Exception as error:
            # For example, the process has no more sockets.
            self._problem = error

    def _send_if_late(self) -> None:
        is_logged = False
        while not self._ended.wait(self._heartbeat.interval / 2):
            if time.monotonic() - self._sent_at < _LATE * self._heartbeat.interval:
                continue
            try:
                self._send_over_application()
            except MemberReplaced:
                self._ended.set()
            except (Exception, CancelledError) as error:
                if not self._ended.is_set():
                    # The next heartbeat may succeed; otherwise other members take over the slots.
                    log_event(
                        _log,
                        logging.WARNING,
                        "consumer.heartbeat_failed",
                        "Heartbeat failed on the dedicated connection (%r) and on the "
                        "application's connections",
                        self._problem,
                        error=error,
                        consumer=self._heartbeat.consumer,
                    )
            else:
                self._sent_at = time.monotonic()
                if not is_logged:
                    is_logged = True
                    log_event(
                        _log,
                        logging.WARNING,
                        "consumer.heartbeat_shared",
                        "Heartbeats use the application's connections because the dedicated "
                        "connection fails: a handler that blocks the event loop for longer than "
                        "the lease makes the consumer lose its slots",
                        error=self._problem,
                        consumer=self._heartbeat.consumer,
                    )

    def _send_over_application(self) -> None:
        submitted = self._submitted = self._submit(self._heartbeat.send)
        try:
            submitted.result(self._heartbeat.interval)
        finally:
            submitted.cancel()
