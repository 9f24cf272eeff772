"""Install, upgrade and remove a store, and set its retention policies in revisions."""

from mdb_sqla.migrations.installation import downgrade, upgrade, write_upgrade_script
from mdb_sqla.migrations.revision_operations import delete_retention_policy, set_retention_policy
from mdb_sqla.migrations.store_history import VERSION_TABLE

__all__ = [
    "VERSION_TABLE",
    "delete_retention_policy",
    "downgrade",
    "set_retention_policy",
    "upgrade",
    "write_upgrade_script",
]
