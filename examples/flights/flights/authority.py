"""An external service without access to the database: the port authority charges for departures.

`python -m flights.authority` runs it. Delivery is at least once, so it may answer a departure
twice; both answers have the same id, because it is derived from the departure's.
"""

from __future__ import annotations

import asyncio
import logging
import os
from uuid import UUID, uuid5

from faststream import AckPolicy, FastStream
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub

from flights.child_process import stop_with_parent
from flights.events import Departed
from flights.tariff import CENTS

__all__ = ["app"]

# FastStream's own logger has a line for every message; this one has warnings and errors.
log = logging.getLogger(__name__)
broker = NatsBroker(os.environ.get("FLIGHTS_NATS_URL", "nats://localhost:4222"), logger=log)
app = FastStream(broker, logger=log)


@broker.subscriber(
    "aircraft.Departed",
    stream=JStream("FLIGHTS", declare=False),
    durable="authority",
    pull_sub=PullSub(batch_size=10),
    ack_policy=AckPolicy.NACK_ON_ERROR,
)
async def charge(departed: Departed, message: NatsMessage) -> None:
    """Answer a departure with its charge."""
    headers = message.headers
    id_ = str(uuid5(UUID(headers["message_id"]), "Charged"))
    await broker.publish(
        {
            "tail_number": headers["stream_name"].removeprefix("aircraft-"),
            "cents": CENTS[departed.origin],
        },
        "authority.Charged",
        stream="FLIGHTS",
        headers={"Nats-Msg-Id": id_, "message_type": "Charged"},
    )


if __name__ == "__main__":
    stop_with_parent()
    asyncio.run(app.run())
