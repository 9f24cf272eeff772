"""A member of a group that reads from standbys: `python member.py NAME LEASE URL STANDBY...`.

Each effect says whether the last read before it was one from a standby.
"""

from __future__ import annotations

import sys
from typing import Any

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, Group, Host, Standbys

read_from = [False]


def note_reads(engine: Engine, is_standby: bool) -> Engine:
    @event.listens_for(engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "get_category_messages" in statement:
            read_from[0] = is_standby

    return engine


def main() -> None:
    name, lease, url, *standbys = sys.argv[1:]
    engines = [note_reads(create_engine(each), is_standby=True) for each in standbys]
    consumer = Consumer(
        "billing",
        "order",
        group=Group(slots=4, lease=float(lease), member=name),
        batch_size=20,
        poll_interval=(0.005, 0.05),
        read_from=Standbys(*engines, max_wait=0.3),
    )

    @consumer.on("T")
    def leave_effect(message: Any, unit: Any) -> None:
        unit.session.execute(
            text(
                "INSERT INTO effects (stream, number, is_read_from_standby) "
                "VALUES (:stream, :number, :standby)"
            ),
            {"stream": message.stream_name, "number": message.data, "standby": read_from[0]},
        )

    Host(sessionmaker(note_reads(create_engine(url), is_standby=False)), consumer).run()


if __name__ == "__main__":
    main()
