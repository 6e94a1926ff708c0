"""Frozen result records from what JSON made of them."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, cast

from mien.values import shown

T = TypeVar("T")


def from_plain(cls: type[T], content: Mapping[str, Any], key: str = "") -> T:
    """Rebuild a dataclass from plain dictionaries and lists; null becomes NaN where a float is meant.

    Args:
        cls: A dataclass whose fields are str, int, float, bool, None, lists, dictionaries with text
            keys, and other such dataclasses.
        content: What ``mien.records.plain`` made of it; keys that the class lacks are ignored.
        key: Where in a larger content it stands, for the messages.

    Raises:
        KeyError: If a field without a default is missing; its dotted key.
        TypeError: If a value cannot be what its field is, with its dotted key.
    """
    if not isinstance(content, Mapping):
        raise TypeError(f"{key or 'all of it'} is {shown(content)} and not a section with keys")
    hints = _hints(cls)  # type: ignore[arg-type]
    values = {}
    for field in fields(cls):  # type: ignore[arg-type]
        place = f"{key}.{field.name}" if key else field.name
        if field.name in content:
            values[field.name] = _value(hints[field.name], content[field.name], place)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise KeyError(place)
    return cls(**values)


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _value(hint: Any, value: Any, key: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _value(next(a for a in arguments if a is not type(None)), value, key)
    if origin in (list, dict) and not isinstance(value, list | tuple if origin is list else Mapping):
        raise TypeError(f"{key} is {shown(value)} and not a {'list' if origin is list else 'section with keys'}")
    if origin is list:
        return [_value(arguments[0], v, f"{key}.{i}") for i, v in enumerate(value)]
    if origin is dict:
        return {k: _value(arguments[1], v, f"{key}.{k}") for k, v in value.items()}
    if is_dataclass(hint):
        return from_plain(cast("type[Any]", hint), value, key)
    if hint is float and value is None:
        return float("nan")
    for kind, wanted in _WANTED.items():
        if hint is kind and (not isinstance(value, wanted) or (kind is not bool and isinstance(value, bool))):
            raise TypeError(f"{key} is {shown(value)} and not {_CALLED[kind]}")
    return float(value) if hint is float else value


_WANTED: dict[type, Any] = {str: str, bool: bool, int: int, float: int | float}
_CALLED = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}
