"""Formatting of values in error messages."""

from __future__ import annotations

__all__ = ["described", "name_of", "shown"]

_MAX_LENGTH = 200  # characters


def described(value: object) -> str:
    """Return the `repr` of a value with its type: `'4' (str)`."""
    return f"{shown(value)} ({name_of(type(value))})"


def shown(value: object) -> str:
    """Return the `repr` of a value, or a placeholder if it raises, such as for a huge integer."""
    try:
        text = repr(value)
    except Exception as error:
        # Must not mask the error that is about to be raised.
        return f"<repr failed: {name_of(type(error))}>"
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}…"


def name_of(kind: type) -> str:
    """Return the name of a type, with its module unless it is built in."""
    # Applications import this package's types from the package, not from its modules.
    package, _, _ = kind.__module__.partition(".")
    module = "mdb_sqla" if package == "mdb_sqla" else kind.__module__
    module = "" if module == "builtins" else f"{module}."
    return f"{module}{kind.__qualname__}"
