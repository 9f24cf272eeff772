"""Characters that the encoding of a connection, or of its database, has not got."""

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
    """Raise our own error where an encoding lacks a character of what is read, or asked for.

    For reads only: what is written is named with its message, see `refused_message`.
    """
    try:
        yield
    except (DBAPIError, UnicodeEncodeError) as error:
        said = diagnostics_of(error)
        if said.sqlstate != _UNTRANSLATABLE and not isinstance(error, UnicodeEncodeError):
            raise
        raise InvalidArgument(
            "The encodings of the connection and of the database have not the same characters: "
            f"{said.message}. Set that of the connection with "
            "connect_args={'client_encoding': 'utf8'}; "
            "a database in another encoding has no names with characters that are not in it"
        ) from error
