"""NOTIFY: notifies consumers once messages are committed.

A NOTIFY in the writing transaction would serialize all commits of the database. Instead, a thread
sends notifications after the commit, on a dedicated connection, at most once per category and
interval. If a notification is lost, consumers find the messages by polling.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing, suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import NamedTuple
from weakref import WeakKeyDictionary, WeakSet, finalize, ref

from sqlalchemy import (
    ARRAY,
    Connection,
    Engine,
    Pool,
    RootTransaction,
    Text,
    bindparam,
    func,
    select,
)

from mdb_sqla.database.application_connections import register_application_connection
from mdb_sqla.database.dedicated_connection import (
    DedicatedConnection,
    dedicated_connection,
    dedicated_engine,
)
from mdb_sqla.database.execution import is_autocommit
from mdb_sqla.log_event import log_event
from mdb_sqla.wake_up.channel import ANY_CATEGORY, POLLING, channel_of, is_enabled

__all__ = ["announce", "end_notifiers"]

_log = logging.getLogger("mdb_sqla.notifier")

_MAX_CATEGORIES = 100
_MAX_CATEGORY_LENGTH = 2000  # characters; a payload has less than 8,000 bytes
_INTERVAL = 0.02  # seconds between two batches of notifications
_RETRY_INTERVAL = 1.0  # seconds between attempts
_IDLE = 10.0  # seconds after which the connection is closed and the thread ends
_CHECK_INTERVAL = 0.1  # seconds between two checks whether the engine was disposed
_END_TIMEOUT = 2.0  # seconds to wait for the last notifications

# Built once: building a statement costs more than executing it.
_payloads = func.pg_catalog.unnest(bindparam("payloads", type_=ARRAY(Text)))
_NOTIFY = select(func.pg_catalog.pg_notify(bindparam("channel", type_=Text), _payloads))


class _Notification(NamedTuple):
    channel: str
    category: str


def announce(connection: Connection, categories: Iterable[str]) -> None:
    """Notify the consumers of these categories once the connection's transaction has ended."""
    if not is_enabled(connection):
        return
    try:
        _announce(connection, categories)
    except Exception as error:
        # For example, no thread can be started. The write must still succeed.
        log_event(_log, logging.WARNING, "notifier.failed", POLLING, error=error)


def end_notifiers(database: str) -> None:
    """Send the queued notifications of a database, and end the threads that send them.

    To be called before the database is dropped: a thread that is left running fails later, and
    logs it. Waits at most two seconds.

    Args:
        database: the name of the database; an engine with a `creator` has none.
    """
    _end([each for each in _running_notifiers() if each.database == database])


def _announce(connection: Connection, categories: Iterable[str]) -> None:
    register_application_connection(connection)
    channel = channel_of(connection)
    notifications = {_Notification(channel, category) for category in categories}
    transaction = None if is_autocommit(connection) else connection.get_transaction()
    if not _notifier_of(connection.engine).accept(notifications, transaction):
        # It was about to end, and may not have seen them.
        _notifier_of(connection.engine).accept(notifications, transaction)


class _Notifier:
    """Sends notifications for a pool, in a thread that ends when it is idle.

    Attributes:
        database: the name of the database, unless a `creator` connects.
        pending: the notifications to send once a transaction has ended.
        ended: whether the thread has ended, or ends as soon as it can: another notifier is needed.
    """

    def __init__(self, engine: Engine, pool: Pool) -> None:
        # This keeps the engine alive (listeners of its pool refer to it), as does the thread.
        self._engine = dedicated_engine(engine)
        self._of, self._pool = ref(engine), ref(pool)
        self.database = engine.url.database
        self.pending: WeakKeyDictionary[RootTransaction, set[_Notification]] = WeakKeyDictionary()
        self.ended = False
        # Without locks: `send` may be called during a garbage collection.
        self._queue: SimpleQueue[_Notification | None] = SimpleQueue()
        self._queued: set[_Notification] = set()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mdb_sqla notifier", daemon=True)
        self._thread.start()
        _running.add(self)

    def accept(
        self, notifications: set[_Notification], transaction: RootTransaction | None
    ) -> bool:
        """Send notifications, now or once a transaction has ended.

        Args:
            notifications: the notifications.
            transaction: the transaction; None to send them now.

        Returns:
            whether the thread will send them; otherwise another notifier must.
        """
        if transaction is None:
            self.send(notifications)
        elif (pending := self.pending.get(transaction)) is not None:
            pending.update(notifications)
        else:
            self.pending[transaction] = notifications
            # SQLAlchemy has no event after a commit, but it drops its reference to the transaction.
            # It also does after a rollback: consumers then poll in vain.
            finalize(transaction, self.send, notifications).atexit = False
        # Read last: the thread sets it, then looks for what was accepted.
        return not self.ended

    def send(self, notifications: Iterable[_Notification]) -> None:
        for each in notifications:
            if each not in self._queued:
                self._queued.add(each)
                self._queue.put(each)

    def close(self) -> None:
        """Send the queued notifications, then end the thread; don't wait for open transactions."""
        self.ended = True
        self._closing.set()
        self._queue.put(None)

    def wait(self, deadline: float) -> None:
        """Wait for the end of the thread, until a deadline of `time.monotonic()`."""
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        try:
            with closing(dedicated_connection(self._engine)) as connection:
                self._send_until_idle(connection)
        except Exception as error:
            # For example, the process has run out of sockets. The next message starts a new thread.
            log_event(_log, logging.WARNING, "notifier.failed", POLLING, error=error)
        finally:
            self.ended = True
            # Only the thread may keep this notifier, and with it the engine, alive.
            pool = self._pool()
            with _creation_lock:
                if pool is not None and _notifiers.get(pool) is self:
                    del _notifiers[pool]

    def _send_until_idle(self, connection: DedicatedConnection) -> None:
        failures = 0
        while (first := self._next()) is not None:
            try:
                connection.run(partial(_notify, self._batch(first)))
                failures = 0
            except Exception as error:
                failures += 1
                # The first failure may be due to a server restart or an idle connection.
                if failures == 2:
                    log_event(_log, logging.WARNING, "notifier.failed", POLLING, error=error)
            self._closing.wait(_RETRY_INTERVAL if failures else _INTERVAL)

    def _next(self) -> _Notification | None:
        """Wait for a notification; return None if the thread must end."""
        deadline = time.monotonic() + _IDLE
        while True:
            with suppress(Empty):
                notification = self._queue.get(timeout=_CHECK_INTERVAL)
                if notification is not None:
                    return notification
            self._send_ended()
            if self._is_done(deadline):
                self.ended = True
                # Again: something may have been accepted before that.
                if self._is_done(deadline) and self._queue.empty():
                    return None

    def _is_done(self, deadline: float) -> bool:
        """Return whether the notifier is closed, or idle, or no longer needed by its engine."""
        is_idle = self.ended or time.monotonic() >= deadline or self._is_disposed()
        return self._closing.is_set() or (is_idle and not self.pending)

    def _send_ended(self) -> None:
        """Send the notifications of transactions that have ended, but are still referred to."""
        for reference in self.pending.keyrefs():
            transaction = reference()
            if transaction is not None and not transaction.is_active:
                self.send(self.pending.pop(transaction, ()))

    def _is_disposed(self) -> bool:
        """Return whether the engine was disposed, and now has another pool.

        A finalizer would not be called while a traceback refers to the old pool, and SQLAlchemy's
        event would slow down every statement of the application.
        """
        engine, pool = self._of(), self._pool()
        return pool is None or (engine is not None and engine.pool is not pool)

    def _batch(self, first: _Notification) -> set[_Notification]:
        batch = {first}
        try:
            while (notification := self._queue.get_nowait()) is not None:
                batch.add(notification)
            self._queue.put(None)
        except Empty:
            pass
        # Before they are sent: notifications that arrive from now on must be sent again. All, since
        # an exception may have interrupted `send`.
        self._queued.clear()
        return batch


def _notify(batch: set[_Notification], connection: Connection) -> None:
    by_channel = defaultdict(list)
    for notification in batch:
        by_channel[notification.channel].append(notification.category)
    for channel, categories in by_channel.items():
        longest = max(map(len, categories))
        few = len(categories) <= _MAX_CATEGORIES and longest < _MAX_CATEGORY_LENGTH
        payloads = categories if few else [ANY_CATEGORY]
        connection.execute(_NOTIFY, {"channel": channel, "payloads": payloads})


_notifiers: WeakKeyDictionary[Pool, _Notifier] = WeakKeyDictionary()
_running: WeakSet[_Notifier] = WeakSet()
# Reentrant: a garbage collection may run code that writes while the lock is held.
_creation_lock = threading.RLock()


def _notifier_of(engine: Engine) -> _Notifier:
    pool = engine.pool  # another thread may dispose the engine meanwhile
    notifier = _notifiers.get(pool)
    if notifier is None or notifier.ended:
        with _creation_lock:
            notifier = _notifiers.get(pool)
            if notifier is None or notifier.ended:
                notifier = _notifiers[pool] = _Notifier(engine, pool)
    return notifier


def _reset_after_fork() -> None:
    """Forget the notifiers of the parent process."""
    global _creation_lock
    _creation_lock = threading.RLock()
    _notifiers.clear()
    _running.clear()


def _end_all() -> None:
    """Send the queued notifications before the process exits."""
    _end(_running_notifiers())


def _running_notifiers() -> list[_Notifier]:
    # No other thread may add one meanwhile.
    with _creation_lock:
        return list(_running)


def _end(notifiers: list[_Notifier]) -> None:
    deadline = time.monotonic() + _END_TIMEOUT
    for notifier in notifiers:
        notifier.close()
    for notifier in notifiers:
        notifier.wait(deadline)


atexit.register(_end_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
