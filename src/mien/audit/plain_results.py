"""Frozen result records from what JSON made of them."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, cast

T = TypeVar("T")


def from_plain(cls: type[T], content: Mapping[str, Any]) -> T:
    """Rebuild a dataclass from plain dictionaries and lists; null becomes NaN where a float is meant.

    Args:
        cls: A dataclass whose fields are str, int, float, bool, None, lists, dictionaries with text
            keys, and other such dataclasses.
        content: What ``mien.records.plain`` made of it; keys that the class lacks are ignored.

    Raises:
        KeyError: If a field without a default is missing.
        TypeError: If a value cannot be what its field is.
    """
    hints = _hints(cls)  # type: ignore[arg-type]
    values = {}
    for field in fields(cls):  # type: ignore[arg-type]
        if field.name in content:
            values[field.name] = _value(hints[field.name], content[field.name])
        elif field.default is MISSING and field.default_factory is MISSING:
            raise KeyError(field.name)
    return cls(**values)


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _value(hint: Any, value: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _value(next(a for a in arguments if a is not type(None)), value)
    if origin is list:
        return [_value(arguments[0], v) for v in value]
    if origin is dict:
        return {k: _value(arguments[1], v) for k, v in value.items()}
    if is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise TypeError(f"{hint!r} from {type(value).__name__}")
        return from_plain(cast("type[Any]", hint), value)
    if hint is float:
        return float("nan") if value is None else float(value)
    return value
