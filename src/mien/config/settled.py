"""Settings of dotted keys, laid over the sections of an experiment."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from mien.errors import ConfigError


def settled(content: Mapping[str, Any], layers: Iterable[Mapping[str, Any]], where: str) -> dict[str, Any]:
    """An experiment with dotted keys set.

    Args:
        content: Its sections; left as they are, as are the values that are set.
        layers: Dotted key -> value, one after the other. Options of a component whose name is set go with the old one.
        where: For messages.

    Raises:
        ConfigError: If a key leads through a value.
    """
    found = copy.deepcopy(dict(content))
    for key, value in ((key, copy.deepcopy(value)) for layer in layers for key, value in _names_first(layer)):
        *parents, last = key.split(".")
        section = found
        for parent in parents:
            inner = section.get(parent)
            if isinstance(inner, str):  # a component by its name alone
                inner = {"name": inner}
            if inner is not None and not isinstance(inner, dict):
                raise ConfigError(f"{where}: {key}", f"{parent!r} is a value", "a key of a section")
            section[parent] = inner if inner is not None else {}
            section = section[parent]
        if last == "name" and section.get("name") not in (None, value):
            section.pop("options", None)
        section[last] = value
    return found


def _names_first(settings: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Of another model, loss or split the options are others."""
    return sorted(settings.items(), key=lambda item: not item[0].endswith(".name"))
