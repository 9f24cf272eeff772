"""Functions that apply an event to a state, and check what they return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mdb_sqla.entities.apply_methods import apply_methods, is_frozen
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.message_types import MessageTypes
from mdb_sqla.words.argument_checks import described, name_of

__all__ = ["Applier", "function_applier", "method_appliers"]

Applier = Callable[[Any, Any], Any]
"""Returns the state after an event. Raises the errors of the application, and `TypeError`."""


def function_applier(evolve: Applier) -> Applier:
    """Return the applier of a function.

    Raises:
        InvalidArgument: it is not callable.
    """
    if not callable(evolve):
        raise InvalidArgument(f"evolve must be a function, got {described(evolve)}")

    def applied(state: Any, event: Any) -> Any:
        if (result := evolve(state, event)) is None:
            # A `match` without a case for this event would lose the state.
            raise TypeError(f"{_name(evolve)} must return the state, got None")
        return result

    return applied


def method_appliers(class_: object, types: MessageTypes) -> dict[type, Applier]:
    """Return an applier for each message type, from the methods marked with `apply`.

    Raises:
        InvalidArgument: it is not a class with such methods, or one applies what is not a message
            type.
    """
    methods = apply_methods(class_) if isinstance(class_, type) else {}
    if not isinstance(class_, type) or not methods:
        raise InvalidArgument(
            "An EntityStore needs evolve=, or a class with methods that are marked with @apply, "
            f"got {described(class_)}"
        )
    events = {*types.classes.values()}
    for each in methods:
        if not any(issubclass(event, each) for event in events):
            raise InvalidArgument(
                f"{name_of(class_)} applies {name_of(each)}, which is not among the message types "
                f"{', '.join(sorted(types.classes))}"
            )
    return {event: _applier_of(class_, event, methods) for event in events}


def _applier_of(class_: type, event_class: type, methods: dict[type, Applier]) -> Applier:
    method = next((methods[base] for base in event_class.__mro__ if base in methods), None)
    if method is None:

        def unapplied(_state: Any, _event: Any) -> Any:
            raise TypeError(f"{name_of(class_)} has no method with @apply({event_class.__name__})")

        return unapplied
    found, frozen = method, is_frozen(class_)

    def applied(state: Any, event: Any) -> Any:
        result = found(state, event)
        if result is None and not frozen:
            return state
        if not isinstance(result, class_):
            rule = "the state" if frozen else "the state or None"
            raise TypeError(f"{_name(found)} must return {rule}, got {described(result)}")
        return result

    return applied


def _name(function: Applier) -> str:
    name: str = getattr(function, "__qualname__", type(function).__qualname__)
    return name.rpartition("<locals>.")[2]
