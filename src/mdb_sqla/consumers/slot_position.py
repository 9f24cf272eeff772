"""Up to where a slot's messages are done, and whether the database still has them."""

from __future__ import annotations

import logging
from collections.abc import Generator
from functools import partial
from typing import Any

from mdb_sqla.consumers import positions
from mdb_sqla.consumers.claims import Claim
from mdb_sqla.consumers.confirmed_read import Confirmation
from mdb_sqla.consumers.history_anchor import Anchor
from mdb_sqla.consumers.operations import Forgotten, Step, Transact, Unconfirmed
from mdb_sqla.consumers.positions import Standing
from mdb_sqla.consumers.retries import log
from mdb_sqla.errors import ConsumerAhead, SlotLost

__all__ = ["SlotPosition"]


class SlotPosition:
    """A slot's position as this process has it, in memory and saved.

    Args:
        claim: to the slot.
        position: what the database has.
        start: where the consumer begins when it runs for the first time.

    Attributes:
        reached: up to where all is done.
        saved: what of it is saved.
        anchor: the last message up to there that was read; None where none was.
    """

    def __init__(self, claim: Claim, position: int, start: int) -> None:
        self._claim = claim
        self._start = start
        self.reached = self.saved = position
        self.anchor: Anchor | None = None
        self._saved_anchor: Anchor | None = None
        self._sequence: int | None = None  # the file of the sequence that has drawn its position

    def move(self, anchor: Anchor) -> None:
        """Note that all up to a message is done."""
        self.reached, self.anchor = anchor.global_position, anchor

    def note_saved(self) -> None:
        """Note that what is reached is saved, with what handlers did."""
        self.saved, self._saved_anchor = self.reached, self.anchor

    def save(self, *, at_least: int = 1) -> Generator[Step, Any, None]:
        """Save a position that messages without a handler have moved, where it has come far."""
        if self.reached - self.saved >= at_least:
            assert self.anchor is not None  # noqa: S101 (it is what has moved the position)
            yield Transact(
                partial(positions.save, self._claim, self.saved, self.reached, [self.anchor])
            )
            self.note_saved()

    def renew(self) -> Generator[Step, Any, bool]:
        """Take the position that the database has, whatever was in memory.

        What was lost with a connection may have been committed, and what was committed may be lost.

        Returns:
            Whether it is another one than the one that was saved.

        Raises:
            SlotLost: the slot is no longer held here.
            ClaimForgotten: the database does not know that it is held here.
            ConsumerAhead: the store has not reached the position.
        """
        standing: Standing = yield Transact(
            partial(positions.renew, self._claim, self._saved_anchor)
        )
        position, saved = standing.position, self.saved
        is_ahead = standing.is_ahead and position != self._start - 1
        if is_ahead or (position == saved and self._is_replaced(standing)):
            raise ConsumerAhead(self._claim.consumer, self._claim.slot, position, standing.drawn)
        if position != saved:
            level = logging.WARNING if position < saved else logging.INFO
            log(
                level,
                self._claim.consumer,
                "continues after global position %d in slot %d, and not after %d",
                position,
                self._claim.slot,
                saved,
            )
        self.reached, self.anchor = position, standing.anchor
        self.note_saved()
        self._sequence = standing.sequence
        return position != saved

    def check(self, found: Confirmation) -> None:
        """Check that the database has what is in memory, when it was read.

        Raises:
            SlotLost: the slot is no longer held here.
            Unconfirmed: it has something else.
        """
        if found.token is not None and found.token > self._claim.token:
            raise SlotLost(self._claim.consumer, self._claim.slot)
        if found.token != self._claim.token:
            raise Unconfirmed(f"the database has forgotten who claimed slot {self._claim.slot}")
        if found.position != self.saved:
            raise Unconfirmed(
                f"its position is {found.position} in the database, and not {self.saved}"
            )
        if found.sequence != self._sequence:
            raise Unconfirmed("the sequence of global positions was altered")
        if self.anchor is not None and not found.has_anchor:
            kind = Unconfirmed if self.reached > self.saved else Forgotten
            raise kind(
                f"message {self.anchor.global_position} that it has read is not in the "
                "database any more"
            )

    def _is_replaced(self, standing: Standing) -> bool:
        """Whether other messages were written up to the saved position than those it has read."""
        anchor = self._saved_anchor
        if anchor is None or standing.id_at_anchor == anchor.id:
            return False
        # Where it was only deleted, nothing has taken its place, and nothing is drawn anew.
        return standing.id_at_anchor is not None or standing.sequence != self._sequence
