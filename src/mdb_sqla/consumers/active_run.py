from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Literal, Self

from mdb_sqla.consumers.handlers import Handlers
from mdb_sqla.consumers.heartbeat import beating
from mdb_sqla.consumers.loop import Consumption
from mdb_sqla.consumers.operations import Steps
from mdb_sqla.consumers.runners import AsyncRunner, Runner
from mdb_sqla.consumers.settings import Settings
from mdb_sqla.wake_up.listener import listening

__all__ = ["ActiveRun"]


class ActiveRun:
    """A run of a consumer while it lasts, with the threads beside it: heartbeat and listener.

    Its methods may be called from any thread, and from a signal handler.

    Args:
        settings: the consumer's.
        handlers: the consumer's.
        driver: what does the steps.
        endless: whether it goes on when there is nothing more.

    Raises:
        InvalidArgument: the consumer has no handlers.
    """

    def __init__(
        self, settings: Settings, handlers: Handlers, driver: Runner | AsyncRunner, *, endless: bool
    ) -> None:
        self._settings = settings
        self._driver = driver
        self._endless = endless
        self._threads = ExitStack()
        # Not before it has begun: the engine is to make its first connection undisturbed.
        self._consumption = Consumption(
            settings, handlers, endless=endless, on_begin=self._start_threads
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._threads.__exit__(exc_type, exc, traceback)

    def steps(self) -> Steps:
        """Return what the driver is to do."""
        return self._consumption.steps()

    @property
    def state(self) -> Literal["running", "paused", "stopping"]:
        """What it is doing; `stopping` is finishing what is in hand."""
        control = self._consumption.control
        return "stopping" if control.stopping else "paused" if control.paused else "running"

    @property
    def rate(self) -> float:
        """How many messages were handled in a second, over the last minute."""
        return self._consumption.control.rate.per_second

    def stop(self) -> None:
        """Have it finish what is in hand, and end."""
        self._consumption.control.stopping = True
        self._driver.wake()

    def pause(self) -> None:
        """Have it handle nothing more for now."""
        self._consumption.control.paused = True
        self._driver.wake()

    def resume(self) -> None:
        """Have it go on after `pause`."""
        self._consumption.control.paused = False
        self._driver.wake()

    def _start_threads(self) -> None:
        driver, start = self._driver, self._threads.enter_context
        start(beating(driver.engine, self._consumption.beat, driver.submit))
        if self._endless:
            start(listening(driver.engine, self._settings.categories, driver.wake))
