"""Structured log records: a text for people, and the event with its fields for programs."""

from __future__ import annotations

import logging

__all__ = ["log_event"]


def log_event(
    logger: logging.Logger,
    level: int,
    event: str,
    text: str,
    *values: object,
    error: BaseException | None = None,
    depth: int = 1,
    **fields: object,
) -> None:
    """Log an event. Its name and its fields become attributes of the record.

    docs/reference/logs.md lists the events; a test compares it with the calls of this function.

    Args:
        logger: the logger.
        level: the level.
        event: the name of the event, such as `consumer.started`.
        text: the text, with a `%s` for each value.
        values: the values of the text.
        error: the error that caused the event.
        depth: the number of callers to skip for the record's line number.
        fields: the fields of the event.
    """
    logger.log(
        level,
        text,
        *values,
        exc_info=error,
        extra={"event": event, **fields},
        stacklevel=depth + 1,
    )
