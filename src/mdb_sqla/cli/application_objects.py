"""Objects of the application that a command line names as `module:name`."""

from __future__ import annotations

import importlib
import sys
from operator import attrgetter
from typing import TypeVar

from mdb_sqla.cli.failures import is_libpq_missing
from mdb_sqla.cli.options import LIBPQ_MISSING, fail, refuse

__all__ = ["loaded"]

_T = TypeVar("_T")


def loaded(where: str, kind: type[_T], default: str) -> _T:
    """Return an object of the application; exit if it can't be imported or is of another class.

    Args:
        where: the module and the name of the object, separated by a colon.
        kind: its class.
        default: the name if there is none.
    """
    module, _, name = where.partition(":")
    sys.path.insert(0, "")
    article = "an" if kind.__name__[0] in "AEIOU" else "a"
    try:
        found = attrgetter(name or default)(importlib.import_module(module))
    except (ImportError, AttributeError, ValueError) as error:
        if isinstance(error, ImportError) and is_libpq_missing(error):
            fail(f"{LIBPQ_MISSING}.")
        refuse(f"Can't load {article} {kind.__name__} from {where}: {error}")
    if not isinstance(found, kind):
        refuse(f"{where} must be {article} {kind.__name__}, got {found!r}")
    return found
