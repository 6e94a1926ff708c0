"""From the faces of two models to what changed for each group and gap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.audit.attributes import Attribute
from mien.audit.compare.paired_statistics import change_of_extreme, extreme, paired_share_difference, sign_flip_p
from mien.audit.compare.results import (
    NO_CHANGE,
    AttributeChange,
    Change,
    GapChange,
    GroupChange,
)
from mien.audit.gaps import HEADLINE_METRICS, Rates, rates_of
from mien.audit.group_estimates import GroupTables, class_estimates, headline_estimates
from mien.audit.scores import SHARES, Units, group_means, mean_estimates
from mien.audit.vocabulary import TOO_FEW
from mien.errors import DataError
from mien.metrics import kl_rows, top_k_hits
from mien.records import Estimate, Predictions
from mien.stats.cells import Ints, Rows, bootstrap_counts
from mien.stats.gap_intervals import gap_interval, implied_errors, ratio_interval
from mien.stats.intervals import percentile, undefined
from mien.stats.limits import estimate_limits
from mien.stats.settings import Settings

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Paired:
    """The rows of one attribute under both models.

    Attributes:
        rows: Under A and under B.
        counted: Their counts, bootstrapped together.
        gain: ``(n,)`` 1 where only B is right, -1 where only A is, else 0.
        scores: Score -> its values under A and B, ``(n,)`` each.
        names: The G groups.
        classes: The K classes.
    """

    rows: tuple[Rows, Rows]
    counted: tuple[GroupTables, GroupTables]
    gain: NDArray[np.int64]
    scores: dict[str, tuple[NDArray[Any], NDArray[Any]]]
    names: Sequence[str]
    classes: Sequence[str]

    def values(self, metric: str, k: int = 0) -> tuple[Array, Array]:
        """A metric (or the recall of class ``k``) of all groups: ``(2, G)`` observed and ``(b, 2, G)`` replicates."""
        observed = [rates_of(c.tables[None])[metric][0, k] for c in self.counted]
        return np.stack(observed), np.stack([c.boot[metric][:, k] for c in self.counted], axis=1)


def paired_rows(
    a: Predictions, b: Predictions, codes: Ints, names: Sequence[str], stream: np.random.Generator, n_boot: int
) -> Paired:
    """The rows of an attribute whose group is known, counted and bootstrapped under both models."""
    known = np.flatnonzero(codes >= 0)
    k, g, label = len(a.classes), len(names), a.labels[known]
    unit = None if a.cluster is None else a.cluster[known]
    rows = (
        Rows(codes[known], label, a.predicted[known], unit, g, k),
        Rows(codes[known], label, b.predicted[known], unit, g, k),
    )
    boot = _bootstrap_rates(*rows, n_boot, stream)
    counted = [GroupTables(r.tables(), r.unit_counts(), rates) for r, rates in zip(rows, boot, strict=True)]
    right = [(r.predicted == label).astype(np.int64) for r in rows]
    scores: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
    if a.probs is not None and b.probs is not None:
        probs, votes = (a.probs[known], b.probs[known]), None if a.votes is None else a.votes[known]
        targets = a.targets[known]
        if k > 2:
            scores["top2"] = (top_k_hits(probs[0], label, 2), top_k_hits(probs[1], label, 2))
        scores["kl"] = (kl_rows(probs[0], targets, votes), kl_rows(probs[1], targets, votes))
    return Paired(rows, (counted[0], counted[1]), right[1] - right[0], scores, names, [str(c) for c in a.classes])


def _bootstrap_rates(a: Rows, b: Rows, n_boot: int, rng: np.random.Generator) -> list[Rates]:
    """Bootstrap both models' counts together: a face adds one cell to A's table and one to B's."""
    shape = (a.n_groups, a.n_classes, a.n_classes)
    size = int(np.prod(shape))
    unit = np.arange(len(a), dtype=np.int64) if a.cluster is None else a.cluster
    cells, units = np.concatenate([a.cells, size + b.cells]), np.concatenate([unit, unit])
    parts: list[list[Rates]] = [[], []]
    for counts in bootstrap_counts(cells, units, 2 * size, n_boot, rng):
        for m, part in enumerate(parts):
            part.append(rates_of(counts[:, m * size : (m + 1) * size].reshape(-1, *shape)))
    return [{name: np.concatenate([r[name] for r in part]) for name in part[0]} for part in parts]


def group_changes(paired: Paired, settings: Settings) -> list[GroupChange]:
    """What changed for every group."""
    rows = paired.rows[0]
    order = np.argsort(rows.group, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(rows.group, minlength=rows.n_groups))[:-1])
    scores = _score_changes(paired, settings.level)
    return [_group_change(g, paired, members[g], scores[g], settings) for g in range(rows.n_groups)]


def _group_change(
    g: int, paired: Paired, members: NDArray[Any], scores: dict[str, Change], settings: Settings
) -> GroupChange:
    rows, gain = paired.rows[0], paired.gain[members]
    label, unit = rows.label[members], None if rows.cluster is None else rows.cluster[members]
    by_class = [class_estimates(counted, g, settings) for counted in paired.counted]
    recall = {}
    for k, name in enumerate(paired.classes):
        own = label == k
        difference = paired_share_difference(gain[own], None if unit is None else unit[own], settings.level)
        if not own.any():
            difference = undefined(0, 0, "nobody annotated with it", settings.level)
        note = TOO_FEW if 0 < own.sum() < settings.min_class_n else difference.note
        a, b = (estimates["recall"][k] for estimates in by_class)
        recall[name] = Change(a, b, replace(difference, note=note))
    sides = [headline_estimates(c, g, e, settings) for c, e in zip(paired.counted, by_class, strict=True)]
    metrics = {}
    for metric in HEADLINE_METRICS:
        if metric == "accuracy":
            difference = paired_share_difference(gain, unit, settings.level)
        else:
            difference = _macro_difference(metric, g, paired, recall, settings)
        metrics[metric] = Change(sides[0][metric], sides[1][metric], difference)
    net = gain if unit is None else np.bincount(np.unique(unit, return_inverse=True)[1].reshape(-1), weights=gain)
    lacking = [name for k, name in enumerate(paired.classes) if not (label == k).any()]
    note = f"nobody annotated with {', '.join(lacking)}: macro values leave these out" if lacking else ""
    return GroupChange(
        name=paired.names[g],
        n=len(members),
        n_clusters=int(paired.counted[0].units.groups[g]),
        metrics=metrics | scores,
        recall=recall,
        only_a=int((gain < 0).sum()),
        only_b=int((gain > 0).sum()),
        p=sign_flip_p(net) if len(members) else float("nan"),
        p_adjusted=float("nan"),
        verdict=NO_CHANGE if _enough(g, paired, settings) else TOO_FEW,
        note=note if len(members) else "no faces",
    )


def _macro_difference(metric: str, g: int, paired: Paired, recall: dict[str, Change], settings: Settings) -> Estimate:
    """The difference of a mean over classes: percentiles of the paired bootstrap.

    Balanced accuracy weighs a class of ten faces like one of a thousand, and a bootstrap sees too
    little of such a class: there the interval is normal, with at least the error that the classes'
    own intervals imply (coverage at 60 faces and eight classes: 96 %, percentiles 89 %).
    """
    observed, drawn = paired.values(metric)
    value, draws = float(observed[1, g] - observed[0, g]), drawn[:, 1, g] - drawn[:, 0, g]
    n, units = int(paired.counted[0].tables[g].sum()), int(paired.counted[0].units.groups[g])
    out = percentile(value, draws, level=settings.level, n=n, clusters=units, seed=settings.seed)
    if np.isnan(out.low) or metric != "balanced_accuracy":
        return replace(out, method=f"paired {out.method}") if out.method != "none" else out
    present = [c.difference for c in recall.values() if c.difference.n]
    least = float(np.sqrt((implied_errors(present) ** 2).sum())) / len(present)
    half = NormalDist().inv_cdf(0.5 + settings.level / 2) * max(float(np.nanstd(draws)), least)
    return replace(out, low=max(value - half, -1.0), high=min(value + half, 1.0), method="paired bootstrap, normal")


def _score_changes(paired: Paired, level: float) -> list[dict[str, Change]]:
    """``top2`` and ``kl`` of every group."""
    rows = paired.rows[0]
    units = Units.of(rows.group, rows.label, rows.cluster, rows.n_groups, rows.n_classes)
    out: list[dict[str, Change]] = [{} for _ in paired.names]
    for name, values in paired.scores.items():
        a, b = (mean_estimates(name in SHARES, group_means(v, units, skewed=True), level) for v in values)
        difference = values[1].astype(np.float64) - values[0]
        means = mean_estimates(False, group_means(difference, units, skewed=True), level)
        for g, changes in enumerate(out):
            own = means[g]
            if name == "top2" and own.n:
                own_rows = rows.group == g
                unit = None if rows.cluster is None else rows.cluster[own_rows]
                own = paired_share_difference(difference[own_rows], unit, level)
            changes[name] = Change(a[g], b[g], own)
    return out


def _gap_change(metric: str, k: int, paired: Paired, groups: Sequence[GroupChange], settings: Settings) -> GapChange:
    """The change of one gap; ``k`` is the class of a recall."""
    class_name = paired.classes[k] if metric == "recall" else ""
    observed, drawn = paired.values(metric, k)
    annotated = paired.counted[0].tables.sum(-1)
    unit_counts = paired.counted[0].units
    crossed = unit_counts.crossed
    enough = settings.enough(annotated.sum(-1), unit_counts.groups)
    if class_name:
        enough &= unit_counts.annotated[:, k] >= max(settings.min_class_n, 1)
    part = np.flatnonzero(enough & ~np.isnan(observed).any(0)).tolist()
    changes = [groups[i].recall[class_name] if class_name else groups[i].metrics[metric] for i in part]
    n, units = sum(c.a.n for c in changes), sum(c.a.clusters for c in changes)
    nan, names = float("nan"), paired.names
    if len(part) < 2:
        nothing = undefined(n, units, "fewer than two groups with enough faces", settings.level)
        none = Change(nothing, nothing, nothing)
        return GapChange(
            metric=metric,
            class_name=class_name,
            gap=none,
            worst=none,
            best=none,
            worst_a="",
            worst_b="",
            best_a="",
            best_b="",
            p=nan,
            p_adjusted=nan,
            n_groups=len(part),
            verdict=TOO_FEW,
        )
    x, draws = observed[:, part], drawn[:, :, part]
    floor = implied_errors([c.difference for c in changes])
    found = {s: change_of_extreme(x, draws, s, settings.level, floor) for s in ("gap", "worst", "best")}
    change = {s: replace(e, n=n, clusters=units, seed=settings.seed) for s, (e, _) in found.items()}
    gaps = [_gap(x[m], draws[:, m], [(c.a, c.b)[m] for c in changes], n, units, settings, crossed) for m in (0, 1)]
    low, high = x.argmin(1), x.argmax(1)
    return GapChange(
        metric=metric,
        class_name=class_name,
        gap=Change(gaps[0], gaps[1], change["gap"]),
        worst=Change(changes[low[0]].a, changes[low[1]].b, change["worst"]),
        best=Change(changes[high[0]].a, changes[high[1]].b, change["best"]),
        worst_a=names[part[low[0]]],
        worst_b=names[part[low[1]]],
        best_a=names[part[high[0]]],
        best_b=names[part[high[1]]],
        p=found["gap"][1],
        p_adjusted=nan,
        n_groups=len(part),
        verdict=NO_CHANGE,
    )


def _enough(g: int, paired: Paired, settings: Settings) -> bool:
    counted = paired.counted[0]
    return bool(settings.enough(counted.tables.sum((1, 2)), counted.units.groups)[g])


def _gap(
    x: Array, draws: Array, own: Sequence[Estimate], n: int, units: int, settings: Settings, crossed: bool
) -> Estimate:
    low, high = gap_interval(x, draws, settings.level, estimate_limits(own), crossed=crossed)
    value = float(x.max() - x.min())
    return Estimate(
        value, low, high, level=settings.level, method="simultaneous bootstrap", n=n, clusters=units, seed=settings.seed
    )


def _fairness_change(paired: Paired, groups: Sequence[GroupChange], settings: Settings) -> Change:
    """Equal-odds fairness: smallest over largest sum of recalls, over the classes that all groups have enough of."""
    annotated = paired.counted[0].tables.sum(-1)
    unit_counts = paired.counted[0].units
    part = np.flatnonzero(settings.enough(annotated.sum(-1), unit_counts.groups)).tolist()
    common = np.flatnonzero((unit_counts.annotated[part] >= max(settings.min_class_n, 1)).all(0)).tolist()
    n, units = int(annotated[part][:, common].sum()), sum(groups[i].n_clusters for i in part)
    if len(part) < 2 or not len(common):
        nothing = undefined(n, units, "no two groups with enough faces of a common class", settings.level)
        return Change(nothing, nothing, nothing)
    pairs = [paired.values("recall", k) for k in common]
    x, draws = sum(o for o, _ in pairs)[:, part], sum(d for _, d in pairs)[:, :, part]  # type: ignore[index]
    dropped = [c for k, c in enumerate(paired.classes) if k not in common]
    note = f"without {', '.join(dropped)}: too rare in some group" if dropped else ""
    own = [[groups[i].recall[paired.classes[k]].difference for k in common] for i in part]
    floor = np.array([np.sqrt((implied_errors(e) ** 2).sum()) for e in own])
    found, _ = change_of_extreme(x, draws, "ratio", settings.level, floor)
    sides = []
    for m in (0, 1):
        low, high = ratio_interval(x[m : m + 1], draws[:, m : m + 1], None, settings.level)
        value = float(extreme(x[m], "ratio"))
        sides.append(
            Estimate(
                value,
                low,
                high,
                level=settings.level,
                method="simultaneous bootstrap",
                n=n,
                clusters=units,
                seed=settings.seed,
                note=note,
            )
        )
    note = "; ".join(filter(None, [note, found.note]))
    return Change(sides[0], sides[1], replace(found, n=n, clusters=units, seed=settings.seed, note=note))


def attribute_change(a: Predictions, b: Predictions, attribute: Attribute, settings: Settings) -> AttributeChange:
    """What changed for one attribute."""
    if not (attribute.codes >= 0).any():
        raise DataError(
            f"attribute {attribute.name!r}", "no shared face has a known value in every part", "some that do"
        )
    stream = settings.stream(attribute.name, "compare")
    paired = paired_rows(a, b, attribute.codes, attribute.groups, stream, settings.n_boot)
    groups = group_changes(paired, settings)
    keys = [(m, 0) for m in HEADLINE_METRICS] + [("recall", k) for k in range(len(paired.classes))]
    n = len(paired.gain)
    return AttributeChange(
        name=attribute.name,
        label=attribute.label,
        source=attribute.source,
        n=n,
        n_unknown=len(a) - n,
        groups=groups,
        gaps=[_gap_change(metric, k, paired, groups, settings) for metric, k in keys],
        fairness=_fairness_change(paired, groups, settings),
    )
