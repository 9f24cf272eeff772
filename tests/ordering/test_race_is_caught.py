"""The proof that the race test can fail: without any step of the algorithm, a message is skipped.

Every proof is an order of steps that the store as it is gets right, and that it gets wrong once a
step is missing or in another place. Pauses, which are in both, change nothing else.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import pytest
from sqlalchemy import URL

from tests.ordering import interleavings
from tests.ordering.follower import (
    ALL,
    CATEGORY,
    CONDITIONAL,
    FILTERED,
    READS,
    SETTLED,
    SETTLED_ALL,
    SEVERAL,
    SEVERAL_REVERSED,
    Skipped,
)
from tests.ordering.interleavings import WAYS, Interleaving
from tests.ordering.race import Race
from tests.ordering.stage import Edit, Stage, stage

WRITE = "write_message(varchar, varchar, varchar, jsonb, jsonb, bigint)"
WRITE_ALL = "write_messages(jsonb, jsonb, boolean)"
COPY = "prepare_copy(text[], bigint)"
LOCK = "acquire_lock(varchar)"
FLOOR = "take_floor()"
LAST = "last_global_position()"
BOUND = "read_bound(varchar[])"
READ = "get_category_messages(varchar, bigint, bigint, varchar, bigint, bigint, varchar)"
READ_ALL = "get_messages(varchar[], bigint, bigint, varchar, bigint, bigint, varchar)"
SETTLED_POSITION = "settled_position(varchar)"
SWITCH = "set_lock_granularity(varchar)"

_TAKE = "    PERFORM message_store.take_floor();\n"
_TAKE_ALONE = "  PERFORM message_store.take_floor();\n"
_TAKE_INLINE = """\
  IF current_setting('message_store.floor_' || 'message_store.messages'::regclass::oid::text, true)
    IS DISTINCT FROM pg_current_xact_id()::text
  THEN
    PERFORM message_store.take_floor();
  END IF;
"""
_TAKEN = "current_setting(_setting, true) IS DISTINCT FROM pg_current_xact_id()::text"
_TAKEN_INLINE = """\
current_setting('message_store.floor_' || 'message_store.messages'::regclass::oid::text, true)
    IS DISTINCT FROM pg_current_xact_id()::text"""
_INSERT = "  IF current_setting('transaction_isolation') = 'read committed' THEN\n    INSERT"
_DRAWN = "  RETURN _position;"
_DRAW_COPY = """\
  global_positions := ARRAY(
    SELECT nextval('message_store.messages_global_position_seq'::regclass)
    FROM generate_series(1, number)
  );
"""
_LOOK = "  -- With a floor and the lock"
_TRY = "pg_try_advisory_lock(_key) AND pg_advisory_unlock(_key)"
_LOOKED = "      SELECT least(_last, min("
_BY_STREAM = "  ELSE\n    _locked := pg_advisory_xact_lock_shared"
_QUERY = "    IF condition IS NOT NULL OR _debug THEN"
_OTHERS = "          AND pid IS DISTINCT FROM pg_backend_pid()"
_OTHERS_AT_ALL = "_messages AND pid IS DISTINCT FROM pg_backend_pid()"
_IS_SEEN = "message_store.locks_categories()"
# One for each form of the query.
_GUARD = f"<= _bound\n          AND (NOT _by_category OR {_IS_SEEN})"
_GUARD_MEMBER = f"consumer_group_size)\n          AND (NOT _by_category OR {_IS_SEEN})"
_GUARD_FILTERED = f"consumer_group_size)\n          AND {_IS_SEEN}"
_GUARD_CONDITIONAL = f"$sql$\n        AND {_IS_SEEN}"

_PAUSE_BETWEEN_FLOOR_AND_DRAW: Edit = (
    WRITE,
    _INSERT,
    f"  PERFORM public.pause('draw');\n{_INSERT}",
)
_PAUSE_BEFORE_COPY_DRAWS: Edit = (
    COPY,
    _DRAW_COPY,
    f"  PERFORM public.pause('draw');\n{_DRAW_COPY}",
)
_PAUSE_BEFORE_LOCKS: Edit = (BOUND, _LOOK, f"  PERFORM public.pause('locks');\n{_LOOK}")
_PAUSE_BEFORE_LAST: Edit = (
    BOUND,
    "BEGIN\n  IF pg_is_in_recovery",
    "BEGIN\n  PERFORM public.pause('last');\n  IF pg_is_in_recovery",
)
_PAUSE_BEFORE_ROWS: Edit = (READ, _QUERY, f"    PERFORM public.pause('snapshot');\n{_QUERY}")
_PAUSE_BEFORE_FLOOR: Edit = (
    FLOOR,
    "message_store.last_global_position()::bit(32)",
    "(message_store.last_global_position() + CASE WHEN public.pause('floor') THEN 0 END)::bit(32)",
)
_PAUSE_BEFORE_LOCKING: Edit = (
    WRITE,
    _BY_STREAM,
    _BY_STREAM.replace("ELSE", "ELSE\n    PERFORM public.pause('granularity');"),
)

_PAUSE_AFTER_NOTHING: Edit = (
    READ,
    "    EXIT WHEN FOUND OR NOT _by_category;\n",
    "    EXIT WHEN FOUND OR NOT _by_category;\n    PERFORM public.pause('nothing');\n",
)

_NO_FLOOR: Edit = (FLOOR, _TAKEN, "false")
_FLOOR_TOO_HIGH: Edit = (
    FLOOR,
    "message_store.last_global_position()::bit(32)",
    "(message_store.last_global_position() + 1)::bit(32)",
)


def _without(guard: str) -> Edit:
    """Leave the last condition of a query out."""
    before, _, _ = guard.rpartition("AND ")
    return READ, guard, f"{before}AND true"


class Proof(NamedTuple):
    """What goes well with the edits in `right`, and not with those in `wrong`."""

    interleaving: Interleaving
    wrong: tuple[Edit, ...]
    right: tuple[Edit, ...] = ()
    stable: str = ""
    """A function that is wrongly declared."""


slow = interleavings.first_writer_is_slow
stops = interleavings.first_writer_stops

PROOFS = {
    **{
        f"no floor, {name}": Proof(partial(slow, read=read), (_NO_FLOOR,))
        for name, read in READS.items()
    },
    "no floor in write_message": Proof(slow, ((WRITE, _TAKE_INLINE, ""),)),
    "no floor in write_messages": Proof(
        partial(slow, way="write_messages"), ((WRITE_ALL, _TAKE, ""),)
    ),
    "no floor in prepare_copy": Proof(
        partial(slow, way="prepare_copy"), ((COPY, _TAKE_ALONE, ""),)
    ),
    "no floor in acquire_lock": Proof(
        partial(slow, read=ALL, way="acquire_lock"), ((LOCK, _TAKE_ALONE, ""),)
    ),
    "no floor under category": Proof(
        partial(slow, read=SEVERAL, granularity="category"), (_NO_FLOOR,)
    ),
    "floor is one too high": Proof(partial(slow, read=SETTLED), (_FLOOR_TOO_HIGH,)),
    "floor is one too high, all": Proof(partial(slow, read=SETTLED_ALL), (_FLOOR_TOO_HIGH,)),
    "first position of all is thought to be drawn": Proof(
        partial(slow, read=SETTLED), ((LAST, "_first - 1", "_first"),)
    ),
    "floor's high bits are taken from the last position": Proof(
        partial(slow, last=2**32 - 1),
        ((BOUND, "_last - (_last - objid)::bit(32)::integer", "(_last >> 32 << 32) + objid"),),
    ),
    "floor after the draw in write_message": Proof(
        stops,
        (
            (WRITE, _TAKE_INLINE, ""),
            (WRITE, _DRAWN, f"  PERFORM public.pause('draw');\n{_TAKE_INLINE}\n{_DRAWN}"),
        ),
        (_PAUSE_BETWEEN_FLOOR_AND_DRAW,),
    ),
    "floor after the draw in prepare_copy": Proof(
        partial(stops, way="prepare_copy"),
        (
            (COPY, _TAKE_ALONE, ""),
            (COPY, _DRAW_COPY, f"{_DRAW_COPY}  PERFORM public.pause('draw');\n{_TAKE_ALONE}"),
        ),
        (_PAUSE_BEFORE_COPY_DRAWS,),
    ),
    **{
        f"floor is not taken again after a savepoint in {way}": Proof(
            partial(
                interleavings.first_writer_went_back_to_a_savepoint,
                way=way,
                read=ALL if way == "acquire_lock" else CATEGORY,
            ),
            (
                (FLOOR, _TAKEN, "pg_current_xact_id_if_assigned() IS NULL"),
                (WRITE, _TAKEN_INLINE, "pg_current_xact_id_if_assigned() IS NULL"),
            ),
        )
        for way in WAYS
    },
    "plain read under stream": Proof(
        slow, ((READ, "_bound := message_store.read_bound(ARRAY[category])", "_bound := 1000"),)
    ),
    "plain read of all": Proof(
        partial(slow, read=ALL),
        ((READ_ALL, "_bound := message_store.read_bound(categories)", "_bound := 1000"),),
    ),
    **{
        f"the categories' locks are shared with writers, {name}": Proof(
            partial(slow, read=read), ((BOUND, _TRY, _TRY.replace("lock(", "lock_shared(")),)
        )
        for name, read in READS.items()
        if read not in (ALL, SETTLED_ALL, SETTLED)
    },
    "only the last category's lock is looked at": Proof(
        partial(slow, read=SEVERAL, way="write_messages"),
        ((BOUND, "      EXIT WHEN _has_writers;\n", ""),),
    ),
    "only the first category's lock is looked at": Proof(
        partial(slow, read=SEVERAL_REVERSED),
        ((BOUND, "EXIT WHEN _has_writers", "EXIT"),),
    ),
    "the lock of another key": Proof(
        slow, ((BOUND, "_key := message_store.hash_64(_category)", "_key := 1"),)
    ),
    "last position after the locks": Proof(
        interleavings.writers_begin_while_reader_looks,
        (
            (
                BOUND,
                "  IF _has_writers THEN",
                "  _bound := CASE WHEN public.pause('locks') "
                "THEN message_store.last_global_position() END;\n  IF _has_writers THEN",
            ),
        ),
        (_PAUSE_BEFORE_LOCKS,),
    ),
    "last position after all the locks": Proof(
        interleavings.writers_begin_while_reader_looks,
        (
            (BOUND, "  IF _has_writers THEN", "  IF true THEN"),
            (
                BOUND,
                _LOOKED,
                "      SELECT least(CASE WHEN public.pause('locks') "
                "THEN message_store.last_global_position() END, min(",
            ),
        ),
        (_PAUSE_BEFORE_LOCKS,),
    ),
    **{
        f"rows from the caller's snapshot, {name}": Proof(
            partial(interleavings.first_writer_commits_while_reader_looks, read=read),
            (_PAUSE_BEFORE_LAST,),
            (_PAUSE_BEFORE_LAST,),
            function,
        )
        for name, read, function in [
            ("category", CATEGORY, READ),
            ("filtered", FILTERED, READ),
            ("several", SEVERAL, READ_ALL),
            ("all", ALL, READ_ALL),
        ]
    },
    **{
        f"old snapshot is not refused, {name}": Proof(
            partial(interleavings.reader_has_an_old_snapshot, read=read),
            ((BOUND, "_isolation IN ('repeatable read', 'serializable')", "false"),),
        )
        for name, read in READS.items()
    },
    **{
        f"locks of a category and floors don't meet, {name}": Proof(
            partial(slow, read=read),
            (
                (
                    BOUND,
                    "category_lock.virtualtransaction = floor",
                    "category_lock.virtualtransaction <> floor",
                ),
            ),
        )
        for name, read in [("category", CATEGORY), ("several", SEVERAL)]
    },
    "only writers of the category hold back what is settled": Proof(
        interleavings.writer_goes_on_to_the_category,
        ((SETTLED_POSITION, "read_bound(NULL)", "read_bound(ARRAY[category])"),),
    ),
    "what was settled in a transaction is forgotten": Proof(
        interleavings.first_writer_is_slow_to_take_its_floor,
        (_PAUSE_BEFORE_FLOOR, (BOUND, "PERFORM set_config(_setting", "PERFORM concat(_setting")),
        (_PAUSE_BEFORE_FLOOR,),
    ),
    "prepared transactions are overlooked": Proof(
        interleavings.first_writer_prepares,
        ((BOUND, _OTHERS, "          AND pid <> pg_backend_pid()"),),
    ),
    "prepared transactions are overlooked at first": Proof(
        partial(interleavings.first_writer_prepares, read=ALL),
        ((BOUND, _OTHERS_AT_ALL, "_messages AND pid <> pg_backend_pid()"),),
    ),
    "no barrier when the granularity is set": Proof(
        interleavings.switch_to_category,
        ((SWITCH, "  ALTER SEQUENCE message_store.messages_global_position_seq NO CYCLE;\n", ""),),
    ),
    "writers go past the barrier": Proof(
        interleavings.switch_while_writers_look,
        (
            (
                WRITE,
                "pg_sequence_last_value('message_store.messages_global_position_seq'::regclass)",
                "NULL",
            ),
            _PAUSE_BEFORE_LOCKING,
        ),
        (_PAUSE_BEFORE_LOCKING,),
    ),
    **{
        f"granularity is not looked up in the snapshot, {name}": Proof(
            partial(interleavings.switch_to_stream_while_reader_looks, read=read),
            (_without(guard), _PAUSE_BEFORE_ROWS),
            (_PAUSE_BEFORE_ROWS,),
        )
        for name, read, guard in [
            ("static", CATEGORY, _GUARD),
            ("member", SETTLED, _GUARD_MEMBER),
            ("filtered", FILTERED, _GUARD_FILTERED),
            ("conditional", CONDITIONAL, _GUARD_CONDITIONAL),
        ]
    },
    "granularity is not looked up in an old snapshot": Proof(
        partial(interleavings.reader_has_an_old_snapshot, switch=True), (_without(_GUARD),)
    ),
    "granularity may have been another in between": Proof(
        interleavings.switches_while_reader_looks,
        (
            (READ, "EXIT WHEN _by_category AND _set_by", "EXIT WHEN _by_category OR _set_by"),
            _PAUSE_BEFORE_ROWS,
            _PAUSE_AFTER_NOTHING,
        ),
        (_PAUSE_BEFORE_ROWS, _PAUSE_AFTER_NOTHING),
    ),
    "granularity is set with an old snapshot": Proof(
        interleavings.reader_switches,
        ((SWITCH, "IN ('repeatable read', 'serializable')", "IN ('')"),),
    ),
    "granularity is looked up as it is now": Proof(
        partial(interleavings.reader_has_an_old_snapshot, switch=True),
        (
            (
                READ,
                _GUARD,
                _GUARD.replace(_IS_SEEN, "message_store.lock_granularity() = 'category'"),
            ),
        ),
    ),
}


@pytest.mark.parametrize("name", PROOFS)
def test_nothing_is_skipped(stage_database: URL, name: str) -> None:
    proof = PROOFS[name]
    with stage(stage_database) as steps:
        steps.edit(proof.right)
        proof.interleaving(steps)


@pytest.mark.parametrize("name", PROOFS)
def test_without_the_step_a_message_is_skipped(stage_database: URL, name: str) -> None:
    proof = PROOFS[name]
    with stage(stage_database) as steps:
        steps.edit(proof.wrong)
        if proof.stable:
            steps.alter(proof.stable, "STABLE")
        with pytest.raises(Skipped):
            proof.interleaving(steps)


@pytest.mark.parametrize("name", ["no floor, all", "plain read of all"])
def test_race_finds_it_by_chance(database: URL, name: str) -> None:
    with ExitStack() as stack:
        Stage(database, stack).edit(PROOFS[name].wrong)

    outcome = Race(database, seconds=3, seed=1).run()

    assert "skipped" in "\n".join(outcome.problems)
