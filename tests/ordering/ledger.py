"""What became of every message that a writer of the race meant to write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from threading import Lock
from uuid import UUID


class Ledger:
    """Kept by all writers together."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.counts: Counter[str] = Counter()
        self.committed: set[UUID] = set()
        self.given_up: set[UUID] = set()
        self.unknown: set[UUID] = set()
        """Those whose writer was gone before it heard of its commit."""

    def count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1

    def enter(self, attempt: Attempt) -> None:
        with self._lock:
            self.given_up |= attempt.taken_back
            {
                "committed": self.committed,
                "given up": self.given_up,
                "unknown": self.unknown,
            }[attempt.outcome].update(attempt.ids)

    def differences(self, stored: Iterable[UUID]) -> list[str]:
        """What is wrong with the messages in the table."""
        ids = set(stored)
        lost = self.committed - ids
        undead = ids & self.given_up
        foreign = ids - self.committed - self.given_up - self.unknown
        return [
            f"{len(messages)} messages {problem}: {sorted(map(str, messages))[:5]}"
            for problem, messages in [
                ("were committed, and are not there", lost),
                ("were given up, and are there", undead),
                ("are there that nobody wrote", foreign),
            ]
            if messages
        ]


class Attempt:
    """One transaction of a writer."""

    def __init__(self) -> None:
        self.ids: set[UUID] = set()
        self.taken_back: set[UUID] = set()
        self.outcome = "given up"

    def take_back(self, ids: set[UUID]) -> None:
        """They were rolled back to a savepoint."""
        self.ids -= ids
        self.taken_back |= ids

    def commits(self) -> None:
        """The commit is on its way; only its answer tells what comes of it."""
        self.outcome = "unknown"

    def committed(self) -> None:
        self.outcome = "committed"

    def given_up(self) -> None:
        self.outcome = "given up"
