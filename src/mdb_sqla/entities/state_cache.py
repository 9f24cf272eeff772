"""The states of entities that were used last."""

from __future__ import annotations

import os
import threading
from copy import deepcopy
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from mdb_sqla.entities.state import State
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.words.argument_checks import integer

__all__ = ["StateCache"]

_caches: WeakSet[StateCache[Any]] = WeakSet()

_S = TypeVar("_S")


class StateCache(Generic[_S]):
    """A bounded cache of committed states by stream. It can be used from several threads.

    States are copied when they are added and when they are returned, because methods of entities
    change them.

    Args:
        max_states: the maximum number of states.

    Raises:
        InvalidArgument: it is not a positive integer, or the extra `entities` is not installed.
    """

    def __init__(self, max_states: int) -> None:
        integer("cache", max_states, 1)
        try:
            from cachetools import LRUCache
        except ModuleNotFoundError as error:
            raise InvalidArgument(
                f'A cache of entities requires the extra "entities": '
                f'pip install "mdb_sqla[entities]" ({error})'
            ) from error
        self._states: LRUCache[str, State[_S]] = LRUCache(max_states)
        self._lock = threading.Lock()
        _caches.add(self)

    def __len__(self) -> int:
        return len(self._states)

    def get(self, name: str) -> State[_S] | None:
        """Return a copy of the state of a stream, or None."""
        with self._lock:
            state = self._states.get(name)
        # Nobody changes what is in the cache, so it is copied without the lock.
        return None if state is None else state._replace(value=deepcopy(state.value))

    def put(self, name: str, state: State[_S]) -> None:
        """Add a copy of a state."""
        copy = state._replace(value=deepcopy(state.value))
        with self._lock:
            self._states[name] = copy

    def discard(self, name: str) -> None:
        """Remove the state of a stream, if it is there."""
        with self._lock:
            self._states.pop(name, None)


def _renew_locks() -> None:
    """Replace the locks after a fork: another thread of the parent may have been holding one."""
    for cache in _caches:
        cache._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)
