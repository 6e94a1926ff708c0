"""How large the true groups are behind those that an annotator perceives."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.audit.inferred.annotator_error import AnnotatorError
from mien.records import Estimate
from mien.stats.intervals import undefined
from mien.stats.mixture import inverted_counts, true_counts
from mien.stats.settings import Settings

NO_MIX = "no mix of groups would be perceived like this: the annotator errs otherwise on these faces"


def corrected_shares(
    codes: NDArray[np.int64],
    error: AnnotatorError,
    cluster: NDArray[np.int64] | None = None,
    *,
    settings: Settings = Settings(),
) -> dict[str, Estimate]:
    """Shares of the true groups: those perceived, with the annotator's confusion inverted.

    Each replicate draws faces (whole units, each with a Poisson weight of mean 1) and an annotator's
    confusion from what its validation set leaves open. The confusion is taken to be the same here as
    there: no interval covers an annotator that errs otherwise on these faces.

    Args:
        codes: ``(n,)`` perceived group of each face, as a position in ``error.groups``; -1 where unknown.
        error: The annotator's errors.
        cluster: ``(n,)`` independent units; None: each face its own.
        settings: Coverage, replicates, seed.

    The value is the most likely share, which cannot be negative. The interval holds the replicates both
    with and without that limit, cut to [0, 1]. Where even the upper end without it is negative for some
    group, no mix of groups would be perceived like this: the annotator errs otherwise here than where
    its errors were counted, and all groups have a note in place of an interval.

    Returns:
        Group -> share of the faces whose group is perceived; undefined without such faces.

    Raises:
        UsageError: If a setting is out of range.
    """
    n_boot, level, seed = settings.n_boot, settings.level, settings.seed
    known, groups = codes >= 0, len(error.groups)
    n = int(known.sum())
    units = np.arange(n) if cluster is None else np.unique(cluster[known], return_inverse=True)[1].reshape(-1)
    n_units = int(units.max()) + 1 if n else 0
    counts = np.zeros((n_units, groups))
    np.add.at(counts, (units, codes[known]), 1.0)
    rng = settings.stream(error.where, "shares")
    drawn = _replicates(counts, n_boot, rng)
    values = true_counts(counts.sum(0)[None, :, None], error.rates[None])[0, :, 0] / max(n, 1)
    rates, faces = error.drawn(n_boot, rng), np.maximum(drawn.sum(1, keepdims=True), 1)
    ends = [(1 - level) / 2, (1 + level) / 2]
    free = np.quantile(inverted_counts(drawn[..., None], rates)[..., 0] / faces, ends, axis=0)
    limited = np.quantile(true_counts(drawn[..., None], rates)[..., 0] / faces, ends, axis=0)
    low = np.clip(np.minimum(free[0], limited[0]), 0, values)
    high = np.clip(np.maximum(free[1], limited[1]), values, 1)
    if not n:
        return {group: undefined(0, 0, "no face has a perceived group", level) for group in error.groups}
    if (free[1] < 0).any():
        low, high = np.full(groups, np.nan), np.full(groups, np.nan)
    method, note = "matrix method, bootstrap percentile", NO_MIX if np.isnan(low).any() else ""
    return {
        group: Estimate(
            float(values[g]),
            float(low[g]),
            float(high[g]),
            level=level,
            method=method,
            n=n,
            clusters=n_units,
            seed=seed,
            note=note,
        )
        for g, group in enumerate(error.groups)
    }


def _replicates(counts: NDArray[np.float64], n_boot: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """``(n_boot, G)`` counts; units with the same counts are drawn together."""
    kinds, sizes = np.unique(counts, axis=0, return_counts=True)
    return np.asarray(rng.poisson(sizes, (n_boot, len(sizes))) @ kinds, dtype=np.float64)
