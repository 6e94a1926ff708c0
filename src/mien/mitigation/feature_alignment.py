"""A penalty on how far the features of groups lie apart."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from mien.errors import ConfigError
from mien.mitigation import MITIGATIONS
from mien.mitigation.base import Attributes, Mitigation, Needs, Step
from mien.mitigation.faces import Faces
from mien.mitigation.soft_cells import cells_of, pairs_of, squared_distances, weighted_means

_LEAST = 2.0  # faces of a cell in the batch: one has no spread, and its features would be the group's


@MITIGATIONS.register("feature_alignment")
class FeatureAlignment(Mitigation):
    """The expression's loss plus ``weight`` times a distance of the features of groups, within each class.

    Distances of two groups, whose means and covariances weigh faces by how far they belong to them:

    - ``mean``: |mu_g - mu_h|^2, the squared maximum mean discrepancy of a linear kernel;
    - ``rbf``: that of the kernel exp(-|x - y|^2 / s), with s the mean squared distance in the batch, or ``bandwidth``;
    - ``covariance``: the mean square of the difference of covariances (CORAL);
    - ``dependence``: the Hilbert-Schmidt independence criterion of features and groups, with linear kernels.

    Features are divided by the root of their mean square in the batch before, so that the network cannot shrink them
    out of it. The penalty is the mean over pairs of groups (over classes for ``dependence``); pairs of which one has
    fewer than two faces in the batch are left out, and where there is none the penalty is 0. Of few faces a cell the
    distance is mostly chance, and pulls faces of a cell together whoever they are of: take large batches. Without
    ``classes`` groups are compared as a whole: then a network that is right about classes which differ between groups
    is punished.

    Source: Gretton et al. 2012, "A kernel two-sample test"; Sun and Saenko 2016, "Deep CORAL" (there the squared
    Frobenius norm over 4 d^2, here over d^2); Gretton et al. 2005, "Measuring statistical dependence with
    Hilbert-Schmidt norms", eq. 9.

    Args:
        faces: The training faces.
        by: Attributes; their penalties are added.
        distance: Which.
        classes: Whether groups are compared within each class.
        weight: Factor of the penalty.
        bandwidth: s of ``rbf``.
        scaled: Whether features are divided by the root of their mean square.
    """

    needs = Needs(training=True)

    def __init__(
        self,
        faces: Faces,
        *,
        by: Attributes,
        distance: Literal["mean", "rbf", "covariance", "dependence"] = "rbf",
        classes: bool = True,
        weight: Annotated[float, Field(ge=0, le=10_000)] = 1.0,
        bandwidth: Annotated[float | None, Field(gt=0)] = None,
        scaled: bool = True,
    ) -> None:
        super().__init__(faces)
        if bandwidth is not None and distance != "rbf":
            found = f"is given for the distance {distance!r}"
            raise ConfigError("mitigation.options.bandwidth", found, "none: it is of 'rbf' alone")
        self.by, self.distance, self.classes, self.weight = by, distance, classes, weight
        self.bandwidth, self.scaled = bandwidth, scaled

    def loss(self, step: Step) -> Tensor:
        """The expression's loss and the penalties."""
        features = step.features.float()
        if self.scaled:
            features = features / features.square().mean().clamp(min=1e-12).sqrt()
        targets = step.batch.targets[:, next(iter(self.faces.heads.values()))]
        found = [self.penalty(features, targets, step.batch.groups[:, self.faces.blocks[name]]) for name in self.by]
        return step.mean() + self.weight * torch.stack(found).sum()

    def penalty(self, features: Tensor, targets: Tensor, groups: Tensor) -> Tensor:
        """``()``: of one attribute.

        Args:
            features: ``(B, D)``.
            targets: ``(B, K)``.
            groups: ``(B, G)`` memberships.
        """
        if self.distance == "dependence":
            return self._dependence(features, targets, groups)
        cells = cells_of(targets, groups, classes=self.classes)
        pairs = pairs_of(cells.sum(0), groups.shape[1], _LEAST)
        if not pairs:
            return features.sum() * 0
        first, second = (list(side) for side in zip(*pairs, strict=True))
        if self.distance == "mean":
            means, _ = weighted_means(features, cells)
            return (means[first] - means[second]).square().sum(1).mean()
        if self.distance == "rbf":
            apart = squared_distances(features)
            scale = self.bandwidth if self.bandwidth is not None else apart.mean().detach().clamp(min=1e-12)
            shares = cells / cells.sum(0).clamp(min=1e-12)
            kernel = shares.T @ (-apart / scale).exp() @ shares
            return (kernel[first, first] + kernel[second, second] - 2 * kernel[first, second]).mean()
        spread = {i: _covariance(features, cells[:, i]) for i in {*first, *second}}
        return torch.stack([(spread[a] - spread[b]).square().mean() for a, b in zip(first, second, strict=True)]).mean()

    def _dependence(self, features: Tensor, targets: Tensor, groups: Tensor) -> Tensor:
        """HSIC of features and groups; within a class, faces weigh by how far they belong to it."""
        within = targets if self.classes else torch.ones_like(targets[:, :1])
        found = []
        for weights in (within * groups.sum(1, keepdim=True)).T:
            if weights.sum() < _LEAST:
                continue
            found.append(hsic(features, groups, weights))
        return torch.stack(found).mean() if found else features.sum() * 0


def hsic(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """The Hilbert-Schmidt independence criterion with linear kernels: |weighted cross-covariance|^2.

    With equal weights it is tr(K H L H) / (m - 1)^2.

    Args:
        x: ``(B, D)``.
        y: ``(B, G)``.
        weights: ``(B,)``, of which faces of weight 0 take no part.
    """
    mass = weights.sum()
    share = (weights / mass)[:, None]
    x, y = x - (share * x).sum(0), y - (share * y).sum(0)
    # m / (m - 1) of the unbiased covariance, with m the faces that unequal weights are worth.
    worth = mass**2 / weights.square().sum()
    return ((share * x).T @ y).square().sum() * (worth / (worth - 1).clamp(min=1e-6)) ** 2


def _covariance(features: Tensor, weights: Tensor) -> Tensor:
    """``(D, D)`` weighted covariance, as the unbiased one where weights are equal."""
    mass = weights.sum().clamp(min=1e-12)
    share = (weights / mass)[:, None]
    centred = features - (share * features).sum(0)
    worth = mass**2 / weights.square().sum().clamp(min=1e-12)
    return (share * centred).T @ centred * worth / (worth - 1).clamp(min=1e-6)
