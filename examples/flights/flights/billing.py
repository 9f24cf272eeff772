"""An inbox for the charges of the authority; it updates a table in the same transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from sqlalchemy import Executable
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from flights.models import Base, Fees
from mdb_sqla import Inbox

__all__ = ["Charged", "receive_charges"]

inbox = Inbox("fee")

_table = Base.metadata.tables[Fees.__tablename__]


@dataclass(frozen=True, slots=True)
class Charged:
    """The authority has charged for a departure of an aircraft."""

    tail_number: str
    cents: int


def receive_charges(
    broker: NatsBroker,
    factory: async_sessionmaker[AsyncSession],
    on_charge: Callable[[], object],
) -> None:
    """Subscribe to charges, and add each of them exactly once to the fees of its aircraft."""

    @broker.subscriber(
        "authority.Charged",
        stream=JStream("FLIGHTS", declare=False),
        durable="billing",
        pull_sub=PullSub(batch_size=10),
        ack_policy=AckPolicy.NACK_ON_ERROR,
    )
    async def charged(charged: Charged, message: NatsMessage) -> None:
        async with factory.begin() as session:
            is_new = await inbox.receive_async(session, message)
            if is_new:
                await session.execute(_add(charged))
        if is_new:
            on_charge()


def _add(charged: Charged) -> Executable:
    added = insert(_table).values(
        tail_number=charged.tail_number, departures=1, cents=charged.cents
    )
    return added.on_conflict_do_update(
        index_elements=["tail_number"],
        set_={
            "departures": _table.c.departures + added.excluded.departures,
            "cents": _table.c.cents + added.excluded.cents,
        },
    )
