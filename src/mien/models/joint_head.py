"""A network that tells class and group together, and the class by adding up over groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.models import MODELS
from mien.models.blocks import ExpressionModel, Outputs
from mien.models.conditioned import trunk_of


class JointHead(nn.Module):
    """``(B, D)`` features to ``(B, K)`` logits: the logarithm of the classes' probabilities, added up over groups.

    Args:
        features: D.
        num_classes: K.
        groups: G.
    """

    def __init__(self, features: int, num_classes: int, groups: int) -> None:
        super().__init__()
        self.num_classes, self.groups = num_classes, groups
        self.linear = nn.Linear(features, groups * num_classes)

    def each(self, features: Tensor) -> Tensor:
        """``(B, D)`` -> ``(B, G, K)`` logits of group and class together."""
        logits: Tensor = self.linear(features)
        return logits.reshape(-1, self.groups, self.num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """``(B, D)`` -> ``(B, K)``."""
        return self.each(features).float().logsumexp(1)


@MODELS.register(
    "joint_head",
    tiny={"trunk": {"name": "mienet", "options": {"widths": [4, 8], "depths": [1, 1], "stem": 4}}, "groups": 2},
)
class JointHeadModel(ExpressionModel):
    """Any network as a trunk with one head for class and group together; used, it adds probabilities up over groups.

    p(class | face) = sum over groups of p(class, group | face): nobody's group is asked for where it is used. The
    mitigation ``domain_discriminative`` teaches it.

    Parts: those of the trunk.

    Source: Wang et al. 2020, "Towards fairness in visual recognition", section 4.3 (domain-discriminative training,
    inference by the sum over domains).

    Args:
        num_classes: K.
        in_channels: 1 or 3.
        trunk: Any other model: its name, or a section with ``name`` and ``options``.
        groups: How many groups the attribute has.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 1,
        *,
        trunk: str | Mapping[str, Any],
        groups: Annotated[int, Field(ge=2, le=100)],
    ) -> None:
        super().__init__()
        self.trunk = trunk_of(trunk, num_classes, in_channels)
        if isinstance(self.trunk, JointHeadModel):
            raise ConfigError("model.options.trunk", "'joint_head' within itself", "another model")
        self.size, self.feature_dim = self.trunk.size, self.trunk.feature_dim
        self.head = JointHead(self.feature_dim, num_classes, groups)
        self.trunk.head = nn.Identity()

    @property
    def pretrainable(self) -> ExpressionModel:
        """The trunk, for which others have weights."""
        return self.trunk.pretrainable

    def parts(self) -> dict[str, nn.Module]:
        """The trunk's."""
        return self.trunk.parts()

    def features(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` normalised images -> ``(B, D)``."""
        return self.trunk.features(x)

    def forward_train(self, x: Tensor) -> Outputs:
        """Logits, features, and whatever else the trunk tells."""
        found = self.trunk.forward_train(x)
        return Outputs(self.head(found.features), found.features, found.extra)

    def auxiliary(self, outputs: Outputs, targets: Tensor) -> Tensor | None:
        """The trunk's own loss terms."""
        return self.trunk.auxiliary(outputs, targets)
