"""A process that is a member of a group until it is ended: `python member.py URL NAME LEASE`."""

from __future__ import annotations

import sys
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, Group, Host


def main() -> None:
    url, name, lease = sys.argv[1:]
    group = Group(slots=8, lease=float(lease), member=name)
    consumer = Consumer("billing", "order", group=group, batch_size=20, poll_interval=(0.005, 0.05))

    @consumer.on("T")
    def leave_effect(message: Any, unit: Any) -> None:
        unit.session.execute(
            text("INSERT INTO effects (stream, number) VALUES (:stream, :number)"),
            {"stream": message.stream_name, "number": message.data},
        )

    Host(sessionmaker(create_engine(url)), consumer).run()


if __name__ == "__main__":
    main()
