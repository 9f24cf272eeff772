"""Why a consumer does not advance, and whether that needs attention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import nlargest
from typing import Literal, NamedTuple

from sqlalchemy import Connection

from mdb_sqla.admin.consumer_overview import ConsumerOverview
from mdb_sqla.consumers.open_transactions import holding_back
from mdb_sqla.consumers.open_writer import OpenWriter
from mdb_sqla.words.durations import duration

__all__ = ["Diagnosis", "Health", "diagnose", "health", "most_urgent"]

Health = Literal["good", "busy", "bad", "paused"]

_URGENCY: dict[Health, int] = {"bad": 3, "busy": 2, "paused": 1, "good": 0}

_BEHIND = 30.0  # seconds
_FAR_BEHIND = 300.0  # seconds
_SILENT = 60.0  # seconds since the position was saved


class Diagnosis(NamedTuple):
    """What keeps a consumer from advancing.

    Attributes:
        reasons: what is wrong, with what to do; empty if it advances, or has nothing to do.
        writers: the open transactions that hold it back.
    """

    reasons: list[str]
    writers: list[OpenWriter]


def health(consumer: ConsumerOverview) -> Health:
    """Return how a consumer is doing, for the color in which it is shown."""
    if consumer.paused_at is not None:
        return "paused"
    if consumer.has_missed_messages or (consumer.members and not _is_alive(consumer)):
        return "bad"
    if consumer.lag is None:
        return "busy"
    if consumer.lag.messages and consumer.lag.seconds >= _FAR_BEHIND:
        return "bad"
    is_behind = consumer.lag.messages and consumer.lag.seconds >= _BEHIND
    return "busy" if is_behind or consumer.dead_letters else "good"


def most_urgent(consumers: Sequence[ConsumerOverview], number: int) -> list[ConsumerOverview]:
    """Return the consumers that need most attention, at most so many, in the given order."""
    if len(consumers) <= number:
        return list(consumers)

    def urgency(consumer: ConsumerOverview) -> tuple[int, int]:
        return _URGENCY[health(consumer)], consumer.lag.messages if consumer.lag else 0

    chosen = {each.name for each in nlargest(number, consumers, key=urgency)}
    return [each for each in consumers if each.name in chosen]


def diagnose(
    db: Connection, consumer: ConsumerOverview, rate: float | None, now_silent: float | None
) -> Diagnosis:
    """Return what keeps a consumer from advancing.

    Args:
        db: a connection.
        consumer: the consumer.
        rate: how many messages per second it has passed recently; None if unknown.
        now_silent: the number of seconds since it last saved a position; None if it never did.
    """
    writers: list[OpenWriter] = []
    if consumer.reads is not None and consumer.lag is not None:
        writers = holding_back(db, consumer.reads.categories, consumer.lag.position or 0)
    return Diagnosis(list(_reasons(consumer, rate, now_silent, writers)), writers)


def _reasons(
    consumer: ConsumerOverview,
    rate: float | None,
    silent: float | None,
    writers: list[OpenWriter],
) -> Iterator[str]:
    waiting = 0 if consumer.lag is None else consumer.lag.messages
    if consumer.paused_at is not None:
        yield f"It is paused, by {consumer.paused_by}. Resume it."
    if consumer.has_missed_messages:
        yield (
            f"Messages up to {consumer.deleted_up_to:,} that it has not handled were deleted. It "
            "stops with MessagesDeleted; reset it to a later position, or let it start at the "
            "earliest message that is left."
        )
    if consumer.reads is None:
        yield "It has not been started since the store was upgraded; what it reads is unknown."
    if consumer.members and not _is_alive(consumer):
        yield "No process runs it: the leases of all members of its group have expired."
    for writer in writers:
        yield f"It is {writer}. It continues when this transaction ends."
    if consumer.dead_letters:
        yield (
            f"{consumer.dead_letters:,} of its messages are dead letters: streams with a failed "
            "message wait until it is replayed or skipped. Other streams are not affected."
        )
    is_explained = consumer.paused_at is not None or writers or consumer.has_missed_messages
    if waiting and not is_explained and not consumer.members:
        if not rate and silent is not None and silent >= _SILENT:
            yield (
                f"Its position was last saved {duration(silent)} ago. Either no process runs it, "
                "or its handler is slow or fails; its log says which."
            )
    elif waiting and not is_explained and rate == 0:
        yield "Its handler is slow or fails; its log says which."


def _is_alive(consumer: ConsumerOverview) -> bool:
    return any(member.is_alive for member in consumer.members)
