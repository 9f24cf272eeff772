"""Run the migrations of the application, one of which installs the message store."""

from __future__ import annotations

import os

from alembic import context
from flights.database import connected
from flights.models import Base
from sqlalchemy import Connection


def migrate(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        context.run_migrations()


def print_migrations() -> None:
    context.configure(
        dialect_name="postgresql", dialect_opts={"paramstyle": "named"}, literal_binds=True
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    print_migrations()
elif (given := context.config.attributes.get("connection")) is not None:
    migrate(given)
else:
    with connected(os.environ["FLIGHTS_DATABASE_URL"]) as engine, engine.connect() as connection:
        migrate(connection)
