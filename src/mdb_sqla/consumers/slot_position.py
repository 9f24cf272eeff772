"""The position of a slot, and checks that the database still matches it."""

from __future__ import annotations

import logging
from collections.abc import Generator
from functools import partial
from typing import Any

from mdb_sqla.consumers import saved_positions
from mdb_sqla.consumers.batch_read import Confirmation
from mdb_sqla.consumers.claims import Claim
from mdb_sqla.consumers.loop_operations import (
    AnchorDeleted,
    AnchorMissing,
    Operation,
    StateMismatch,
    Transact,
)
from mdb_sqla.consumers.rewind_check import Anchor
from mdb_sqla.consumers.run_control import log
from mdb_sqla.consumers.saved_positions import SlotState
from mdb_sqla.consumers.settings import Settings
from mdb_sqla.errors import ConsumerAhead, MessagesDeleted, SlotLost

__all__ = ["SlotPosition"]


class SlotPosition:
    """The position of a slot, in memory and as saved.

    Args:
        claim: the claim to the slot.
        position: the position in the database.
        settings: the consumer's settings.

    Attributes:
        reached: the position up to which all messages are handled.
        saved: the saved position.
        anchor: the last message read up to `reached`; None if none was read.
        is_paused: whether the consumer was paused when the position was last compared with the
            database.
    """

    def __init__(self, claim: Claim, position: int, settings: Settings) -> None:
        self._claim = claim
        self._settings = settings
        self.reached = self.saved = position
        self.anchor: Anchor | None = None
        self.is_paused = False
        self._saved_anchor: Anchor | None = None
        self._sequence: int | None = None  # the file of the sequence of global positions

    def advance(self, anchor: Anchor) -> None:
        """Advance to a message, up to which everything is handled."""
        self.reached, self.anchor = anchor.global_position, anchor

    def mark_saved(self) -> None:
        """Record that the reached position was saved together with the handlers' effects."""
        self.saved, self._saved_anchor = self.reached, self.anchor

    def save(self, *, at_least: int = 1) -> Generator[Operation, Any, None]:
        """Save the position if skipped messages have advanced it by `at_least`."""
        if self.reached - self.saved >= at_least:
            assert self.anchor is not None  # noqa: S101 (`advance` has set it)
            yield Transact(
                partial(saved_positions.save, self._claim, self.saved, self.reached, [self.anchor])
            )
            self.mark_saved()

    def reload(self) -> Generator[Operation, Any, bool]:
        """Replace the position in memory with the one in the database.

        A commit whose connection was lost may have succeeded, and a failover may have lost commits.

        Returns:
            Whether it differs from the position that was saved.

        Raises:
            SlotLost: another process has taken over the slot.
            ClaimMissing: the database has lost the claim.
            ConsumerAhead: the position is beyond the last message of the store.
            MessagesDeleted: messages beyond the position were deleted.
        """
        state: SlotState = yield Transact(
            partial(
                saved_positions.load, self._claim, self._saved_anchor, self._settings.categories
            )
        )
        self.is_paused = state.is_paused
        position, saved = state.position, self.saved
        is_ahead = state.is_ahead and position != self._settings.start - 1
        if is_ahead or (position == saved and self._is_replaced(state)):
            raise ConsumerAhead(
                self._claim.consumer, self._claim.slot, position, state.last_assigned
            )
        self._check_deleted(position, state.deleted_up_to)
        if position != saved:
            level = logging.WARNING if position < saved else logging.INFO
            log(
                level,
                self._claim.consumer,
                "consumer.position_changed",
                "continues at position %d in slot %d, the position in the database, instead of %d",
                position,
                self._claim.slot,
                saved,
                slot=self._claim.slot,
                position=position,
                expected_position=saved,
            )
        self.reached, self.anchor = position, state.anchor
        self.mark_saved()
        self._sequence = state.sequence
        return position != saved

    def check(self, found: Confirmation) -> None:
        """Check that the database matches this position.

        Raises:
            SlotLost: another process has taken over the slot.
            StateMismatch: the database does not match.
            MessagesDeleted: messages beyond this position were deleted.
        """
        self.is_paused = found.is_paused
        if found.token is not None and found.token > self._claim.token:
            raise SlotLost(self._claim.consumer, self._claim.slot)
        if found.token != self._claim.token:
            raise StateMismatch(f"the database has lost its claim to slot {self._claim.slot}")
        if found.position != self.saved:
            raise StateMismatch(
                f"its position in the database is {found.position}, not {self.saved}"
            )
        if found.sequence != self._sequence:
            raise StateMismatch("the sequence of global positions was altered")
        self._check_deleted(self.reached, found.deleted_up_to)
        if self.anchor is not None and not found.has_anchor:
            kind: type[StateMismatch]
            if self.anchor.global_position <= found.last_deleted:
                kind = AnchorDeleted
            else:
                kind = StateMismatch if self.reached > self.saved else AnchorMissing
            raise kind(
                f"message {self.anchor.global_position}, which it has read, is no longer in the "
                "database"
            )

    def _check_deleted(self, position: int, deleted_up_to: int) -> None:
        if position < deleted_up_to and not self._settings.skips_deleted:
            raise MessagesDeleted(self._claim.consumer, self._claim.slot, position, deleted_up_to)

    def _is_replaced(self, state: SlotState) -> bool:
        """Whether the messages up to the saved position are not those that were read."""
        anchor = self._saved_anchor
        if anchor is None or state.id_at_anchor == anchor.id:
            return False
        # If the anchor was merely deleted, no message replaces it and the sequence is the same.
        return state.id_at_anchor is not None or state.sequence != self._sequence
