"""An Alembic plugin that protects the store's tables and revisions from Alembic's commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdb_sqla.alembic_plugin import revision_guards, table_filter

# Alembic loads this package while Alembic itself is being imported, so don't import it here.
if TYPE_CHECKING:
    from alembic.runtime.plugins import Plugin

__all__ = ["setup"]


def setup(plugin: Plugin) -> None:
    """Register the comparator and install the guards. Alembic calls this for the entry point."""
    table_filter.register(plugin)
    revision_guards.install()
