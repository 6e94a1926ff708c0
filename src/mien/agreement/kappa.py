"""Fleiss' kappa, of counts of votes, for faces with equal or unequal numbers of votes; Cohen's, of two annotators.

Fleiss (1971), Measuring nominal scale agreement among many raters: with n_uk votes of face u for
class k, m_u of them in all,

    P_u = sum_k n_uk (n_uk - 1) / (m_u (m_u - 1)),   kappa = (mean P_u - P_e) / (1 - P_e),
    P_e = sum_k p_k^2,                               p_k = mean_u n_uk / m_u,

and of one class against the others

    kappa_k = 1 - mean_u [n_uk (m_u - n_uk) / (m_u (m_u - 1))] / (p_k (1 - p_k)) .

Fleiss has the same m for all faces. Where they differ, these are Gwet's (2014, Handbook of
Inter-Rater Reliability, chapter 2) formulas: the mean of P_u runs over faces with two votes or more,
that of p_k over faces with one or more, each face with the same weight.

Cohen (1960), A coefficient of agreement for nominal scales, takes chance from what each of two annotators
says by itself, where Fleiss takes it from both together:

    kappa = (p_o - p_e) / (1 - p_e),   p_e = sum_k p_k(first) p_k(second) .
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mien.agreement.votes import MISSING, Votes
from mien.errors import DataError, UsageError
from mien.records import Estimate
from mien.stats.intervals import clustered_share, undefined
from mien.stats.resampling import bootstrap_estimates, ratio, remarked
from mien.stats.settings import Settings

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class KappaResult:
    """Fleiss' kappa of a set of votes.

    Attributes:
        unknown: How votes for unknown and not-a-face were read: ``missing`` or ``class``.
        kappa: 1 is full agreement, 0 that of chance; undefined where all votes are for one class.
        agreement: Chance that two annotators of a face agree.
        chance: The same for annotators of two faces drawn at random.
        by_class: Kappa of each class against the others; undefined where no two annotators of a face voted
            for it, or all did.
        n: Faces with two votes or more.
        n_left_out: Faces with fewer.
        fewest: Votes of the face with the fewest among the n.
        most: Votes of the face with the most.
        notes: What to mind.
    """

    unknown: str
    kappa: Estimate
    agreement: Estimate
    chance: Estimate
    by_class: dict[str, Estimate]
    n: int
    n_left_out: int
    fewest: int
    most: int
    notes: list[str]


def fleiss_kappa(votes: Votes, *, unknown: str = MISSING, settings: Settings = Settings(n_boot=1000)) -> KappaResult:
    """Fleiss' kappa with intervals by bootstrap over faces; see the module's text.

    Args:
        votes: The votes, annotators known or not; one class an annotator and face.
        unknown: ``missing`` (default): votes for unknown or not-a-face are taken away. ``class``: they are
            classes of their own.
        settings: Coverage, replicates, seed.

    Raises:
        DataError: If annotators spread their votes: kappa counts votes, and half a vote agrees with nothing.
    """
    votes = votes.with_unknown(unknown)
    if not votes.whole:
        raise DataError(
            "votes",
            "annotators spread their votes over classes",
            "one class an annotator and face",
            "Use krippendorff_alpha, which takes distributions.",
        )
    m = votes.n_votes
    voted, paired = m >= 1, m >= 2
    cluster = None if votes.cluster is None else votes.cluster[voted]
    k = len(votes.vocabulary)
    why = "all votes are for one class" if paired.any() else "no face has two votes"
    none = "no face with two votes has one for this class, or for another"
    notes = [why, "no face has two votes", "no votes", *[none if paired.any() else why] * k]
    values = bootstrap_estimates(_rows(votes.totals[voted], m[voted]), cluster, _kappas, settings, "kappa", notes)
    counts = votes.totals[paired]
    faces, others = (counts > 0).sum(0), (counts < m[paired][:, None]).sum(0)
    # Without both, a class that only faces with one vote have would seem agreed on.
    told = [bool(a and b) for a, b in zip(faces, others, strict=True)]
    values = [
        e if known else undefined(e.n, e.clusters or 0, note, settings.level)
        for e, known, note in zip(values, [any(told), True, True, *told], notes, strict=True)
    ]
    by_class = [remarked(e, int(f), "faces with a vote for it") for e, f in zip(values[3:], faces, strict=True)]
    fewest, most = (int(m[paired].min()), int(m[paired].max())) if paired.any() else (0, 0)
    return KappaResult(
        unknown=unknown,
        kappa=values[0],
        agreement=values[1],
        chance=values[2],
        by_class=dict(zip(votes.vocabulary, by_class, strict=True)),
        n=int(paired.sum()),
        n_left_out=int((~paired).sum()),
        fewest=fewest,
        most=most,
        notes=[f"Faces have {fewest} to {most} votes; each face has the same weight."] if fewest < most else [],
    )


def _rows(counts: Array, m: NDArray[np.int64]) -> Array:
    """``(n, 2K + 2)``: disagreement and whether there are two votes, shares and whether there is one."""
    size = m[:, None].astype(np.float64)
    shares = counts / size
    split = shares * (1 - shares) * size / np.maximum(size - 1, 1)
    two = (size >= 2).astype(np.float64)
    return np.concatenate([split * two, two, shares, np.ones((len(m), 1))], axis=1)


def _kappas(sums: Array) -> Array:
    """Kappa, agreement, chance agreement, and kappa of each class."""
    k = sums.shape[1] // 2 - 1
    split = ratio(sums[:, :k], sums[:, k : k + 1])
    p = ratio(sums[:, k + 1 : -1], sums[:, -1:])
    expected = p * (1 - p)
    overall = 1 - ratio(split.sum(1, keepdims=True), expected.sum(1, keepdims=True))
    chance = (p**2).sum(1, keepdims=True)
    return np.concatenate([overall, 1 - split.sum(1, keepdims=True), chance, 1 - ratio(split, expected)], axis=1)


def cohen_kappa(votes: Votes, *, settings: Settings = Settings(n_boot=1000)) -> Estimate:
    """Cohen's kappa of two annotators, over the faces that both judged.

    The interval is the bootstrap's, widened to what Wilson's interval of the agreement leaves of kappa: the
    bootstrap sees no variation where all agree, and too little where nearly all do.

    Args:
        votes: The votes of two named annotators, one class an annotator and face.
        settings: Coverage, replicates, seed.

    Returns:
        1 is full agreement, 0 that of chance; undefined where both say one and the same of every face.

    Raises:
        UsageError: If there are not two annotators.
        DataError: If they spread their votes over classes.
    """
    who = votes.named()
    if len(votes.annotators) != 2:
        raise UsageError("votes", f"of {len(votes.annotators)} annotators", "those of two")
    if not votes.whole:
        raise DataError("votes", "annotators spread their votes over classes", "one class an annotator and face")
    both, k = votes.n_votes == 2, len(votes.vocabulary)
    said = np.zeros((2, len(votes)), dtype=np.int64)
    said[who, votes.face] = votes.votes.argmax(1)
    first, second = said[:, both]
    cluster = None if votes.cluster is None else votes.cluster[both]
    rows = np.zeros((len(first), k * k))
    rows[np.arange(len(first)), first * k + second] = 1
    (found,) = bootstrap_estimates(rows, cluster, _cohen, settings, "kappa of two", _alike(len(first)))
    if np.isnan(found.value):
        return found
    agreed, chance = clustered_share(first == second, cluster, settings.level), float(_by_chance(rows.sum(0)[None])[0])
    low, high = ((end - chance) / (1 - chance) for end in (agreed.low, agreed.high))
    low, high = float(np.fmin(found.low, low)), float(np.fmax(found.high, high))
    return replace(found, low=low, high=high, method="bootstrap bca, at least wilson of the agreement")


def _alike(n: int) -> str:
    return "both say one and the same of every face" if n else "no face was judged by both"


def _by_chance(sums: Array) -> Array:
    """``(b,)`` agreement that two annotators with these answers would reach by chance, of ``(b, K * K)`` counts."""
    k = int(np.sqrt(sums.shape[1]))
    counts = sums.reshape(-1, k, k)
    total = counts.sum((1, 2))[:, None]
    return np.asarray((ratio(counts.sum(2), total) * ratio(counts.sum(1), total)).sum(1))


def _cohen(sums: Array) -> Array:
    k = int(np.sqrt(sums.shape[1]))
    agreed = ratio(sums[:, :: k + 1].sum(1), sums.sum(1))
    chance = _by_chance(sums)
    return np.asarray(ratio(agreed - chance, 1 - chance)[:, None])
