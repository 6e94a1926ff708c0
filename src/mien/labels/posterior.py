"""Targets that allow for how few votes a face has: the mean of its distribution, given votes and a prior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import digamma, gammaln

from mien.errors import LabelError
from mien.labels import SCHEMES
from mien.labels.classes import Classes, expressions_of, in_classes
from mien.labels.cleaning import Clean
from mien.labels.scheme import LabelScheme, Rule
from mien.spellings import canonical

Array = NDArray[np.float64]
Weight = Annotated[float, Field(gt=0, le=1e4)]
_SMALLEST, _LARGEST = 1e-4, 1e4  # of the prior's entries and of their sum: beyond, targets no longer change
_WHERE = "label scheme 'posterior_mean'"


def dirichlet_multinomial(votes: Array, prior: Array, counts: Array) -> float:
    """Log-likelihood of votes, without the multinomial coefficients, which no prior changes.

    Args:
        votes: ``(u, K)`` distinct rows of votes.
        prior: ``(K,)`` parameters of the Dirichlet distribution.
        counts: ``(u,)`` how often each row stands.
    """
    total, sums = prior.sum(), votes.sum(1)
    rows = gammaln(total) - gammaln(sums + total) + (gammaln(votes + prior) - gammaln(prior)).sum(1)
    return float(counts @ rows)


def fitted_prior(votes: Array, steps: int = 2000) -> Array:
    """The prior under which votes are likeliest.

    Maximum likelihood of a Dirichlet-multinomial by the fixed point of Minka (2000, "Estimating a Dirichlet
    distribution", equation 55), in which no step lowers the likelihood::

        a_k <- a_k * sum_i [psi(v_ik + a_k) - psi(a_k)] / sum_i [psi(n_i + a) - psi(a)],  a = sum_k a_k

    It creeps where faces hardly differ, thousands of steps each of which moves little. Two steps are therefore drawn
    out in log a (Varadhan and Roland 2008, "Simple and globally convergent methods for accelerating the convergence
    of any EM algorithm", S3), and what they lead to is taken where the likelihood is not lower for it.

    Args:
        votes: ``(m, K)`` votes of faces that may be learnt from.
        steps: Most times that two steps are drawn out.

    Returns:
        ``(K,)``, each 1e-4 or more (that of an expression without any vote), their sum 1e4 at most.

    Raises:
        LabelError: If no face has two votes or more: their spread is not known then.
    """
    votes = votes[votes.sum(1) > 0]
    if not (votes.sum(1) > 1).any():
        raise LabelError(_WHERE, "no face has two votes", "votes whose spread shows", "Give the prior: prior: 0.3.")
    rows, times = np.unique(votes, axis=0, return_counts=True)
    counts, sums = times.astype(np.float64), rows.sum(1)

    def bounded(prior: Array) -> Array:
        held = np.maximum(prior, _SMALLEST)
        return np.asarray(held * min(1.0, _LARGEST / held.sum()))

    def step(prior: Array) -> Array:
        total = prior.sum()
        up = counts @ (digamma(rows + prior) - digamma(prior))
        return bounded(prior * up / (counts @ (digamma(sums + total) - digamma(total))))

    prior = bounded(counts @ (rows / sums[:, None]) / counts.sum())
    for _ in range(steps):
        once = step(prior)
        twice = step(once)
        first, second = np.log(once / prior), np.log(twice / once)
        bend = second - first
        far = max(1.0, float(np.linalg.norm(first)) / max(float(np.linalg.norm(bend)), 1e-300))
        if np.abs(first).max() * far <= 1e-8:  # the rest of the way, and not the next step of many
            return twice
        ahead = step(bounded(prior * np.exp(np.clip(2 * far * first + far**2 * bend, -20, 20))))
        better = dirichlet_multinomial(rows, ahead, counts) >= dirichlet_multinomial(rows, twice, counts)
        prior = ahead if better else twice
    return prior


def posterior_mean_rule(prior: Array) -> Rule:
    """Votes and prior together, divided by their sum."""

    def rule(votes: Array) -> Array | str:
        if votes.sum() == 0:
            return "no votes"
        return np.asarray((votes + prior) / (votes.sum() + prior.sum()))

    return rule


@SCHEMES.register("posterior_mean", tiny={"prior": 0.3})
def posterior_mean(
    vocabulary: Sequence[str],
    *,
    prior: Weight | Mapping[str, Weight] | None = None,
    clean: Clean = "none",
    classes: Classes = None,
) -> LabelScheme:
    """The shares of the votes, drawn towards what faces are like, the more the fewer votes a face has.

    Ten votes are a sample of what all people would say. With votes v drawn from a distribution p, and p from
    a Dirichlet distribution of parameters a (the prior), the mean of p given the votes is
    ``(v_k + a_k) / (n + a)``, n votes in all and a the sum of a_k. The prior is fitted to the votes of the
    training faces alone (:func:`fitted_prior`): validation and test have no part in what is learnt. A
    scheme that learns cannot judge: name another for ``labels.evaluate``, or give the prior.

    Args:
        vocabulary: The words of the votes.
        prior: Votes added: to each expression, or expression -> votes (each must be named); fitted if absent.
        clean: Which faces to leave out for votes for unknown and not-a-face; see ``majority``.
        classes: Some of the classes, or several as one; see ``majority``.

    Raises:
        LabelError: If a given prior leaves out an expression or names another.
    """
    words = expressions_of(vocabulary)

    def learnt(votes: Array) -> tuple[Rule, dict[str, float]]:
        found = fitted_prior(votes)
        return posterior_mean_rule(found), dict(zip(words, found.tolist(), strict=True))

    given = None if prior is None else _given(prior, words)
    rule = posterior_mean_rule(np.ones(len(words)) if given is None else given)
    scheme = LabelScheme("posterior_mean", words, words, rule, clean=clean, fit=learnt if given is None else None)
    return in_classes(lambda _: scheme, words, classes)


def _given(prior: float | Mapping[str, float], words: tuple[str, ...]) -> Array:
    """``(K,)`` of a prior by hand."""
    if not isinstance(prior, Mapping):
        return np.full(len(words), float(prior))
    named = {canonical(word): value for word, value in prior.items()}
    if sorted(named) != sorted(canonical(word) for word in words):
        raise LabelError(f"{_WHERE}: prior", f"names {', '.join(prior)}", f"each of {', '.join(words)}")
    return np.array([float(named[canonical(word)]) for word in words])
