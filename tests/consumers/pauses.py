"""Consumers that are paused from another process, and handlers that pause theirs."""

from __future__ import annotations

import threading
from typing import Any

from mdb_sqla.admin import pause_consumer, resume_consumer
from mdb_sqla.consumers.run_control import MAX_AGE
from tests.consumers.conftest import Application
from tests.consumers.running import Handled

PAUSED = "is paused since .* by alice"
RESUMED = "was resumed"
SLOW = (0.002, 60.0)
"""Within a test, a consumer that polls so seldom only notices what it is notified of."""


def pause(application: Application, consumer: str = "billing") -> None:
    with application.engine.begin() as connection:
        assert pause_consumer(connection, consumer, by="alice")


def resume(application: Application, consumer: str = "billing") -> None:
    with application.engine.begin() as connection:
        assert resume_consumer(connection, consumer)


def pause_slowly(application: Application) -> None:
    """Pause the consumer in a message that takes so long that the next statement returns it."""
    pause(application)
    threading.Event().wait(2 * MAX_AGE)


class Pausing(Handled):
    """A handler that pauses its consumer, from another connection, in the middle of a message."""

    def __init__(self, application: Application, at: int) -> None:
        super().__init__()
        self._application = application
        self._at: int | None = at

    def __call__(self, message: Any, unit: Any) -> None:
        super().__call__(message, unit)
        if message.data == self._at:
            self._at = None
            pause_slowly(self._application)
