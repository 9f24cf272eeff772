"""Connections of psycopg alone, to either store."""

from __future__ import annotations

from typing import Any

import psycopg
from sqlalchemy import URL

from tests.side_by_side.message_db import conninfo

__all__ = ["SEARCH_PATH", "connect"]

SEARCH_PATH = "-csearch_path=message_store,public"
"""The original's functions find each other by it."""


def connect(url: URL, *, autocommit: bool = True) -> psycopg.Connection[tuple[Any, ...]]:
    """Connect with statements prepared at once, as SQLAlchemy's and the servers' plans are kept."""
    return psycopg.connect(
        conninfo(url), autocommit=autocommit, options=SEARCH_PATH, prepare_threshold=0
    )
