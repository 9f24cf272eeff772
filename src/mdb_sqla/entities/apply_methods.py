"""Methods of a state's class that apply events, marked with `@apply`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, overload

from mdb_sqla.errors import InvalidArgument
from mdb_sqla.words.argument_checks import described, name_of

__all__ = ["apply", "apply_methods", "is_frozen"]

_APPLIES = "_mdb_sqla_applies"

_S = TypeVar("_S")
_R = TypeVar("_R")
_A = TypeVar("_A")
_B = TypeVar("_B")
_C = TypeVar("_C")


@overload
def apply(type_: type[_A], /) -> Callable[[Callable[[_S, _A], _R]], Callable[[_S, _A], _R]]: ...


@overload
def apply(
    type_: type[_A], other: type[_B], /
) -> Callable[[Callable[[_S, _A | _B], _R]], Callable[[_S, _A | _B], _R]]: ...


@overload
def apply(
    type_: type[_A], other: type[_B], third: type[_C], /
) -> Callable[[Callable[[_S, _A | _B | _C], _R]], Callable[[_S, _A | _B | _C], _R]]: ...


@overload
def apply(*types: type[Any]) -> Callable[[Callable[[_S, Any], _R]], Callable[[_S, Any], _R]]: ...


def apply(*types: type[Any]) -> Callable[[Any], Any]:
    """Mark a method that applies events of these classes to the state of an entity.

        class Account:
            balance = 0

            @apply(Deposited)
            def deposited(self, event: Deposited) -> None:
                self.balance += event.amount

    The method changes the state and returns None, or returns the new state. A method of a frozen
    class must return the state. A method for events of a base class is called for those of its
    subclasses that have no method of their own. For events that don't change the state, mark a
    method that does nothing.

    Args:
        types: the classes of the events.

    Raises:
        InvalidArgument: there is no class, or an argument is not a class.
    """
    for each in types:
        if not isinstance(each, type):
            raise InvalidArgument(
                "apply must be used with the classes of events, such as @apply(Deposited), got "
                f"{described(each)}"
            )
    if not types:
        raise InvalidArgument("apply must be used with at least one class of events")

    def mark(method: Any) -> Any:
        setattr(method, _APPLIES, types)
        return method

    return mark


def apply_methods(class_: type) -> dict[type, Callable[[Any, Any], Any]]:
    """Return the methods of a class that apply events, by the class of the events.

    A subclass can override such a method without marking it again.

    Raises:
        InvalidArgument: two methods of one class apply events of the same class.
    """
    names: dict[type, str] = {}
    for base in reversed(class_.__mro__):
        own: dict[type, str] = {}
        for name, attribute in vars(base).items():
            for event in getattr(attribute, _APPLIES, ()):
                if event in own:
                    raise InvalidArgument(
                        f"{name_of(base)} applies {name_of(event)} in two methods, "
                        f"{own[event]} and {name}"
                    )
                own[event] = name
        names.update(own)
    methods: dict[type, Callable[[Any, Any], Any]] = {
        event: inspect.getattr_static(class_, name) for event, name in names.items()
    }
    return methods


def is_frozen(class_: type) -> bool:
    """Return whether instances of a class can't be changed, as far as its library shows."""
    if issubclass(class_, tuple):
        return True
    config = getattr(class_, "__struct_config__", None)  # msgspec
    if config is not None:
        return bool(config.frozen)
    model = getattr(class_, "model_config", None)  # pydantic
    if isinstance(model, dict):
        return bool(model.get("frozen"))
    parameters = getattr(class_, "__dataclass_params__", None)
    if parameters is not None:
        return bool(parameters.frozen)
    properties = getattr(class_, "__attrs_props__", None)
    if properties is not None:
        return bool(properties.is_frozen)
    return False
