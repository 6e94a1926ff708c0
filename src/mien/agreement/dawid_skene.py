"""Dawid and Skene: the class of each face and the confusion of each annotator, from votes alone.

Dawid and Skene (1979), Maximum likelihood estimation of observer error-rates using the EM algorithm.
A face has one class z, drawn with prevalence rho_z; annotator a says c with probability pi^a_zc,
whatever the other annotators say. With v_uac the share of a's judgement of face u that goes to
class c (0 or 1 where a chose one class),

    E:  T_uz  ~  rho_z  prod_a prod_c (pi^a_zc)^v_uac                  (their 2.5)
    M:  pi^a_zc  ~  sum_u T_uz v_uac + b_zc,                           (their 2.3)
        rho_z  ~  sum_u T_uz + 1 / K                                   (their 2.4)

A spread judgement enters with its shares as exponents and weighs as one vote. b is a prior:
``prior`` pseudo-votes a row, spread as all annotators' votes are on the faces whose majority is z,
and a tenth of one, half of it for z itself. So annotators of few votes and rare classes borrow from
the team, as in the hierarchical models that Paun et al. (2018) compare; without it a rare class comes
to mean something else, and the labels are worse than a majority's. EM begins at the shares of votes
and climbs the log-likelihood plus sum_azc b_zc log pi^a_zc + sum_z log(rho_z) / K, which no step
lowers; it is deterministic.

Intervals are normal on the logit scale, with the standard deviation of fits to bootstrap samples of
whole units, each begun at the result, and at least as wide as Wilson's of as many units: where all agree,
no sample differs. They tell what other faces would have changed, not what the
model gets wrong: with few votes, or many careless annotators, they hold the truth too seldom
(``benchmarks/agreement.py``).

The model's one true class a face is a strong assumption for expressions: where a face is
ambiguous, annotators who disagree are all called inaccurate. Read an accuracy beside the others',
not beside 100 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import expit, logit

from mien.agreement.votes import MISSING, Votes
from mien.errors import DataError, UsageError
from mien.records import Estimate
from mien.stats.intervals import undefined, wilson
from mien.stats.resampling import mean_estimates, unit_weights
from mien.stats.settings import Settings

Array = NDArray[np.float64]
PRIOR = 3.0
_LEAST = 0.1  # pseudo-votes that keep probabilities from 0 and say which class is which
FEW_FACES = 20
_FEWEST = 3  # annotators a face from which two of them can be told from a third
_TOLERANCE, _ROUGH = 1e-9, 1e-6  # gain a judgement at which EM stops: for the result, for replicates
_CHUNK = 4_000_000


@dataclass(frozen=True)
class AnnotatorConfusion:
    """How one annotator votes, given a face's class.

    Attributes:
        name: The annotator.
        n: Faces judged.
        accuracy: Chance to vote for the class, at the prevalence of the classes; undefined where no face
            was judged by another annotator too.
        recall: Class -> chance to vote for it where it is the class; undefined there too.
        confusion: ``K x K`` probabilities, rows the class, columns the vote; rows sum to 1.
        faces: Class -> expected number of faces of that class among those judged.
    """

    name: str
    n: int
    accuracy: Estimate
    recall: dict[str, Estimate]
    confusion: list[list[float]]
    faces: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class DawidSkene:
    """The model fitted to a set of votes.

    Attributes:
        classes: The K classes.
        unknown: How votes for unknown and not-a-face were read: ``missing`` or ``class``.
        prevalence: Class -> share of the faces.
        annotators: The annotators, in order.
        faces: The n faces with a judgement.
        posterior: ``n x K`` probabilities of the classes of each face.
        differs: Share of the faces whose most probable class is not among those with most votes.
        objective: What EM climbs, the log-likelihood with its priors, after each step; it never falls.
        converged: Whether EM stopped by itself.
        prior: Pseudo-votes that the team adds to each row of an annotator's confusion.
        n: Faces with a judgement.
        n_left_out: Faces without.
        notes: What to mind.
    """

    classes: list[str]
    unknown: str
    prevalence: dict[str, Estimate]
    annotators: list[AnnotatorConfusion]
    faces: list[str]
    posterior: list[list[float]]
    differs: Estimate
    objective: list[float]
    converged: bool
    prior: float
    n: int
    n_left_out: int
    notes: list[str]


@dataclass(frozen=True)
class _Fit:
    """B fits side by side: prevalence ``(B, K)``, confusion ``(B, A, K, K)``, posterior ``(n, B, K)``."""

    prevalence: Array
    confusion: Array
    posterior: Array
    objective: list[float]
    converged: bool


def dawid_skene(
    votes: Votes,
    *,
    unknown: str = MISSING,
    prior: float = PRIOR,
    max_steps: int = 500,
    settings: Settings = Settings(n_boot=100),
) -> DawidSkene:
    """Fit the model of Dawid and Skene; see the module's text.

    Args:
        votes: Votes of named annotators, spread or not.
        unknown: ``missing`` (default): a vote for unknown or not-a-face is no judgement. ``class``: both
            are classes that a face may have.
        prior: Pseudo-votes that the team adds to each row of an annotator's confusion.
        max_steps: Most steps of EM.
        settings: Coverage, replicates, seed.

    Raises:
        UsageError: If annotators are not known, or on settings that cannot work.
        DataError: If no face has a judgement, or there is one class only.
    """
    if prior < 0 or max_steps < 1:
        raise UsageError("prior, max_steps", f"are {prior} and {max_steps}", "0 or more, and 1 or more")
    votes = votes.with_unknown(unknown)
    if len(votes.vocabulary) < 2:
        raise DataError("votes", f"hold one class only, {', '.join(votes.vocabulary)}", "two classes or more")
    judged = np.flatnonzero(votes.n_votes)
    if not len(judged):
        raise DataError("votes", "no face has a judgement", "one judgement or more")
    table = _table(votes)[judged]
    totals = votes.totals[judged]
    model = _Model(table, totals, len(votes.annotators), prior)
    start = (totals / totals.sum(1, keepdims=True))[:, None, :]
    fit = model.fit(start, np.ones((len(judged), 1)), max_steps, _TOLERANCE)
    cluster = None if votes.cluster is None else votes.cluster[judged]
    drawn = _replicates(model, fit, cluster, settings)
    return _result(votes, judged, unknown, prior, fit, drawn, settings)


class _Model:
    """EM for B weightings of the same judgements at once."""

    def __init__(self, table: csr_array[Any], totals: Array, n_annotators: int, prior: float) -> None:
        k = totals.shape[1]
        self.table, self.by_vote = table, csr_array(table.T)
        self.shape = (n_annotators, k, k)
        least = 0.5 * np.eye(k) + 0.5 / k
        tops = _tops(totals)
        team = (tops / tops.sum(1, keepdims=True)).T @ totals + least
        self.pseudo = prior * team / team.sum(1, keepdims=True) + _LEAST * least

    def fit(self, posterior: Array, weights: Array, max_steps: int, tolerance: float) -> _Fit:
        """Climb from a posterior ``(n, B, K)``, faces weighted ``(n, B)``."""
        objective: list[float] = []
        converged, best = False, np.full(weights.shape[1], -np.inf)
        while not converged and len(objective) < max_steps:
            prevalence, confusion = self.maximise(posterior, weights)
            posterior, value = self.expect(prevalence, confusion, weights)
            objective.append(float(value[0]))
            converged = bool((value - best <= tolerance * self.table.sum()).all())
            best = value
        return _Fit(prevalence, confusion, posterior, objective, converged)

    def maximise(self, posterior: Array, weights: Array) -> tuple[Array, Array]:
        """Prevalence ``(B, K)`` and confusion ``(B, A, K, K)`` given the posterior."""
        n, b, k = posterior.shape
        weighted = posterior * weights[:, :, None]
        prevalence = weighted.sum(0) + 1 / k
        counts = (self.by_vote @ weighted.reshape(n, b * k)).reshape(self.shape[0], k, b, k)
        confusion = counts.transpose(2, 0, 3, 1) + self.pseudo
        return prevalence / prevalence.sum(1, keepdims=True), confusion / confusion.sum(3, keepdims=True)

    def expect(self, prevalence: Array, confusion: Array, weights: Array) -> tuple[Array, Array]:
        """Posterior ``(n, B, K)`` and objective ``(B,)`` given the parameters."""
        b, a, k, _ = confusion.shape
        logs = np.log(confusion)
        by_vote = np.ascontiguousarray(logs.transpose(1, 3, 0, 2)).reshape(a * k, b * k)
        joint = (self.table @ by_vote).reshape(-1, b, k) + np.log(prevalence)
        top = joint.max(2, keepdims=True)
        np.exp(joint - top, out=joint)
        total = joint.sum(2, keepdims=True)
        joint /= total
        likelihood = ((np.log(total) + top)[:, :, 0] * weights).sum(0)
        return joint, likelihood + (logs * self.pseudo).sum((1, 2, 3)) + np.log(prevalence).sum(1) / k


def _tops(totals: Array) -> NDArray[np.bool_]:
    """``(n, K)`` which classes have most votes of a face."""
    return np.asarray(totals >= totals.max(1, keepdims=True) - 1e-9)


def _table(votes: Votes) -> csr_array[Any]:
    """``(n, A K)`` sparse shares of each judgement."""
    k = len(votes.vocabulary)
    row, word = np.nonzero(votes.votes)
    columns = votes.named()[row] * k + word
    return csr_array(
        (votes.shares[row, word], (votes.face[row], columns)), shape=(len(votes), len(votes.annotators) * k)
    )


def _replicates(model: _Model, fit: _Fit, cluster: NDArray[np.int64] | None, settings: Settings) -> tuple[Array, Array]:
    """Prevalence ``(b, K)`` and recall ``(b, A, K)`` of bootstrap samples."""
    n, _, k = fit.posterior.shape
    unit = np.arange(n) if cluster is None else np.unique(cluster, return_inverse=True)[1].reshape(-1)
    rng, shares, recalls = settings.stream("dawid skene"), [], []
    size = max(1, _CHUNK // (n * k))
    for start in range(0, settings.n_boot, size):
        b = min(size, settings.n_boot - start)
        weights = np.ascontiguousarray(unit_weights(int(unit.max()) + 1, b, rng)[:, unit].T)
        again = model.fit(np.repeat(fit.posterior, b, axis=1), weights, 100, _ROUGH)
        shares.append(again.prevalence)
        recalls.append(np.einsum("baii->bai", again.confusion))
    return np.concatenate(shares), np.concatenate(recalls)


def _result(
    votes: Votes,
    judged: NDArray[np.int64],
    unknown: str,
    prior: float,
    fit: _Fit,
    drawn: tuple[Array, Array],
    settings: Settings,
) -> DawidSkene:
    posterior, prevalence = fit.posterior[:, 0], fit.prevalence[0]
    cluster = None if votes.cluster is None else votes.cluster[judged]
    n = len(judged)
    units = n if cluster is None else len(np.unique(cluster))
    classes = list(votes.vocabulary)
    differs = ~_tops(votes.totals[judged])[np.arange(n), posterior.argmax(1)]
    return DawidSkene(
        classes=classes,
        unknown=unknown,
        prevalence={
            c: _estimate(float(prevalence[k]), drawn[0][:, k], n, units, settings) for k, c in enumerate(classes)
        },
        annotators=_annotators(votes, judged, fit, drawn, units, settings),
        faces=[str(f) for f in votes.faces[judged]],
        posterior=posterior.tolist(),
        differs=mean_estimates(differs[:, None].astype(np.float64), cluster, settings, "differs", shares=True)[0],
        objective=fit.objective,
        converged=fit.converged,
        prior=prior,
        n=n,
        n_left_out=len(votes) - n,
        notes=_notes(votes.n_votes[judged], fit),
    )


def _annotators(
    votes: Votes, judged: NDArray[np.int64], fit: _Fit, drawn: tuple[Array, Array], units: int, settings: Settings
) -> list[AnnotatorConfusion]:
    prevalence, confusion = fit.prevalence[0], fit.confusion[0]
    shares, recalls = drawn
    accuracies = np.einsum("bk,bak->ba", shares, recalls)
    expected = _faces_by_class(votes, judged, fit.posterior[:, 0])
    sizes = np.bincount(votes.named(), minlength=len(votes.annotators)).tolist()
    shared = np.bincount(votes.named()[votes.n_votes[votes.face] > 1], minlength=len(votes.annotators))
    out = []
    for a, name in enumerate(votes.annotators):
        own, faces = confusion[a].diagonal(), dict(zip(votes.vocabulary, expected[a].tolist(), strict=True))
        # Where nobody else judged the same faces, the annotator would be judged by the own votes.
        n, alone = (sizes[a], "") if shared[a] else (0, "no face that another judged too" if sizes[a] else "no votes")
        accuracy = _estimate(float(prevalence @ own), accuracies[:, a], n, units, settings, alone)
        # Where hardly a face of the class was judged, the prior would speak.
        recall = {
            c: _estimate(
                float(own[k]),
                recalls[:, a, k],
                min(round(faces[c]), n),
                units,
                settings,
                alone or "no face of this class",
            )
            for k, c in enumerate(votes.vocabulary)
        }
        out.append(AnnotatorConfusion(name, sizes[a], accuracy, recall, confusion[a].tolist(), faces))
    return out


def _estimate(value: float, replicates: Array, n: int, units: int, settings: Settings, none: str = "") -> Estimate:
    """A probability with a normal interval on the logit scale, at least as wide as Wilson's of so many units.

    Where all agree, samples of the faces do too, and their fits have no spread that could make an interval.
    """
    if not n:
        return undefined(0, 0, none, settings.level)
    units = min(n, units)
    note = f"only {n} faces" if n < FEW_FACES else ""
    if units < 2:
        return Estimate(value, level=settings.level, n=n, clusters=units, note=note)
    reach = NormalDist().inv_cdf(0.5 + settings.level / 2) * float(replicates.std()) / (value * (1 - value))
    least, most = wilson(value * units, units, settings.level)
    return Estimate(
        value,
        min(float(expit(logit(value) - reach)), least),
        max(float(expit(logit(value) + reach)), most),
        level=settings.level,
        method="logit bootstrap, at least wilson",
        n=n,
        clusters=units,
        seed=settings.seed,
        note=note,
    )


def _faces_by_class(votes: Votes, judged: NDArray[np.int64], posterior: Array) -> Array:
    """``(A, K)`` expected faces of each class that an annotator judged."""
    row_of = np.full(len(votes), -1)
    row_of[judged] = np.arange(len(judged))
    out = np.zeros((len(votes.annotators), posterior.shape[1]))
    for k in range(posterior.shape[1]):
        out[:, k] = np.bincount(votes.named(), weights=posterior[row_of[votes.face], k], minlength=len(out))
    return out


def _notes(n_votes: NDArray[np.int64], fit: _Fit) -> list[str]:
    notes = ["The model has one true class a face: where faces are ambiguous, good annotators seem inaccurate."]
    if np.median(n_votes) < _FEWEST:
        notes.append("Most faces have fewer than three annotators: who is right can hardly be told.")
    if not fit.converged:
        notes.append(f"EM had not converged after {len(fit.objective)} steps.")
    return notes
