"""What keeps an embedded server from running."""

from __future__ import annotations

__all__ = ["EmbeddedPostgresError"]


class EmbeddedPostgresError(Exception):
    """The server can't be started; where PostgreSQL said why, the message ends with its words."""
