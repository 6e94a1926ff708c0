"""Krippendorff's alpha: any number of annotators, missing judgements, four readings of a difference.

Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, section D: with m_u judgements of
face u and N judgements of faces that have two or more,

    alpha = 1 - D_o / D_e
    N D_o = sum_u  1 / (m_u - 1)  sum_{i != j of u}  d(v_ui, v_uj)
    N D_e =        1 / (N - 1)    sum_{i != j}       d(v_i, v_j) .

All his differences d used here are squared distances of *coordinates* x(v): for nominal data
one-hot vectors (half their squared distance is 0 or 1), for interval data the number itself, for
ordinal data the mean rank (R_c = n_1 + ... + n_{c-1} + n_c / 2; R_k - R_c is the sum in his section
E). So both sums are sums of variances,

    sum_{i != j} |x_i - x_j|^2  =  2 (m sum |x_i|^2 - |sum x_i|^2) ,

which need no pairs. An annotator who spreads ten votes over the classes gave a distribution p; its
coordinates are the mean of x under p. Then d is Rao's (1982) dissimilarity of two distributions, the
expected difference of a draw from each less the mean difference within each: 0 for two annotators
who spread their votes alike, and Krippendorff's own d where nothing is spread.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.agreement.votes import MISSING, Votes
from mien.errors import UsageError
from mien.records import Estimate
from mien.stats.resampling import Statistic, bootstrap_estimates, ratio, remarked
from mien.stats.settings import Settings

Array = NDArray[np.float64]
NOMINAL, ORDINAL, INTERVAL = "nominal", "ordinal", "interval"
METRICS = (NOMINAL, ORDINAL, INTERVAL)
_NO_PAIRS = "no face has two judgements"
_NO_VARIATION = "every judgement is the same: there is nothing to agree on"


@dataclass(frozen=True, kw_only=True)
class AlphaResult:
    """Krippendorff's alpha of a set of votes.

    Attributes:
        metric: ``nominal``, ``ordinal`` or ``interval``.
        unknown: How votes for unknown and not-a-face were read: ``missing`` or ``class``.
        alpha: 1 is full agreement, 0 that of chance; undefined where no two judgements differ.
        by_class: Alpha of each class against all others together; empty unless nominal.
        n: Faces with two judgements or more.
        n_left_out: Faces with fewer.
        n_judgements: Judgements of the n faces.
        n_annotators: Annotators; 0 where they are not known.
        notes: What to mind.
    """

    metric: str
    unknown: str
    alpha: Estimate
    by_class: dict[str, Estimate]
    n: int
    n_left_out: int
    n_judgements: int
    n_annotators: int
    notes: list[str]


def krippendorff_alpha(
    votes: Votes,
    metric: str = NOMINAL,
    *,
    unknown: str = MISSING,
    settings: Settings = Settings(n_boot=1000),
) -> AlphaResult:
    """Krippendorff's alpha with an interval by bootstrap over faces; see the module's text.

    Args:
        votes: The votes, annotators known or not.
        metric: How differences count: ``nominal`` for classes, ``interval`` for a vocabulary of numbers
            (intensities), ``ordinal`` for numbers, or else words that ascend in the vocabulary's order (age bins).
        unknown: ``missing`` (default): a vote for unknown or not-a-face is no judgement of the expression.
            ``class``: it is one more class.
        settings: Coverage, replicates, seed.

    Raises:
        UsageError: On settings that cannot work, or a vocabulary that is no numbers where they are needed.
    """
    if metric not in METRICS:
        raise UsageError("metric", f"is {metric!r}", f"one of {', '.join(METRICS)}")
    votes = votes.with_unknown(unknown)
    paired = votes.n_votes >= 2
    rows, statistic = _ordinal(votes) if metric == ORDINAL else _coordinates(votes, metric)
    cluster = None if votes.cluster is None else votes.cluster[paired]
    names = list(votes.vocabulary) if metric == NOMINAL else []
    why = [_NO_VARIATION, *["never voted for, or always"] * len(names)] if paired.any() else _NO_PAIRS
    values = bootstrap_estimates(rows[paired], cluster, statistic, settings, f"alpha {metric}", why)
    faces = (votes.totals[paired] > 0).sum(0).tolist()
    by_class = [remarked(e, f, "faces with a vote for it") for e, f in zip(values[1:], faces, strict=False)]
    notes = (
        [] if votes.whole else ["Votes that an annotator spread over classes count as one judgement, a distribution."]
    )
    return AlphaResult(
        metric=metric,
        unknown=unknown,
        alpha=values[0],
        by_class=dict(zip(names, by_class, strict=True)),
        n=int(paired.sum()),
        n_left_out=int((~paired).sum()),
        n_judgements=int(votes.n_votes[paired].sum()),
        n_annotators=len(votes.annotators),
        notes=notes,
    )


def _coordinates(votes: Votes, metric: str) -> tuple[Array, Statistic]:
    """Rows ``[observed, sum, sum of squares]`` of J coordinates, then the judgements; and alpha of their sums."""
    points = np.eye(len(votes.vocabulary)) if metric == NOMINAL else votes.scale()[:, None]
    points = points - (points.mean() if metric == INTERVAL else 0.0)  # far from 0, squares lose digits
    if votes.annotator is None:
        total, square = votes.votes @ points, votes.votes @ points**2
    else:
        x = votes.shares @ points
        total, square = votes.by_face(x), votes.by_face(x**2)
    m = votes.n_votes[:, None].astype(np.float64)
    observed = (m * square - total**2) / np.maximum(m - 1, 1)
    j = points.shape[1]

    def statistic(sums: Array) -> Array:
        n = sums[:, -1:]
        within = sums[:, :j]
        overall = (n * sums[:, 2 * j : 3 * j] - sums[:, j : 2 * j] ** 2) / np.maximum(n - 1, 1)
        overall = np.where(overall > 1e-9 * n, overall, 0.0)  # less is rounding
        alpha = 1 - ratio(within.sum(1, keepdims=True), overall.sum(1, keepdims=True))
        return alpha if metric != NOMINAL else np.concatenate([alpha, 1 - ratio(within, overall)], axis=1)

    return np.concatenate([observed, total, square, m], axis=1), statistic


def _ordinal(votes: Votes) -> tuple[Array, Statistic]:
    """The same with ranks for coordinates, which depend on all votes: rows hold the second moments."""
    k = len(votes.vocabulary)
    total = votes.totals
    if votes.annotator is None:
        moments = np.zeros((len(votes), k, k))
        moments[:, np.arange(k), np.arange(k)] = total
    else:
        p = votes.shares
        moments = votes.by_face((p[:, :, None] * p[:, None, :]).reshape(len(p), k * k)).reshape(-1, k, k)
    m = votes.n_votes[:, None].astype(np.float64)
    outer = total[:, :, None] * total[:, None, :]
    observed = (m[:, :, None] * moments - outer) / np.maximum(m - 1, 1)[:, :, None]
    try:
        order = np.argsort(votes.scale())
    except UsageError:
        order = np.arange(k)

    def statistic(sums: Array) -> Array:
        n, count = sums[:, -1], sums[:, 2 * k * k : -1]
        rank = np.empty_like(count)
        rank[:, order] = count[:, order].cumsum(1) - count[:, order] / 2
        rank = ratio(rank, n[:, None])  # alpha does not depend on their unit
        within, square = (
            np.einsum("bi,bij,bj->b", rank, sums[:, s : s + k * k].reshape(-1, k, k), rank) for s in (0, k * k)
        )
        overall = (n * square - (rank * count).sum(1) ** 2) / np.maximum(n - 1, 1)
        overall = np.where(overall > 1e-9 * n, overall, 0.0)
        return 1 - ratio(within[:, None], overall[:, None])

    flat = [observed.reshape(-1, k * k), moments.reshape(-1, k * k), total, m]
    return np.concatenate(flat, axis=1), statistic
