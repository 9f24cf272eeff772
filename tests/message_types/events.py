"""Message types of a shop, of each kind of class."""

from __future__ import annotations

import dataclasses
import enum
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypedDict
from uuid import UUID, uuid4

import attrs
import msgspec
import pydantic

from mdb_sqla import Message, StoredMessage
from mdb_sqla.message_types import MessageTypes

__all__ = ["Canceled", "Line", "Noted", "Paid", "Placed", "Shipped", "State", "stored", "types"]


class State(enum.Enum):
    NEW = "new"
    OLD = "old"


@dataclasses.dataclass(frozen=True)
class Line:
    article: str
    price: Decimal


@dataclasses.dataclass(frozen=True)
class Placed:
    customer: UUID
    at: datetime
    lines: list[Line]
    state: State = State.NEW


@attrs.frozen
class Paid:
    amount: Decimal


class Shipped(msgspec.Struct, frozen=True):
    to: str
    express: bool = False


class Canceled(pydantic.BaseModel):
    reason: str
    days: int = 0


class Noted(TypedDict):
    text: str


types = MessageTypes(Placed, Paid, Shipped, Canceled, Noted, {"Ordered": Placed})


def placed(**changes: Any) -> Placed:
    event = Placed(uuid4(), datetime.now(UTC), [Line("tea", Decimal("1.10"))])
    return dataclasses.replace(event, **changes)


def stored(message: Message, **changes: Any) -> StoredMessage:
    """Return a message as it is read."""
    read = StoredMessage(
        id=message.id,
        stream_name="order-1",
        type=message.type,
        position=3,
        global_position=7,
        data=message.data,
        metadata=message.metadata or {},  # type: ignore[arg-type]
        time=datetime.now(UTC),
    )
    return read._replace(**changes)
