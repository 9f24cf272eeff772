"""The error of a log record, with its traceback if that has not been logged yet."""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass

from mdb_sqla.cli.traceback_text import innermost, trimmed
from mdb_sqla.errors import HandlerFailed, Refusal

__all__ = ["LoggedError", "LoggedErrors"]


@dataclass(frozen=True)
class LoggedError:
    """The error of a log record.

    Attributes:
        error: the error; that of the handler, if a handler failed.
        traceback: its traceback; None if it was logged before, or shows nothing of the application.
    """

    error: BaseException
    traceback: str | None

    @property
    def last_line(self) -> str:
        """The type and the first line of the text."""
        return "".join(traceback.format_exception_only(self.error)).strip().splitlines()[0]


class LoggedErrors:
    """Finds the errors of log records, and remembers which tracebacks were logged.

    The traceback of a failing handler is logged once, without the frames of libraries. Further
    attempts to handle the same message, and the end of the consumer, have none. Nor has a refusal
    by the server of the consumer's own statement.

    Args:
        verbose: whether tracebacks have all frames.
    """

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose
        # By consumer.
        self._latest: dict[str, tuple[str, ...]] = {}

    def of(self, record: logging.LogRecord) -> LoggedError | None:
        """Return the error of a record; None if it has none."""
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return None
        if isinstance(error, HandlerFailed) and error.__cause__ is not None:
            # Its own traceback is that of the consumer's loop.
            error = error.__cause__
        if self._is_repeated(record, error):
            return LoggedError(error, None)
        text = "".join(traceback.format_exception(error)).rstrip("\n")
        if self._verbose:
            return LoggedError(error, text)
        # A refusal of the consumer's own statement has no frame of the application.
        is_own = isinstance(error, Refusal) and innermost(text) is None
        return LoggedError(error, None if is_own else trimmed(text))

    def _is_repeated(self, record: logging.LogRecord, error: BaseException) -> bool:
        consumer = getattr(record, "consumer", None)
        if consumer is None:
            return False
        attempt = getattr(record, "attempt", None)
        frames = traceback.extract_tb(error.__traceback__)[-1:]
        what = (repr(frames), *traceback.format_exception_only(error))
        is_same = self._latest.get(consumer) == what
        self._latest[consumer] = what
        return is_same and attempt != 1
