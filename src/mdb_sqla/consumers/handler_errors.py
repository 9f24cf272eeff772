"""Errors of handlers, as opposed to those that end the consumer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mdb_sqla.errors import SlotLost

__all__ = ["cancels", "current_task", "ends_consumer", "handler_errors"]

_CANCELLED = (asyncio.CancelledError, GeneratorExit)


@contextmanager
def handler_errors() -> Iterator[None]:
    """Convert a handler's own errors to `Exception`s.

    Its own `CancelledError` would otherwise silently end the consumer's task. What ends the process
    or cancels this task passes through, even if the handler has wrapped it in another error.
    """
    task = current_task()
    before = cancels(task)
    try:
        yield
    except (StopIteration, SlotLost) as error:
        # The first would end a generator. The other comes from a consumer that the handler ran.
        raise RuntimeError(f"The handler raised {error!r}") from error
    except Exception as error:
        # Whatever a handler raises: a library may have wrapped the cancellation of its task.
        if cancels(task) > before and any(isinstance(each, _CANCELLED) for each in _chain(error)):
            raise asyncio.CancelledError from error
        raise
    except BaseException as error:
        if ends_consumer(error, task, before):
            raise
        raise RuntimeError(
            f"The handler raised {error!r}, but the consumer was not cancelled"
        ) from error


def current_task() -> asyncio.Task[object] | None:
    """Return the current task; None outside an event loop."""
    with suppress(RuntimeError):
        return asyncio.current_task()
    return None


def cancels(task: asyncio.Task[object] | None) -> int:
    """Return how many cancellation requests a task has.

    Before Python 3.13 a failed task group doesn't undo its own: only an increase means anything.
    """
    return 0 if task is None else task.cancelling()


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def ends_consumer(
    error: BaseException, task: asyncio.Task[object] | None, cancelled: int = 0
) -> bool:
    """Whether an error ends the process or cancels this task, instead of being the handler's own.

    Args:
        error: the error raised.
        task: the task that the handler was called in; None outside an event loop.
        cancelled: its cancellation requests before the handler was called.
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
    return cancels(task) > cancelled or current_task() is not task
