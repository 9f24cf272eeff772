"""Wakes consumers when they are told of messages, so that they need not poll for them."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager

from sqlalchemy import Engine, Pool

from mdb_sqla.database.dedicated_connection import OwnConnection, beside, can_listen, own_connection
from mdb_sqla.wake_up.channel import ANY_CATEGORY, POLLING, channel_of, is_wanted

__all__ = ["listening"]

_log = logging.getLogger("mdb_sqla.listening")

_FIRST_PAUSE = 0.1  # seconds between two attempts to connect, doubled each time
_LONGEST_PAUSE = 30.0
_PATIENCE = 2.0  # seconds that the last consumer's end waits for the thread

_Subscription = tuple[frozenset[str], Callable[[], object]]


@contextmanager
def listening(
    engine: Engine, categories: Collection[str], wake: Callable[[], object]
) -> Iterator[None]:
    """Have a function called when messages of these categories are told of; of all, for none.

    It is called from another thread, now and then without a reason. All who listen over one engine
    share a connection. Nothing happens where the application has turned it off, or the driver
    can't do it.
    """
    if not is_wanted(engine) or not can_listen(engine):
        yield
        return
    subscription = frozenset(categories), wake
    key = engine.pool, channel_of(engine)
    with _changing:
        listener = _listeners.get(key)
        if listener is None:
            listener = _listeners[key] = _Listener(engine)
        listener.add(subscription)
    try:
        yield
    finally:
        with _changing:
            if listener.remove(subscription):
                _listeners.pop(key, None)
                listener.close()


class _Listener:
    """Listens to a store in a thread."""

    def __init__(self, engine: Engine) -> None:
        self._channel = channel_of(engine)
        self._subscriptions: list[_Subscription] = []
        self._closing = threading.Event()
        self._is_logged = False  # that it does not work
        self._connection = own_connection(beside(engine))
        self._thread = threading.Thread(target=self._run, name="mdb_sqla listener", daemon=True)
        self._thread.start()

    def add(self, subscription: _Subscription) -> None:
        # A new list, for the thread goes through the old one.
        self._subscriptions = [*self._subscriptions, subscription]

    def remove(self, subscription: _Subscription) -> bool:
        """Remove a subscription; returns whether it was the last."""
        rest = self._subscriptions.copy()
        rest.remove(subscription)
        self._subscriptions = rest
        return not rest

    def close(self) -> None:
        self._closing.set()
        self._connection.interrupt()
        self._thread.join(_PATIENCE)

    def _run(self) -> None:
        with closing(self._connection) as connection:
            pause = _FIRST_PAUSE
            while not self._closing.is_set():
                connected = self._listen(connection)
                pause = _FIRST_PAUSE if connected else min(2 * pause, _LONGEST_PAUSE)
                self._closing.wait(pause)

    def _listen(self, connection: OwnConnection) -> bool:
        """Listen until it is interrupted or fails; returns whether it did listen."""
        connected = False

        def ready() -> None:
            nonlocal connected
            connected = True
            self._is_logged = False
            # Something may have been told of before.
            self._take(ANY_CATEGORY)

        try:
            connection.listen(self._channel, ready, self._take)
        except Exception:
            # Whatever it is, consumers poll, and it is tried again.
            if not self._closing.is_set() and not self._is_logged:
                self._is_logged = True
                _log.warning(POLLING, exc_info=True)
        return connected

    def _take(self, category: str) -> None:
        for categories, wake in self._subscriptions:
            if not categories or category == ANY_CATEGORY or category in categories:
                wake()


_listeners: dict[tuple[Pool, str], _Listener] = {}
# To be entered again where a run that nobody has ended is garbage-collected in between.
_changing = threading.RLock()


def _forget() -> None:
    """Leave the listeners of the process that this one was forked from to that process."""
    global _changing
    _changing = threading.RLock()
    _listeners.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
