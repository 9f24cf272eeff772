"""Conversion between objects and JSON, by the library that knows their class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from mdb_sqla.errors import InvalidArgument
from mdb_sqla.words.argument_checks import name_of, plain

__all__ = ["Codec", "codec_of"]


class Codec(Protocol):
    """Converts the objects of a class. Its methods raise the errors of the library."""

    def encode(self, value: Any) -> Any:
        """Return an object as a JSON-compatible value, after checking that it can be decoded."""

    def decode(self, data: Any) -> Any:
        """Return the object of a JSON-compatible value."""

    def decode_text(self, text: str) -> Any:
        """Return the object of a JSON text; faster than decoding its value."""

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the class."""


def codec_of(class_: type, use: str = "the type of a message") -> Codec:
    """Return the codec for a class.

    Classes of pydantic are converted by pydantic, all others by msgspec: dataclasses, attrs
    classes, structs and typed dictionaries.

    Args:
        class_: the class.
        use: what the class is used for, for the error message.

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
        raise InvalidArgument(f"{name_of(class_)} can't be {use}: {error}") from error


class _MsgspecCodec:
    def __init__(self, class_: type) -> None:
        import msgspec

        self._class = class_
        self._convert = msgspec.convert
        self._to_builtins = msgspec.to_builtins
        self._schema = msgspec.json.schema
        self._decode_text: Callable[[str], Any] = msgspec.json.Decoder(class_).decode
        # Fails for a class, or a class of a field, that msgspec doesn't know.
        self._schema(class_)

    def encode(self, value: Any) -> Any:
        data = self._to_builtins(value, str_keys=True, enc_hook=_plain_text)
        # Constructors of dataclasses accept any value.
        self._convert(data, self._class, str_keys=True)
        return data

    def decode(self, data: Any) -> Any:
        return self._convert(data, self._class, str_keys=True)

    def decode_text(self, text: str) -> Any:
        return self._decode_text(text)

    def schema(self) -> dict[str, Any]:
        return self._schema(self._class)


def _plain_text(value: object) -> str:
    """Return an instance of a subclass of `str`, such as `Forgotten`, as a plain string."""
    if isinstance(value, str):
        return plain(value)
    raise TypeError(f"Encoding objects of type {name_of(type(value))} is not supported")


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

    def decode_text(self, text: str) -> Any:
        return self._adapter.validate_json(text)

    def schema(self) -> dict[str, Any]:
        return self._adapter.json_schema()
