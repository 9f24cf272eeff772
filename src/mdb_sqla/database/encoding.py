"""Errors for characters that the encoding of a connection or database can't represent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from mdb_sqla.database.error_fields import diagnostics_of
from mdb_sqla.errors import InvalidArgument

__all__ = ["encodings_translated"]

_UNTRANSLATABLE = "22P05"


@contextmanager
def encodings_translated() -> Iterator[None]:
    """Raise `InvalidArgument` if an encoding can't represent a character of a read.

    Writes raise `InvalidMessage` instead, which identifies the message.
    """
    try:
        yield
    except (DBAPIError, UnicodeEncodeError) as error:
        fields = diagnostics_of(error)
        if fields.sqlstate != _UNTRANSLATABLE and not isinstance(error, UnicodeEncodeError):
            raise
        raise InvalidArgument(
            "The encodings of the connection and the database are not compatible: "
            f"{fields.message}. Set connect_args={{'client_encoding': 'utf8'}}; a database whose "
            "encoding is not UTF8 can't store or look up other characters"
        ) from error
