"""The package is imported by a function, when the session has begun, or commits already."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy import URL

COMMON = """
import sys

from sqlalchemy import create_engine, event, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

url, name, mode = sys.argv[1:]

def hand_in(session, *_):
    assert "mdb_sqla" not in sys.modules
    from mdb_sqla import Message, write_on_commit
    write_on_commit(session, "order-1", Message(name or "A"))

def listen(session):
    from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

    class Base(DeclarativeBase):
        pass

    class Order(Base):
        __tablename__ = "orders"
        id: Mapped[int] = mapped_column(primary_key=True)
        state: Mapped[str]

    event.listen(session, name, hand_in, once=True)
    session.add(Order(state="new"))
"""

SYNC = """
engine = create_engine(url)
with engine.connect() as connection:
    if mode == "joined":
        connection.begin()
    with Session(connection) as session:
        if name:
            listen(session)
        else:
            session.begin()
            hand_in(session)
        session.commit()
    if mode == "joined":
        connection.commit()
"""

ASYNC = """
import asyncio

async def main():
    engine = create_async_engine(url)
    async with AsyncSession(engine) as session:
        if name:
            listen(session.sync_session)
        else:
            await session.begin()
            hand_in(session)
        await session.commit()
    await engine.dispose()

asyncio.run(main())
"""


@pytest.mark.parametrize("name", ["", "before_flush", "after_flush", "before_commit"])
@pytest.mark.parametrize(
    ("script", "driver", "mode"),
    [
        pytest.param(SYNC, "psycopg", "", id="sync"),
        pytest.param(SYNC, "psycopg", "joined", id="joined"),
        pytest.param(ASYNC, "asyncpg", "", id="async"),
    ],
)
def test_the_first_message_is_written(
    clean_database: URL, committed: Any, script: str, driver: str, mode: str, name: str
) -> None:
    url = clean_database.set(drivername=f"postgresql+{driver}")
    subprocess.run(
        [
            sys.executable,
            "-W",
            "error::RuntimeWarning",
            "-c",
            COMMON + script,
            url.render_as_string(hide_password=False),
            name,
            mode,
        ],
        check=True,
        timeout=60,
    )

    assert committed.messages() == [("order-1", name or "A", 0)]
    assert committed.orders() == (["new"] if name else [])
