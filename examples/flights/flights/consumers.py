"""A host with a member of every consumer: `mdb host flights.consumers:host`.

`python -m flights` runs it as `python -m flights.consumers`, which also stops with its parent.
"""

from __future__ import annotations

import os

from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from flights.airports import airports
from flights.child_process import stop_with_parent
from flights.database import address
from flights.fleet import fleet, inspections
from flights.maintenance import hangar
from mdb_sqla import Host

__all__ = ["host"]

engine = create_engine(address(os.environ["FLIGHTS_DATABASE_URL"]))
host = Host(sessionmaker(engine), airports, fleet, hangar(), inspections)

if __name__ == "__main__":
    stop_with_parent()
    host.run()
