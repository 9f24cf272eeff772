"""Who runs a command, for the log of operations."""

from __future__ import annotations

import getpass

from mdb_sqla.words.argument_checks import is_storable

__all__ = ["os_user"]


def os_user() -> str | None:
    """Return the name of the operating system's user; None if it has none.

    Like other programs, a user can choose it with environment variables such as LOGNAME. The log
    also has the database role.
    """
    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):
        # In a container, for example, the user may have no name.
        return None
    return name if name and is_storable(name) else None
