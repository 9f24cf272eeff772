"""Conversion between objects and JSON, by the library that knows their class."""

from __future__ import annotations

from typing import Any, Protocol

from mdb_sqla.errors import InvalidArgument
from mdb_sqla.words.argument_checks import name_of

__all__ = ["Codec", "codec_of"]


class Codec(Protocol):
    """Converts the objects of a class. Its methods raise the errors of the library."""

    def encode(self, value: Any) -> Any:
        """Return an object as a JSON-compatible value, after checking that it can be decoded."""

    def decode(self, data: Any) -> Any:
        """Return the object of a JSON-compatible value."""

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the class."""


def codec_of(class_: type) -> Codec:
    """Return the codec for a class.

    Classes of pydantic are converted by pydantic, all others by msgspec: dataclasses, attrs
    classes, structs and typed dictionaries.

    Raises:
        InvalidArgument: the library can't convert the class, or is not installed.
    """
    try:
        if hasattr(class_, "__pydantic_validator__"):
            return _PydanticCodec(class_)
        return _MsgspecCodec(class_)
    except ModuleNotFoundError as error:
        raise InvalidArgument(
            f'Typed messages require the extra "types": pip install "mdb_sqla[types]" ({error})'
        ) from error
    except TypeError as error:
        raise InvalidArgument(
            f"{name_of(class_)} can't be the type of a message: {error}"
        ) from error


class _MsgspecCodec:
    def __init__(self, class_: type) -> None:
        import msgspec

        self._class = class_
        self._convert = msgspec.convert
        self._to_builtins = msgspec.to_builtins
        self._schema = msgspec.json.schema
        # Fails for a class, or a class of a field, that msgspec doesn't know.
        self._schema(class_)

    def encode(self, value: Any) -> Any:
        data = self._to_builtins(value, str_keys=True)
        # Constructors of dataclasses accept any value.
        self._convert(data, self._class, str_keys=True)
        return data

    def decode(self, data: Any) -> Any:
        return self._convert(data, self._class, str_keys=True)

    def schema(self) -> dict[str, Any]:
        return self._schema(self._class)


class _PydanticCodec:
    def __init__(self, class_: type) -> None:
        from pydantic import TypeAdapter

        self._adapter: TypeAdapter[Any] = TypeAdapter(class_)

    def encode(self, value: Any) -> Any:
        data = self._adapter.dump_python(value, mode="json", by_alias=True)
        # Attributes can be assigned without validation.
        self._adapter.validate_python(data)
        return data

    def decode(self, data: Any) -> Any:
        return self._adapter.validate_python(data)

    def schema(self) -> dict[str, Any]:
        return self._adapter.json_schema()
