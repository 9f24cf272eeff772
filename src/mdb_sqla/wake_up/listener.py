"""LISTEN: wakes consumers when they are notified of messages."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager

from sqlalchemy import Engine, Pool

from mdb_sqla.database.dedicated_connection import (
    DedicatedConnection,
    can_listen,
    dedicated_connection,
    dedicated_engine,
)
from mdb_sqla.log_event import log_event
from mdb_sqla.wake_up.channel import ANY_CATEGORY, POLLING, channel_of, is_enabled

__all__ = ["subscribe"]

_log = logging.getLogger("mdb_sqla.listener")

_FIRST_PAUSE = 0.1  # seconds before the first reconnect, doubled each time
_LONGEST_PAUSE = 30.0
_END_TIMEOUT = 2.0  # seconds that the last consumer to stop waits for the thread

_Call = Callable[[], object]
_Subscription = tuple[frozenset[str], _Call, _Call | None]


@contextmanager
def subscribe(
    engine: Engine,
    categories: Collection[str],
    wake: Callable[[], object],
    on_change: Callable[[], object] | None = None,
) -> Iterator[None]:
    """Call a function on each notification of these categories, or of all if none is given.

    The function is called from another thread, and sometimes spuriously. Before a call that is not
    due to messages of one category, `on_change` is called: the state of the consumer may have been
    changed. All subscribers of an engine share one connection. No effect if the application has
    disabled notifications or the driver can't listen.
    """
    if not is_enabled(engine) or not can_listen(engine):
        yield
        return
    subscription = frozenset(categories), wake, on_change
    key = engine.pool, channel_of(engine)
    with _listeners_lock:
        if (listener := _listeners.get(key)) is not None:
            listener.add(subscription)
        else:
            listener = _Listener(engine)
            # Before the start: the first wake-up, when it is ready, must not come too early.
            listener.add(subscription)
            listener.start()
            _listeners[key] = listener
    try:
        yield
    finally:
        with _listeners_lock:
            if listener.remove(subscription):
                _listeners.pop(key, None)
                listener.close()


class _Listener:
    """A thread that listens on a store's channel."""

    def __init__(self, engine: Engine) -> None:
        self._channel = channel_of(engine)
        self._subscriptions: list[_Subscription] = []
        self._closing = threading.Event()
        self._is_logged = False  # whether the failure is logged already
        self._connection = dedicated_connection(dedicated_engine(engine))
        self._thread = threading.Thread(target=self._run, name="mdb_sqla listener", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def add(self, subscription: _Subscription) -> None:
        # A new list, because the thread may be iterating over the old one.
        self._subscriptions = [*self._subscriptions, subscription]

    def remove(self, subscription: _Subscription) -> bool:
        """Remove a subscription, and return whether it was the last one."""
        remaining = self._subscriptions.copy()
        remaining.remove(subscription)
        self._subscriptions = remaining
        return not remaining

    def close(self) -> None:
        self._closing.set()
        self._connection.interrupt()
        self._thread.join(_END_TIMEOUT)

    def _run(self) -> None:
        with closing(self._connection) as connection:
            pause = _FIRST_PAUSE
            while not self._closing.is_set():
                connected = self._listen(connection)
                pause = _FIRST_PAUSE if connected else min(2 * pause, _LONGEST_PAUSE)
                self._closing.wait(pause)

    def _listen(self, connection: DedicatedConnection) -> bool:
        """Listen until an interruption or an error, and return whether it had connected."""
        connected = False

        def ready() -> None:
            nonlocal connected
            connected = True
            self._is_logged = False
            # Notifications may have been missed until now.
            self._wake(ANY_CATEGORY)

        try:
            connection.listen(self._channel, ready, self._wake)
        except Exception as error:
            # Consumers poll until listening succeeds again.
            if not self._closing.is_set() and not self._is_logged:
                self._is_logged = True
                log_event(
                    _log,
                    logging.WARNING,
                    "listener.failed",
                    POLLING,
                    error=error,
                    channel=self._channel,
                )
        return connected

    def _wake(self, category: str) -> None:
        for categories, wake, on_change in self._subscriptions:
            if category == ANY_CATEGORY and on_change is not None:
                on_change()
            if not categories or category == ANY_CATEGORY or category in categories:
                wake()


_listeners: dict[tuple[Pool, str], _Listener] = {}
# Reentrant: an abandoned run may be garbage-collected while the lock is held.
_listeners_lock = threading.RLock()


def _reset_after_fork() -> None:
    """Forget the listeners of the parent process."""
    global _listeners_lock
    _listeners_lock = threading.RLock()
    _listeners.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
