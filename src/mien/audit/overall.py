"""Every metric of a whole table of predictions, with its interval."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.audit.calibration import bin_components, calibration_estimates, calibration_means
from mien.audit.gaps import HEADLINE_METRICS, rates_of
from mien.audit.group_estimates import GroupTables, asked_estimates, class_estimates, headline_estimates
from mien.audit.scores import Scores, Units, group_means, is_share, mean_estimates, row_scores
from mien.metrics import METRICS, measure, metric_names
from mien.metrics.catalogue import apply_metric, reads_counts
from mien.metrics.counts import CountMetric
from mien.records import Estimate, Predictions
from mien.stats.cells import Ints, Rows, bootstrap_tables, independent_units
from mien.stats.intervals import macro_estimate, macro_sides, percentile, undefined
from mien.stats.settings import Settings

# Equal to another metric by definition where a face has one label.
#: Metrics that are another one under another name, of which no estimate is made, and that one.
SAME_AS = {"macro_recall": "balanced_accuracy"} | dict.fromkeys(
    ("micro_f1", "micro_precision", "micro_recall", "weighted_recall"), "accuracy"
)
_PRECISIONS = ("macro_precision", "weighted_precision")  # whose intervals go as far as those of the classes
_MOST_ROWS = 20_000_000  # rows drawn in all for the bootstrap of a metric that reads rows: some seconds
_FEW_REPLICATES = 100


def _everybody(pred: Predictions) -> Rows:
    """All rows as one group."""
    nobody = np.zeros(len(pred), dtype=np.int64)
    return Rows(nobody, pred.labels, pred.predicted, independent_units(pred.cluster), 1, len(pred.classes))


def counts_of_all(pred: Predictions, n_boot: int, rng: np.random.Generator) -> tuple[GroupTables, Ints]:
    """Counts of all faces as one group, and their ``(n_boot, K, K)`` bootstrap over independent units."""
    rows = _everybody(pred)
    drawn = np.concatenate(list(bootstrap_tables(rows, n_boot, rng)))
    counted = GroupTables(rows.tables(), rows.unit_counts(), rates_of(drawn))
    return counted, drawn[:, 0]


def summary_estimates(
    pred: Predictions, *, settings: Settings = Settings(n_boot=1000), scores: Scores | None = None
) -> dict[str, Estimate]:
    """Every metric over all faces, with its interval.

    Args:
        pred: The predictions.
        settings: Coverage, replicates, seed.
        scores: The scores of all rows, where they are at hand already.

    Returns:
        Metric -> Estimate; undefined ones say why.

    Raises:
        UsageError: On settings that cannot work.
    """
    settings = replace(settings, min_n=1, min_class_n=1)  # all faces are one group, however few
    n_boot, seed, level = settings.n_boot, settings.seed, settings.level
    rows = _everybody(pred)
    scores = row_scores(pred) if scores is None else scores
    units = Units.of(rows.group, rows.label, rows.cluster, 1, rows.n_classes)
    counted, drawn = counts_of_all(pred, n_boot, settings.stream("", "bootstrap"))
    by_class = class_estimates(counted, 0, settings)
    headline = headline_estimates(counted, 0, by_class, settings)
    n, clusters = len(pred), int(counted.units.groups[0])
    out = {}
    for name in metric_names():
        if name in SAME_AS:
            continue
        if name in HEADLINE_METRICS:
            out[name] = headline[name]
        elif name in scores:
            out[name] = _mean_estimate(name, scores[name], units, level)
        elif name == "ece" and "confidence" in scores:
            means = calibration_means(scores, np.arange(n), units)
            replicates = means.replicates(n_boot, settings.stream("", name))
            out[name] = calibration_estimates(
                means, bin_components(scores, np.arange(n), units), replicates, level, seed
            )[0]
        elif name in _PRECISIONS:
            replicates = np.asarray(METRICS.get(name)(drawn))
            value = measure(name, pred)
            out[name] = macro_estimate(
                value,
                replicates,
                _precision_sides(name, counted, by_class["precision"]),
                level=level,
                n=n,
                clusters=clusters,
                seed=seed,
            )
        elif reads_counts(name):
            metric = CountMetric(name, rows.n_classes)
            boot = {name: metric.values(drawn)[:, None, None]}
            out |= asked_estimates(replace(counted, boot=boot, asked=(metric,)), 0, settings)
        else:
            out[name] = _of_rows(name, pred, units, settings)
    return out


def _mean_estimate(name: str, values: NDArray[Any], units: Units, level: float) -> Estimate:
    means = group_means(values, units, skewed=True)
    return mean_estimates(is_share(name, values), means, level)[0]


def _precision_sides(name: str, counted: GroupTables, estimates: list[Estimate]) -> tuple[float, float]:
    """What each class's own interval implies for macro or weighted precision."""
    annotated = counted.tables[0].sum(1).astype(np.float64)
    weights = annotated if name.startswith("weighted") else (annotated > 0).astype(np.float64)
    values, low, high = (np.array([getattr(e, end) for e in estimates]) for end in ("value", "low", "high"))
    drawn = counted.boot["precision"][:, :, 0]
    return macro_sides(values, low, high, weights / max(weights.sum(), 1.0), drawn)


def _of_rows(name: str, pred: Predictions, units: Units, settings: Settings) -> Estimate:
    """A registered metric of rows: the mean of one value a face, or one number with a bootstrap over units."""
    n, level = len(pred), settings.level
    clusters = n if pred.cluster is None else int(pred.cluster.max()) + 1
    found = apply_metric(name, pred)
    if found is None:
        note = "needs probabilities" if pred.probs is None else "undefined"
        return undefined(n, clusters, note, level)
    if np.isinf(found).any():
        return undefined(n, clusters, "infinite for some face", level)
    if found.shape == (n,):
        return _mean_estimate(name, found.astype(np.float32), units, level)
    if found.ndim or np.isnan(found):
        return undefined(n, clusters, "undefined" if not found.ndim else "gives several numbers", level)
    n_boot = min(settings.n_boot, _MOST_ROWS // n)
    if n_boot < _FEW_REPLICATES:
        note = f"no interval: too many faces to draw {_FEW_REPLICATES} times"
        return Estimate(float(found), level=level, n=n, clusters=clusters, note=note)
    rng = settings.stream("", name)
    replicates = np.array([measure(name, pred.select(_drawn_rows(pred, clusters, rng))) for _ in range(n_boot)])
    return percentile(float(found), replicates, level=level, n=n, clusters=clusters, seed=settings.seed)


def _drawn_rows(pred: Predictions, clusters: int, rng: np.random.Generator) -> Ints:
    """Rows of as many units as there are, drawn with replacement."""
    drawn = rng.integers(0, clusters, clusters)
    if pred.cluster is None:
        return drawn
    order = np.argsort(pred.cluster, kind="stable")
    sizes = np.bincount(pred.cluster, minlength=clusters)
    starts = np.cumsum(sizes) - sizes
    return np.concatenate([order[starts[u] : starts[u] + sizes[u]] for u in drawn])
