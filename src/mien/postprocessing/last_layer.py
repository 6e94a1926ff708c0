"""The head is fitted anew on stored features, with classes or cells in balance; the features stay."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
import sklearn
from numpy.typing import NDArray
from pydantic import Field
from sklearn.linear_model import LogisticRegression

from mien.errors import DataError
from mien.postprocessing import POSTPROCESSORS
from mien.postprocessing.base import Array, Judged, PostProcessor, balancing, enough

_ROUNDING = 1e-9
# scikit-learn has named the penalty by its share of the absolute values since 1.8.
_NEW = tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 8)
_L1: dict[str, Any] = {"l1_ratio": 1.0} if _NEW else {"penalty": "l1"}


@dataclass(frozen=True, kw_only=True)
class LinearHead:
    """A linear head: softmax(W f + b).

    Attributes:
        weight: ``(K, D)``.
        bias: ``(K,)``; -inf for a class of which no face was seen.
    """

    weight: Array
    bias: Array

    def __call__(self, faces: Judged) -> Array:
        """``(n, K)``."""
        z = features_of(faces) @ self.weight.T + self.bias
        p = np.exp(z - z.max(1, keepdims=True))
        return np.asarray(p / p.sum(1, keepdims=True))

    def as_json(self) -> dict[str, Any]:
        """Its weights."""
        return {"weight": self.weight.tolist(), "bias": self.bias.tolist()}


@dataclass(frozen=True, kw_only=True)
class GroupHeads:
    """A head a group, whose probabilities are mixed by memberships; the last one for faces of unknown group."""

    heads: tuple[LinearHead, ...]

    def __call__(self, faces: Judged) -> Array:
        """``(n, K)``."""
        shares = faces.shares
        return np.asarray(sum(shares[:, [g]] * head(faces) for g, head in enumerate(self.heads)))

    def as_json(self) -> dict[str, Any]:
        """Their weights."""
        return {"heads": [head.as_json() for head in self.heads]}


def features_of(faces: Judged) -> Array:
    """``(n, D)`` features.

    Raises:
        DataError: If there are none.
    """
    if faces.features is None:
        raise DataError("last_layer", "the faces have no features", "features beside the predictions",
                        "Evaluate with features.")  # fmt: skip
    return np.asarray(faces.features, dtype=np.float64)


@POSTPROCESSORS.register("last_layer")
class LastLayer(PostProcessor):
    """A logistic regression on the features that the network's head sees, in place of that head.

    ``balance`` says what counts alike: each class of each group (``cells``, as in deep feature re-weighting), each
    class (``classes``: nobody's group is asked for), or each face. By ``weights`` all faces take part; by ``subsets``
    as many faces of each as the smallest has, ``retrains`` times, and the weights are averaged: a cell of a handful
    leaves a handful of each, of which little is learnt, and one without a face is in none. Features have unit variance
    while it is fitted. The penalty is the sum of squared weights, or of their absolute values, which leaves out
    features that tell little. Nobody's group is asked for where the head is used, unless ``decoupled``: then every
    group with ``least`` faces or more, and ``least_of_class`` of every class, has a head of its own, to which its faces
    count by how far they are of it (in subsets: those that are rather of it than not), and others that of all: of a
    class with a handful of faces a head of its own would learn next to nothing. A class of which no face is there to
    fit is never said.

    Source: Kirichenko, Izmailov and Wilson 2023, "Last layer re-training is sufficient for robustness to spurious
    correlations" (``cells`` and ``subsets``, with ``penalty: l1``); Kang et al. 2020, "Decoupling representation
    and classifier for long-tailed recognition" (CRT: ``classes``, fitted on the training faces); Dwork et al. 2018,
    "Decoupled classifiers for group-fair and efficient machine learning" (``decoupled``).

    Args:
        balance: What counts alike.
        how: By weights of faces, or by subsets of them.
        c: Inverse strength of the penalty, as scikit-learn has it.
        penalty: ``l2`` or ``l1``.
        retrains: Subsets whose heads are averaged.
        seed: Seed of the subsets.
        decoupled: Whether each group has a head of its own.
        least: Fewest faces of such a group.
        least_of_class: Fewest faces of each class in such a group.
    """

    features = True

    def __init__(
        self,
        *,
        balance: Literal["cells", "classes", "faces"] = "cells",
        how: Literal["weights", "subsets"] = "weights",
        c: Annotated[float, Field(gt=0, le=1e6)] = 0.1,
        penalty: Literal["l1", "l2"] = "l2",
        retrains: Annotated[int, Field(ge=1, le=1000)] = 10,
        seed: Annotated[int, Field(ge=0)] = 0,
        decoupled: bool = False,
        least: Annotated[int, Field(ge=2)] = 100,
        least_of_class: Annotated[int, Field(ge=1)] = 20,
    ) -> None:
        # What another option makes idle is one value: rules are compared by these.
        subsets = how == "subsets" and balance != "faces"
        self.balance, self.c, self.penalty, self.decoupled = balance, c, penalty, decoupled
        self.how = "subsets" if subsets else "weights"
        self.retrains = retrains if subsets else 1
        self.seed = seed if subsets or penalty == "l1" else 0
        self.least, self.least_of_class = (least, least_of_class) if decoupled else (2, 1)

    @property
    def asks_groups(self) -> bool:
        """Where each group has a head of its own."""
        return self.decoupled

    @property
    def fits_groups(self) -> bool:
        """Where cells are balanced, or each group has a head."""
        return self.balance == "cells" or self.decoupled

    def fit(self, faces: Judged) -> LinearHead | GroupHeads:
        """The head, or one a group.

        Raises:
            DataError: If there are no features, or faces of one class alone.
        """
        everybody = self._head(faces)
        if not self.decoupled:
            return everybody
        found = [everybody] * (len(faces.names) + 1)
        for g in enough(faces, self.least):
            own = faces.part(np.flatnonzero(faces.groups[:, g] > 0))
            own = replace(own, groups=own.groups[:, [g]], names=(faces.names[g],))  # how far each is of this group
            # A head that has hardly seen a class could hardly say it.
            counts = own.groups[:, 0] > 0.5 if self.how == "subsets" else own.groups[:, 0]  # of which subsets are drawn
            mass = np.bincount(own.labels, weights=counts, minlength=len(faces.classes))
            if (mass[np.unique(faces.labels)] >= self.least_of_class - _ROUNDING).all():
                found[g] = self._head(own, own.groups[:, 0])
        return GroupHeads(heads=tuple(found))

    def _head(self, faces: Judged, belongs: Array | None = None) -> LinearHead:
        """One head.

        Args:
            faces: That it is fitted to.
            belongs: ``(n,)`` how far each of them counts; None for alike.

        Raises:
            DataError: If there are no features, or faces of one class alone.
        """
        x, belongs = features_of(faces), np.ones(len(faces)) if belongs is None else belongs
        mean = np.average(x, 0, weights=belongs)
        std = np.sqrt(np.average((x - mean) ** 2, 0, weights=belongs))
        z = (x - mean) / np.where(std > 0, std, 1)
        if self.how == "weights":
            weights = belongs.copy()
            if self.balance != "faces":
                weights *= balancing(faces, groups=self.balance == "cells")
            heads = [self._fitted(z, faces.labels, len(faces.classes), weights / weights.mean())]
        else:
            rng = np.random.default_rng([self.seed, 0x4D5])
            subsets = [self._subset(faces, belongs, rng) for _ in range(self.retrains)]
            heads = [self._fitted(z[rows], faces.labels[rows], len(faces.classes), None) for rows in subsets]
        weight = np.mean([w for w, _ in heads], 0) / np.where(std > 0, std, 1)
        bias = np.mean([b for _, b in heads], 0) - weight @ mean
        return LinearHead(weight=weight, bias=bias)

    def _subset(self, faces: Judged, belongs: Array, rng: np.random.Generator) -> NDArray[np.int64]:
        """As many faces of each cell as the smallest has, of those that count for more than a half."""
        known = np.flatnonzero(belongs > 0.5)
        cell = faces.labels.copy()
        if self.balance == "cells":
            known = known[faces.groups.sum(1)[known] > 0.5]  # and more likely of a group than of none of them
            cell = faces.labels * len(faces.names) + faces.groups.argmax(1)
        codes, counts = np.unique(cell[known], return_counts=True)
        if not len(codes):
            raise DataError("last_layer", "no face has a known group", "groups of the faces that fit")
        return np.concatenate([rng.permutation(known[cell[known] == code])[: counts.min()] for code in codes])

    def _fitted(
        self, x: Array, labels: NDArray[np.int64], k: int, weights: Array | None
    ) -> tuple[Array, NDArray[np.float64]]:
        """``(K, D)`` and ``(K,)``."""
        there = np.unique(labels)
        if len(there) < 2:
            raise DataError("last_layer", "all faces that fit are of one class", "two or more")
        options: dict[str, Any] = {"C": self.c, "max_iter": 5000}
        if self.penalty == "l1":
            options |= {"solver": "saga", "random_state": self.seed, **_L1}
        model = LogisticRegression(**options).fit(x, labels, sample_weight=weights)
        weight, bias = np.zeros((k, x.shape[1])), np.full(k, -np.inf)
        if len(there) == 2:  # one line for two classes, here half of it for each
            weight[there], bias[there] = np.stack([-model.coef_[0], model.coef_[0]]) / 2, np.array(
                [-model.intercept_[0], model.intercept_[0]]) / 2  # fmt: skip
        else:
            weight[there], bias[there] = model.coef_, model.intercept_
        return weight, bias
