"""Which fields of a message are personal data, and whose."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from mdb_sqla.errors import InvalidArgument, InvalidMessage
from mdb_sqla.words.argument_checks import described, key, text
from mdb_sqla.words.message import Message

__all__ = ["MISSING", "PersonalData", "checked", "replace_value", "value_at"]

MISSING = object()


@dataclass(frozen=True)
class PersonalData:
    """The fields of a message type that are encrypted with the key of one subject.

    A field is named by its key in `data`, or by several keys with dots between them for a field of
    a nested object, such as `address.city`.

    Attributes:
        subject: the field with the subject, which is not encrypted; or a function that returns it
            from the message's `data`. A subject is a string, an integer or a UUID.
        fields: the fields. A message without one of them is refused.
        optional: fields that may be missing.

    Raises:
        InvalidArgument: there are no fields, a field is invalid or named twice, or one contains
            another one or the subject.
    """

    subject: str | Callable[[Any], object]
    fields: Sequence[str]
    optional: Sequence[str] = ()

    def __post_init__(self) -> None:
        for what in ("fields", "optional"):
            names = getattr(self, what)
            if isinstance(names, str) or not isinstance(names, Sequence):
                raise InvalidArgument(f"{what} must be a sequence of names, got {described(names)}")
            for name in names:
                if not all(text(what, name).split(".")):
                    raise InvalidArgument(
                        f"{what} must be names with single dots between them, got {described(name)}"
                    )
        if not self.fields and not self.optional:
            raise InvalidArgument("fields must name at least one field")
        if not callable(self.subject):
            text("subject", self.subject)
        _check_apart([self])

    def found_in(self, message: Message) -> Iterator[tuple[str, str]]:
        """Yield the fields that a message has, each with the subject.

        Raises:
            InvalidMessage: a field is missing, or the subject is invalid.
        """
        subject = None
        for field in (*self.fields, *self.optional):
            if value_at(message, field) is not MISSING:
                subject = subject or self._subject_of(message)
                yield field, subject
            elif field in self.fields:
                raise InvalidMessage(
                    message, f"personal data {field!r} is missing; name it in `optional` if it may"
                )

    def _subject_of(self, message: Message) -> str:
        if callable(self.subject):
            value = self.subject(message.data)
        else:
            value = value_at(message, self.subject)
        if isinstance(value, UUID) or (isinstance(value, int) and not isinstance(value, bool)):
            value = str(value)
        try:
            return key("subject", None if value is MISSING else value)
        except InvalidArgument as error:
            raise InvalidMessage(message, str(error)) from error


def checked(
    personal_data: Mapping[str, PersonalData | Sequence[PersonalData]],
) -> dict[str, tuple[PersonalData, ...]]:
    """Return the personal data of each message type.

    Raises:
        InvalidArgument: the argument is not such a mapping, or fields of a type overlap.
    """
    if not isinstance(personal_data, Mapping):
        raise InvalidArgument(
            f"personal_data must be a mapping of message types, got {described(personal_data)}"
        )
    result = {}
    for type_, value in personal_data.items():
        parts = (value,) if isinstance(value, PersonalData) else value
        if not isinstance(parts, Sequence) or not all(isinstance(p, PersonalData) for p in parts):
            raise InvalidArgument(
                f"personal_data must have PersonalData for each type, got {described(value)}"
            )
        _check_apart(parts)
        result[text("message type", type_)] = tuple(parts)
    return result


def value_at(message: Message, field: str) -> Any:
    """Return the value of a field, or `MISSING`.

    Raises:
        InvalidMessage: what should contain the field is not an object.
    """
    value = message.data
    for number, name in enumerate(field.split(".")):
        if value is None and number:
            return MISSING
        if not isinstance(value, Mapping):
            # An unencrypted value, such as a text instead of an object, would go unnoticed.
            raise InvalidMessage(
                message, f"there must be an object with {name!r} for personal data {field!r}"
            )
        if name not in value:
            return MISSING
        value = value[name]
    return value


def replace_value(data: dict[str, Any], field: str, value: Any) -> None:
    """Replace the value of a field; nested objects are copied."""
    name, _, rest = field.partition(".")
    if rest:
        inner = {**data[name]}
        replace_value(inner, rest, value)
        value = inner
    data[name] = value


def _check_apart(parts: Sequence[PersonalData]) -> None:
    fields = [field for part in parts for field in (*part.fields, *part.optional)]
    read = [part.subject for part in parts if isinstance(part.subject, str)]
    for number, field in enumerate(fields):
        for other in (*fields[number + 1 :], *read):
            if f"{field}.".startswith(f"{other}.") or f"{other}.".startswith(f"{field}."):
                raise InvalidArgument(
                    f"Personal data {field!r} and {other!r} overlap; name each field once, and "
                    "leave the subject unencrypted"
                )
