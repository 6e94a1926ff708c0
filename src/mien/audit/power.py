"""Power: the smallest gap that the verdict of an audit would have named four times in five."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mien.audit.gaps import HEADLINE, HEADLINE_METRICS, Measure, Rates
from mien.metrics import per_class_recall
from mien.metrics.confusion import Margins
from mien.metrics.fairness import DIFFERENCE
from mien.stats.multiplicity import SIGNIFICANT

Array = NDArray[np.float64]
POWER = 0.8
_TRIED = 10  # shares of right answers lost
_TABLES_OF_CLASS = 120
_MOST_GROUPS = 16  # above, groups in between are interpolated by their size


@dataclass(frozen=True, kw_only=True)
class NullSample:
    """What one attribute looks like without a disparity: what its power is worked out from.

    Attributes:
        measures: Its M headline measures, each of one component.
        tables: ``(b, G, K, K)`` counts under no disparity.
        statistics: One ``(n_perm,)`` a measure: its gap under no disparity.
        accuracies: ``(n_perm, G)`` accuracies under no disparity; NaN for groups out of the gap.
        inflation: ``(G,)`` how many dependent faces weigh as much as one independent face.
        tested: ``(G,)`` groups that are compared with another.
    """

    measures: Sequence[Measure]
    tables: NDArray[np.generic]
    statistics: Sequence[Array]
    accuracies: Array
    inflation: Array
    tested: NDArray[np.bool_]


@dataclass(frozen=True)
class Detectable:
    """The smallest gaps that would have been named.

    Attributes:
        groups: ``(G,)`` of the accuracy, with each group served worse; NaN for groups that take no part.
        low: ``(M,)`` of each measure, for the group where it is smallest.
        high: ``(M,)`` for the group where it is largest.
    """

    groups: Array
    low: Array
    high: Array


def detectable_gaps(sample: NullSample, n_tests: int, seed: int) -> Detectable:
    """How much worse a group would have to be served for the verdict to name that gap four times in five.

    A share of the group's right answers is made wrong in every table of the null distribution, which moves
    its metrics and adds the variance that such a loss has. What the audit would say of each table is
    worked out by the audit's own rule: p-values against the null distribution, of all headline gaps and
    groups of the attribute, adjusted (Benjamini and Hochberg) for all ``n_tests`` of the audit, of which the other
    attributes' are taken to show nothing. Ten shares are tried, on the same random numbers, and the one that is
    named four times in five is read off between them.

    The loss is spread over the classes as the right answers are; for a recall it is all in that class.

    Args:
        sample: The attribute without a disparity.
        n_tests: Headline p-values that the audit adjusts together.
        seed: Seed of the noise of the loss.
    """
    g, m = sample.tables.shape[1], len(sample.measures)
    groups, low, high = np.full(g, np.nan), np.full(m, np.nan), np.full(m, np.nan)
    part = np.flatnonzero(~np.isnan(sample.accuracies).any(0) & sample.tested)
    if len(part) < 2 or not len(sample.tables):
        return Detectable(groups, low, high)
    search = _Search(sample, n_tests, np.random.default_rng([seed, 8]))
    by_group = search.by_group(part)
    accuracy = search.accuracy
    groups[part] = by_group[:, accuracy]
    known = groups[~np.isnan(groups)]
    if not len(known):
        return Detectable(groups, low, high)
    ends = {int(np.nanargmin(groups)), int(np.nanargmax(groups))}
    for i, measure in enumerate(sample.measures):
        if measure.class_index is None:
            found = by_group[:, i]
        else:
            found = np.array([search.losses(e, measure.class_index)[i] for e in ends])
        found = found[~np.isnan(found)]
        if len(found):
            low[i], high[i] = found.min(), found.max()
    return Detectable(groups, low, high)


class _Search:
    """One attribute's null tables, and what the audit would say of them with a loss in one group."""

    def __init__(self, sample: NullSample, n_tests: int, rng: np.random.Generator) -> None:
        self.sample = sample
        self.tables = sample.tables.astype(np.float64)
        b, g, k, _ = self.tables.shape
        self.accuracy = [m.name for m in sample.measures].index("accuracy")
        rates = _rates(self.tables)
        self.values = np.stack([m.masked(rates)[:, 0] for m in sample.measures])  # (M, b, G)
        self.null = [np.sort(s[~np.isnan(s)]) for s in sample.statistics]
        self.expected = sample.accuracies.mean(0)
        departures = np.sort(np.abs(sample.accuracies - self.expected), axis=0)
        tested = sample.tested & ~np.isnan(self.expected)
        self.departures = [departures[:, i] if tested[i] else departures[:0, i] for i in range(g)]
        self.n_tests = max(n_tests, len(self.null) + g)
        self.noise = rng.standard_normal((b, k))
        wrong = np.maximum(self.tables.mean(0).sum(0), 0.0) * (1 - np.eye(k))
        # A class that is never mistaken would be taken for any other.
        wrong = np.where(wrong.sum(1, keepdims=True) > 1e-9, wrong, 1 - np.eye(k))
        self.mistakes = wrong / wrong.sum(1, keepdims=True)

    @cached_property
    def thinned(self) -> _Search:
        """The same with fewer tables, for the recalls: there are K of them, and each is looked at by itself."""
        few = copy(self)
        few.tables, few.values = self.tables[:_TABLES_OF_CLASS], self.values[:, :_TABLES_OF_CLASS]
        few.noise = self.noise[:_TABLES_OF_CLASS]
        return few

    def by_group(self, part: NDArray[np.int64]) -> Array:
        """``(P, M)`` detectable losses in each group; of many groups some, and between these by size."""
        size = self.tables[0].sum((1, 2)) / self.sample.inflation
        if len(part) <= _MOST_GROUPS:
            return _falling(np.stack([self.losses(int(g)) for g in part]), size[part])
        order = np.argsort(size[part], kind="stable")
        looked = part[order[np.unique(np.linspace(0, len(part) - 1, _MOST_GROUPS).round().astype(np.int64))]]
        found = _falling(np.stack([self.losses(int(g)) for g in looked]), size[looked])
        out = np.full((len(part), found.shape[1]), np.nan)
        error = 1 / np.sqrt(size)  # a detectable gap goes with the standard error
        for i in range(found.shape[1]):
            known = ~np.isnan(found[:, i])
            if known.any():
                falling = np.argsort(error[looked[known]])
                out[:, i] = np.interp(error[part], error[looked[known]][falling], found[known, i][falling])
                out[np.isin(part, looked[~known]), i] = np.nan
        return out

    def losses(self, group: int, of_class: int | None = None) -> Array:
        """``(M,)`` the loss of each measure that is named four times in five, in its own units; NaN if none is."""
        if of_class is not None and len(self.tables) > _TABLES_OF_CLASS:
            return self.thinned.losses(group, of_class)
        shares = self._shares(group, of_class)
        named, values = self._named(group, shares, of_class)
        out = np.full(len(self.sample.measures), np.nan)
        eligible = np.array([bool(m.eligible[0, group]) for m in self.sample.measures])
        before = np.full(len(out), np.nan)
        before[eligible] = self.values[eligible, :, group].mean(1)
        for i in np.flatnonzero(eligible):
            # More loss is named more often; what little the noise says otherwise is levelled.
            power = np.maximum.accumulate(named[i])
            if power[-1] >= POWER:
                share = float(np.interp(POWER, [0.0, *power], [0.0, *shares]))
                out[i] = before[i] - float(np.interp(share, [0.0, *shares], [before[i], *values[i]]))
        return out

    def _shares(self, group: int, of_class: int | None) -> Array:
        """Shares of right answers to try: around what a test at 5 % of two groups would see."""
        table = self.tables.mean(0)
        if of_class is not None:
            table = table[:, of_class : of_class + 1]
            hits = table[:, 0, of_class]
        else:
            hits = np.trace(table, axis1=1, axis2=2)
        faces = table.sum((1, 2)) / self.sample.inflation
        share = float(np.clip(hits.sum() / max(table.sum(), 1.0), 0.02, 0.98))
        variance = share * (1 - share) * (1 / max(faces[group], 1.0) + 1 / max(faces.sum() - faces[group], 1.0))
        guess = 4 * np.sqrt(variance) / share
        return np.unique(np.minimum(guess * np.geomspace(0.3, 4.0, _TRIED), 1.0))

    def _named(self, group: int, shares: Array, of_class: int | None) -> tuple[Array, Array]:
        """How often each measure's gap is named at each share lost, and the group's mean values: ``(M, S)`` each."""
        m, b, g = self.values.shape
        s = len(shares)
        wider = np.repeat(self._wider(group, shares, of_class), b, axis=1)
        rates = _rates(self._worse(group, shares, of_class).reshape(s * b, 1, *self.tables.shape[2:]))
        p = np.ones((s * b, m + g))
        means = np.full((m, s), np.nan)
        others = np.delete(self.values, group, axis=2)
        low = np.where(np.isnan(others), np.inf, others).min(2)
        high = np.where(np.isnan(others), -np.inf, others).max(2)
        for i, measure in enumerate(self.sample.measures):
            now = measure.values(rates)[:, 0, 0] if measure.eligible[0, group] else np.full(s * b, np.nan)
            defined = ~np.isnan(now)
            if defined.all():
                means[i] = now.reshape(s, b).mean(1)
            elif defined.any():
                counted = np.maximum(defined.reshape(s, b).sum(1), 1)
                means[i] = np.where(defined, now, 0.0).reshape(s, b).sum(1) / counted
            top = np.fmax(np.tile(high[i], s), now)
            gap = top - np.fmin(np.tile(low[i], s), now)
            p[:, i] = _p_values(np.where(np.isfinite(gap), gap, np.nan) / wider[i], self.null[i])
            if i == self.accuracy:
                p[:, m:] = self._group_p(group, now, wider[i])
        return _named(p, m, self.n_tests).reshape(s, b, m).mean(1).T, means

    def _group_p(self, group: int, now: Array, wider: Array) -> Array:
        """``(R, G)`` p-values of the groups' departures, where ``now`` are the accuracies of the one with the loss.

        What is expected of all groups falls with it, by its share of the faces: half of the loss of one of
        two equal groups shows as that group's, half as the other's.
        """
        own = self.values[self.accuracy]
        b, n_groups = own.shape
        faces = self.tables.mean(0).sum((1, 2))
        loss = np.repeat((now.reshape(-1, b) - own[:, group]).mean(1), b) * faces[group] / max(faces.sum(), 1.0)
        p = np.ones((len(now), n_groups))
        for g, ordered in enumerate(self.departures):
            if len(ordered):
                values = now if g == group else np.tile(own[:, g], len(now) // b)
                p[:, g] = _p_values(np.abs(values - self.expected[g] - loss) / wider, ordered)
        return p

    def _wider(self, group: int, shares: Array, of_class: int | None) -> Array:
        """How much further chance reaches once the loss is part of the sample: ``(M, S)``.

        Permutations of a sample with more mistakes spread more: right answers vary as r (1 - r) within each class.
        At 95 % right, a loss of 8 points in one of two groups widens what chance shows by a third.
        """
        table = self.tables.mean(0)
        faces, hits = table.sum((0, 2)), np.diagonal(table, axis1=1, axis2=2)
        lost = shares[:, None] * hits[group]
        if of_class is not None:
            lost = lost * (np.arange(len(faces)) == of_class)
        n = np.maximum(faces, 1.0)
        recall = np.clip(np.concatenate([hits.sum(0)[None], hits.sum(0) - lost]) / n, 0.0, 1.0)
        variance = recall * (1 - recall)  # (1 + S, K), without the loss first
        floor = 1 / n**2
        by_face = (variance * n).sum(1) + 1e-9
        by_class = (np.where(faces > 0, variance / n, 0.0)).sum(1) + 1e-12
        out = np.empty((len(self.sample.measures), len(shares)))
        for i, measure in enumerate(self.sample.measures):
            if measure.class_index is not None:
                own = variance[:, measure.class_index] + floor[measure.class_index]
            else:
                own = by_face if measure.name in ("accuracy", "weighted_f1") else by_class
            out[i] = np.sqrt(own[1:] / own[0])
        return out

    def _worse(self, group: int, shares: Array, of_class: int | None) -> Array:
        """``(S, b, K, K)`` tables of the group with a share of its hits (of one class, or of all) made wrong."""
        tables = self.tables[:, group]
        k = tables.shape[-1]
        hits = np.maximum(np.diagonal(tables, axis1=1, axis2=2), 0.0)
        share = shares[:, None, None]
        spread = np.sqrt(self.sample.inflation[group] * hits * share * (1 - share))
        lost = np.clip(hits * share + spread * self.noise, 0.0, hits)
        if of_class is not None:  # all other rows stay as they are
            out = np.repeat(tables[None], len(shares), axis=0)
            out[..., of_class, :] += lost[..., of_class, None] * self.mistakes[of_class]
            out[..., of_class, of_class] -= lost[..., of_class]
            return out
        out = tables + lost[..., None] * self.mistakes
        out[..., np.arange(k), np.arange(k)] -= lost
        return np.asarray(out)


def _falling(losses: Array, size: Array) -> Array:
    """``(P, M)`` losses that do not rise with the ``(P,)`` sizes: neighbours that do are pooled (isotonic regression).

    A few hundred tables leave 3 % of noise in each; of two groups of one size the smaller is not the truth.
    """
    out = losses.copy()
    order = np.argsort(size, kind="stable")
    for i in range(losses.shape[1]):
        known = order[~np.isnan(losses[order, i])]
        blocks: list[tuple[float, float, int]] = []  # mean, largest size, number
        for g in known:
            value, largest, number = float(losses[g, i]), float(size[g]), 1
            while blocks and (blocks[-1][0] < value or blocks[-1][1] == largest):
                mean, _, n = blocks.pop()
                value, number = (mean * n + value * number) / (n + number), n + number
            blocks.append((value, largest, number))
        out[known, i] = np.repeat([b[0] for b in blocks], [b[2] for b in blocks])
    return out


def _rates(tables: Array) -> Rates:
    """The rates that headline measures compare."""
    counted = Margins(tables)
    rates: Rates = {name: metric(counted)[:, None] for name, metric in HEADLINE_METRICS.items()}
    rates |= {"recall": np.moveaxis(per_class_recall(counted), -1, 1)}
    return {name: np.clip(values, 0.0, 1.0) for name, values in rates.items()}  # weighted units may fall below 0


def _p_values(statistic: Array, ordered: Array) -> Array:
    """As :func:`mien.stats.intervals.permutation_p`, for many statistics against one sorted null distribution."""
    if not len(ordered):
        return np.ones(len(statistic))
    reached = len(ordered) - np.searchsorted(ordered, statistic - 1e-12, side="left")
    return np.asarray(np.where(np.isnan(statistic), 1.0, (1 + reached) / (1 + len(ordered))))


def _named(p: Array, n_measures: int, n_tests: int) -> NDArray[np.bool_]:
    """Which of the first tests of ``(R, T)`` p-values are significant after adjustment for ``n_tests``: ``(R, M)``."""
    ordered = np.sort(p, axis=1)
    passed = ordered < SIGNIFICANT * np.arange(1, p.shape[1] + 1) / n_tests
    last = passed.shape[1] - 1 - passed[:, ::-1].argmax(1)
    limit = np.where(passed.any(1), np.take_along_axis(ordered, last[:, None], 1)[:, 0], -1.0)
    return np.asarray(p[:, :n_measures] <= limit[:, None])


def headline(measures: Sequence[Measure]) -> list[int]:
    """Which of the measures are adjusted together and have a detectable gap."""
    return [i for i, m in enumerate(measures) if m.family == HEADLINE and m.kind == DIFFERENCE]
