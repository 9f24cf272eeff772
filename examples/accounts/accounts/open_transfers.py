"""The table of transfers whose deposit is not confirmed yet, for the time-out."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DateTime
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = ["Base", "OpenTransfer"]


class Base(DeclarativeBase):
    pass


class OpenTransfer(Base):
    __tablename__ = "open_transfers"

    id: Mapped[str] = mapped_column(primary_key=True)
    debited_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
