"""A process that runs a member of every consumer: `mdb host flights.consumers:host`."""

from __future__ import annotations

import os

from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from flights.airports import airports
from flights.database import address
from flights.fleet import fleet, inspections
from flights.maintenance import hangar
from mdb_sqla import Host

__all__ = ["host"]

engine = create_engine(address(os.environ["FLIGHTS_DATABASE_URL"]))
host = Host(sessionmaker(engine), airports, fleet, hangar(), inspections)
