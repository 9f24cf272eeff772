"""Log records as JSON lines. Requires the extra `logs`."""

from __future__ import annotations

import json
import logging
import math
from functools import partial
from typing import Any

from pythonjsonlogger.defaults import unknown_default
from pythonjsonlogger.json import JsonFormatter

from mdb_sqla.cli.logged_error import LoggedErrors
from mdb_sqla.errors.display import name_of

__all__ = ["JsonLogFormatter"]


class JsonLogFormatter(JsonFormatter):
    """Formats a record as one line of JSON, with the fields of its event.

    Args:
        verbose: whether tracebacks have all frames.
    """

    def __init__(self, *, verbose: bool) -> None:
        super().__init__(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp="time",
            # NaN and infinity are no JSON.
            json_serializer=partial(json.dumps, allow_nan=False),
        )
        self._errors = LoggedErrors(verbose=verbose)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        fields: dict[str, Any] = {"exc_info": None, "exc_text": None, **_trace()}
        if (logged := self._errors.of(record)) is not None:
            fields["error_type"] = name_of(type(logged.error))
            fields["error"] = unknown_default(logged.error)
            if logged.traceback is not None:
                fields["traceback"] = logged.traceback
        return super().format(logging.makeLogRecord({**record.__dict__, **fields}))

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """Return the JSON of the fields; a value that has none is replaced by its text."""
        try:
            return str(super().jsonify_log_record(log_data))
        except Exception:
            # For example a cycle. The record must not be lost.
            known = {str(name): _plain(value) for name, value in log_data.items()}
            return str(super().jsonify_log_record(known))


def _plain(value: object) -> object:
    if value is None or isinstance(value, str | int):
        return value
    is_number = isinstance(value, float) and math.isfinite(value)
    return value if is_number else unknown_default(value)


def _trace() -> dict[str, str]:
    """Return the ids of the active span, if there is one."""
    try:
        from opentelemetry import trace
    except ModuleNotFoundError:
        return {}
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }
