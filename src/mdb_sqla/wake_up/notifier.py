"""Tells consumers of messages once these are committed, so that they need not poll for them.

A NOTIFY within the transaction that writes would have all commits of the database wait for each
other. So a thread sends it afterwards, over a connection beside the pool, and for each category at
most once in a short time. If one gets lost, consumers find the messages by polling.
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
    cast,
    func,
    select,
)

from mdb_sqla.database.application_connections import note
from mdb_sqla.database.dedicated_connection import OwnConnection, beside, own_connection
from mdb_sqla.database.execution import is_autocommit
from mdb_sqla.wake_up.channel import ANY_CATEGORY, POLLING, channel_of, is_wanted

__all__ = ["announce"]

_log = logging.getLogger("mdb_sqla.notifying")

_MOST_CATEGORIES = 100
_LONGEST_CATEGORY = 2000  # characters; a payload has less than 8,000 bytes
_INTERVAL = 0.02  # seconds between two notifications
_AFTER_FAILURE = 1.0  # seconds until the next attempt
_IDLE = 10.0  # seconds after which the connection is closed, and the thread ends
_LOOK = 0.1  # seconds until it is seen that the engine is disposed of
_PATIENCE = 2.0  # seconds that the end of the process waits for the last one


class _Told(NamedTuple):
    channel: str
    category: str


def announce(connection: Connection, categories: Iterable[str]) -> None:
    """Wake the consumers of these categories once the connection's transaction has ended."""
    if not is_wanted(connection):
        return
    try:
        _announce(connection, categories)
    except Exception:
        # As where no thread can be started. The message is written, whatever happens here.
        _log.warning(POLLING, exc_info=True)


def _announce(connection: Connection, categories: Iterable[str]) -> None:
    note(connection)
    channel = channel_of(connection)
    told = {_Told(channel, category) for category in categories}
    notifier = _notifier_of(connection.engine)
    transaction = connection.get_transaction()
    if transaction is None or is_autocommit(connection):
        notifier.tell(told)
    elif (before := notifier.expected.get(transaction)) is not None:
        before.update(told)
    else:
        notifier.expected[transaction] = told
        # SQLAlchemy has no event that comes after a commit, but it lets go of the transaction then.
        # It does so after a rollback as well: consumers then look in vain.
        finalize(transaction, notifier.tell, told).atexit = False


class _Notifier:
    """Sends notifications for a pool, in a thread that ends when there are none for a while.

    Attributes:
        expected: what is to be told when a transaction has ended.
        ended: whether the thread has.
    """

    def __init__(self, engine: Engine) -> None:
        # It keeps the engine alive (listeners of its pool refer to it), and so does the thread.
        self._engine = beside(engine)
        self._of, self._pool = ref(engine), ref(engine.pool)
        self.expected: WeakKeyDictionary[RootTransaction, set[_Told]] = WeakKeyDictionary()
        self.ended = False
        # Not with locks: it may be told something in the middle of a garbage collection.
        self._told: SimpleQueue[_Told | None] = SimpleQueue()
        self._waiting: set[_Told] = set()
        self._closing = threading.Event()
        self.end = finalize(engine.pool, self.close)
        self.end.atexit = False
        self._thread = threading.Thread(target=self._run, name="mdb_sqla notifier", daemon=True)
        self._thread.start()
        _running.add(self)

    def tell(self, told: Iterable[_Told]) -> None:
        for each in told:
            if each not in self._waiting:
                self._waiting.add(each)
                self._told.put(each)

    def close(self) -> None:
        """Have what waits sent, and end the thread.

        It is not waited for: this may be called by the garbage collector, and there is none other
        for the whole process meanwhile.
        """
        self._closing.set()
        self._told.put(None)

    def wait(self, deadline: float) -> None:
        """Wait for the end of the thread, though no longer than until this by the clock."""
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        try:
            with closing(own_connection(self._engine)) as connection:
                self._send_until_idle(connection)
        except Exception:
            # As where the process has no more sockets. The next message starts another thread.
            _log.warning(POLLING, exc_info=True)
        finally:
            self.ended = True
            # Nothing but the thread is to keep this, and the engine with it.
            self.end.detach()
            pool = self._pool()
            if pool is not None and _notifiers.get(pool) is self:
                _notifiers.pop(pool, None)

    def _send_until_idle(self, connection: OwnConnection) -> None:
        failures = 0
        while (following := self._following()) is not None:
            try:
                connection.run(partial(_notify, self._due(following)))
                failures = 0
            except Exception:
                failures += 1
                # One may be the end of a server, or of an idle connection: the next one is made.
                if failures == 2:
                    _log.warning(POLLING, exc_info=True)
            self._closing.wait(_AFTER_FAILURE if failures else _INTERVAL)

    def _following(self) -> _Told | None:
        """Wait for the next; None where nothing comes for a while, or the engine is disposed of."""
        deadline = time.monotonic() + _IDLE
        while self.expected or time.monotonic() < deadline:
            with suppress(Empty):
                following = self._told.get(timeout=_LOOK)
                if following is None:
                    self._told.put(None)
                return following
            if self._is_disposed_of():
                break
        return None

    def _is_disposed_of(self) -> bool:
        """Whether the engine has another pool now.

        Its end is told by the finalizer, unless a reference to it is left in some traceback.
        SQLAlchemy's event for it would cost every statement of the application's some time.
        """
        engine = self._of()
        return engine is not None and engine.pool is not self._pool()

    def _due(self, first: _Told) -> set[_Told]:
        due = {first}
        try:
            while (following := self._told.get_nowait()) is not None:
                due.add(following)
            self._told.put(None)
        except Empty:
            pass
        # Before they are sent: what is told from now on has to be sent again.
        self._waiting.difference_update(due)
        return due


def _notify(due: set[_Told], connection: Connection) -> None:
    by_channel = defaultdict(list)
    for told in due:
        by_channel[told.channel].append(told.category)
    for channel, categories in by_channel.items():
        few = len(categories) <= _MOST_CATEGORIES and max(map(len, categories)) < _LONGEST_CATEGORY
        payloads = categories if few else [ANY_CATEGORY]
        payload = func.pg_catalog.unnest(cast(payloads, ARRAY(Text)))
        connection.execute(select(func.pg_catalog.pg_notify(channel, payload)))


_notifiers: WeakKeyDictionary[Pool, _Notifier] = WeakKeyDictionary()
_running: WeakSet[_Notifier] = WeakSet()
_making = threading.Lock()


def _notifier_of(engine: Engine) -> _Notifier:
    notifier = _notifiers.get(engine.pool)
    if notifier is None or notifier.ended:
        with _making:
            notifier = _notifiers.get(engine.pool)
            if notifier is None or notifier.ended:
                notifier = _notifiers[engine.pool] = _Notifier(engine)
    return notifier


def _forget() -> None:
    """Leave the notifiers of the process that this one was forked from to that process."""
    global _making
    _making = threading.Lock()
    for notifier in _notifiers.values():
        notifier.end.detach()
    _notifiers.clear()
    _running.clear()


def _end() -> None:
    """Have all that waits sent before the process ends."""
    deadline = time.monotonic() + _PATIENCE
    notifiers = list(_running)
    for notifier in notifiers:
        notifier.close()
    for notifier in notifiers:
        notifier.wait(deadline)


atexit.register(_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
