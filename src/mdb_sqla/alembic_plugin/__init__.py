"""An Alembic plug-in: what its commands must not do with the store's tables and revisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdb_sqla.alembic_plugin import revision_guards, table_filter

# Alembic loads this package while it is being imported itself, so nothing of it is imported here.
if TYPE_CHECKING:
    from alembic.runtime.plugins import Plugin

__all__ = ["setup"]


def setup(plugin: Plugin) -> None:
    """Register the comparator and the guards; Alembic calls this for the entry point."""
    table_filter.register(plugin)
    revision_guards.install()
