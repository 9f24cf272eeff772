"""The log of `mdb host` and `mdb relay` on stderr."""

from __future__ import annotations

import logging
import traceback

from mdb_sqla.cli.traceback_text import innermost, trimmed
from mdb_sqla.errors import HandlerFailed, Refusal

__all__ = ["HostLogFormatter", "configure_log"]

_FORMAT = "%(asctime)s %(levelname)s %(message)s"


def configure_log(*, verbose: bool) -> None:
    """Log to stderr, unless the application has configured the log.

    Args:
        verbose: whether tracebacks have all frames.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(HostLogFormatter(verbose=verbose))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


class HostLogFormatter(logging.Formatter):
    """Formats the traceback of a failing handler once, without the frames of libraries.

    Further attempts to handle the same message, and the end of the consumer, have its last line. So
    does a refusal by the server of the consumer's own statement.

    Args:
        verbose: whether tracebacks have all frames.
    """

    def __init__(self, *, verbose: bool) -> None:
        super().__init__(_FORMAT)
        self._verbose = verbose
        # By consumer.
        self._latest: dict[str, tuple[str, ...]] = {}

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        plain = logging.makeLogRecord({**record.__dict__, "exc_info": None, "exc_text": None})
        line = super().format(plain)
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return line
        if isinstance(error, HandlerFailed) and error.__cause__ is not None:
            # Its own traceback is that of the consumer's loop.
            error = error.__cause__
        if self._is_repeated(record, error):
            return f"{line}: {_last_line(error)}"
        text = "".join(traceback.format_exception(error)).rstrip("\n")
        if isinstance(error, Refusal) and not self._verbose and innermost(text) is None:
            # Of a statement of the consumer's own: there is nothing of the application to show.
            return f"{line}: {_last_line(error)}"
        return f"{line}\n{text if self._verbose else trimmed(text)}"

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


def _last_line(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).strip().splitlines()[0]
