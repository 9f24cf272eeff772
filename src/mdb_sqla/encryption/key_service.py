"""What keeps the keys of subjects."""

from __future__ import annotations

from typing import Protocol

__all__ = ["AsyncKeyService", "KeyService"]


class KeyService(Protocol):
    """Keeps a key of 32 bytes for each subject, such as `KeyTable`, or a service of your own."""

    def create_key(self, subject: str) -> bytes:
        """Return the key of a subject, after creating it if there is none.

        All processes must get the same key, also if they create it at the same time, and it must
        outlive a rollback of the caller's transaction.

        Raises:
            SubjectForgotten: the key was deleted. No other one may be created: what was encrypted
                with the deleted one would no longer be recognized as forgotten.
        """

    def find_key(self, subject: str) -> bytes | None:
        """Return the key of a subject; None if it was deleted.

        Raises:
            NoSubjectKey: the subject never had a key.
        """


class AsyncKeyService(Protocol):
    """A `KeyService` with async methods."""

    async def create_key(self, subject: str) -> bytes:
        """Return the key of a subject, after creating it if there is none."""

    async def find_key(self, subject: str) -> bytes | None:
        """Return the key of a subject; None if it was deleted."""
