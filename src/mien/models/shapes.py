"""Networks without memory for their weights: what their parts and shapes are, and whether options make a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch

from mien.models import MODELS
from mien.models.blocks import ExpressionModel

Otherwise = TypeVar("Otherwise")


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
