"""Tells consumers of messages once these are committed, so that they need not poll for them.

A NOTIFY within the transaction that writes would have all commits of the database wait for each
other. So a thread sends it afterwards, over a connection beside the pool, and for each category at
most once in a short time. If one gets lost, consumers find the messages by polling.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing, suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, finalize, ref

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

from mdb_sqla.execution import is_autocommit
from mdb_sqla.own_connection import OwnConnection, beside, own_connection
from mdb_sqla.tables import SCHEMA

__all__ = ["ANY_CATEGORY", "announce", "channel_of", "is_wanted"]

_log = logging.getLogger("mdb_sqla.notifying")

ANY_CATEGORY = ""
"""Stands for more categories than are told one by one."""

_OPTION = "message_store_wake_up"  # the execution option that turns it off

_MOST_CATEGORIES = 100
_INTERVAL = 0.02  # seconds between two notifications
_AFTER_FAILURE = 1.0  # seconds until the next attempt
_IDLE = 10.0  # seconds after which the connection is closed
_LOOK = 0.1  # seconds until it is seen that the engine is disposed of
_PATIENCE = 2.0  # seconds that the end of a pool, or of the process, waits for the last one


class _Told(NamedTuple):
    channel: str
    category: str


def is_wanted(db: Engine | Connection) -> bool:
    """Whether consumers are to be woken by what is written over this engine, or to listen to it."""
    return bool(db.get_execution_options().get(_OPTION, True))


def channel_of(db: Engine | Connection) -> str:
    """Return the channel of a store, which is the name of its schema."""
    schemas: Any = db.get_execution_options().get("schema_translate_map") or {}
    return schemas.get(SCHEMA) or SCHEMA


def announce(connection: Connection, categories: Iterable[str]) -> None:
    """Wake the consumers of these categories once the connection's transaction has ended."""
    if not is_wanted(connection):
        return
    channel = channel_of(connection)
    told = {_Told(channel, category) for category in categories}
    transaction = connection.get_transaction()
    notifier = _notifier_of(connection.engine)
    if transaction is None or is_autocommit(connection):
        notifier.tell(told)
    elif transaction in _announced:
        _announced[transaction].update(told)
    else:
        _announced[transaction] = told
        # SQLAlchemy has no event that comes after a commit, but it lets go of the transaction then.
        # It does so after a rollback as well: consumers then look in vain.
        finalize(transaction, notifier.tell, told).atexit = False


class _Notifier:
    """Sends notifications in a thread that lasts as long as an engine's pool."""

    def __init__(self, engine: Engine) -> None:
        self._engine = beside(engine)
        self._of, self._pool = ref(engine), ref(engine.pool)
        # Not with locks: it may be told something in the middle of a garbage collection.
        self._told: SimpleQueue[_Told | None] = SimpleQueue()
        self._waiting: set[_Told] = set()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mdb_sqla notifier", daemon=True)
        self._thread.start()
        self.end = finalize(engine.pool, self._close)

    def tell(self, told: Iterable[_Told]) -> None:
        for each in told:
            if each not in self._waiting:
                self._waiting.add(each)
                self._told.put(each)

    def _close(self) -> None:
        """Have what waits sent, and end the thread."""
        self._closing.set()
        self._told.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join(_PATIENCE)

    def _run(self) -> None:
        while (first := self._told.get()) is not None:
            with closing(own_connection(self._engine)) as connection:
                self._send_until_idle(connection, first)

    def _send_until_idle(self, connection: OwnConnection, first: _Told) -> None:
        failures = 0
        following: _Told | None = first
        while following is not None:
            try:
                connection.run(partial(_notify, self._due(following)))
                failures = 0
            except Exception:
                failures += 1
                # One may be the end of a server, or of an idle connection: the next one is made.
                if failures == 2:
                    _log.warning("Consumers can't be woken, and poll meanwhile", exc_info=True)
            self._closing.wait(_AFTER_FAILURE if failures else _INTERVAL)
            following = self._following()

    def _following(self) -> _Told | None:
        """Wait for the next; None where nothing comes for a while, or the engine is disposed of."""
        deadline = time.monotonic() + _IDLE
        while time.monotonic() < deadline:
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
        payloads = categories if len(categories) <= _MOST_CATEGORIES else [ANY_CATEGORY]
        payload = func.unnest(cast(payloads, ARRAY(Text)))
        connection.execute(select(func.pg_notify(channel, payload)))


_announced: WeakKeyDictionary[RootTransaction, set[_Told]] = WeakKeyDictionary()
_notifiers: WeakKeyDictionary[Pool, _Notifier] = WeakKeyDictionary()
_making = threading.Lock()


def _notifier_of(engine: Engine) -> _Notifier:
    notifier = _notifiers.get(engine.pool)
    if notifier is None:
        with _making:
            notifier = _notifiers.get(engine.pool) or _Notifier(engine)
            _notifiers[engine.pool] = notifier
    return notifier


def _forget() -> None:
    """Leave the notifiers of the process that this one was forked from to that process."""
    global _making
    _making = threading.Lock()
    for notifier in _notifiers.values():
        notifier.end.detach()
    _notifiers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
