"""The differences between the two stores that are meant, each as narrow as it can be said.

What is not compared at all: the column `time`, which is the clock's, and the wording of NOTICEs;
whether there is one is compared. One difference can't be shown: the smallest bigint has no absolute
value, so that the original fails on a stream whose hash it is, but nobody knows such a stream.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import md5

from tests.side_by_side.calls import Call, Outcome, Refusal, Rows

_FALSE = ("", "OFF", "false", "0", "no")
"""What is no `off` to the original."""

_SMALLEST_BIGGER_THAN_SMALLINT = 2**15


@dataclass(frozen=True)
class Mode:
    """How the stores are called.

    Attributes:
        by_stream: whether writers of ours lock streams, and not categories.
        old_snapshot: whether the transaction is REPEATABLE READ or SERIALIZABLE.
    """

    by_stream: bool

    old_snapshot: bool = False


@dataclass(frozen=True)
class Comparison:
    """A call and what came of it.

    Attributes:
        without_group: what the original answers to the same call without a consumer group and,
            unless it is refused, without a limit.
    """

    call: Call
    theirs: Outcome
    ours: Outcome
    mode: Mode
    without_group: Callable[[], Rows | Refusal]


@dataclass(frozen=True)
class Difference:
    """A difference that is meant.

    Attributes:
        allows: whether it explains how the two outcomes differ, in full.
    """

    name: str
    reason: str
    allows: Callable[[Comparison], bool]


def _trial_insert(seen: Comparison) -> bool:
    theirs, ours = seen.theirs, seen.ours
    if not (
        seen.mode.old_snapshot
        and isinstance(theirs.answer, Refusal)
        and theirs.answer.text.startswith("Wrong expected version: ")
    ):
        return False
    too_long = isinstance(ours.answer, Refusal) and ours.answer.text.startswith("index row size ")
    answer = ours.answer if too_long else theirs.answer
    return ours == replace(theirs, answer=answer, sequence=theirs.sequence + 1)


def _only_true_activates(seen: Comparison) -> bool:
    ours = seen.ours.answer
    setting = seen.call.settings.get("sql_condition", "off")
    refusals = {
        **dict.fromkeys(_FALSE, "Retrieval with SQL condition is not activated"),
        "maybe": "Setting message_store.sql_condition must be on or off: maybe",
    }
    return (
        seen.call.passed().get("condition") is not None
        and isinstance(ours, Refusal)
        and ours.text == refusals.get(setting)
    )


def _true_is_on(seen: Comparison) -> bool:
    kind = "debug_get" if seen.call.function.startswith("get_") else "debug_write"
    settings = {seen.call.settings.get(name) for name in ("debug", kind)}
    return (
        not settings.isdisjoint({"ON", "true", "1", "yes"})
        and not seen.theirs.noticed
        and replace(seen.theirs, noticed=True) == seen.ours
    )


def _group_of_any_size(seen: Comparison) -> bool:
    return (
        seen.theirs.answer == Refusal("22003", "smallint out of range")
        and seen.call.passed()["consumer_group_size"] >= _SMALLEST_BIGGER_THAN_SMALLINT
        and seen.ours.answer == _read_by_member(seen, names_stand_in=True)
    )


def _streams_without_id(seen: Comparison) -> bool:
    return (
        seen.call.passed().get("consumer_group_size") is not None
        and seen.theirs.answer == _read_by_member(seen, names_stand_in=False)
        and seen.ours.answer == _read_by_member(seen, names_stand_in=True)
        and _same_but_answers(seen)
    )


def _read_by_member(seen: Comparison, names_stand_in: bool) -> Rows | Refusal:
    """What a member of a consumer group reads, by the contract's words, done in Python."""
    everything = seen.without_group()
    if isinstance(everything, Refusal):
        return everything
    arguments = seen.call.passed()
    stream_name = [name for name, _ in everything.columns].index("stream_name")

    def is_read(name: str) -> bool:
        _, dash, stream_id = name.partition("-")
        if not dash and not names_stand_in:
            return False
        key = stream_id.split("+")[0] if dash else name
        first_64_bits = md5(key.encode()).digest()[:8]
        hashed = abs(int.from_bytes(first_64_bits, signed=True))
        return bool(hashed % arguments["consumer_group_size"] == arguments["consumer_group_member"])

    rows = tuple(row for row in everything.rows if is_read(row[stream_name]))
    batch_size = arguments.get("batch_size")
    limit = 1_000 if batch_size is None else None if batch_size == -1 else batch_size
    return replace(everything, rows=rows[:limit])


def _refused_id_leaves_a_gap(seen: Comparison) -> bool:
    theirs, ours = seen.theirs, seen.ours
    return (
        isinstance(theirs.answer, Refusal)
        and theirs.answer.text.startswith("invalid input syntax for type uuid: ")
        and ours == replace(theirs, sequence=theirs.sequence + 1)
    )


def _category_under_an_old_snapshot(seen: Comparison) -> bool:
    return (
        seen.mode.by_stream
        and seen.mode.old_snapshot
        and seen.call.function == "get_category_messages"
        and isinstance(seen.ours.answer, Refusal)
        and seen.ours.answer.text.startswith("Must be read at isolation level read committed")
        # Refused before there is a command to show.
        and replace(seen.theirs, answer=seen.ours.answer, noticed=seen.ours.noticed) == seen.ours
    )


def _same_but_answers(seen: Comparison) -> bool:
    return replace(seen.theirs, answer=seen.ours.answer) == seen.ours


DIFFERENCES = (
    Difference(
        "only what is true activates conditions",
        "to the original everything activates but NULL and `off`, even the empty string that a "
        "SET LOCAL leaves behind for the rest of the session",
        _only_true_activates,
    ),
    Difference(
        "whatever is true turns debugging on",
        "to the original only `on` does",
        _true_is_on,
    ),
    Difference(
        "consumer groups of any size",
        "the original takes the size for a smallint",
        _group_of_any_size,
    ),
    Difference(
        "streams without an id belong to a member of a consumer group",
        "in the original they have no cardinal id to hash, so that no member ever reads them; "
        "here the name stands in",
        _streams_without_id,
    ),
    Difference(
        "a refused id leaves a gap",
        "global positions may have gaps: ours draws one before it reads the id, once the session "
        "has a generic plan; the original reads the id first",
        _refused_id_leaves_a_gap,
    ),
    Difference(
        "an insert is tried before a version is refused under an old snapshot",
        "it fails with a serialization failure if the version that was read is not the stream's "
        "any more, which the original reports as a wrong version; otherwise it leaves a gap, or "
        "is refused itself if the name is too long for the index",
        _trial_insert,
    ),
    Difference(
        "where writers lock streams, categories are read at READ COMMITTED",
        "an older snapshot may lack messages of writers that have committed since, below others "
        "that it has; one who read on from there would skip them",
        _category_under_an_old_snapshot,
    ),
)


def difference(seen: Comparison) -> Difference | None:
    """The difference that explains two outcomes, or None if there is none."""
    return next((known for known in DIFFERENCES if known.allows(seen)), None)
