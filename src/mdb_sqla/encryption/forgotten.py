"""What stands for a value that nobody can decrypt any more."""

from __future__ import annotations

from typing import Any

__all__ = ["Forgotten"]


class Forgotten(str):
    """The value of a field whose subject was forgotten.

    It is an empty string, so it is false, and can be stored, formatted and serialized like any
    other string: a handler that does not know about it does not fail. Use `isinstance` to recognize
    it.

    Attributes:
        subject: the subject.
    """

    __slots__ = ("subject",)
    subject: str

    def __new__(cls, subject: str) -> Forgotten:
        """Return the value of a field of a subject."""
        self = super().__new__(cls)
        self.subject = subject
        return self

    def __repr__(self) -> str:
        return f"Forgotten({self.subject!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Forgotten, (self.subject,)
