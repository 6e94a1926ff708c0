"""What pydantic found wrong in a file, in words: one way for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mien.errors import ConfigError
from mien.registry import nearest
from mien.values import Unfit, shown


def mistake_of(error: Mapping[str, Any], place: str, known: Sequence[str]) -> ConfigError:
    """One mistake.

    Args:
        error: Of a ValidationError.
        place: Where it is: the file and the key.
        known: Keys that may stand there, for the nearest of them.
    """
    unfit = error.get("ctx", {}).get("error")
    if isinstance(unfit, Unfit):
        return ConfigError(place + unfit.place, unfit.found, unfit.expected, unfit.fix)
    if error["type"] == "extra_forbidden":
        return ConfigError(place, "unknown key", "", nearest(str(error["loc"][-1]), list(known)))
    if error["type"] == "invalid_key":
        return ConfigError(place, "a key that is no text", "text", "Put it in quotes.")
    if error["type"] == "missing":
        return ConfigError(place, "is missing", "a value")
    return ConfigError(place, str(unfit) if unfit else f"{shown(error['input'])}: {error['msg']}")
