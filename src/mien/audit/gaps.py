"""Every measure that compares groups, as rates of confusion counts: one code for data, bootstrap and null.

A measure has *components* (one, or one a class) by groups. Which groups enter which component is
decided once, on the observed counts, so that replicates are compared like with like. What is made of
them is :func:`mien.metrics.reduce_components`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.metrics import (
    METRICS,
    accuracy,
    balanced_accuracy,
    equalized_odds_components,
    macro_f1,
    mean_recalls,
    per_class_f1,
    per_class_precision,
    per_class_recall,
    reduce_components,
    selection_rates,
    weighted_f1,
)
from mien.metrics.confusion import Margins
from mien.metrics.counts import CountMetric
from mien.metrics.fairness import DIFFERENCE, DISTANCE, RATIO
from mien.stats.cells import UnitCounts
from mien.stats.settings import Settings

Array = NDArray[np.float64]
HEADLINE_METRICS: dict[str, Callable[..., Array]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
    "weighted_f1": weighted_f1,
}
CLASS_METRICS = ("recall", "precision", "f1")
HEADLINE, FURTHER = "headline", "further"
FALSE_POSITIVES = "false positives"
_LEAST_EXPECTED = 5.0  # faces expected in a cell for its rate to enter a ratio or an odds measure
_KEPT_NUMBERS = 2_000_000
_MANY_GROUPS = 60  # above, distances of all pairs of groups are not looked at

Rates = dict[str, Array]
Asked = Sequence[CountMetric]  # metrics of counts beyond the usual ones


def rates_of(tables: NDArray[Any], asked: Asked = ()) -> Rates:
    """All rates of a stack of counts.

    Args:
        tables: ``(b, G, K, K)`` counts, rows annotated, columns predicted.
        asked: Further metrics.

    Returns:
        Name -> ``(b, C, G)``: the headline metrics (C = 1), then recall, precision, f1,
        ``selection_rate`` (share of the group predicted as the class) and ``false_positive_rate``
        (C = K), and the further metrics (C = 1); NaN where undefined.
    """
    counted = Margins(tables)
    rates: Rates = {name: metric(counted)[:, None] for name, metric in HEADLINE_METRICS.items()}
    per_class = {"recall": per_class_recall, "precision": per_class_precision, "f1": per_class_f1}
    rates |= {name: np.moveaxis(metric(counted), -1, 1) for name, metric in per_class.items()}
    rates["selection_rate"] = np.moveaxis(selection_rates(tables), -1, 1)
    rates["false_positive_rate"] = equalized_odds_components(tables)[..., tables.shape[-1] :, :]
    rates |= {metric.name: metric.values(tables)[:, None] for metric in asked}
    return rates


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """What is compared between groups.

    Attributes:
        name: ``accuracy``, ``recall``, ``equal_odds_fairness``, ...
        class_name: The class of a comparison of one class; empty otherwise.
        kind: ``difference``, ``ratio`` or ``distance``.
        family: ``headline`` or ``further``; p-values are adjusted within each.
        components: What each component is, for people.
        eligible: ``(C, G)`` bool, which groups enter which component.
        trials: ``(C, G)`` faces behind each value where it is a share; None elsewhere.
        units: ``(C, G)`` independent units behind each share; None where each face is one.
        worth: ``(C, G)`` units of equal size that these amount to.
        note: Which classes were left out.
        lower: Whether the group with the largest value is the one served worst.
        bounded: Whether no value lies outside 0 to 1.
    """

    name: str
    class_name: str = ""
    kind: str = DIFFERENCE
    family: str = FURTHER
    components: tuple[str, ...] = ("",)
    eligible: NDArray[np.bool_]
    trials: NDArray[Any] | None = None
    units: NDArray[Any] | None = None
    worth: NDArray[np.float64] | None = None
    note: str = ""
    lower: bool = False
    bounded: bool = True


@dataclass(frozen=True, kw_only=True)
class Measure(Contrast):
    """A comparison of rates of confusion counts.

    Attributes:
        values: Rates -> ``(b, C, G)``.
        means: The classes over whose recalls the value is a mean; empty for other measures.
        class_index: The class of a comparison of one class; None otherwise.
    """

    values: Callable[[Rates], Array]
    means: tuple[int, ...] = ()
    class_index: int | None = None

    def masked(self, rates: Rates) -> Array:
        """``(b, C, G)`` values, NaN where a group does not take part."""
        return np.where(self.eligible, self.values(rates), np.nan)

    def statistic(self, rates: Rates) -> Array:
        """``(b,)`` the measure of each replicate; NaN where undefined."""
        return reduce_components(self.masked(rates), self.kind)


def table_measures(
    tables: NDArray[Any],
    classes: Sequence[str],
    settings: Settings,
    units: UnitCounts | None = None,
    asked: Asked = (),
) -> list[Measure]:
    """The measures that confusion counts allow, with what takes part in each.

    Args:
        tables: ``(G, K, K)`` observed counts.
        classes: The K classes.
        settings: Says how many faces and units a group, and a class in a group, need. Units are what counts:
            ten copies of one picture are one observation.
        units: The independent units; by default each face is one.
        asked: Further metrics.
    """
    units = UnitCounts.of_faces(tables) if units is None else units
    annotated, predicted, n = tables.sum(-1).T, tables.sum(-2).T, tables.sum((-2, -1))
    groups = settings.enough(n, units.groups)
    faces = {"recall": annotated, "precision": predicted, "f1": annotated}
    enough = {"recall": units.annotated.T, "precision": units.predicted.T, "f1": units.annotated.T}
    least = max(settings.min_class_n, 1)
    out = [
        Measure(
            name=m,
            family=HEADLINE,
            eligible=groups[None],
            trials=n[None] if m == "accuracy" else None,
            units=units.groups[None],
            values=_rate(m),
        )
        for m in HEADLINE_METRICS
    ]
    for name in CLASS_METRICS:
        for k, class_name in enumerate(classes):
            out.append(
                Measure(
                    name=name,
                    class_name=class_name,
                    class_index=k,
                    family=HEADLINE if name == "recall" else FURTHER,
                    eligible=(groups & (enough[name][k] >= least))[None],
                    trials=None if name == "f1" else faces[name][k][None],
                    units=enough[name][k][None],
                    values=_rate(name, k),
                )
            )
    wrong = predicted - np.diagonal(tables, axis1=-2, axis2=-1).T
    odds = _odds_measures(annotated, wrong, groups, classes, least, units)
    further = [_asked_measure(metric, tables, groups, units) for metric in asked]
    return [*out, *odds, *_parity(predicted, groups, n, classes, units), *further]


def _asked_measure(metric: CountMetric, tables: NDArray[Any], groups: NDArray[np.bool_], units: UnitCounts) -> Measure:
    """A metric by name; of a share the faces that it looks at stand behind it."""
    trials = None if metric.cells is None else metric.counted(tables)[1]
    return Measure(
        name=metric.name,
        eligible=groups[None],
        trials=None if trials is None else trials[None],
        units=units.groups[None] if trials is None else np.minimum(units.groups, trials)[None],
        values=_rate(metric.name),
        lower=METRICS.lower_is_better(metric.name),
        bounded=metric.cells is not None,
    )


def _rate(name: str, k: int | None = None) -> Callable[[Rates], Array]:
    return (lambda rates: rates[name]) if k is None else (lambda rates: rates[name][:, k : k + 1])


def _odds_measures(
    annotated: NDArray[Any],
    wrong: NDArray[Any],
    groups: NDArray[np.bool_],
    classes: Sequence[str],
    least: int,
    units: UnitCounts,
) -> list[Measure]:
    """Equalised odds of all classes, equal-odds fairness, and the ratio of accuracies.

    Args:
        annotated: ``(K, G)`` faces annotated with each class.
        wrong: ``(K, G)`` faces wrongly predicted as each class.
        groups: ``(G,)`` bool, groups with enough faces.
        classes: The K classes.
        least: Least units of a class in a group.
        units: The independent units.
    """
    n = annotated.sum(0)
    others = n - annotated
    enough = groups & (least <= units.annotated.T)
    common: NDArray[np.bool_] = np.asarray(enough[:, groups].all(1) & groups.any())
    lacking = [c for c, there in zip(classes, common, strict=True) if not there]
    dropped = f"without {', '.join(lacking)}: too rare in some group" if lacking and common.any() else ""
    names = tuple(f"recall of {c}" for c in classes) + tuple(f"{FALSE_POSITIVES} of {c}" for c in classes)
    odds = np.concatenate([enough, groups & (least <= units.others.T)])
    trials = np.concatenate([annotated, others]).astype(np.float64)
    behind = np.concatenate([units.annotated.T, units.others.T])
    worth = np.concatenate([units.worth[1].T, units.worth[2].T])
    pooled = wrong[:, groups].sum(1, keepdims=True) / np.maximum(others[:, groups].sum(1, keepdims=True), 1)
    often = np.concatenate([enough, groups & (pooled * units.others.T >= _LEAST_EXPECTED)])

    def both(rates: Rates) -> Array:
        return np.concatenate([rates["recall"], rates["false_positive_rate"]], axis=1)

    def mean_recall(rates: Rates) -> Array:
        return mean_recalls(rates["recall"], common)[:, None]

    return [
        Measure(
            name="equalized_odds_difference",
            components=names,
            eligible=odds,
            trials=trials,
            units=behind,
            worth=worth,
            values=both,
        ),
        Measure(
            name="equalized_odds_ratio",
            kind=RATIO,
            components=names,
            eligible=often,
            trials=trials,
            units=behind,
            worth=worth,
            values=both,
        ),
        Measure(
            name="equal_odds_fairness",
            kind=RATIO,
            eligible=groups[None] & common.any(),
            note=dropped,
            values=mean_recall,
            means=tuple(int(k) for k in np.flatnonzero(common)),
        ),
        Measure(
            name="min_max_accuracy",
            kind=RATIO,
            eligible=groups[None],
            trials=n[None],
            units=units.groups[None],
            worth=units.worth[0].T,
            values=_rate("accuracy"),
        ),
    ]


def _parity(
    predicted: NDArray[Any], groups: NDArray[np.bool_], n: NDArray[Any], classes: Sequence[str], units: UnitCounts
) -> list[Measure]:
    """Demographic parity of every class and statistical parity of all together."""
    names = tuple(f"predictions of {c}" for c in classes)
    everywhere = np.broadcast_to(groups, predicted.shape)
    total = max(int(n[groups].sum()), 1)
    often = predicted[:, groups].sum(1, keepdims=True) / total * units.groups >= _LEAST_EXPECTED
    rare = [c for c, row in zip(classes, often[:, groups], strict=True) if not row.all()]
    note = f"groups with fewer than 5 such predictions expected take no part for {', '.join(rare)}" if rare else ""
    trials = np.broadcast_to(n, predicted.shape).astype(np.float64)
    behind = np.broadcast_to(units.groups, predicted.shape)
    worth = np.broadcast_to(units.worth[0].T, predicted.shape)
    share = _rate("selection_rate")
    many = f"not looked at for more than {_MANY_GROUPS} groups" if groups.sum() > _MANY_GROUPS else ""
    few = groups if groups.sum() <= _MANY_GROUPS else np.zeros_like(groups)
    whole = np.broadcast_to(few, predicted.shape)
    return [
        Measure(
            name="demographic_parity_difference",
            components=names,
            eligible=everywhere,
            trials=trials,
            units=behind,
            worth=worth,
            values=share,
        ),
        Measure(
            name="demographic_parity_ratio",
            kind=RATIO,
            components=names,
            eligible=everywhere & often,
            trials=trials,
            units=behind,
            worth=worth,
            note=note,
            values=share,
        ),
        Measure(
            name="statistical_parity",
            note=many,
            kind=DISTANCE,
            components=names,
            eligible=whole,
            trials=trials,
            units=behind,
            worth=worth,
            values=share,
        ),
    ]


@dataclass(frozen=True)
class Null:
    """What permutations show.

    Attributes:
        statistics: One ``(b,)`` a measure, in their order.
        values: Measure's index -> ``(b, G)`` values of the measures with one component.
        tables: ``(c, G, K, K)`` the first of the counts themselves.
    """

    statistics: list[Array]
    values: dict[int, Array]
    tables: NDArray[Any]


def null_of(
    chunks: Iterable[NDArray[Any]],
    measures: Sequence[Measure],
    keep: Callable[[Measure], bool],
    asked: Asked = (),
) -> Null:
    """Reduce chunks of permuted counts, so that no more than a chunk is held.

    Args:
        chunks: ``(b, G, K, K)`` counts.
        measures: What to compute.
        keep: For which measures the groups' values are kept too.
        asked: The further metrics among the measures.
    """
    free = {metric.name for metric in asked}
    statistics: list[list[Array]] = [[] for _ in measures]
    values: dict[int, list[Array]] = {i: [] for i, m in enumerate(measures) if keep(m)}
    first: list[NDArray[Any]] = []
    for tables in chunks:
        if (wanted := _kept_tables(tables) - sum(len(t) for t in first)) > 0:
            first.append(tables[:wanted].copy())
        # Tables of weighted units are no counts: a rare cell may fall below 0, and a rate beyond what rates can be.
        rates = {
            name: values if name in free else np.clip(values, 0.0, 1.0)
            for name, values in rates_of(tables, asked).items()
        }
        for i, measure in enumerate(measures):
            statistics[i].append(measure.statistic(rates))
            if i in values:
                values[i].append(measure.masked(rates)[:, 0])
    return Null(
        [np.concatenate(s) for s in statistics],
        {i: np.concatenate(v) for i, v in values.items()},
        np.concatenate(first),
    )


def _kept_tables(tables: NDArray[Any]) -> int:
    """How many counts are kept to work out the power: 300, fewer of many groups."""
    return int(np.clip(_KEPT_NUMBERS // tables[0].size, 100, 300))


def stacked_rates(chunks: Iterable[NDArray[Any]], asked: Asked = ()) -> Rates:
    """The rates of all chunks of bootstrapped counts."""
    parts = [rates_of(tables, asked) for tables in chunks]
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
