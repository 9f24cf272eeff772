"""Where an archive is: an absolute path, or the URL of a folder in a file system of fsspec."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mdb_sqla.errors import InvalidArgument
from mdb_sqla.words.argument_checks import described, text

__all__ = ["archive_url"]

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(?=://)")
_IN_MEMORY = {"memory", "data"}


def archive_url(value: object, what: str = "archive") -> str:
    """Return the URL of an archive, without a trailing slash.

    It is stored in the database and shown, so credentials come from the file system's own
    configuration, such as environment variables.

    Raises:
        InvalidArgument: it is neither an absolute path nor a URL, contains credentials or a query,
            or is only in memory.
    """
    url = text(what, value).rstrip("/")
    scheme = _SCHEME.match(url)
    if scheme is None:
        if "://" in url or "::" in url or not Path(url).is_absolute():
            raise InvalidArgument(
                f"{what} must be an absolute path or a URL such as s3://bucket/folder, "
                f"got {described(value)}"
            )
        return url
    if "::" in url:
        raise InvalidArgument(
            f"{what} must be the URL of one file system, without ::, got {described(value)}"
        )
    if scheme[0].lower() in _IN_MEMORY:
        raise InvalidArgument(
            f"{what} must be a file system that outlives the process, got {described(value)}"
        )
    rest = url[scheme.end() + 3 :]
    account, at, _ = rest.partition("/")[0].rpartition("@")
    if (at and ":" in unquote(account)) or urlsplit(url).query:
        # The URL is not shown: it may contain a secret.
        raise InvalidArgument(
            f"{what} must be a URL without a password or query: it is stored in the database; "
            f"configure the credentials of {scheme[0]} where the job runs"
        )
    if not rest.strip("/"):
        raise InvalidArgument(f"{what} must name a bucket or folder, got {described(value)}")
    return url
