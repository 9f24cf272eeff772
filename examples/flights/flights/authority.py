"""A service of somebody else, with no database of ours: the port authority charges for departures.

`python -m flights.authority` runs it. It is delivered each departure at least once, and may answer
one twice: the id of the answer follows from that of the departure.
"""

from __future__ import annotations

import asyncio
import logging
import os
from uuid import UUID, uuid5

from faststream import AckPolicy, FastStream
from faststream.nats import JStream, NatsBroker, NatsMessage

from flights.events import Departed
from flights.tariff import CENTS

__all__ = ["app"]

broker = NatsBroker(
    os.environ.get("FLIGHTS_NATS_URL", "nats://localhost:4222"),
    log_level=logging.DEBUG,  # of a line for each message
)
app = FastStream(broker)


@broker.subscriber(
    "aircraft.Departed",
    stream=JStream("FLIGHTS", declare=False),
    durable="authority",
    pull_sub=True,
    ack_policy=AckPolicy.NACK_ON_ERROR,
)
async def charge(departed: Departed, message: NatsMessage) -> None:
    """Answer a departure with what it costs."""
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
    asyncio.run(app.run())
