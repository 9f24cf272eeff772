"""Installing, upgrading and removing a store, and what its revisions are written with."""

from mdb_sqla.migrations.installation import VERSION_TABLE, downgrade, upgrade, write_upgrade_script

__all__ = ["VERSION_TABLE", "downgrade", "upgrade", "write_upgrade_script"]
