"""Every number of a group that confusion counts give, with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.audit.attributes import Attribute
from mien.audit.gaps import HEADLINE_METRICS, Asked, Rates, rates_of
from mien.audit.results import GroupResult
from mien.audit.vocabulary import TOO_FEW
from mien.records import Estimate
from mien.stats.cells import Ints, UnitCounts
from mien.stats.intervals import (
    effective_trials,
    macro_estimate,
    macro_sides,
    percentile,
    permutation_p,
    share_estimate,
    undefined,
    wilson,
)
from mien.stats.pooling import pooled_estimates
from mien.stats.settings import Settings

Array = NDArray[np.float64]
ClassEstimates = dict[str, list[Estimate]]


@dataclass(frozen=True)
class GroupTables:
    """Counts of the groups of one attribute, and their bootstrap.

    Attributes:
        tables: ``(G, K, K)`` observed counts.
        units: The independent units.
        boot: Rates of the bootstrap replicates.
        asked: Further metrics of counts, whose rates are among these.
    """

    tables: Ints
    units: UnitCounts
    boot: Rates
    asked: Asked = ()


def class_estimates(counted: GroupTables, g: int, settings: Settings) -> ClassEstimates:
    """Recall, precision, F1 and selection rate of each class in group ``g``; K estimates each."""
    table, boot = counted.tables[g], counted.boot
    hits, annotated, predicted, n = np.diagonal(table), table.sum(1), table.sum(0), int(table.sum())
    units = counted.units
    found: ClassEstimates = {"recall": [], "precision": [], "f1": [], "selection_rate": []}
    for k in range(len(table)):
        parts = {
            "recall": (hits[k], annotated[k], units.annotated[g, k], "nobody annotated with it"),
            "precision": (hits[k], predicted[k], units.predicted[g, k], "never predicted"),
            "selection_rate": (predicted[k], n, units.groups[g], "no faces"),
        }
        for name, (top, bottom, own, nobody) in parts.items():
            note = nobody if not bottom else TOO_FEW if own < settings.min_class_n else ""
            drawn = boot[name][:, k, g]
            found[name].append(
                share_estimate(
                    float(top), int(bottom), int(own), drawn, level=settings.level, seed=settings.seed, note=note
                )
            )
        few = bool(units.annotated[g, k] < settings.min_class_n)
        found["f1"].append(_f1(table, k, int(units.either[g, k]), few, boot["f1"][:, k, g], settings))
    return found


def _f1(table: Ints, k: int, clusters: int, few: bool, drawn: Array, settings: Settings) -> Estimate:
    """F1 = 2J / (1 + J), with J = hits / (annotated or predicted faces), which is a share: Wilson's interval of J."""
    annotated = int(table[k].sum())
    if not annotated:
        return undefined(0, 0, "nobody annotated with it", settings.level)
    union = annotated + int(table[:, k].sum() - table[k, k])
    jaccard = float(table[k, k]) / union
    shares = drawn[~np.isnan(drawn)] / (2 - drawn[~np.isnan(drawn)])
    variance = float(shares.var()) if len(shares) > 1 else 0.0
    trials = (
        float(union)
        if clusters >= union
        else float(effective_trials(jaccard, union, clusters, variance, settings.level))
    )
    low, high = wilson(jaccard * trials, trials, settings.level)
    value, low, high = (2 * j / (1 + j) for j in (jaccard, low, high))
    note, method = TOO_FEW if few else "", "wilson of the overlap"
    return Estimate(
        value, low, high, level=settings.level, method=method, n=union, clusters=clusters, seed=settings.seed, note=note
    )


def headline_estimates(
    counted: GroupTables, g: int, by_class: ClassEstimates, settings: Settings
) -> dict[str, Estimate]:
    """Accuracy, balanced accuracy, macro and weighted F1 of group ``g``."""
    table, n, units = counted.tables[g], int(counted.tables[g].sum()), int(counted.units.groups[g])
    level, seed = settings.level, settings.seed
    drawn = counted.boot["accuracy"][:, 0, g]
    out = {"accuracy": share_estimate(float(np.trace(table)), n, units, drawn, level=level, seed=seed)}
    annotated = table.sum(1).astype(np.float64)
    present = (annotated > 0) / max(int((annotated > 0).sum()), 1)
    weights = {"balanced_accuracy": present, "macro_f1": present, "weighted_f1": annotated / max(n, 1)}
    values = rates_of(table[None, None])
    for name, weight in weights.items():
        source = "recall" if name == "balanced_accuracy" else "f1"
        estimates = by_class[source]
        points, low, high = (np.array([getattr(e, end) for e in estimates]) for end in ("value", "low", "high"))
        sides = macro_sides(points, low, high, weight, counted.boot[source][:, :, g])
        out[name] = macro_estimate(
            float(values[name][0, 0, 0]),
            counted.boot[name][:, 0, g],
            sides,
            level=level,
            n=n,
            clusters=units,
            seed=seed,
            note="" if n else "no faces",
        )
    return {name: out[name] for name in HEADLINE_METRICS}


def asked_estimates(counted: GroupTables, g: int, settings: Settings) -> dict[str, Estimate]:
    """Further metrics of group ``g``: Wilson's interval of shares, the bootstrap's percentiles of others."""
    table, n, units = counted.tables[g], int(counted.tables[g].sum()), int(counted.units.groups[g])
    level, seed = settings.level, settings.seed
    found = {}
    for metric in counted.asked:
        drawn = counted.boot[metric.name][:, 0, g]
        value = float(metric.values(table))
        if metric.cells is not None:
            hits, trials = (float(x) for x in metric.counted(table))
            own = min(units, int(trials))
            found[metric.name] = share_estimate(hits, int(trials), own, drawn, level=level, seed=seed)
        elif math.isnan(value):
            found[metric.name] = undefined(n, units, "undefined" if n else "no faces", level)
        else:
            found[metric.name] = percentile(value, drawn, level=level, n=n, clusters=units, seed=seed)
    return found


def mean_recall(
    counted: GroupTables, g: int, recalls: Sequence[Estimate], classes: Sequence[int], settings: Settings
) -> Estimate:
    """The mean of the recalls of some classes in group ``g``, as equal-odds fairness compares it.

    Args:
        counted: Counts of the groups.
        g: The group.
        recalls: Its recall of each of the K classes.
        classes: Those that the mean is over.
        settings: The audit's settings.
    """
    index = list(classes)
    recalls = [recalls[k] for k in index]
    weights = np.full(len(index), 1 / max(len(index), 1))
    points, low, high = (np.array([getattr(e, end) for e in recalls]) for end in ("value", "low", "high"))
    drawn = counted.boot["recall"][:, index, g]
    sides = macro_sides(points, low, high, weights, drawn)
    n = int(counted.tables[g][index].sum())
    units = int(counted.units.groups[g])
    return macro_estimate(float(points @ weights), drawn @ weights, sides, level=settings.level, n=n, clusters=units)


def group_results(
    attribute: Attribute,
    classes: Sequence[str],
    counted: GroupTables,
    scores: Sequence[dict[str, Estimate]],
    null_accuracy: Array,
    tested: NDArray[np.bool_],
    settings: Settings,
) -> list[GroupResult]:
    """The results of every group.

    Args:
        attribute: The attribute.
        classes: The K classes.
        counted: Its counts and their bootstrap.
        scores: Further metrics of each group.
        null_accuracy: ``(b, G)`` accuracies under no disparity, NaN for groups out of the gap.
        tested: ``(G,)`` groups with a face annotated as a face of another group is.
        settings: The audit's settings.
    """
    by_class = [class_estimates(counted, g, settings) for g in range(len(attribute.groups))]
    headline = [headline_estimates(counted, g, by_class[g], settings) for g in range(len(attribute.groups))]
    accuracies = [h["accuracy"] for h in headline]
    trials = [
        float(effective_trials(e.value, e.n, e.clusters, float(np.nanvar(counted.boot["accuracy"][:, 0, g])), e.level))
        if e.clusters < e.n
        else e.n
        for g, e in enumerate(accuracies)
    ]
    pooled = pooled_estimates(accuracies, trials, settings.stream(attribute.name, "pooling"))
    expected, p = departures(np.array([e.value for e in accuracies]), null_accuracy, tested)
    enough = settings.enough(counted.tables.sum((1, 2)), counted.units.groups)
    out = []
    for g, name in enumerate(attribute.groups):
        table = counted.tables[g]
        annotated, n = table.sum(1), int(table.sum())
        named = {m: dict(zip(classes, estimates, strict=True)) for m, estimates in by_class[g].items()}
        out.append(
            GroupResult(
                name=name,
                n=n,
                n_clusters=int(counted.units.groups[g]),
                verdict="" if enough[g] else TOO_FEW,
                metrics=headline[g] | scores[g] | asked_estimates(counted, g, settings),
                recall=named["recall"],
                precision=named["precision"],
                f1=named["f1"],
                selection_rate=named["selection_rate"],
                n_per_class={c: int(m) for c, m in zip(classes, annotated, strict=True)},
                confusion=[[int(v) for v in row] for row in table],
                pooled=pooled[g],
                expected=float(expected[g]),
                p=float(p[g]),
                note=_lacking(classes, annotated) if n else "no faces",
            )
        )
    return out


def departures(values: Array, null_values: Array, tested: NDArray[np.bool_] | None = None) -> tuple[Array, Array]:
    """What each group would have under no disparity, and how often chance alone takes it so far from that.

    A largest gap among many groups is soon one of the smallest group's noise, which hides what
    happens to the others; here each group is judged by its own.

    Args:
        values: ``(G,)`` observed values.
        null_values: ``(b, G)`` values under no disparity; NaN where a group takes no part.
        tested: ``(G,)`` groups that are compared with another; all by default.

    Returns:
        Expected values and two-sided p-values, each ``(G,)``; NaN where a group takes no part, and
        everywhere with fewer than two groups.
    """
    part = ~np.isnan(null_values).any(0) & ~np.isnan(values)
    if tested is not None:
        part &= tested
    expected, p = np.full((2, len(values)), np.nan)
    if part.sum() < 2:
        return expected, p
    expected[part] = null_values[:, part].mean(0)
    for g in np.flatnonzero(part):
        p[g] = permutation_p(abs(values[g] - expected[g]), np.abs(null_values[:, g] - expected[g]))
    return expected, p


def _lacking(classes: Sequence[str], annotated: Ints) -> str:
    lacking = [c for c, m in zip(classes, annotated, strict=True) if not m]
    return f"nobody annotated with {', '.join(lacking)}: macro values leave these out" if lacking else ""
