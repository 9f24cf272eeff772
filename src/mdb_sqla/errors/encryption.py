"""Errors of the encryption of personal data."""

from __future__ import annotations

from mdb_sqla.errors.base import MessageStoreError

__all__ = ["DecryptionFailed", "NoSubjectKey", "SubjectForgotten"]


class DecryptionFailed(MessageStoreError):
    """An encrypted field or a wrapped key that was altered, moved, or needs another key.

    Attributes:
        subject: the subject whose key was used.
    """

    def __init__(self, what: str, subject: str, why: str) -> None:
        super().__init__(f"{what} can't be decrypted: {why}")
        self.subject = subject


class NoSubjectKey(MessageStoreError):
    """A subject never had a key, but has encrypted fields.

    The keys are in another database or key service, or were restored from an older backup than the
    messages.

    Attributes:
        subject: the subject.
    """

    def __init__(self, subject: str) -> None:
        super().__init__(f"There is no key for subject {subject}, and it was not forgotten")
        self.subject = subject


class SubjectForgotten(MessageStoreError):
    """Personal data of a subject whose key was deleted: nothing more can be encrypted for it.

    Attributes:
        subject: the subject.
    """

    def __init__(self, subject: str) -> None:
        super().__init__(
            f"Subject {subject} was forgotten, and gets no new key: use another id for a new "
            "subject, or leave out the personal data"
        )
        self.subject = subject
