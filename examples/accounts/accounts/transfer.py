"""A transfer: its command, its events, and its state, which a function replaces."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from mdb_sqla import MessageTypes
from mdb_sqla.entities import EntityStore

__all__ = [
    "Completed",
    "Debited",
    "Failed",
    "Initiated",
    "Refunded",
    "TimedOut",
    "Transfer",
    "TransferMoney",
    "transfer_types",
    "transfers",
]


@dataclass(frozen=True)
class TransferMoney:
    source: str
    target: str
    amount: int  # in cents


@dataclass(frozen=True)
class Initiated:
    source: str
    target: str
    amount: int


@dataclass(frozen=True)
class Debited:
    """The money was withdrawn from the source."""


@dataclass(frozen=True)
class Completed:
    """The money was deposited to the target."""


@dataclass(frozen=True)
class Failed:
    reason: str


@dataclass(frozen=True)
class TimedOut:
    """The target has not confirmed the deposit in time."""


@dataclass(frozen=True)
class Refunded:
    """The deposit was canceled, and the money goes back to the source."""


Event = Initiated | Debited | Completed | Failed | TimedOut | Refunded
Status = Literal["new", "initiated", "debited", "completed", "failed", "timed out", "refunded"]

transfer_types = MessageTypes(
    TransferMoney, Initiated, Debited, Completed, Failed, TimedOut, Refunded
)


@dataclass(frozen=True)
class Transfer:
    status: Status = "new"
    source: str = ""
    target: str = ""
    amount: int = 0


def evolve(transfer: Transfer, event: Event) -> Transfer:
    match event:
        case Initiated(source, target, amount):
            return Transfer("initiated", source, target, amount)
        case Debited():
            return replace(transfer, status="debited")
        case Completed():
            return replace(transfer, status="completed")
        case Failed():
            return replace(transfer, status="failed")
        case TimedOut():
            return replace(transfer, status="timed out")
        case Refunded():
            return replace(transfer, status="refunded")


transfers = EntityStore("transfer", Transfer, evolve=evolve, types=transfer_types)
