"""The next batch of a slot, read from a standby."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, bindparam, exists, func, select, update
from sqlalchemy.orm import Session

from mdb_sqla.column_types import Instant
from mdb_sqla.consumers.batch_read import Batch, Confirmation, confirm
from mdb_sqla.consumers.claims import IS_CLAIMED, IS_SLOT, Claim
from mdb_sqla.consumers.deleted_messages import deleted_up_to, last_deleted
from mdb_sqla.consumers.loop_operations import Operation, Transact
from mdb_sqla.consumers.rewind_check import Anchor
from mdb_sqla.consumers.run_control import Control
from mdb_sqla.consumers.settings import Settings
from mdb_sqla.consumers.standby_turns import read_in_turn
from mdb_sqla.database.execution import WRITES, execute
from mdb_sqla.store.read_arguments import CategoryFilters
from mdb_sqla.store.read_statements import read_up_to
from mdb_sqla.store.standby_reads import (
    Horizon,
    Refusal,
    check_standby,
    evidence,
    remains_standby,
)
from mdb_sqla.store.standbys import Standbys, server_name
from mdb_sqla.tables import consumer_slots as slots
from mdb_sqla.tables import messages

__all__ = ["StandbyReader"]

_MOST_COUNTED = 1000


class _Asked(NamedTuple):
    """The answer of the primary server.

    Attributes:
        confirmation: the slot's state.
        horizon: up to where to read; None if there is nothing to read.
        written_at: when the slot's row was last written; None if another process has claimed it.
        is_marked: whether that was after the horizon was determined.
    """

    confirmation: Confirmation
    horizon: Horizon | None
    written_at: datetime | None
    is_marked: bool = False


_MARK = (
    update(slots)
    .where(IS_CLAIMED)
    .values(updated_at=func.clock_timestamp())
    # Its commit is to be on disk, which standbys wait for.
    .returning(slots.c.updated_at, func.pg_catalog.set_config("synchronous_commit", "local", True))
)
_written_at = bindparam("written_at", type_=Instant)
_positions = (
    select(messages.c.global_position)
    .where(
        messages.c.global_position > bindparam("reached", type_=BigInteger),
        messages.c.global_position <= bindparam("up_to", type_=BigInteger),
    )
    .order_by(messages.c.global_position)
    .limit(_MOST_COUNTED)
    .subquery()
)
# The other values: whether the slot's row was written again, by another process that has since
# claimed the slot, and how many messages of any category there are to read.
_EVIDENCE = evidence(
    exists().where(IS_CLAIMED, slots.c.updated_at == _written_at),
    exists().where(IS_SLOT, slots.c.updated_at > _written_at),
    select(func.count()).select_from(_positions).scalar_subquery(),
)
_DELETED = select(deleted_up_to(), last_deleted())


class StandbyReader:
    """Reads the batches of a slot from standbys.

    The witness of a standby is the slot's row, as the primary server has it. The slot's owner
    writes it before the first read, and after each promotion.

    Another server may have been promoted since then, and the standby may follow that. So it may
    have the witness and the last message, and lack an earlier one that was committed later. Where
    the positions that it has are not consecutive, or too many to be counted, the owner asks again
    and then writes its row: a standby that shows this has all commits before.

    Args:
        settings: the consumer's settings.
        standbys: the standbys.
        claim: the claim to the slot.
        filters: the filters of the slot.
        control: may stop or pause the consumer while it waits for a standby.
    """

    def __init__(
        self,
        settings: Settings,
        standbys: Standbys,
        claim: Claim,
        filters: CategoryFilters,
        control: Control,
    ) -> None:
        self._settings = settings
        self._standbys = standbys
        self._claim = claim
        self._filters = filters
        self._control = control
        # The timeline on which the slot's row was written, and when.
        self._written: tuple[str, datetime] | None = None

    def batch(
        self,
        reached: int,
        anchor: Anchor | None,
        prepare: Callable[[Session], object],
    ) -> Generator[Operation, Any, Batch | None]:
        """Read the next batch, or return None if no standby can serve it.

        Args:
            reached: the global position up to which all messages are handled.
            anchor: the last message read.
            prepare: called in the transaction on the primary server, before anything is read.
        """
        if self._standbys.are_unavailable:
            return None
        ask = partial(self._ask, reached, anchor, prepare)
        found = yield from self._read_from(reached, ask)
        if found is Refusal.HAS_GAPS:
            # With a new horizon: there may have been a failover since.
            found = yield from self._read_from(reached, partial(ask, with_mark=True))
        return None if isinstance(found, Refusal) else found

    def _read_from(
        self, reached: int, ask: Callable[[Session], _Asked]
    ) -> Generator[Operation, Any, Batch | Refusal | None]:
        asked: _Asked = yield Transact(ask)
        horizon, written_at = asked.horizon, asked.written_at
        if horizon is None or written_at is None:
            return Batch(asked.confirmation, [], None)
        self._written = horizon.timeline, written_at
        control = self._control
        return (
            yield from read_in_turn(
                self._standbys,
                horizon,
                partial(self._read, asked, horizon, reached),
                self._standbys.max_wait,
                lambda: control.stopping or control.is_paused,
            )
        )

    def _ask(
        self,
        reached: int,
        anchor: Anchor | None,
        prepare: Callable[[Session], object],
        session: Session,
        *,
        with_mark: bool = False,
    ) -> _Asked:
        """Ask the primary server what to read, and write the slot's row if necessary."""
        prepare(session)
        categories = self._settings.categories
        found, horizon, written_at = confirm(session, self._claim, anchor, categories)
        if (
            horizon is None
            or written_at is None
            or horizon.position <= reached
            or found.token != self._claim.token
        ):
            return _Asked(found, None, None)
        with_mark = with_mark or horizon.position - reached > _MOST_COUNTED
        if with_mark or not self._has_written(horizon.timeline, written_at):
            rows = execute(session, _MARK, self._claim.parameters, WRITES)
            return _Asked(found, horizon, rows[0].updated_at if rows else None, is_marked=True)
        return _Asked(found, horizon, written_at)

    def _has_written(self, timeline: str, written_at: datetime) -> bool:
        """Return whether this owner has written the slot's row on this timeline."""
        if self._written is None or self._written[0] != timeline:
            return False
        # Otherwise, two standbys were promoted to timelines of the same number.
        return written_at >= self._written[1]

    def _read(
        self, asked: _Asked, horizon: Horizon, reached: int, connection: Connection
    ) -> Batch | Refusal:
        """Read on a standby, if it has replayed what is to be read."""
        values = {**self._claim.parameters, "written_at": asked.written_at, "reached": reached}
        max_wait = self._standbys.max_wait
        refusal, others = check_standby(connection, horizon, max_wait, _EVIDENCE, values)
        if refusal is Refusal.LACKS_WITNESS:
            is_newer = others[0]
            # Otherwise, it may have been written after the horizon.
            return Refusal.IS_NEWER if is_newer else Refusal.LAGS
        if refusal is not None:
            return refusal
        if not asked.is_marked and others[1] < horizon.position - reached:
            return Refusal.HAS_GAPS
        settings = self._settings
        found_messages = read_up_to(
            connection,
            settings.categories,
            reached + 1,
            settings.batch_size,
            horizon.position,
            **self._filters,
        )
        # After the read, which lacks what was deleted before.
        read = {"read_categories": list(settings.categories)}
        deleted, last = tuple(execute(connection, _DELETED, read, WRITES)[0])
        if not remains_standby(connection):
            return Refusal.IS_NO_STANDBY
        found = asked.confirmation
        found = found._replace(
            deleted_up_to=max(deleted, found.deleted_up_to),
            last_deleted=max(last, found.last_deleted),
        )
        anchor = Anchor(horizon.position, horizon.id)
        return Batch(found, found_messages, anchor, server_name(connection.engine))
