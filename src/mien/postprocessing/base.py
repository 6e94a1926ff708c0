"""Judged faces, the rule that a method fits to them, and what the methods share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from mien.errors import ConfigError, DataError
from mien.registry import nearest
from mien.stats.memberships import cell_weights

Array = NDArray[np.float64]
_LEAST = 1e-12  # probability, so that its logarithm is finite


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Faces that a model has judged.

    Attributes:
        probs: ``(n, K)`` what it says; rows sum to 1.
        labels: ``(n,)`` int, the annotated class.
        groups: ``(n, G)`` memberships: one-hot, a distribution where perceived, zeros where missing.
        names: The G groups.
        classes: The K classes.
        features: ``(n, D)`` what its head sees; None where nobody asked.
        prior: ``(K,)`` shares of the classes among the faces that it learnt; None where not known.
    """

    probs: Array
    labels: NDArray[np.int64]
    groups: Array
    names: tuple[str, ...]
    classes: tuple[str, ...]
    features: NDArray[Any] | None = None
    prior: Array | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shares(self) -> Array:
        """``(n, G + 1)`` memberships, and in the last column how far a face's group is not known."""
        return np.column_stack([self.groups, np.clip(1 - self.groups.sum(1), 0, 1)])

    def part(self, rows: NDArray[Any]) -> Judged:
        """Some of the faces."""
        features = None if self.features is None else self.features[rows]
        return replace(
            self, probs=self.probs[rows], labels=self.labels[rows], groups=self.groups[rows], features=features
        )


class Rule(Protocol):
    """What a method fitted: from judged faces to new probabilities; the labels play no part."""

    def __call__(self, faces: Judged) -> Array:
        """``(n, K)``; rows sum to 1, and the largest one is the answer."""
        ...

    def as_json(self) -> dict[str, Any]:
        """Its numbers."""
        ...


class PostProcessor:
    """A method after training.

    Attributes:
        at_prediction: Whether the rule asks for the group of a face that it judges.
        features: Whether it asks for features.
        calibrated: Whether what its rule returns is meant as probabilities, or as scores of which the largest decides.
    """

    at_prediction: ClassVar[bool] = False
    features: ClassVar[bool] = False
    calibrated: ClassVar[bool] = True

    @property
    def asks_groups(self) -> bool:
        """Whether the rule as configured asks for the group of a face that it judges."""
        return self.at_prediction

    @property
    def fits_groups(self) -> bool:
        """Whether it asks for the groups of the faces that it is fitted to."""
        return True

    def check(self, classes: Sequence[str]) -> None:
        """Refuse options that name what these faces do not have: before anything is trained, and once more in a fit.

        Args:
            classes: Those that the model tells.

        Raises:
            ConfigError: With the nearest name.
        """

    def fit(self, faces: Judged) -> Rule:
        """Fit the rule to faces that neither trained the model nor choose between methods.

        Raises:
            DataError: If it cannot be fitted to these faces.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class GroupScores:
    """Scores p (M + c I), normalised: M is that of the face's group, mixed by memberships; p to its group's power s.

    A face of unknown group has the last row. Scores below 0 count as 0, but the largest one decides in any case.

    Attributes:
        scale: ``(G + 1,)`` exponents s of the probabilities, 1 over the temperature; the last for unknown groups.
        matrix: ``(G + 1, K, K)`` M; row j says what the probability of class j adds to the scores.
        sure: c over the largest probability of the face: how much answers count that the model is sure of.
    """

    scale: Array
    matrix: Array
    sure: float = 0.0

    def __call__(self, faces: Judged) -> Array:
        """``(n, K)``."""
        shares = faces.shares
        p = tempered(faces.probs, shares @ self.scale)
        scores = np.einsum("ij,ig,gjk->ik", p, shares, self.matrix, optimize=True)
        return as_probabilities(scores + self.sure * p.max(1, keepdims=True) * p)

    def as_json(self) -> dict[str, Any]:
        """Numbers by group."""
        return {"scale": self.scale.tolist(), "matrix": self.matrix.tolist(), "sure": self.sure}


def check_classes(named: Sequence[str], classes: Sequence[str]) -> None:
    """Refuse the name of a class that is none, in ``of``.

    Raises:
        ConfigError: With the nearest one.
    """
    for name in named:
        if name not in classes:
            raise ConfigError("after.options.of", f"no class {name!r}", "", nearest(name, list(classes)))


def by_group(
    faces: Judged, *, scale: Mapping[int, float] | None = None, factors: Mapping[int, Array] | None = None
) -> GroupScores:
    """A rule that leaves all groups as they are but those given.

    Args:
        faces: Whose groups and classes it is for.
        scale: Group -> exponent; -1 for unknown groups.
        factors: Group -> ``(K,)`` factors of the classes; -1 for unknown groups.
    """
    g, k = len(faces.names), len(faces.classes)
    found = GroupScores(scale=np.ones(g + 1), matrix=np.broadcast_to(np.eye(k), (g + 1, k, k)).copy())
    for i, s in (scale or {}).items():
        found.scale[i] = s
    for i, told in (factors or {}).items():
        found.matrix[i] = np.diag(told)
    return found


def tempered(probs: Array, scale: Array | float) -> Array:
    """``(n, K)`` p^s, normalised; s is one for all or ``(n,)``."""
    logits = np.log(np.maximum(probs, _LEAST)) * np.reshape(scale, (-1, 1))
    found = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(found / found.sum(1, keepdims=True))


def as_probabilities(scores: Array) -> Array:
    """``(n, K)`` scores as probabilities with the same largest class; where none is above 0, that class alone."""
    found = np.maximum(scores, 0)
    nothing = found.sum(1) <= 0
    found[nothing, scores[nothing].argmax(1)] = 1
    return np.asarray(found / found.sum(1, keepdims=True))


def enough(faces: Judged, least: int) -> list[int]:
    """Groups with so many faces or more, shares of faces added up."""
    return [int(g) for g in np.flatnonzero(faces.groups.sum(0) >= least)]


def balancing(faces: Judged, *, groups: bool) -> Array:
    """``(n,)`` weights of mean 1 that make all cells with faces count alike: each class, or each class of each group.

    A cell of less than a face, which shares of many may add up to, counts as a part of one.

    A face of unknown group has the mean weight of the others of its class, and counts as they do in the size of its
    cells; where there are none, its class is spread evenly over the groups.

    Args:
        faces: The faces.
        groups: Whether groups make cells too.
    """
    if groups and not faces.groups.any():
        raise DataError("after training", "no face has a known group", "groups of the faces that fit")
    cells = faces.groups if groups else np.ones((len(faces), 1))
    weights = cell_weights(np.eye(len(faces.classes))[faces.labels], cells, 1.0)
    return np.asarray(weights / weights.mean())


def log_loss(probs: Array, labels: NDArray[np.int64], weights: Array | None = None) -> float:
    """Mean of -log p of the annotated class."""
    losses = -np.log(np.maximum(probs[np.arange(len(labels)), labels], _LEAST))
    return float(np.average(losses, weights=weights))
