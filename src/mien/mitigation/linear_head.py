"""The one linear layer of a network's head, for methods that change it."""

from __future__ import annotations

from torch import nn

from mien.errors import ConfigError
from mien.models.blocks import ExpressionModel, only_linear


def linear_head(model: ExpressionModel) -> nn.Linear:
    """The head's linear layer, beside which it may drop features and does nothing else.

    Raises:
        ConfigError: If the head is more than that.
    """
    layer = only_linear(model.head)
    if layer is None:
        found = f"the head of {type(model).__name__} is more than one linear layer"
        raise ConfigError("mitigation.name", found, "a network whose head is linear, or another method")
    return layer
