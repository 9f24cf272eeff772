"""The two stores, asked the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from tests.side_by_side.calls import Call, Refusal, Rows
from tests.side_by_side.differences import Comparison, Difference, Mode, difference
from tests.side_by_side.store import Store


@dataclass
class Pair:
    """The original and ours, with the same messages in them.

    Attributes:
        mode: how they are called.
    """

    theirs: Store
    ours: Store
    mode: Mode

    @contextmanager
    def fresh(
        self,
        search_path: str = "",
        isolation_level: str = "READ COMMITTED",
    ) -> Iterator[None]:
        """Begin with no message and the first global position; what happens is rolled back.

        Args:
            search_path: the one that ours is called with; the original needs its own.
            isolation_level: that of both transactions.
        """
        before = self.mode
        with (
            self.theirs.transaction("message_store, public", isolation_level),
            self.ours.transaction(search_path, isolation_level),
        ):
            self.mode = replace(before, old_snapshot=isolation_level != "READ COMMITTED")
            try:
                yield
            finally:
                self.mode = before

    def call(self, call: Call) -> Difference | None:
        """Make a call to both; returns the difference that explains it if the outcomes differ."""
        theirs, ours = self.theirs.call(call), self.ours.call(call)
        if theirs == ours:
            return None

        def without_group() -> Rows | Refusal:
            batch_size = call.passed().get("batch_size")
            refused = batch_size is not None and batch_size < 0
            whole = call.but(
                consumer_group_member=None,
                consumer_group_size=None,
                batch_size=batch_size if refused else -1,
            )
            return self.theirs.call(whole).answer

        explanation = difference(Comparison(call, theirs, ours, self.mode, without_group))
        assert explanation is not None, f"{call}\nMessage DB: {theirs}\nours:       {ours}"
        if theirs.sequence != ours.sequence:
            self.theirs.move_sequence(ours.sequence)
        return explanation

    def assert_same_content(self) -> None:
        assert self.theirs.messages() == self.ours.messages()
        assert self.theirs.reports() == self.ours.reports()
