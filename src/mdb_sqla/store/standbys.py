"""Hot standbys to read from, and which of them are available."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from mdb_sqla.errors import InvalidArgument
from mdb_sqla.log_event import log_event
from mdb_sqla.words.argument_checks import described, seconds

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["Standby", "Standbys", "server_name"]

_log = logging.getLogger("mdb_sqla.standbys")

_FIRST_RETRY, _LONGEST_RETRY = 1.0, 30.0  # seconds until an unavailable standby is tried again


class Standbys:
    """Hot standbys from which messages are read, in place of the primary server.

    A read first asks the primary server how far it must go, and then waits until a standby has
    replayed that. So it returns exactly what it would return on the primary server. If no standby
    can serve it in time, the primary server does, and a standby that could not is left out for one
    to thirty seconds.

    Args:
        engines: the engines of the standbys, which take turns: async ones for what runs async.
        max_wait: how long a read may wait for the standbys, in seconds.

    Raises:
        InvalidArgument: an argument is invalid.
    """

    def __init__(self, *engines: Engine | AsyncEngine, max_wait: float = 1.0) -> None:
        if not engines:
            raise InvalidArgument("Standbys must be given the engine of at least one standby")
        self._standbys = [Standby(engine) for engine in engines]
        self._turns = itertools.count()
        self.max_wait = seconds("max_wait", max_wait)

    @property
    def engines(self) -> list[Engine]:
        """Their engines; of async ones, the underlying `Engine`."""
        return [standby.engine for standby in self._standbys]

    @property
    def available(self) -> dict[str, bool]:
        """Whether each of them is available, by name."""
        return {standby.name: standby.is_available for standby in self._standbys}

    @property
    def are_unavailable(self) -> bool:
        """Whether none of them is to be read from now."""
        return not any(standby.is_due for standby in self._standbys)

    def next_turn(self) -> list[Standby]:
        """Return the standbys to read from, in order: each time, another one is the first."""
        begin = next(self._turns) % len(self._standbys)
        found = [*self._standbys[begin:], *self._standbys[:begin]]
        return [standby for standby in found if standby.is_due]

    def check(self, *, is_async: bool) -> None:
        """Check that all engines are of the kind that the reader needs.

        Raises:
            InvalidArgument: an engine is of the other kind.
        """
        for standby in self._standbys:
            if standby.engine.dialect.is_async != is_async:
                expected = "async" if is_async else "sync"
                raise InvalidArgument(
                    f"read_from must have {expected} engines, as what reads from them is "
                    f"{expected}, got {described(standby.engine)}"
                )


def server_name(engine: Engine) -> str:
    """Return the address of an engine's server, without user and password."""
    url = engine.url
    host = url.host or url.query.get("host") or "localhost"
    if not isinstance(host, str):
        # Several hosts, each with its port.
        return f"{','.join(host)}/{url.database}"
    port = url.port or url.query.get("port") or 5432
    return f"{host}:{port if isinstance(port, int | str) else ','.join(port)}/{url.database}"


class Standby:
    """One standby.

    Attributes:
        engine: its engine; of an async one, the underlying `Engine`.
        is_available: whether it has served the last read that it should have served; true before
            the first one.
    """

    def __init__(self, engine: Engine | AsyncEngine) -> None:
        found = getattr(engine, "sync_engine", engine)
        if not isinstance(found, Engine):
            raise InvalidArgument(
                f"Standbys must be given engines, an Engine or an AsyncEngine each, got "
                f"{described(engine)}"
            )
        self.engine = found
        self.is_available = True
        self._retry_seconds = _FIRST_RETRY
        self._retry_at = 0.0
        self._lock = threading.Lock()

    @property
    def is_due(self) -> bool:
        """Whether to try it now."""
        return self.is_available or time.monotonic() >= self._retry_at

    @property
    def name(self) -> str:
        """Its address, for logs and metrics: without user and password."""
        return server_name(self.engine)

    def failed(
        self, reason: str, error: BaseException | None = None, *, level: int = logging.WARNING
    ) -> None:
        """Leave it out for some time, because it is down, lags, or has another history.

        Nothing happens if it is left out already: other reads may fail for the same reason.
        """
        with self._lock:
            if not self.is_due:
                return
            was_available, self.is_available = self.is_available, False
            if not was_available:
                self._retry_seconds = min(2 * self._retry_seconds, _LONGEST_RETRY)
            self._retry_at = time.monotonic() + self._retry_seconds
        if was_available:
            log_event(
                _log,
                level,
                "standby.unavailable",
                "Standby %s is not read from: it %s",
                self.name,
                reason,
                error=error,
                standby=self.name,
                reason=reason,
            )

    def succeeded(self) -> None:
        """Record that a read was served."""
        with self._lock:
            self._retry_seconds = _FIRST_RETRY
            was_available, self.is_available = self.is_available, True
        if not was_available:
            log_event(
                _log,
                logging.INFO,
                "standby.available",
                "Standby %s is read from again",
                self.name,
                standby=self.name,
            )
