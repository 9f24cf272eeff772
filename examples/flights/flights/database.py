"""The database, with the tables of the application and those of the message store in it."""

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
    """Return a URL with the driver that is used here.

    Raises:
        ArgumentError: it is no URL, or not of PostgreSQL.
    """
    address = make_url(url)
    if address.get_backend_name() != "postgresql":
        raise ArgumentError(f"it is of {address.get_backend_name()}, not of PostgreSQL")
    if address.drivername == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
    return address


@contextmanager
def connected(url: str | None, connections: int = 1) -> Iterator[Engine]:
    """Connect to a database; without a URL, to one on a server that is gone afterwards."""
    with ExitStack() as stack:
        place = address(url) if url else stack.enter_context(EmbeddedPostgres()).url()
        engine = create_engine(place, pool_size=connections)
        stack.callback(engine.dispose)
        yield engine


def upgrade(engine: Engine) -> None:
    """Run the migrations, as `alembic upgrade head` does."""
    config = Config(_CONFIG)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
