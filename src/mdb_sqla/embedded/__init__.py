"""An embedded PostgreSQL server for development and tests, on Linux and macOS."""

from mdb_sqla.embedded.errors import EmbeddedPostgresError
from mdb_sqla.embedded.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError"]
