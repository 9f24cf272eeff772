"""Keys that are remembered for a time."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

from cachetools import TLRUCache

from mdb_sqla.encryption.cipher import SubjectKey
from mdb_sqla.words.argument_checks import integer, seconds

__all__ = ["CachedKey", "KeyCache"]


class CachedKey(NamedTuple):
    """A key, and until when it is used, as a time of `time.monotonic()`.

    Attributes:
        key: the key; None if it was deleted.
        expires: when it must be loaded again.
    """

    key: SubjectKey | None
    expires: float


class KeyCache:
    """The keys that were used last. It can be used from several threads.

    Args:
        max_age: the number of seconds after which a key is loaded again.
        max_keys: the maximum number of keys.

    Raises:
        InvalidArgument: an argument is not positive.
    """

    def __init__(self, max_age: float, max_keys: int) -> None:
        self._max_age = seconds("max_age", max_age)
        self._keys: TLRUCache[str, CachedKey] = TLRUCache(
            integer("max_keys", max_keys, 1),
            lambda _subject, cached, _now: cached.expires,
            timer=time.monotonic,
        )
        self._lock = threading.Lock()

    def get(self, subject: str) -> CachedKey | None:
        """Return a key that has not expired, or None."""
        with self._lock:
            return self._keys.get(subject)

    def add(self, subject: str, key: bytes | None, requested: float) -> CachedKey:
        """Add a key; its age counts from when it was requested, after which it may be deleted."""
        cached = CachedKey(None if key is None else SubjectKey(key), requested + self._max_age)
        with self._lock:
            self._keys[subject] = cached
        return cached
