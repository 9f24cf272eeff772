"""Errors of the embedded server."""

from __future__ import annotations

__all__ = ["EmbeddedPostgresError"]


class EmbeddedPostgresError(Exception):
    """The server can't be started; the message ends with PostgreSQL's log, if there is any."""
