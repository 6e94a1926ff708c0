"""Partial pooling of many small groups: what each group's accuracy is likely to be, given all the others."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln

from mien.records import Estimate

Array = NDArray[np.float64]
_LEAST_GROUPS = 3
_DRAWS = 4000
_METHOD = "beta-binomial, partially pooled"


def pooled_estimates(
    shares: Sequence[Estimate], trials: Sequence[float], rng: np.random.Generator
) -> list[Estimate | None]:
    """Shrink shares of groups towards their mean, the more the smaller a group is and the more alike all are.

    Each group's true share is a draw from a beta distribution common to all groups, its successes
    are binomial. The mean of that distribution and its spread are unknown: they are integrated out
    over a grid, with a flat prior on the mean and the uniform-shrinkage prior on the spread
    (Christiansen and Morris 1997; Daniels 1999), so that the intervals include what the data leave
    open about them. A plug-in of the best values would give intervals that are too narrow.

    Args:
        shares: One estimate a group; undefined ones stay out.
        trials: Independent faces behind each share.
        rng: Source of the posterior draws.

    Returns:
        One estimate a group: posterior mean with an equal-tailed interval. An empty group gets what
        a group drawn from the same distribution would have. None for all with fewer than three groups.
    """
    n = np.array([t if not math.isnan(e.value) else 0.0 for e, t in zip(shares, trials, strict=True)])
    k = np.array([e.value * t if not math.isnan(e.value) else 0.0 for e, t in zip(shares, trials, strict=True)])
    known = n > 0
    if known.sum() < _LEAST_GROUPS:
        return [None] * len(shares)
    mean, size = _posterior_hyper(k[known], n[known], rng)
    drawn = rng.beta(k + (mean * size)[:, None], n - k + ((1 - mean) * size)[:, None])
    out: list[Estimate | None] = []
    for i, estimate in enumerate(shares):
        low, high = np.quantile(drawn[:, i], [(1 - estimate.level) / 2, (1 + estimate.level) / 2])
        value = float(drawn[:, i].mean())
        out.append(
            Estimate(
                value,
                float(low),
                float(high),
                level=estimate.level,
                method=_METHOD,
                n=estimate.n,
                clusters=estimate.clusters,
                seed=None,
            )
        )
    return out


def _posterior_hyper(k: Array, n: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draws of the mean and of the size (faces that the common knowledge is worth) of the beta distribution."""
    centre = (k.sum() + 1) / (n.sum() + 2)
    logit = np.log(centre / (1 - centre))
    # A flat prior on the mean, seen on the logit scale, has density m (1 - m).
    means = 1 / (1 + np.exp(-(logit + np.linspace(-3, 3, 121))))
    harmonic = len(n) / float((1 / n).sum())
    weight = (np.arange(60) + 0.5) / 60  # shrinkage of a typical group, uniform
    sizes = harmonic * weight / (1 - weight)
    a, b = np.outer(means, sizes), np.outer(1 - means, sizes)
    log_density = np.log(means * (1 - means))[:, None] + sum(
        betaln(ki + a, ni - ki + b) - betaln(a, b) for ki, ni in zip(k, n, strict=True)
    )
    density = np.exp(log_density - log_density.max()).ravel()
    index = rng.choice(density.size, _DRAWS, p=density / density.sum())
    return means[index // len(sizes)], sizes[index % len(sizes)]
