"""The database, with the tables of the application and of the message store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError

from mdb_sqla.embedded import EmbeddedPostgres

__all__ = ["address", "connected", "upgrade"]

_CONFIG = Path(__file__).parents[1] / "alembic.ini"


def address(url: str) -> URL:
    """Return a database URL with the driver that the example uses.

    Raises:
        ArgumentError: it is not a URL, or not of a PostgreSQL database.
    """
    address = make_url(url)
    if address.get_backend_name() != "postgresql":
        raise ArgumentError(f"{address.get_backend_name()} is not supported, use postgresql://")
    if address.drivername == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
    return address


@contextmanager
def connected(url: str | None, connections: int = 1) -> Iterator[Engine]:
    """Connect to a database; without a URL, to one on a temporary server."""
    with ExitStack() as stack:
        place = address(url) if url else stack.enter_context(EmbeddedPostgres()).url()
        engine = create_engine(place, pool_size=connections)
        stack.callback(engine.dispose)
        yield engine


def upgrade(engine: Engine) -> None:
    """Apply all migrations, like `alembic upgrade head`."""
    config = Config(_CONFIG)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
