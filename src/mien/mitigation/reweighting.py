"""Weights of faces by how rare their class, their group, or both together are."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mien.errors import ConfigError
from mien.mitigation import MITIGATIONS
from mien.mitigation.base import Mitigation, Needs
from mien.mitigation.faces import Faces
from mien.stats.memberships import cell_weights


@MITIGATIONS.register("reweighting")
class Reweighting(Mitigation):
    """Weights of faces by the size n of their cell: n^-exponent, brought to a mean of 1.

    Or, with ``effective`` b, (1 - b) / (1 - b^n), where further faces of a cell tell less and less: near 1 it is
    1 / n, at 0 all weigh alike.

    A cell is a class, a group, or a class of a group; where the network has several heads (attributes in place of
    expressions), a class is one of each head together, such as female and 20 to 29. With the exponent 1 all cells
    weigh the same together, with 0 all faces. With several attributes the weight is that of the class, once, times
    that of the group within the class for each attribute, which balances cells of all of them only where attributes
    do not depend on each other; else name an intersection (``gender*age``).

    With ``product`` the groups' weights are those of the groups over all faces, whatever their classes, as in Olate
    2025: a face weighs by how rare its class is times how rare its group is.

    A face whose target is spread over classes, or whose group is perceived with some confidence, belongs to cells by
    these shares; one whose group is missing gets the mean weight of its class.

    Source: inverse frequency as in Kamiran and Calders 2012, "Data preprocessing techniques for classification
    without discrimination"; the square root, exponent 1/2, as in Mahajan et al. 2018; the effective number of samples
    of Cui et al. 2019, "Class-balanced loss based on effective number of samples", eq. 2.

    Args:
        faces: The training faces.
        by: Attributes whose groups make cells; none for classes alone.
        classes: Whether classes make cells too.
        exponent: 0 to 1.
        clip: Largest weight, of those of mean 1; None for no limit. The mean is brought to 1 again.
        least: Smallest weight, likewise.
        product: Whether class and groups weigh each by itself.
        effective: b of the effective number, in place of the exponent; 0.99 to 0.9999 in the source.
    """

    needs = Needs(training=True)

    def __init__(
        self,
        faces: Faces,
        *,
        by: tuple[str, ...] = (),
        classes: bool = True,
        exponent: Annotated[float, Field(ge=0, le=1)] = 1.0,
        clip: Annotated[float | None, Field(ge=1)] = None,
        least: Annotated[float | None, Field(gt=0, le=1)] = None,
        product: bool = False,
        effective: Annotated[float | None, Field(ge=0, lt=1)] = None,
    ) -> None:
        super().__init__(faces)
        if effective is not None and exponent != 1.0:
            found = "does nothing beside effective, whose number takes its place"
            raise ConfigError("mitigation.options.exponent", found, "one of the two")
        self.by, self.classes, self.exponent, self.clip = by, classes, exponent, clip
        self.least, self.product, self.effective = least, product, effective

    def sample_weights(self) -> NDArray[np.float32]:
        """``(n,)``: the weight of a face's class times those of its groups within the class, of mean 1."""
        targets = self._joint_classes() if self.classes else np.ones((len(self.faces), 1), np.float32)
        blocks = self.faces.blocks
        everybody = np.ones((len(self.faces), 1), np.float32)
        of_class = cell_weights(targets, everybody, self.exponent, self.effective)
        weights = of_class.copy()
        for name in self.by:
            groups = self.faces.groups[:, blocks[name]]
            if self.product:
                weights *= cell_weights(everybody, groups, self.exponent, self.effective)
            else:
                weights *= cell_weights(targets, groups, self.exponent, self.effective) / of_class
        weights /= weights.mean()
        if self.clip is not None or self.least is not None:
            weights = np.clip(weights, self.least, self.clip)
            weights /= weights.mean()
        return weights.astype(np.float32)

    def _joint_classes(self) -> NDArray[np.float32]:
        """``(n, product of K)`` shares of the combinations of the heads' classes: one head's are its classes.

        A face has one weight for all heads. Side by side, the heads' classes would give it the sum of two rarities,
        of which the head with more classes has the larger, and balance neither.
        """
        first, *others = self.faces.heads.values()
        found = self.faces.targets[:, first]
        for block in others:
            found = (found[:, :, None] * self.faces.targets[:, None, block]).reshape(len(found), -1)
        return found
