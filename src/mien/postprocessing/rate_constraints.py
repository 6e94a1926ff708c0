"""The most accurate answers under constraints on rates of groups: a linear programme, and the rule behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.optimize import linprog
from scipy.sparse import coo_matrix, csr_matrix, hstack, kron, vstack
from scipy.sparse import eye as identity
from sklearn.linear_model import LogisticRegression

from mien.errors import DataError
from mien.postprocessing import POSTPROCESSORS
from mien.postprocessing.base import (
    Array,
    GroupScores,
    Judged,
    PostProcessor,
    by_group,
    check_classes,
    enough,
    tempered,
)
from mien.postprocessing.group_temperature import fitted_scale

SURE = 0.01  # how much more a face counts whose largest probability is 1 than one with 0: it settles ties


@dataclass(frozen=True, kw_only=True)
class Programme:
    """What a linear programme found.

    Attributes:
        decisions: ``(n, K)`` share with which each face goes to each class: one-hot but for a few at ties.
        accuracy: Expected share of right answers.
        rates: ``(G, J, K)`` expected share of the class-j faces of a group that go to class k.
        matrix: ``(G, K, K)`` M_g; the largest of p M_g + 0.01 max(p) p is the decision, but for ties.
    """

    decisions: Array
    accuracy: float
    rates: Array
    matrix: Array


def constrained(
    probs: Array,
    groups: Array,
    pairs: list[tuple[int, int]],
    *,
    equal: float | None = None,
    least: float | None = None,
    known: NDArray[np.bool_] | None = None,
) -> Programme:
    """The decisions with the most right answers under constraints, if the probabilities hold.

    Of the class-j faces of group g a share of sum_i w_ig p_ij d_ik / sum_i w_ig p_ij goes to class k. Its dual prices
    make every face's decision the largest of p M_g with M_g = I + (prices of g).

    Where constraints fix all rates of a group, all decisions with these rates are as good. A hundredth of the largest
    probability is added to the worth of a face, so that those are kept that the model is surest of: what a group must
    lose it loses where the model was unsure, and by answers that are meant to be wrong. There is no other way to find
    fewer of every class.

    Args:
        probs: ``(n, K)`` calibrated probabilities p.
        groups: ``(n, G)`` memberships w; a group without any has no constraint.
        pairs: (j, k) whose rates are constrained; (k, k) is the recall of k.
        equal: The rates of all groups differ by no more than this.
        least: Or: every rate is at least this.
        known: ``(G, K)`` classes whose rates are constrained in each group; all if None.

    Raises:
        DataError: If no decisions reach these rates.
    """
    (n, k), g = probs.shape, groups.shape[1]
    mass = groups.T @ probs  # (G, K)
    there = [(i, j, c) for i in range(g) for j, c in pairs if mass[i, j] > 1e-9 and (known is None or known[i, j])]
    rows = [_rate_row(probs[:, j] * groups[:, i] / mass[i, j], c, k) for i, j, c in there]
    rates: csr_matrix = vstack(rows, format="csr") if rows else csr_matrix((0, n * k))
    one_each = kron(identity(n), np.ones((1, k)), format="csr")
    cost = -(probs * (1 + SURE * probs.max(1, keepdims=True))).ravel()
    if least is not None:
        found = _solved(cost, -rates, np.full(len(there), -least), one_each, np.ones(n))
        prices = -found.ineqlin.marginals
    else:
        level = [pairs.index((j, c)) for _, j, c in there]
        levels = coo_matrix((np.ones(len(there)), (range(len(there)), level)), (len(there), len(pairs))).tocsr()
        above, below = hstack([rates, -levels]), hstack([-rates, levels])
        bounds = np.full(2 * len(there), (equal or 0.0) / 2)
        found = _solved(
            np.concatenate([cost, np.zeros(len(pairs))]),
            vstack([above, below], format="csr"),
            bounds,
            hstack([one_each, csr_matrix((n, len(pairs)))], format="csr"),
            np.ones(n),
        )
        marginals = found.ineqlin.marginals
        prices = marginals[: len(there)] - marginals[len(there) :]
    decisions = np.clip(found.x[: n * k].reshape(n, k), 0, 1)
    matrix = np.broadcast_to(np.eye(k), (g, k, k)).copy()
    for (i, j, c), price in zip(there, prices, strict=True):
        matrix[i, j, c] += price / mass[i, j]
    shares = np.einsum("ig,ij,ik->gjk", groups, probs, decisions, optimize=True)
    return Programme(
        decisions=decisions,
        accuracy=float((probs * decisions).sum() / n),
        rates=np.divide(shares, mass[:, :, None], out=np.full(shares.shape, np.nan), where=mass[:, :, None] > 0),
        matrix=matrix,
    )


def _rate_row(values: Array, column: int, k: int) -> csr_matrix:
    """One rate as a row over all decisions, face by face and class by class."""
    rows = np.flatnonzero(values)
    return csr_matrix((values[rows], (np.zeros(len(rows), int), rows * k + column)), (1, len(values) * k))


def _solved(cost: Array, upper: csr_matrix, bounds: Array, equal: csr_matrix, sums: Array) -> Any:
    found = linprog(cost, upper, bounds, equal, sums, bounds=(0, 1), method="highs")
    if found.status != 0:
        raise DataError("after training", "no answers reach these rates", "rates that can be reached", "Lower them.")
    return found


@dataclass(frozen=True, kw_only=True)
class Blind:
    """A rule by group that guesses the group of a face from what the model says of it.

    Attributes:
        rule: The rule.
        weights: ``(K + 1, G)`` of a logistic regression on log p, the last row its intercepts.
    """

    rule: GroupScores
    weights: Array

    def __call__(self, faces: Judged) -> Array:
        """``(n, K)``; memberships that are known play no part."""
        return self.rule(replace(faces, groups=self.guessed(faces.probs)))

    def guessed(self, probs: Array) -> Array:
        """``(n, G)`` probabilities of the groups."""
        z = _inputs(probs) @ self.weights[:-1] + self.weights[-1]
        p = np.exp(z - z.max(1, keepdims=True))
        return np.asarray(p / p.sum(1, keepdims=True))

    def as_json(self) -> dict[str, Any]:
        """Numbers."""
        return {**self.rule.as_json(), "group_weights": self.weights.tolist()}


def _inputs(probs: Array) -> Array:
    return np.log(np.maximum(probs, 1e-6))


def guessing(faces: Judged) -> Array:
    """``(K + 1, G)``: a logistic regression that tells the group of a face from log p."""
    # Once for each group that a face belongs to, by how far it does.
    known, codes = np.nonzero(faces.groups > 0)
    g, there = len(faces.names), np.unique(codes)
    weights = np.zeros((len(faces.classes) + 1, g))
    weights[-1] = -50.0  # a group of which no face is known is guessed nowhere
    if len(there) == 1:
        weights[-1, there] = 0
        return weights
    belongs = faces.groups[known, codes]
    model = LogisticRegression(C=1.0, max_iter=2000).fit(_inputs(faces.probs[known]), codes, sample_weight=belongs)
    coefficients, intercepts = model.coef_, model.intercept_
    if len(there) == 2:  # one line for two classes: the other one's is 0
        coefficients, intercepts = np.vstack([0 * coefficients, coefficients]), np.array([0, intercepts[0]])
    weights[:-1, there], weights[-1, there] = coefficients.T, intercepts
    return weights


class RateConstraints(PostProcessor):
    """What the two methods share: calibration, groups that count, and the group known or guessed.

    Args:
        rates: ``recall`` of each class, or all ``odds``: also which classes are mistaken for which.
        of: Classes whose faces are meant; all if empty.
        blind: Whether the group of a face is guessed from the model's own probabilities.
        least_faces: Fewest faces of a group for it to be constrained; shares of faces added up.
        least_of_class: Fewest annotated faces of a class in a group for its rates to be constrained there.
    """

    at_prediction = True
    calibrated = False  # scores whose largest one decides

    def __init__(self, rates: str, of: tuple[str, ...], blind: bool, least_faces: int, least_of_class: int) -> None:
        self.rates, self.of, self.blind = rates, of, blind
        self.least_faces, self.least_of_class = least_faces, least_of_class

    @property
    def asks_groups(self) -> bool:
        """Not where it guesses."""
        return not self.blind

    def bounds(self) -> dict[str, float]:
        """``equal`` or ``least``, as :func:`constrained` takes them."""
        raise NotImplementedError

    def check(self, classes: Sequence[str]) -> None:
        """``of`` must be among these."""
        check_classes(self.of, classes)

    def fit(self, faces: Judged) -> GroupScores | Blind:
        """Calibrate, guess groups if they are not known later, solve, and keep the prices.

        Raises:
            ConfigError: If a class is none.
            DataError: If fewer than two groups have faces enough, or no answers reach the rates.
        """
        self.check(faces.classes)
        weights: NDArray[np.float64] | None = None
        if self.blind:
            weights = guessing(faces)
            rule = Blind(rule=by_group(faces), weights=weights)
            faces = replace(faces, groups=rule.guessed(faces.probs))
        groups = enough(faces, self.least_faces)
        if len(groups) < 2:
            found = f"{len(groups)} groups have {self.least_faces} faces or more among those that fit"
            raise DataError("after training", found, "two or more")
        everybody = fitted_scale(faces.probs, faces.labels)
        scale = dict.fromkeys(range(-1, len(faces.names)), everybody)
        for g in groups:  # rates are what the model expects of itself: it must be as sure of each group as it is right
            own = faces.groups[:, g]
            scale[g] = fitted_scale(faces.probs[own > 0], faces.labels[own > 0], own[own > 0])
        found_rule = replace(by_group(faces, scale=scale), sure=SURE)
        shares = faces.shares
        probs = tempered(faces.probs, shares @ found_rule.scale)
        k = len(faces.classes)
        columns = [faces.classes.index(name) for name in self.of] or list(range(k))
        pairs = [(j, c) for j in columns for c in ([j] if self.rates == "recall" else range(k))]
        # Of a class that a group does not have, or hardly, a rate would be bought with answers that are all wrong.
        known = faces.groups[:, groups].T @ np.eye(k)[faces.labels] >= self.least_of_class
        solved = constrained(probs, faces.groups[:, groups], pairs, **self.bounds(), known=known)
        found_rule.matrix[groups] = solved.matrix
        return found_rule if weights is None else Blind(rule=found_rule, weights=weights)


@POSTPROCESSORS.register("equal_rates")
class EqualRates(RateConstraints):
    """The most right answers among those that find every class equally often in all groups, within ``within``.

    A linear programme over the faces that fit, with probabilities calibrated by group in place of labels; its prices
    make a rule by group for new faces. ``odds`` asks that mistakes be equal too. ``blind`` takes group and class for
    independent given what the model says: where its probabilities tell little of the group, it can do little. The rule
    answers all faces of the very same probabilities alike, where the programme may part them: it is for probabilities
    that differ from face to face, and of quantised or few distinct ones the rates may be far from those asked.

    Where one group is found less often in every class, equality is reached by answers for the others that are meant to
    be wrong: levelling down, which ``minimum_rates`` does not do. Name the class that matters (``of``), or use that.

    Source: Hardt et al. 2016, "Equality of opportunity in supervised learning"; for K classes and G groups, known or
    guessed, Xian and Zhao 2024, "A unified post-processing framework for group fairness in classification".

    Args:
        within: How far rates may differ.
        rates: ``recall`` of each class, or all ``odds``: also which classes are mistaken for which.
        of: Classes whose faces are meant; all if empty.
        blind: Whether the group of a face is guessed from the model's own probabilities, not asked for.
        least_faces: Fewest faces of a group for it to be constrained.
        least_of_class: Fewest annotated faces of a class in a group for its rates to be constrained there.
    """

    def __init__(
        self,
        *,
        within: Annotated[float, Field(ge=0, le=1)] = 0.02,
        rates: Literal["recall", "odds"] = "recall",
        of: tuple[str, ...] = (),
        blind: bool = False,
        least_faces: Annotated[int, Field(ge=1)] = 30,
        least_of_class: Annotated[int, Field(ge=1)] = 5,
    ) -> None:
        super().__init__(rates, of, blind, least_faces, least_of_class)
        self.within = within

    def bounds(self) -> dict[str, float]:
        """Equal within so much."""
        return {"equal": self.within}


@POSTPROCESSORS.register("minimum_rates")
class MinimumRates(RateConstraints):
    """The most right answers among those that find every class in every group at least as often as ``least``.

    Levelling up: no group has to be found less often for another's sake but where the faces are the same ones. As
    ``equal_rates`` otherwise. Where no answers reach the minimum it says so.

    Source: minimum rates as in Mittelstadt, Wachter and Russell 2023, "The unfairness of fair machine learning:
    levelling down and strict egalitarianism by default"; the programme as for ``equal_rates``.

    Args:
        least: Share of a class's faces to be found in every group.
        of: Classes that are meant; all if empty.
        blind: Whether the group of a face is guessed from the model's own probabilities, not asked for.
        least_faces: Fewest faces of a group for it to be constrained.
        least_of_class: Fewest annotated faces of a class in a group for its rates to be constrained there.
    """

    def __init__(
        self,
        *,
        least: Annotated[float, Field(gt=0, lt=1)] = 0.5,
        of: tuple[str, ...] = (),
        blind: bool = False,
        least_faces: Annotated[int, Field(ge=1)] = 30,
        least_of_class: Annotated[int, Field(ge=1)] = 5,
    ) -> None:
        super().__init__("recall", of, blind, least_faces, least_of_class)
        self.least = least

    def bounds(self) -> dict[str, float]:
        """So much or more."""
        return {"least": self.least}
