"""The log of `mdb host`, `mdb relay` and `mdb metrics` on stderr."""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import Annotated

import typer

from mdb_sqla.cli.logged_error import LoggedErrors
from mdb_sqla.cli.options import fail

__all__ = ["HostLogFormatter", "LogFormat", "LogFormatOption", "configure_log"]

_FORMAT = "%(asctime)s %(levelname)s %(message)s"


class LogFormat(StrEnum):
    """The format of the log."""

    TEXT = "text"
    JSON = "json"


LogFormatOption = Annotated[
    LogFormat,
    typer.Option("--log-format", metavar="text|json", help="Format of the log on stderr."),
]


def configure_log(log_format: LogFormat, *, verbose: bool) -> None:
    """Log to stderr, unless the application has configured the log.

    Args:
        log_format: the format. Exits if a package for it is not installed.
        verbose: whether tracebacks have all frames.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_formatter(log_format, verbose=verbose))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _formatter(log_format: LogFormat, *, verbose: bool) -> logging.Formatter:
    if log_format is LogFormat.TEXT:
        return HostLogFormatter(verbose=verbose)
    try:
        from mdb_sqla.cli.json_log import JsonLogFormatter
    except ModuleNotFoundError:
        fail('--log-format json requires the extra "logs": pip install "mdb_sqla[logs]".')
    return JsonLogFormatter(verbose=verbose)


class HostLogFormatter(logging.Formatter):
    """Formats records as text. An error whose traceback was logged before has its last line.

    Args:
        verbose: whether tracebacks have all frames.
    """

    def __init__(self, *, verbose: bool) -> None:
        super().__init__(_FORMAT)
        self._errors = LoggedErrors(verbose=verbose)

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        plain = logging.makeLogRecord({**record.__dict__, "exc_info": None, "exc_text": None})
        line = super().format(plain)
        logged = self._errors.of(record)
        if logged is None:
            return line
        if logged.traceback is None:
            return f"{line}: {logged.last_line}"
        return f"{line}\n{logged.traceback}"
