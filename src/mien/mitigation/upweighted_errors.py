"""A first, short fit says which faces are hard; a second one begins anew and weighs these more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from mien.mitigation import MITIGATIONS
from mien.mitigation.base import Mitigation, Stage
from mien.mitigation.faces import Faces


@MITIGATIONS.register("upweighted_errors", tiny={"first_epochs": 1})
class UpweightedErrors(Mitigation):
    """Faces that the first fit gets wrong weigh ``factor`` times as much in the second; nobody's group is asked for.

    The second fit has all epochs and begins where the first one began. Weights have mean 1. A face is wrong where the
    class that the network says is not its first class. How many were wrong is known when the second fit begins; where
    all or none are, the weights are equal.

    It takes a first fit that gets the common cases right and the others wrong: stopped too late it finds the wrong
    labels instead.

    Source: Liu et al. 2021, "Just train twice: improving group robustness without training group information".

    Args:
        faces: The training faces.
        first_epochs: Epochs of the first fit (1 to 60 in the source, of 50 to 300).
        factor: Of wrong faces (4 to 100 in the source).
    """

    weights: torch.Tensor

    def __init__(
        self,
        faces: Faces,
        *,
        first_epochs: Annotated[int, Field(ge=1, le=10_000)] = 3,
        factor: Annotated[float, Field(ge=1, le=10_000)] = 5.0,
    ) -> None:
        super().__init__(faces)
        self.first_epochs, self.factor = first_epochs, factor
        self.register_buffer("weights", torch.ones(len(faces)))

    def stages(self) -> tuple[Stage, ...]:
        """A short fit, and a whole one from the same beginning."""
        return Stage(name="first", epochs=self.first_epochs), Stage(name="second", begins="start")

    def begin(self, stage: int, logits: Callable[[], NDArray[np.float32]]) -> None:
        """When the second fit begins: look at what the first one made of all faces."""
        if stage == 0:
            return
        said, expression = logits(), next(iter(self.faces.heads.values()))
        wrong = said[:, expression].argmax(1) != self.faces.targets[:, expression].argmax(1)
        found = np.where(wrong, self.factor, 1.0)
        self.weights.copy_(torch.from_numpy((found / found.mean()).astype(np.float32)))

    def sample_weights(self) -> NDArray[np.float32]:
        """``(n,)`` of mean 1."""
        found: NDArray[np.float32] = self.weights.cpu().numpy()
        return found
