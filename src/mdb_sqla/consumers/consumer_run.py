from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Literal, Self

from mdb_sqla.consumers.handlers import Handlers
from mdb_sqla.consumers.heartbeat import run_heartbeat
from mdb_sqla.consumers.loop import ConsumerLoop
from mdb_sqla.consumers.loop_operations import Routine
from mdb_sqla.consumers.runners import AsyncRunner, Runner
from mdb_sqla.consumers.settings import Settings
from mdb_sqla.wake_up.listener import subscribe

__all__ = ["ActiveRun"]


class ActiveRun:
    """A running consumer, with its heartbeat and listener threads.

    Its methods may be called from any thread and from a signal handler.

    Args:
        settings: the consumer's settings.
        handlers: the consumer's handlers.
        runner: performs the loop's operations.
        endless: whether to wait for more messages instead of returning.

    Raises:
        InvalidArgument: the consumer has no handlers.
    """

    def __init__(
        self, settings: Settings, handlers: Handlers, runner: Runner | AsyncRunner, *, endless: bool
    ) -> None:
        self._settings = settings
        self._runner = runner
        self._endless = endless
        self._threads = ExitStack()
        # The threads start once the engine has connected for the first time.
        self._loop = ConsumerLoop(settings, handlers, endless=endless, on_start=self._start_threads)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._threads.__exit__(exc_type, exc, traceback)

    def operations(self) -> Routine:
        """Return the operations of the loop."""
        return self._loop.operations()

    @property
    def state(self) -> Literal["running", "paused", "stopping"]:
        """The state; `stopping` while the current messages are being finished."""
        control = self._loop.control
        return "stopping" if control.stopping else "paused" if control.is_paused else "running"

    @property
    def rate(self) -> float:
        """The number of messages handled per second, over the last minute."""
        return self._loop.control.rate.per_second

    def stop(self) -> None:
        """Finish the current messages, then end."""
        self._loop.control.stopping = True
        self._runner.wake()

    def pause(self) -> None:
        """Stop handling messages in this process until `resume` is called."""
        self._loop.control.paused = True
        self._runner.wake()

    def resume(self) -> None:
        """Continue after `pause`."""
        self._loop.control.paused = False
        self._runner.wake()

    def _changed(self) -> None:
        """The consumer may have been paused or resumed in the database."""
        self._loop.control.outdated = True

    def _start_threads(self) -> None:
        runner, start = self._runner, self._threads.enter_context
        start(run_heartbeat(runner.engine, self._loop.heartbeat, runner.submit))
        if self._endless:
            categories = self._settings.categories
            start(subscribe(runner.engine, categories, runner.wake, self._changed))
