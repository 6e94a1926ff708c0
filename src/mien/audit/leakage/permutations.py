"""Permutations of the groups that keep every fold's groups, and what expressions tell of them.

Null hypothesis: given the annotated classes of a unit's faces, what a probe reads from does not
depend on the group. Folds are dealt at random within the groups. Permuting only within a fold keeps
what the dealing was allowed to know (how many units of each group a fold has), so that permuted
groups are as likely as the observed ones, and probes can share all that depends on folds alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mien.stats.cells import Ints, chunk_sizes

_ENOUGH = 10  # units alike in a fold that are shuffled among themselves
_SWEEPS = 30
_RIDGE = 0.1


class GroupPermutations:
    """Draws permuted groups.

    A unit is a cluster, split by group where it holds several, and moves whole. Units of one face
    are exchanged if they are annotated alike, and so are larger ones where many of a fold have the
    same counts of classes. The other larger units hardly ever find their like: they are exchanged
    in pairs, with the probability that keeps the chances of their groups given their counts of
    classes, as a logistic regression estimates them (the conditional permutation test of Berrett,
    Wang, Barber and Samworth 2020, algorithm 1). This part is as good as that model.

    Which unit is exchanged in which way does not depend on the groups.

    Args:
        group: ``(n,)`` codes.
        unit: ``(n,)`` codes of clusters from 0.
        fold: ``(n,)`` folds, the same within a cluster.
        label: ``(n,)`` annotated classes, or None to exchange whatever the class.

    Attributes:
        fixed: Share of rows that cannot move.
        modelled: Share of rows exchanged by the model.
    """

    def __init__(self, group: Ints, unit: Ints, fold: Ints, label: Ints | None) -> None:
        n_groups = int(group.max()) + 1
        first, part = np.unique(unit * n_groups + group, return_index=True, return_inverse=True)[1:]
        self._part = part.reshape(-1).astype(np.int64)
        self._group = group[first]
        size = np.bincount(self._part)
        counts = np.zeros((len(first), 1 if label is None else int(label.max()) + 1), dtype=np.int64)
        np.add.at(counts, (self._part, np.zeros_like(group) if label is None else label), 1)
        stratum = np.unique(np.column_stack([fold[first], counts]), axis=0, return_inverse=True)[1].reshape(-1)
        alike = (size == 1) | (np.bincount(stratum)[stratum] >= _ENOUGH)
        self._shuffled = np.flatnonzero(alike)[np.argsort(stratum[alike], kind="stable")]
        self._stratum = stratum[self._shuffled]
        self._swapped = np.flatnonzero(~alike)
        self._fold = fold[first][~alike]
        self._chances = _log_chances(counts[~alike], self._group[~alike], n_groups)
        pairs = np.unique(np.column_stack([stratum, self._group]), axis=0)[:, 0]
        self.fixed = float(size[alike & (np.bincount(pairs)[stratum] == 1)].sum() / len(group))
        self.modelled = float(size[~alike].sum() / len(group))

    def draw(self, n_perm: int, rng: np.random.Generator) -> NDArray[np.int8]:
        """``(n_perm, n)`` permuted groups of the rows."""
        out = np.empty((n_perm, len(self._part)), dtype=np.int8)
        groups, start = self._group.astype(np.int8), 0
        pairs = list(_pairings(self._fold, rng))
        # From a hub that the observed groups lead to backwards, all copies are drawn forwards:
        # so the observed groups and the copies are exchangeable (their algorithm 2).
        hub = self._swap(groups[self._swapped][None], pairs[::-1], rng)
        for b in chunk_sizes(n_perm, 8 * len(groups)):
            units = np.empty((b, len(groups)), dtype=np.int8)
            # Strata ascend, so sorting by stratum plus a fraction shuffles within each.
            order = np.argsort(self._stratum + rng.random((b, len(self._stratum))), axis=1)
            units[:, self._shuffled] = groups[self._shuffled][order]
            units[:, self._swapped] = self._swap(np.repeat(hub, b, axis=0), pairs, rng)
            out[start : start + b] = units[:, self._part]
            start += b
        return out

    def _swap(
        self, groups: NDArray[np.int8], pairings: list[tuple[Ints, Ints]], rng: np.random.Generator
    ) -> NDArray[np.int8]:
        """Exchange the groups ``(b, m)`` of pairs of units, or leave them, by the odds of the two arrangements."""
        groups = groups.copy()
        for i, j in pairings:
            one, other = groups[:, i], groups[:, j]
            swapped = self._chances[i, other] + self._chances[j, one]
            as_is = self._chances[i, one] + self._chances[j, other]
            yes = rng.logistic(size=one.shape) < swapped - as_is
            groups[:, i], groups[:, j] = np.where(yes, other, one), np.where(yes, one, other)
        return groups


def _pairings(fold: Ints, rng: np.random.Generator) -> Iterator[tuple[Ints, Ints]]:
    """Random pairs of units of one fold, for each sweep."""
    for _ in range(_SWEEPS if len(fold) else 0):
        order = np.lexsort((rng.random(len(fold)), fold))
        place = np.arange(len(fold)) - np.searchsorted(fold[order], fold[order])
        left = np.flatnonzero((place[:-1] % 2 == 0) & (fold[order][1:] == fold[order][:-1]))
        yield order[left], order[left + 1]


def _log_chances(counts: Ints, group: Ints, n_groups: int) -> NDArray[np.float64]:
    """``(m, G)`` log probabilities of a unit's group given its counts of classes, by logistic regression."""
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    if not len(group):
        return np.zeros((0, n_groups))
    x = (counts - counts.mean(0)) / np.maximum(counts.std(0), 1e-9)
    x = np.column_stack([x, np.ones(len(x))])
    target = np.eye(n_groups)[group]

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = flat.reshape(x.shape[1], n_groups)
        log_probs = log_softmax(x @ weights, axis=1)
        gradient = x.T @ (np.exp(log_probs) - target) + _RIDGE * weights
        return float(-(target * log_probs).sum() + _RIDGE / 2 * (weights**2).sum()), gradient.ravel()

    fitted = minimize(loss, np.zeros(x.shape[1] * n_groups), jac=True, method="L-BFGS-B").x
    return np.asarray(log_softmax(x @ fitted.reshape(x.shape[1], n_groups), axis=1))
