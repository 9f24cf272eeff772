"""Install, upgrade and remove a store."""

from mdb_sqla.migrations.installation import downgrade, upgrade, write_upgrade_script
from mdb_sqla.migrations.store_history import VERSION_TABLE

__all__ = ["VERSION_TABLE", "downgrade", "upgrade", "write_upgrade_script"]
