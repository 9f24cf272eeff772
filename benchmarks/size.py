"""How much is measured: at full size, or for a try."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FULL", "SMALL", "Size"]


@dataclass(frozen=True)
class Size:
    """How much one round of each side does.

    Attributes:
        name: what the size is called.
        cycles: of the original's own benchmark.
        seconds: how long concurrent writers write.
        writes: one after another.
        batches: of 1,000 messages.
        read: messages in the store that is read.
        reads: of batches.
        filtered: messages in the store that is read with a filter.
        few: messages in a small store of 1,000 categories.
        some: messages in a store that is compared with a large one.
        many: messages in the large one.
        commits: that an idle consumer is woken by.
        handled: by a consumer, in a transaction each.
        relayed: to a broker; whole thousands.
    """

    name: str
    cycles: int
    seconds: float
    writes: int
    batches: int
    read: int
    reads: int
    filtered: int
    few: int
    some: int
    many: int
    commits: int
    handled: int
    relayed: int


FULL = Size(
    "full",
    cycles=5_000,
    seconds=3,
    writes=500,
    batches=10,
    read=100_000,
    reads=30,
    filtered=300_000,
    few=100_000,
    some=1_000_000,
    many=10_000_000,
    commits=100,
    handled=2_000,
    relayed=10_000,
)

SMALL = Size(
    "small",
    cycles=500,
    seconds=0.5,
    writes=50,
    batches=2,
    read=20_000,
    reads=5,
    filtered=30_000,
    few=50_000,
    some=200_000,
    many=500_000,
    commits=30,
    handled=300,
    relayed=1_000,
)
