"""Errors of the embedded server."""

from __future__ import annotations

__all__ = ["EmbeddedPostgresError"]


class EmbeddedPostgresError(Exception):
    """The server can't be started. The message ends with PostgreSQL's log, if there is one."""
