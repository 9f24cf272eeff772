"""The charges that came back, compared with the departures that went out."""

from __future__ import annotations

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from flights.models import Fees
from flights.replay import Total
from flights.tariff import CENTS
from mdb_sqla import functions, tables

__all__ = ["charges"]


def charges(session: Session) -> list[Total]:
    """Return totals of the departures, and of the inbox and its table."""
    m = tables.messages.c
    category = functions.category(m.stream_name)
    cents = case(CENTS, value=m.data["origin"].as_string())
    departures, due = session.execute(
        select(func.count(), func.coalesce(func.sum(cents), 0)).where(
            category == "aircraft", m.type == "Departed"
        )
    ).one()
    received = session.scalar(select(func.count()).where(category == "fee", m.type == "Charged"))
    counted, charged = session.execute(
        select(func.coalesce(func.sum(Fees.departures), 0), func.coalesce(func.sum(Fees.cents), 0))
    ).one()
    return [
        Total("charges received", departures, received or 0),
        Total("departures charged", departures, counted),
        Total("dollars charged", due // 100, charged // 100),
    ]
