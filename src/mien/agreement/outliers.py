"""Annotators who judge unlike the others: who agrees less, says "unknown" more, or is too fast.

Each annotator is compared with the others *on the same faces*: by agreement with each of them (leave
one out), by the share of votes for unknown or not-a-face, and by seconds where they are known. Each comparison has
an exact one-sided p-value (:mod:`mien.agreement.exchange`); Holm's method over all annotators and
comparisons keeps the chance of any false alarm below ``alpha``. With thousands of faces the
slightest difference is beyond chance, so a flag also asks that it matters (``margin``, ``pace``).

Agreement of two judgements is 1 - |p - q|^2 / 2 with p, q their shares: 1 or 0 where each chose one class.
A face with two annotators counts for both alike and cannot tell which of them is the odd one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mien.agreement.dawid_skene import dawid_skene
from mien.agreement.exchange import exchange_p
from mien.agreement.votes import CLASS, MISSING, Votes
from mien.errors import UsageError
from mien.records import Estimate
from mien.stats.intervals import undefined
from mien.stats.multiplicity import holm
from mien.stats.resampling import NAN, mean_estimates
from mien.stats.settings import Settings

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
AGREEMENT, UNKNOWN, SPEED = "agreement", "unknown", "speed"
MIN_FACES, MARGIN, PACE, ALPHA = 20, 0.05, 0.5, 0.05


@dataclass(frozen=True, kw_only=True)
class AnnotatorCheck:
    """One annotator beside the others.

    Attributes:
        name: The annotator.
        n: Faces judged.
        n_shared: Those on which another annotator judged the expression too.
        too_few: Whether they are too few to test the agreement; unknown and speed have faces of their own.
        agreement: Mean agreement with the other annotators of a face.
        difference: That minus the mean of the others' own agreement on the same faces.
        accuracy: By Dawid and Skene's model; undefined without a shared face.
        unknown: Share of votes for unknown or not-a-face.
        unknown_difference: That minus the others' share on the same faces.
        seconds: Geometric mean of the seconds a judgement took.
        pace: That over the others' on the same faces; 0.5 is twice as fast.
        p: Comparison -> p-value, adjusted for all comparisons of all annotators.
        flags: Comparisons by which the annotator is an outlier.
    """

    name: str
    n: int
    n_shared: int
    too_few: bool
    agreement: Estimate
    difference: Estimate
    accuracy: Estimate
    unknown: Estimate
    unknown_difference: Estimate
    seconds: Estimate
    pace: Estimate
    p: dict[str, float]
    flags: list[str]


@dataclass(frozen=True, kw_only=True)
class OutlierResult:
    """All annotators beside each other.

    Attributes:
        annotators: In order of their names.
        n: Faces.
        n_tests: Comparisons that Holm's method adjusts for.
        alpha: Chance of any false alarm aimed at.
        margin: Least difference in agreement, or in the share of unknown, that is flagged.
        pace: Largest pace that is flagged.
        min_faces: Least shared faces of an annotator who is tested.
        notes: What to mind.
    """

    annotators: list[AnnotatorCheck]
    n: int
    n_tests: int
    alpha: float
    margin: float
    pace: float
    min_faces: int
    notes: list[str]

    @property
    def flagged(self) -> list[AnnotatorCheck]:
        """The outliers."""
        return [a for a in self.annotators if a.flags]


@dataclass(frozen=True)
class _Scores:
    """One comparison: judgements with a score, lower being more conspicuous, on faces with two such or more.

    Attributes:
        face: ``(r,)`` codes.
        annotator: ``(r,)`` codes.
        own: ``(r,)`` what the annotator did.
        others: ``(r,)`` mean of what the others did on the face.
        score: ``(r,)`` what is exchanged in the test.
    """

    face: Ints
    annotator: Ints
    own: Array
    others: Array
    score: Array


def find_outliers(
    votes: Votes,
    *,
    min_faces: int = MIN_FACES,
    alpha: float = ALPHA,
    margin: float = MARGIN,
    pace: float = PACE,
    settings: Settings = Settings(n_boot=1000),
    n_fits: int = 100,
) -> OutlierResult:
    """Compare each annotator with the others; see the module's text.

    Votes for unknown and not-a-face are missing from agreement and accuracy, and counted apart. Of faces
    that are not independent (copies of a picture) an annotator's first enters the tests; intervals are over units.

    Args:
        votes: Votes of named annotators.
        min_faces: Least shared faces of an annotator who is tested.
        alpha: Chance of any false alarm.
        margin: Least shortfall in agreement, or excess of unknown, that is flagged.
        pace: An annotator this much faster than the others or more is flagged, 0.5 being twice as fast.
        settings: Coverage, replicates, seed.
        n_fits: Bootstrap fits of Dawid and Skene's model; 0 leaves the model out.

    Raises:
        UsageError: If annotators are not known, or on settings that cannot work.
    """
    if not 0 < alpha < 1 or margin < 0 or not 0 < pace <= 1 or min_faces < 2:
        found = f"are {alpha}, {margin}, {pace} and {min_faces}"
        raise UsageError("alpha, margin, pace, min_faces", found, "0 to 1, 0 or more, above 0 to 1, and 2 or more")
    judged = votes.with_unknown(MISSING)
    comparisons = {AGREEMENT: _agreement(judged), UNKNOWN: _unknown(votes), SPEED: _speed(votes)}
    names = votes.annotators
    p = np.full((len(names), len(comparisons)), NAN)
    for c, scores in enumerate(comparisons.values()):
        if scores is not None:
            p[:, c] = _p_values(scores, len(names), votes.cluster, min_faces)
    adjusted = holm(p.ravel()).reshape(p.shape)
    accuracy = _accuracies(judged, settings, n_fits)
    checks = []
    for a, name in enumerate(names):
        numbers = _numbers(a, name, votes, comparisons, settings)
        known = {k: float(v) for k, v in zip(comparisons, adjusted[a], strict=True) if not math.isnan(v)}
        excess = {
            AGREEMENT: numbers["difference"].value < -margin,
            UNKNOWN: numbers["unknown_difference"].value > margin,
            SPEED: numbers["pace"].value <= pace,
        }
        flags = [k for k, v in known.items() if v <= alpha and excess[k]]
        n, shared = int((votes.named() == a).sum()), numbers["agreement"].n
        right = accuracy[a] if shared else undefined(0, 0, "no shared face", settings.level)
        checks.append(
            AnnotatorCheck(
                name=name,
                n=n,
                n_shared=shared,
                too_few=shared < min_faces,
                accuracy=right,
                p=known,
                flags=flags,
                **numbers,
            )
        )
    n_tests = int((~np.isnan(adjusted)).sum())
    return OutlierResult(
        annotators=checks,
        n=len(votes),
        n_tests=n_tests,
        alpha=alpha,
        margin=margin,
        pace=pace,
        min_faces=min_faces,
        notes=_notes(votes, checks, min_faces),
    )


def _agreement(votes: Votes) -> _Scores:
    """Agreement of each judgement with the others of its face."""
    p = votes.shares
    m = votes.n_votes[votes.face]
    square = (p**2).sum(1)
    total, squares = votes.by_face(p)[votes.face], votes.by_face(square[:, None])[votes.face, 0]
    left = np.maximum(m - 1, 1)
    apart = 0.5 * (square + (squares - square) / left) - (p * (total - p)).sum(1) / left
    return _compared(votes, 1 - apart, m >= 2)


def _unknown(votes: Votes) -> _Scores | None:
    """Share of each judgement that is for unknown or not-a-face; None where nobody could say so."""
    columns = ~votes.expressions
    if not columns.any():
        return None
    return _compared(votes, votes.shares[:, columns].sum(1), votes.n_votes[votes.face] >= 2, -1.0)


def _speed(votes: Votes) -> _Scores | None:
    """Logarithm of the seconds; the test sees their ranks within a face. None where no times are known."""
    if votes.seconds is None or not (votes.seconds > 0).any():
        return None
    timed = votes.seconds > 0
    size = np.bincount(votes.face[timed], minlength=len(votes))[votes.face]
    use = timed & (size >= 2)
    scores = _compared(votes, np.log(np.where(timed, votes.seconds, 1.0)), use)
    return replace(scores, score=_ranks(scores.face, scores.own))


def _ranks(face: Ints, values: Array) -> Array:
    """Ranks within each face from 0 to 1, ties at their middle."""
    order = np.lexsort((values, face))
    new_face = np.diff(face[order], prepend=-1) != 0
    start = np.flatnonzero(new_face)
    size = np.diff(start, append=len(order))
    place = np.arange(len(order)) - np.repeat(start, size)
    tie = np.cumsum(new_face | (np.diff(values[order], prepend=np.nan) != 0)) - 1
    middle = np.bincount(tie, weights=place) / np.bincount(tie)
    out = np.empty(len(order))
    out[order] = middle[tie] / np.maximum(np.repeat(size, size) - 1, 1)
    return out


def _compared(votes: Votes, values: Array, use: NDArray[np.bool_], sign: float = 1.0) -> _Scores:
    """The judgements in use with the mean of the others' values on the same face."""
    face, own = votes.face[use], values[use]
    n = np.bincount(face, minlength=len(votes))[face]
    total = np.bincount(face, weights=own, minlength=len(votes))[face]
    others = (total - own) / np.maximum(n - 1, 1)
    return _Scores(face, votes.named()[use], own, others, sign * own)


def _p_values(scores: _Scores, n_annotators: int, cluster: Ints | None, min_faces: int) -> Array:
    """``(A,)`` exact p-values of low sums of scores; NaN for an annotator with too few faces."""
    out = np.full(n_annotators, NAN)
    if not len(scores.face):
        return out
    faces, code = np.unique(scores.face, return_inverse=True)
    first = np.flatnonzero(np.diff(code, prepend=-1))
    place = np.arange(len(code)) - first[code]
    pools = np.full((len(faces), int(place.max()) + 1), NAN)
    pools[code, place] = scores.score
    for a in range(n_annotators):
        rows = np.flatnonzero(scores.annotator == a)
        if cluster is not None:
            rows = rows[np.unique(cluster[scores.face[rows]], return_index=True)[1]]
        if len(rows) >= min_faces:
            out[a] = exchange_p(pools[code[rows]], scores.score[rows])
    return out


def _numbers(
    a: int, name: str, votes: Votes, comparisons: dict[str, _Scores | None], settings: Settings
) -> dict[str, Estimate]:
    """The estimates of one annotator."""
    out: dict[str, Estimate] = {}
    fields = {
        AGREEMENT: ("agreement", "difference"),
        UNKNOWN: ("unknown", "unknown_difference"),
        SPEED: ("seconds", "pace"),
    }
    missing = {UNKNOWN: "nobody could vote for it", SPEED: "no times"}
    for comparison, (level, difference) in fields.items():
        scores = comparisons[comparison]
        if scores is None:
            out |= dict.fromkeys((level, difference), undefined(0, 0, missing[comparison], settings.level))
            continue
        rows = scores.annotator == a
        values = np.stack([scores.own[rows], scores.own[rows] - scores.others[rows]], axis=1)
        cluster = None if votes.cluster is None else votes.cluster[scores.face[rows]]
        shares = [comparison != SPEED, False]
        found = mean_estimates(values, cluster, settings, f"{comparison} {name}", "no shared face", shares)
        out[level], out[difference] = map(_exponential, found) if comparison == SPEED else found
    return out


def _exponential(e: Estimate) -> Estimate:
    """From logarithms to seconds and ratios."""
    value, low, high = np.exp([e.value, e.low, e.high]).tolist()
    return replace(e, value=value, low=low, high=high)


def _accuracies(votes: Votes, settings: Settings, n_fits: int) -> list[Estimate]:
    none = "no votes" if not len(votes.face) else "" if n_fits else "not fitted"
    none = none or ("one expression only" if len(votes.vocabulary) < 2 else "")
    if none:
        return [undefined(0, 0, none, settings.level)] * len(votes.annotators)
    model = dawid_skene(votes, unknown=CLASS, settings=replace(settings, n_boot=n_fits))
    return [a.accuracy for a in model.annotators]


def _notes(votes: Votes, checks: list[AnnotatorCheck], min_faces: int) -> list[str]:
    notes = [
        "An annotator who differs from the others is not therefore wrong; where many differ in one way, look at "
        "the instructions before the annotators."
    ]
    few = [c.name for c in checks if c.too_few]
    if few:
        notes.append(f"Too few shared faces to test the agreement (fewer than {min_faces}): {', '.join(few)}.")
    sizes = votes.n_votes
    if (sizes > 0).any() and np.median(sizes[sizes > 0]) < 3:
        notes.append("Most faces have fewer than three annotators: who of two is the odd one cannot be told.")
    if votes.cluster is not None:
        notes.append("Of the copies of a picture, one enters an annotator's tests.")
    return notes
