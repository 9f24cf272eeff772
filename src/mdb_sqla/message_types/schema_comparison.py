"""Whether the data that one schema describes can be decoded with another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["incompatibilities"]

_Schema = Mapping[str, Any]

# Keywords that restrict values. They must be the same, or be left out of the new schema.
_RESTRICTIONS = (
    "const",
    "contentEncoding",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "uniqueItems",
)

_TYPES: Mapping[type, str] = {bool: "boolean", float: "number", int: "integer", str: "string"}


def incompatibilities(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> Iterator[str]:
    """Yield why messages of the recorded types can't be decoded with the current ones.

    Args:
        recorded: the recorded types, as `MessageTypes.schema` returned them.
        current: the current types.
    """
    for name, old in sorted(recorded.items()):
        new = current.get(name)
        if new is None:
            yield f"{name}: the type is missing; map the name to a class"
        elif new["version"] < old["version"]:
            yield f"{name}: its version was {old['version']}, and is {new['version']} now"
        elif new["version"] == old["version"]:
            comparison = _Comparison(old["schema"], new["schema"])
            yield from (
                f"{name}{path}: {rule}; correct it, or add an upcaster"
                for path, rule in comparison.differences()
            )


class _Comparison:
    def __init__(self, old: _Schema, new: _Schema) -> None:
        self._old = old
        self._new = new
        self._compared: set[tuple[str, str]] = set()

    def differences(self) -> Iterator[tuple[str, str]]:
        """Yield the path and the reason of each incompatible change."""
        yield from self._compare("", self._old, self._new)

    def _compare(self, path: str, old: _Schema, new: _Schema) -> Iterator[tuple[str, str]]:
        pair = old.get("$ref", ""), new.get("$ref", "")
        if all(pair):
            # Types may contain themselves.
            if pair in self._compared:
                return
            self._compared.add(pair)
        old, new = _resolved(self._old, old), _resolved(self._new, new)
        if alternatives := _alternatives(old):
            for each in alternatives:
                yield from self._compare(path, each, new)
            return
        if alternatives := _alternatives(new):
            if not any(self._accepts(old, each) for each in alternatives):
                yield path, f"{_described(old)} is not accepted any more"
            return
        yield from self._compare_values(path, old, new)

    def _accepts(self, old: _Schema, new: _Schema) -> bool:
        comparison = _Comparison(self._old, self._new)
        comparison._compared = set(self._compared)
        return next(comparison._compare("", old, new), None) is None

    def _compare_values(self, path: str, old: _Schema, new: _Schema) -> Iterator[tuple[str, str]]:
        if "enum" in new:
            known = _values(old)
            missing = (
                ["other values"] if known is None else [v for v in known if v not in new["enum"]]
            )
            if missing:
                yield path, f"the value {missing[0]!r} is not accepted any more"
            return
        if old.get("type") is None and (known := _values(old)) is not None:
            old = {**old, "type": _TYPES.get(type(known[0]), "string")}
        types = old.get("type"), new.get("type")
        if types[1] is not None and types[0] != types[1] and types != ("integer", "number"):
            yield path, f"{_described(old)} was changed into {_described(new)}"
            return
        for keyword in _RESTRICTIONS:
            if keyword in new and new[keyword] != old.get(keyword):
                yield path, f"its {keyword} is now {new[keyword]!r}"
        if isinstance(new.get("items"), Mapping) and isinstance(old.get("items"), Mapping):
            yield from self._compare(f"{path}[]", old["items"], new["items"])
        if types[1] == "object":
            yield from self._compare_objects(path, old, new)

    def _compare_objects(self, path: str, old: _Schema, new: _Schema) -> Iterator[tuple[str, str]]:
        before, after = old.get("properties", {}), new.get("properties", {})
        for name in new.get("required", ()):
            if name not in old.get("required", ()):
                was = "may be missing" if name in before else "is missing in recorded messages"
                yield f"{path}.{name}", f"it is required now, but {was}"
        for name in sorted(before.keys() & after.keys()):
            yield from self._compare(f"{path}.{name}", before[name], after[name])
        rest = new.get("additionalProperties")
        if rest is False and (gone := sorted(before.keys() - after.keys())):
            yield f"{path}.{gone[0]}", "it was removed, and unknown fields are forbidden"
        if isinstance(rest, Mapping) and isinstance(old.get("additionalProperties"), Mapping):
            yield from self._compare(f"{path}.*", old["additionalProperties"], rest)


def _resolved(document: _Schema, schema: _Schema) -> _Schema:
    while (reference := schema.get("$ref")) is not None:
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part.replace("~1", "/").replace("~0", "~")]
        schema = found
    return schema


def _alternatives(schema: _Schema) -> list[_Schema]:
    alternatives = schema.get("anyOf") or schema.get("oneOf")
    if alternatives is None and isinstance(schema.get("type"), list):
        return [{**schema, "type": each} for each in schema["type"]]
    return list(alternatives or ())


def _values(schema: _Schema) -> list[Any] | None:
    """Return the only values that a schema accepts; None for any."""
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _described(schema: _Schema) -> str:
    return str(schema.get("format") or schema.get("type") or "any value")
