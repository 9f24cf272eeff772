"""Installing, upgrading and removing a store, and what its revisions are written with."""

from mdb_sqla.migrations.installation import downgrade, upgrade, write_upgrade_script
from mdb_sqla.migrations.store_history import VERSION_TABLE

__all__ = ["VERSION_TABLE", "downgrade", "upgrade", "write_upgrade_script"]
