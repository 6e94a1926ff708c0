"""Strata to compare groups in: bins of a number, the strata that all groups share, and a score for many numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from mien.stats.cells import Ints

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
MIN_CELL = 10
N_FOLDS = 5
_DEGREE = 3


def codes_without_holes(codes: Ints) -> Ints:
    """``(n,)`` codes from 0, every one of them used, in the order of ``codes``."""
    out: Ints = np.unique(codes, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return out


def large_groups(group: Ints, names: tuple[str, ...], min_n: int) -> tuple[Bools, Ints, tuple[str, ...]]:
    """Which faces belong to groups of ``min_n`` faces or more, ``(n,)``, those faces' new codes, and the groups."""
    part = np.bincount(group, minlength=len(names)) >= max(min_n, 1)
    mask = part[group]
    codes = (np.cumsum(part) - 1)[group[mask]].astype(np.int64)
    return mask, codes, tuple(name for name, use in zip(names, part, strict=True) if use)


def quantile_bins(values: Array, n_bins: int) -> tuple[Ints, Array]:
    """Bins with about equally many values; equal values share a bin, so there may be fewer.

    Args:
        values: ``(n,)`` finite, at least one.
        n_bins: Bins aimed at.

    Returns:
        ``(n,)`` codes from 0, ascending with the values, and the inner edges (a value on an edge lies below it).
    """
    edges = np.unique(np.quantile(values, np.arange(1, n_bins) / n_bins, method="inverted_cdf"))
    edges = edges[edges < values.max()]
    return np.searchsorted(edges, values, side="left").astype(np.int64), edges


def units_per_cell(group: Ints, stratum: Ints, n_groups: int, n_strata: int, cluster: Ints | None) -> Ints:
    """Independent units with a face of a group in a stratum: ``(n_groups, n_strata)``.

    Args:
        group: ``(n,)`` codes below ``n_groups``.
        stratum: ``(n,)`` codes below ``n_strata``.
        n_groups: G.
        n_strata: S.
        cluster: ``(n,)`` codes of independent units; None where each face is its own.
    """
    cells = group * n_strata + stratum
    if cluster is not None:
        both = np.sort(cluster * (n_groups * n_strata) + cells)  # faster than np.unique
        cells = both[np.diff(both, prepend=-1) > 0] % (n_groups * n_strata)
    return np.bincount(cells, minlength=n_groups * n_strata).reshape(n_groups, n_strata).astype(np.int64)


def common_support(
    group: Ints, stratum: Ints, n_groups: int, cluster: Ints | None = None, min_cell: int = MIN_CELL
) -> Bools:
    """Which strata hold at least ``min_cell`` independent units of every group.

    Args:
        group: ``(n,)`` codes below ``n_groups``.
        stratum: ``(n,)`` codes from 0.
        n_groups: G.
        cluster: ``(n,)`` codes of independent units; None where each face is its own.
        min_cell: Least units of a group in a stratum.

    Returns:
        ``(S,)`` bool.
    """
    n_strata = int(stratum.max()) + 1 if len(stratum) else 0
    units = units_per_cell(group, stratum, n_groups, n_strata, cluster)
    return np.asarray((units >= min_cell).all(0))


def prognostic_score(values: Array, label: Ints, group: Ints, hit: Bools, fold: Ints, with_class: bool) -> Array:
    """What each face's confounders (and class) let expect of its hit, whatever its group.

    The prognostic score of Hansen (2008): least squares of the hits on classes and on polynomials of
    each confounder, within groups (Frisch, Waugh and Lovell), each face's score from the other
    folds. A little ridge settles what the redundant class indicators take.

    Args:
        values: ``(n, J)`` confounders.
        label: ``(n,)`` classes from 0.
        group: ``(n,)`` codes from 0.
        hit: ``(n,)`` outcomes.
        fold: ``(n,)`` codes below :data:`N_FOLDS`; an independent unit lies in one.
        with_class: Whether the score holds the classes' own effects too.

    Returns:
        ``(n,)`` differences of expected hits, about 0 on average; rounded, so that faces alike score alike.
    """
    n, g, n_classes = len(group), int(group.max()) + 1, int(label.max()) + 1
    basis = np.column_stack([np.eye(n_classes)[label], *(_polynomials(column) for column in values.T)])
    both = np.column_stack([basis, hit])
    q = basis.shape[1]
    cell = fold * g + group
    sizes = np.bincount(cell, minlength=N_FOLDS * g).reshape(N_FOLDS, g)
    sums = np.stack([np.bincount(cell, column, N_FOLDS * g) for column in both.T], axis=1).reshape(N_FOLDS, g, -1)
    parts = [both[fold == f] for f in range(N_FOLDS)]
    grams = np.stack([part.T @ part for part in parts])
    basis = basis if with_class else basis[:, n_classes:]
    score = np.zeros(n)
    for f in range(N_FOLDS):
        gram, total, size = (x.sum(0) - x[f] for x in (grams, sums, sizes))
        within = gram - total.T @ (total / np.maximum(size, 1)[:, None])
        effect = np.linalg.solve(within[:q, :q] + np.eye(q), within[:q, q])[-basis.shape[1] :]
        score[fold == f] = (basis[fold == f] - basis.mean(0)) @ effect  # one level for all folds
    return np.asarray(np.round(score, 9))


def _polynomials(values: Array) -> Array:
    """Hermite polynomials of degree 1 to 3 of the values' normal scores: ``(n, 3)``; outliers weigh little."""
    _, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - counts / 2) / len(values)
    return np.asarray(np.polynomial.hermite_e.hermevander(ndtri(rank)[codes.reshape(-1)], _DEGREE)[:, 1:])
