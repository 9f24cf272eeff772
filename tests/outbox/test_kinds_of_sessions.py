"""A factory may make sessions of the other kind: its type does not tell."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from mdb_sqla import (
    AsyncMessageStore,
    AsyncUnitOfWork,
    Consumer,
    InvalidArgument,
    Message,
    MessageStore,
    UnitOfWork,
    request,
    request_async,
)

pytestmark = pytest.mark.filterwarnings("ignore:Using `scoped_session` with asyncio")

# Nothing connects.
ENGINE = create_engine("postgresql+psycopg://")
ASYNC_ENGINE = create_async_engine("postgresql+asyncpg://")
SYNC_FACTORY: Any = sessionmaker
ASYNC_FACTORY: Any = async_sessionmaker
WRONG = SYNC_FACTORY(ASYNC_ENGINE, class_=AsyncSession)
WRONG_ASYNC = ASYNC_FACTORY(ENGINE, class_=Session)


def enter(unit: UnitOfWork) -> None:
    with unit:
        pass


async def enter_async(unit: AsyncUnitOfWork) -> None:
    async with unit:
        pass


def consumer() -> Consumer:
    made = Consumer("billing", "order")
    made.on("Placed")(lambda message, unit: None)
    return made


USES: list[Callable[[], Any]] = [
    lambda: enter(UnitOfWork(WRONG)),
    lambda: enter(UnitOfWork(scoped_session(WRONG))),
    lambda: MessageStore(scoped_session(WRONG)).write("order-1", Message("A")),
    lambda: list(MessageStore(scoped_session(WRONG)).iterate_stream("order-1")),
    lambda: consumer().catch_up(WRONG),
    lambda: request(WRONG, "order-1", Message("A")),
]

ASYNC_USES: list[Callable[[], Any]] = [
    lambda: enter_async(AsyncUnitOfWork(WRONG_ASYNC)),
    lambda: enter_async(AsyncUnitOfWork(async_scoped_session(WRONG_ASYNC, lambda: 1))),
    lambda: AsyncMessageStore(async_scoped_session(WRONG_ASYNC, lambda: 1)).version("order-1"),
    lambda: consumer().catch_up_async(WRONG_ASYNC),
    lambda: request_async(WRONG_ASYNC, "order-1", Message("A")),
]


@pytest.mark.parametrize("use", USES)
def test_an_async_one_is_refused(use: Callable[[], Any]) -> None:
    with pytest.raises(InvalidArgument, match=re.escape("(sqlalchemy.orm.session.AsyncSession)")):
        use()


@pytest.mark.parametrize("use", ASYNC_USES)
def test_a_sync_one_is_refused(use: Callable[[], Any]) -> None:
    async def run() -> None:
        with pytest.raises(
            InvalidArgument, match=r"requires a .*AsyncSession, but its .*\.Session"
        ):
            await use()

    asyncio.run(run())
