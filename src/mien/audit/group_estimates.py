"""Every number of a group that confusion counts give, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.audit.attributes import Attribute
from mien.audit.cells import Ints
from mien.audit.gaps import HEADLINE_METRICS, Rates, rates_of
from mien.audit.intervals import (
    effective_trials,
    macro_estimate,
    macro_sides,
    permutation_p,
    share_estimate,
    undefined,
    wilson,
)
from mien.audit.pooling import pooled_estimates
from mien.audit.power import detectable_gaps
from mien.audit.results import GroupResult
from mien.audit.settings import Settings
from mien.audit.vocabulary import TOO_FEW
from mien.records import Estimate

Array = NDArray[np.float64]
ClassEstimates = dict[str, list[Estimate]]


@dataclass(frozen=True)
class GroupTables:
    """Counts of the groups of one attribute, and their bootstrap.

    Attributes:
        tables: ``(G, K, K)`` observed counts.
        units: ``(G,)`` independent units.
        annotated_units: ``(G, K)`` units with a face annotated with the class.
        predicted_units: ``(G, K)`` units with a face predicted as it.
        boot: Rates of the bootstrap replicates.
    """

    tables: Ints
    units: Ints
    annotated_units: Ints
    predicted_units: Ints
    boot: Rates


def class_estimates(counted: GroupTables, g: int, settings: Settings) -> ClassEstimates:
    """Recall, precision, F1 and selection rate of each class in group ``g``; K estimates each."""
    table, boot = counted.tables[g], counted.boot
    hits, annotated, predicted, n = np.diagonal(table), table.sum(1), table.sum(0), int(table.sum())
    units = int(counted.units[g])
    found: ClassEstimates = {"recall": [], "precision": [], "f1": [], "selection_rate": []}
    for k in range(len(table)):
        parts = {
            "recall": (hits[k], annotated[k], counted.annotated_units[g, k], "nobody annotated with it"),
            "precision": (hits[k], predicted[k], counted.predicted_units[g, k], "never predicted"),
            "selection_rate": (predicted[k], n, units, "no faces"),
        }
        for name, (top, bottom, own, nobody) in parts.items():
            note = nobody if not bottom else TOO_FEW if bottom < settings.min_class_n else ""
            drawn = boot[name][:, k, g]
            found[name].append(
                share_estimate(
                    float(top), int(bottom), int(own), drawn, level=settings.level, seed=settings.seed, note=note
                )
            )
        share = units / max(n, 1)
        union = int(annotated[k] + predicted[k] - hits[k])
        found["f1"].append(_f1(float(hits[k]), union, int(annotated[k]), share, boot["f1"][:, k, g], settings))
    return found


def _f1(hits: float, union: int, annotated: int, units_per_face: float, drawn: Array, settings: Settings) -> Estimate:
    """F1 = 2J / (1 + J), with J = hits / (annotated or predicted faces), which is a share: Wilson's interval of J."""
    if not annotated:
        return undefined(0, 0, "nobody annotated with it", settings.level)
    jaccard = hits / union
    clusters = max(round(union * units_per_face), 1)
    shares = drawn[~np.isnan(drawn)] / (2 - drawn[~np.isnan(drawn)])
    variance = float(shares.var()) if len(shares) > 1 else 0.0
    trials = (
        float(union) if units_per_face == 1 else effective_trials(jaccard, union, clusters, variance, settings.level)
    )
    low, high = wilson(jaccard * trials, trials, settings.level)
    value, low, high = (2 * j / (1 + j) for j in (jaccard, low, high))
    note = TOO_FEW if annotated < settings.min_class_n else ""
    return Estimate(value, low, high, settings.level, "wilson of the overlap", union, clusters, settings.seed, note)


def headline_estimates(
    counted: GroupTables, g: int, by_class: ClassEstimates, settings: Settings
) -> dict[str, Estimate]:
    """Accuracy, balanced accuracy, macro and weighted F1 of group ``g``."""
    table, n, units = counted.tables[g], int(counted.tables[g].sum()), int(counted.units[g])
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


def group_results(
    attribute: Attribute,
    classes: Sequence[str],
    counted: GroupTables,
    scores: Sequence[dict[str, Estimate]],
    null_accuracy: Array,
    settings: Settings,
) -> list[GroupResult]:
    """The results of every group.

    Args:
        attribute: The attribute.
        classes: The K classes.
        counted: Its counts and their bootstrap.
        scores: Further metrics of each group.
        null_accuracy: ``(b, G)`` accuracies under no disparity, NaN for groups out of the gap.
        settings: The audit's settings.
    """
    by_class = [class_estimates(counted, g, settings) for g in range(len(attribute.groups))]
    headline = [headline_estimates(counted, g, by_class[g], settings) for g in range(len(attribute.groups))]
    accuracies = [h["accuracy"] for h in headline]
    trials = [
        effective_trials(e.value, e.n, e.clusters, float(np.nanvar(counted.boot["accuracy"][:, 0, g])), e.level)
        if e.clusters < e.n
        else e.n
        for g, e in enumerate(accuracies)
    ]
    pooled = pooled_estimates(accuracies, trials, settings.stream(attribute.name, "pooling"))
    detectable = detectable_gaps(null_accuracy)
    expected, p = departures(np.array([e.value for e in accuracies]), null_accuracy)
    out = []
    for g, name in enumerate(attribute.groups):
        table = counted.tables[g]
        annotated, n = table.sum(1), int(table.sum())
        named = {m: dict(zip(classes, estimates, strict=True)) for m, estimates in by_class[g].items()}
        out.append(
            GroupResult(
                name,
                n,
                int(counted.units[g]),
                "" if n >= max(settings.min_n, 1) and counted.units[g] > 1 else TOO_FEW,
                headline[g] | scores[g],
                named["recall"],
                named["precision"],
                named["f1"],
                named["selection_rate"],
                {c: int(m) for c, m in zip(classes, annotated, strict=True)},
                [[int(v) for v in row] for row in table],
                pooled[g],
                float(detectable[g]),
                float(expected[g]),
                float(p[g]),
                note=_lacking(classes, annotated) if n else "no faces",
            )
        )
    return out


def departures(values: Array, null_values: Array) -> tuple[Array, Array]:
    """What each group would have under no disparity, and how often chance alone takes it so far from that.

    A largest gap among many groups is soon one of the smallest group's noise, which hides what
    happens to the others; here each group is judged by its own.

    Args:
        values: ``(G,)`` observed values.
        null_values: ``(b, G)`` values under no disparity; NaN where a group takes no part.

    Returns:
        Expected values and two-sided p-values, each ``(G,)``; NaN where a group takes no part, and
        everywhere with fewer than two groups.
    """
    part = ~np.isnan(null_values).any(0) & ~np.isnan(values)
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
