"""Networks without memory for their weights: what their parts and shapes are, and whether options make a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch

from mien.models import MODELS
from mien.models.blocks import ExpressionModel
from mien.values import shown

Otherwise = TypeVar("Otherwise")
_LARGEST = 10_000  # sum of all whole numbers of a network's options; the largest published here have 5,000
MOST_OPTIONS = f"{_LARGEST:,} channels, units and blocks at most"


def too_large(options: Mapping[str, Any]) -> str:
    """What to say of options that make a larger network than any card may ask for; empty of others."""
    numbers = sum(abs(n) for n in _whole_numbers(options))
    if numbers <= _LARGEST:
        return ""
    return f"add up to {shown(numbers)}" if numbers < 2**63 else "have a number beyond all bounds"


def _whole_numbers(value: object) -> Iterator[int]:
    if isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _whole_numbers(inner)
    elif isinstance(value, int):
        yield value


def without_memory(
    name: str,
    num_classes: int,
    channels: int,
    options: Mapping[str, Any],
    otherwise: Callable[[Exception], Otherwise],
) -> ExpressionModel | Otherwise:
    """A network of the catalogue on device ``meta``: names and shapes of its weights, which take no memory.

    Args:
        name: Its name in the catalogue.
        num_classes: K.
        channels: 1 or 3.
        options: Its options, as read by the catalogue.
        otherwise: What to give instead, or raise, where it cannot be built so. Gets the error: a
            ``NotImplementedError`` where the network does what needs memory while it is built (whether the options
            make one is then seen when it is built for use), any other where they make none.

    Raises:
        ConfigError: If there is no such network.
    """
    build = MODELS.get(name)
    try:
        with torch.device("meta"):
            model: ExpressionModel = build(num_classes, channels, **options)
    # What networks raise on values that do not go together; all else is a mistake of ours.
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        return otherwise(error)
    return model
