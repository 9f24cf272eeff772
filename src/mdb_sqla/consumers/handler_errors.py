"""Errors of handlers, as opposed to errors that end the consumer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import TracebackType

from mdb_sqla.errors import SlotLost

__all__ = ["HandlerErrors", "cancel_requests", "current_task", "ends_consumer"]

_CANCELLED = (asyncio.CancelledError, GeneratorExit)


class HandlerErrors:
    """A context manager that converts errors of the handler itself to `Exception`s.

    A `CancelledError` of the handler itself would otherwise silently end the consumer's task.
    Errors that end the process or cancel this task pass through, even if the handler has wrapped
    them in another error.
    """

    # Not a generator, which takes several calls for each message.
    __slots__ = ("_before", "_task")

    def __enter__(self) -> None:
        self._task = current_task()
        self._before = cancel_requests(self._task)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is None:
            return
        if isinstance(exc, StopIteration | SlotLost):
            # StopIteration would end a generator. SlotLost comes from a consumer that the handler
            # ran.
            raise RuntimeError(f"The handler raised {exc!r}") from exc
        if isinstance(exc, Exception):
            # Any error: a library may have wrapped the cancellation of the handler's task.
            is_cancelled = any(isinstance(each, _CANCELLED) for each in _chain(exc))
            if is_cancelled and cancel_requests(self._task) > self._before:
                raise asyncio.CancelledError from exc
        elif not ends_consumer(exc, self._task, self._before):
            raise RuntimeError(
                f"The handler raised {exc!r}, but the consumer was not cancelled"
            ) from exc


def current_task() -> asyncio.Task[object] | None:
    """Return the current task, or None outside an event loop."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def cancel_requests(task: asyncio.Task[object] | None) -> int:
    """Return the number of cancellation requests of a task.

    Before Python 3.13, a failed task group doesn't undo its own request, so only an increase is
    meaningful.
    """
    return 0 if task is None else task.cancelling()


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def ends_consumer(
    error: BaseException, task: asyncio.Task[object] | None, cancelled: int = 0
) -> bool:
    """Return whether an error ends the process or cancels this task, and isn't the handler's own.

    Args:
        error: the error that was raised.
        task: the task that the handler was called in; None outside an event loop.
        cancelled: the number of the task's cancellation requests before the handler was called.
    """
    if isinstance(error, BaseExceptionGroup):
        _, others = error.split((Exception, *_CANCELLED))
        if others is not None:
            return True
        is_cancelled = error.subgroup(_CANCELLED) is not None
    elif isinstance(error, Exception):
        return False
    elif isinstance(error, _CANCELLED):
        is_cancelled = True
    else:
        return True
    if not is_cancelled or task is None:
        return False
    # An abandoned coroutine is closed from outside its task.
    return cancel_requests(task) > cancelled or current_task() is not task
