"""Values as errors show them."""

from __future__ import annotations

__all__ = ["described", "name_of", "shown"]

_LONGEST = 200  # characters


def described(value: object) -> str:
    """Return a value with its type, as an error shows it: `'4' (str)`."""
    return f"{shown(value)} ({name_of(type(value))})"


def shown(value: object) -> str:
    """Return how a value shows itself, or that it can't, as an integer of many thousand digits."""
    try:
        text = repr(value)
    except Exception as error:
        # The error that is to be raised says what is wrong with it; this one would hide that.
        return f"<can't be shown: {name_of(type(error))}>"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def name_of(kind: type) -> str:
    """Return the name of a type, with its module unless it is built in."""
    # Ours are known by where they are imported from.
    package, _, _ = kind.__module__.partition(".")
    module = "mdb_sqla" if package == "mdb_sqla" else kind.__module__
    module = "" if module == "builtins" else f"{module}."
    return f"{module}{kind.__qualname__}"
