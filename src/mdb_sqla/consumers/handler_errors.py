"""What a handler may raise, and what is not its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mdb_sqla.errors import SlotLost

__all__ = ["cancels", "current_task", "ends_consumer", "handler_errors"]

_CANCELLED = (asyncio.CancelledError, GeneratorExit)


@contextmanager
def handler_errors() -> Iterator[None]:
    """Have whatever a handler raises for itself leave this block as an `Exception`.

    `CancelledError` would otherwise end the consumer's task as if that had been cancelled, without
    a word. What ends the process, and what has cancelled this very task, passes through, also where
    the handler has made an error of its own of it.
    """
    task = current_task()
    before = cancels(task)
    try:
        yield
    except (StopIteration, SlotLost) as error:
        # The first means the end to a generator. The other is that of a consumer that it has run.
        raise RuntimeError(f"The handler raised {error!r}") from error
    except Exception as error:
        if cancels(task) > before and any(isinstance(each, _CANCELLED) for each in _chain(error)):
            raise asyncio.CancelledError from error
        raise
    except BaseException as error:
        if ends_consumer(error, task, before):
            raise
        raise RuntimeError(
            f"The handler raised {error!r}, but nobody has cancelled the consumer"
        ) from error


def current_task() -> asyncio.Task[object] | None:
    """Return the task that this is called in; None outside of an event loop."""
    with suppress(RuntimeError):
        return asyncio.current_task()
    return None


def cancels(task: asyncio.Task[object] | None) -> int:
    """Return how often a task was cancelled, and what is not taken back of that.

    Before Python 3.13 a task group in which something fails doesn't take its own back: only what is
    added tells anything.
    """
    return 0 if task is None else task.cancelling()


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def ends_consumer(
    error: BaseException, task: asyncio.Task[object] | None, cancelled: int = 0
) -> bool:
    """Whether an error is no handler's own: somebody ends the process, or this task.

    Args:
        error: what was raised.
        task: the task that the handler was called in; None outside of an event loop.
        cancelled: how often that was cancelled before the handler was called.
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
    # A coroutine that nobody awaits any more is closed from outside of its task.
    return cancels(task) > cancelled or current_task() is not task
