"""How many votes are enough: what t of a face's m votes say of all m, of the others, and of the next one.

Draw t of the m votes without replacement (multivariate hypergeometric).

*Against all m votes* (the usual curve, as Barsoum et al. 2016 draw for FERPlus): the chance that the
class with most of the t votes (ties by lot) is among those with most of the m; the divergence
KL(t votes || m votes), finite as the m hold the t; and the total variation distance. These flatter:
the t votes are part of what they are compared with, so at t = m they agree perfectly, even where
people vote at random.

*Against other votes*: the same with r = m // 2 of the remaining m - t votes, for t up to m - r.
Nothing is shared, so agreement is what a repeated survey with r new annotators would show, and it
does not reach 1. KL is undefined here: one side soon has a class that the other lacks.

*Against the next vote*: the chance that one further annotator chooses the class with most of the t
votes (r = 1).

How far is the distribution of t votes from that of all annotators one could ask? With votes that are
exchangeable draws, its expected squared distance is exactly

    E |p_t - p|^2  =  V / t,    V = 1 - sum_k p_k^2,

and the votes' sample variance, V' = (m - sum_k n_k^2 / m) / (m - 1), is unbiased for V. So the gain of
an (m+1)-th vote, V (1/m - 1/(m + 1)), can be estimated although nobody cast it; the gain in top-1
agreement cannot.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from mien.agreement.votes import MISSING, Votes
from mien.errors import UsageError
from mien.records import Estimate
from mien.stats.intervals import undefined
from mien.stats.resampling import NAN, mean_estimates
from mien.stats.settings import Settings

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
_MOST_PAIRS = 100_000  # of subsets of one face's votes that are gone through one by one
_PATTERN_ORDERS, _ORDERS = 2000, 50  # random orders where there are more: of each pattern of counts, of each face
_CHUNK = 4_000_000
_CLOSE = 1e-9
FLATTERS = (
    "Agreement with all votes flatters: the votes drawn are among those they are compared with, and at the last point "
    "they are the same. Agreement with other votes, none of them drawn, is what another group of annotators would show."
)


@dataclass(frozen=True, kw_only=True)
class SufficiencyPoint:
    """What t votes a face say. Undefined where there are not enough other votes.

    Attributes:
        t: Votes a face.
        agreement_all: Chance that their top class (ties by lot) is a top class of all m votes.
        kl_all: Mean KL divergence, in nats, of their distribution from that of all m.
        distance_all: Mean total variation distance between the two.
        agreement_others: Chance that their top class is a top class of r other votes.
        distance_others: Mean total variation distance to the r other votes.
        agreement_next: Chance that one other vote is for their top class.
        tied: Chance that their top is a tie.
        squared_error: Mean squared distance between their distribution and that of all annotators one could ask.
    """

    t: int
    agreement_all: Estimate
    kl_all: Estimate
    distance_all: Estimate
    agreement_others: Estimate
    distance_others: Estimate
    agreement_next: Estimate
    tied: Estimate
    squared_error: Estimate


@dataclass(frozen=True, kw_only=True)
class VoteSufficiency:
    """How much each further vote tells.

    Attributes:
        m: Votes of each face.
        r: Other votes that t votes are compared with.
        unknown: How votes for unknown and not-a-face were read: ``missing`` or ``class``.
        points: For t = 1 to m.
        next_gain: By how much one more vote than m would lower the squared error.
        last_gain: By how much the last two votes that can be tested raised the agreement with the next
            one: that of m - 1 votes minus that of m - 3.
        n: Faces with exactly m votes.
        n_left_out: Other faces with a vote.
        exact: Whether all subsets were gone through; otherwise orders of the votes were drawn.
        notes: What to mind.
    """

    m: int
    r: int
    unknown: str
    points: list[SufficiencyPoint]
    next_gain: Estimate
    last_gain: Estimate
    n: int
    n_left_out: int
    exact: bool
    notes: list[str]


_ALL, _KL, _DISTANCE, _OTHERS, _OTHER_DISTANCE, _NEXT, _TIED, _ERROR = range(8)
_FIELDS = (
    "agreement_all",
    "kl_all",
    "distance_all",
    "agreement_others",
    "distance_others",
    "agreement_next",
    "tied",
    "squared_error",
)
_SHARES = (_ALL, _DISTANCE, _OTHERS, _OTHER_DISTANCE, _NEXT, _TIED)


def vote_sufficiency(
    votes: Votes,
    m: int | None = None,
    *,
    unknown: str = MISSING,
    settings: Settings = Settings(n_boot=1000),
) -> VoteSufficiency:
    """What t = 1 to m votes a face say; see the module's text.

    Where annotators spread their votes, a vote is an annotator's whole judgement.

    Args:
        votes: The votes, annotators known or not.
        m: Votes of the faces to look at; by default the number that most faces have. Faces with another
            number are left out and counted.
        unknown: ``missing`` (default): votes for unknown or not-a-face are taken away, so faces with
            such votes have fewer and are mostly left out. ``class``: they are classes of their own.
        settings: Coverage, replicates, seed.

    Raises:
        UsageError: If ``m`` is below 2 or no face has so many votes, or on settings that cannot work.
    """
    votes = votes.with_unknown(unknown)
    sizes = votes.n_votes
    if m is None:
        m = int(np.bincount(sizes[sizes >= 2]).argmax()) if (sizes >= 2).any() else 2
    use = sizes == m
    if m < 2 or not use.any():
        raise UsageError(
            "m", f"is {m}, and {int(use.sum())} faces have so many votes", "2 or more, and a face with as many"
        )
    values, variance, exact = _values(votes, use, m, settings)
    # One column for each number, so that all are drawn together.
    columns = {(t, kind): values[t - 1, :, kind] for t in range(1, m + 1) for kind in range(_TIED + 1)}
    columns |= {(t, _ERROR): variance / t for t in range(1, m + 1)}
    columns[0, _ERROR] = variance / m - variance / (m + 1)
    if m >= 4:
        columns[0, _NEXT] = values[m - 2, :, _NEXT] - values[m - 4, :, _NEXT]
    cluster = None if votes.cluster is None else votes.cluster[use]
    shares = [t > 0 and kind in _SHARES for t, kind in columns]
    found = mean_estimates(
        np.stack(list(columns.values()), axis=1), cluster, settings, "sufficiency", "not enough other votes", shares
    )
    estimates = dict(zip(columns, found, strict=True))
    return VoteSufficiency(
        m=m,
        r=m // 2,
        unknown=unknown,
        points=[_point(t, m, estimates) for t in range(1, m + 1)],
        next_gain=estimates[0, _ERROR],
        last_gain=estimates.get(
            (0, _NEXT), undefined(int(use.sum()), 0, "fewer than four votes a face", settings.level)
        ),
        n=int(use.sum()),
        n_left_out=int(((sizes > 0) & ~use).sum()),
        exact=exact,
        notes=_notes(m, unknown, exact, int(((sizes > 0) & ~use).sum())),
    )


def _notes(m: int, unknown: str, exact: bool, n_left_out: int) -> list[str]:
    notes = [FLATTERS]
    if unknown == MISSING and n_left_out:
        notes.append(
            f"Faces without exactly {m} votes for expressions are left out: those on which some annotators saw none, "
            "which are harder, are mostly among them."
        )
    return notes if exact else [*notes, "Orders of the votes were drawn at random."]


def _point(t: int, m: int, estimates: dict[tuple[int, int], Estimate]) -> SufficiencyPoint:
    found = [estimates[t, kind] for kind in range(_ERROR + 1)]
    if t == m:
        for kind, value in ((_ALL, 1.0), (_KL, 0.0), (_DISTANCE, 0.0)):
            e = found[kind]
            found[kind] = Estimate(value, level=e.level, n=e.n, clusters=e.clusters, note="by construction")
    return SufficiencyPoint(t=t, **dict(zip(_FIELDS, found, strict=True)))


def _values(votes: Votes, use: NDArray[np.bool_], m: int, settings: Settings) -> tuple[Array, Array, bool]:
    """``(m, n, 7)`` expected values of each face, ``(n,)`` variance of its votes, and whether they are exact."""
    totals, r, rng = votes.totals[use], m // 2, settings.stream("orders of votes")
    if not votes.whole:
        square = votes.by_face((votes.shares**2).sum(1, keepdims=True))[use, 0]
        shares = votes.shares[use[votes.face]].reshape(len(totals), m, -1)
        return _drawn(shares, r, rng, _ORDERS), (square - (totals**2).sum(1) / m) / (m - 1), False
    # No measure cares which class is which: faces with the same counts in another order are alike.
    counts = np.rint(-np.sort(-totals, axis=1)).astype(np.int64)
    patterns, pattern = np.unique(counts, axis=0, return_inverse=True)
    exact = all(_n_pairs(p) <= _MOST_PAIRS for p in patterns)
    if exact:
        table = np.stack([_exact(p[p > 0], m, r) for p in patterns], axis=1)
    else:
        words = np.repeat(np.tile(np.arange(patterns.shape[1]), len(patterns)), patterns.ravel())
        table = _drawn(np.eye(patterns.shape[1])[words].reshape(len(patterns), m, -1), r, rng, _PATTERN_ORDERS)
    return table[:, pattern.reshape(-1)], (m - (totals**2).sum(1) / m) / (m - 1), exact


# Exact: all subsets of one pattern of counts


def _n_pairs(counts: Ints) -> float:
    """How many pairs of disjoint subsets there are, of any sizes, told apart by their counts only."""
    return float(np.prod((counts + 1.0) * (counts + 2.0) / 2))


def _exact(counts: Ints, m: int, r: int) -> Array:
    """``(m, 7)`` expected values over all subsets of t = 1 to m of a face's votes: ``counts`` above 0."""
    out = np.full((m, 7), NAN)
    subsets = np.array(list(product(*(range(c + 1) for c in counts))), dtype=np.int64)
    size, every = subsets.sum(1), counts[None, :]
    for t in range(1, m + 1):
        drawn = subsets[size == t]
        chance = _chance(drawn, every)
        tops = _tops(drawn)
        out[t - 1, _ALL] = chance @ _hits(tops, every)
        out[t - 1, _KL] = chance @ _kl(drawn, every)
        out[t - 1, _DISTANCE] = chance @ _distance(drawn, every)
        out[t - 1, _TIED] = chance @ (tops.sum(1) > 1)
        for other, columns in ((r, (_OTHERS, _OTHER_DISTANCE)), (1, (_NEXT,))):
            if t + other > m:
                continue
            a, b = _pairs(drawn, subsets[size == other], counts)
            both = _chance(drawn, every)[a] * _chance(subsets[size == other][b], counts - drawn[a])
            first, second = drawn[a], subsets[size == other][b]
            out[t - 1, columns[0]] = both @ _hits(tops[a], second)
            if len(columns) > 1:
                out[t - 1, columns[1]] = both @ _distance(first, second)
    return out


def _pairs(first: Ints, second: Ints, counts: Ints) -> tuple[Ints, Ints]:
    """Indices of the pairs of subsets that leave no class with more votes than there are."""
    fits = (first[:, None, :] + second[None, :, :] <= counts).all(2)
    a, b = np.nonzero(fits)
    return a.astype(np.int64), b.astype(np.int64)


def _chance(drawn: Ints, counts: Ints) -> Array:
    """Multivariate hypergeometric probability of the rows of ``drawn`` from ``counts``."""

    def log_choose(n: Ints, k: Ints) -> Array:
        return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))

    counts = np.broadcast_to(counts, drawn.shape)
    return np.asarray(np.exp(log_choose(counts, drawn).sum(1) - log_choose(counts.sum(1), drawn.sum(1))))


# What is compared


def _tops(votes: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Which classes have most votes: ``(..., K)``."""
    table = np.asarray(votes, dtype=np.float64)
    return np.asarray(table >= table.max(-1, keepdims=True) - _CLOSE)


def _hits(tops: NDArray[np.bool_], reference: NDArray[np.generic]) -> Array:
    """Chance that one of ``tops``, drawn by lot, is a top class of the reference."""
    return np.asarray((tops & _tops(reference)).sum(-1) / tops.sum(-1))


def _shares_of(votes: NDArray[np.generic]) -> Array:
    table = np.asarray(votes, dtype=np.float64)
    return np.asarray(table / table.sum(-1, keepdims=True))


def _kl(drawn: NDArray[np.generic], every: NDArray[np.generic]) -> Array:
    p, q = _shares_of(drawn), _shares_of(every)
    part = np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0) / np.where(p > 0, q, 1.0)), 0.0)
    return np.asarray(part.sum(-1))


def _distance(first: NDArray[np.generic], second: NDArray[np.generic]) -> Array:
    return np.asarray(0.5 * np.abs(_shares_of(first) - _shares_of(second)).sum(-1))


# Drawn: orders of each face's votes


def _drawn(judgements: Array, r: int, rng: np.random.Generator, n_orders: int) -> Array:
    """``(m, f, 7)`` mean values over random orders of ``(f, m, K)``: the first t votes, the last r, and the last."""
    f, m, k = judgements.shape
    out, size = np.full((m, f, 7), NAN), max(1, _CHUNK // (m * k * n_orders))
    for block in (slice(start, start + size) for start in range(0, f, size)):
        mine = judgements[block]
        order = rng.random((len(mine), n_orders, m)).argsort(2)
        sums = np.take_along_axis(mine[:, None], order[..., None], axis=2).cumsum(2)
        every = sums[:, :, -1]
        for t in range(1, m + 1):
            drawn, now = sums[:, :, t - 1], out[t - 1, block]
            tops = _tops(drawn)
            now[:, _ALL] = _hits(tops, every).mean(1)
            now[:, _KL] = _kl(drawn, every).mean(1)
            now[:, _DISTANCE] = _distance(drawn, every).mean(1)
            now[:, _TIED] = (tops.sum(2) > 1).mean(1)
            if t + r <= m:
                others = every - sums[:, :, m - r - 1]
                now[:, _OTHERS] = _hits(tops, others).mean(1)
                now[:, _OTHER_DISTANCE] = _distance(drawn, others).mean(1)
            if t < m:
                now[:, _NEXT] = _hits(tops, every - sums[:, :, m - 2]).mean(1)
    return out
