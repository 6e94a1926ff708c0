"""Every metric of a whole table of predictions, with its interval."""

from __future__ import annotations

import inspect
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.audit.cells import Rows, bootstrap_tables, independent_units
from mien.audit.intervals import mean_estimate, percentile, share_estimate, undefined, wilson_estimate
from mien.errors import UsageError
from mien.metrics import (
    METRICS,
    brier_rows,
    kl_rows,
    measure,
    metric_names,
    nll_rows,
    tie_hits,
    top_k_hits,
)
from mien.records import Estimate, Predictions

# Equal to another metric by definition where a face has one label.
_OTHER_NAMES = ("macro_recall", "micro_f1", "micro_precision", "micro_recall", "weighted_recall")
ECE_NOTE = "no interval: biased upwards for few faces"


def random_stream(seed: int, name: str, purpose: str) -> np.random.Generator:
    """A generator of its own for each attribute and purpose, so that the order of attributes does not matter."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), zlib.crc32(purpose.encode())])


def check_settings(level: float, n_boot: int, n_perm: int = 1, seed: int = 0) -> None:
    """Refuse settings that cannot work.

    Raises:
        UsageError: On a level outside (0, 1), fewer than one replicate or a negative seed.
    """
    if not 0 < level < 1:
        raise UsageError("level", f"is {level}", "a number between 0 and 1, such as 0.95")
    for name, number, least in (("n_boot", n_boot, 1), ("n_perm", n_perm, 1), ("seed", seed, 0)):
        if number < least:
            raise UsageError(name, f"is {number}", f"{least} or more")


def row_scores(pred: Predictions) -> dict[str, NDArray[Any]]:
    """Metrics that are means over faces: name -> ``(n,)`` values; NaN rows are left out of the mean."""
    scores: dict[str, NDArray[Any]] = {"tie_accuracy": tie_hits(pred.predicted, pred.targets, pred.votes)}
    if pred.probs is not None:
        if len(pred.classes) > 2:
            scores["top2"] = top_k_hits(pred.probs, pred.labels, 2)
        scores["kl"] = kl_rows(pred.probs, pred.targets, pred.votes)
        scores["nll"] = nll_rows(pred.probs, pred.labels)
        scores["brier"] = brier_rows(pred.probs, pred.labels)
    return scores


def score_estimate(name: str, values: NDArray[Any], cluster: NDArray[Any] | None, level: float) -> Estimate:
    """The mean of a row score: Wilson for shares of independent faces, else a cluster-robust normal interval."""
    counted = ~np.isnan(values.astype(np.float64))
    values, cluster = values[counted].astype(np.float64), None if cluster is None else cluster[counted]
    if cluster is not None and len(cluster) and np.bincount(cluster).max() == 1:
        cluster = None
    if name in ("top2", "tie_accuracy") and cluster is None:
        return wilson_estimate(float(values.sum()), len(values), level)
    return mean_estimate(values, cluster, level)


def bootstrap_confusion(pred: Predictions, n_boot: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Bootstrap the confusion matrix of all faces over independent units: ``(n_boot, K, K)``."""
    everybody = np.zeros(len(pred), dtype=np.int64)
    cluster = independent_units(pred.cluster)
    rows = Rows(everybody, pred.labels, pred.predicted, cluster, 1, len(pred.classes))
    return np.concatenate(list(bootstrap_tables(rows, n_boot, rng)))[:, 0]


def summary_estimates(
    pred: Predictions, *, n_boot: int = 1000, seed: int = 0, level: float = 0.95
) -> dict[str, Estimate]:
    """Every metric over all faces, with its interval.

    Metrics of the confusion matrix have bootstrap intervals over independent units (accuracy
    Wilson's, where every face is one); means over faces have Wilson's or cluster-robust normal ones.

    Args:
        pred: The predictions.
        n_boot: Bootstrap replicates.
        seed: Seed of the bootstrap.
        level: Coverage aimed at.

    Returns:
        Metric -> Estimate; undefined ones say why.

    Raises:
        UsageError: On settings that cannot work.
    """
    check_settings(level, n_boot, seed=seed)
    n = len(pred)
    cluster = independent_units(pred.cluster)
    clusters = n if cluster is None else int(cluster.max()) + 1
    replicates = bootstrap_confusion(pred, n_boot, random_stream(seed, "", "bootstrap"))
    scores = row_scores(pred)
    out = {}
    for name in metric_names():
        function = METRICS.get(name)
        if name in _OTHER_NAMES:
            continue
        if name in scores:
            out[name] = score_estimate(name, scores[name], cluster, level)
        elif "confusion" in inspect.signature(function).parameters:
            drawn = np.asarray(function(replicates))
            if name == "accuracy":
                hits = float(np.trace(pred.confusion()))
                out[name] = share_estimate(hits, n, clusters, drawn, level=level, seed=seed)
            else:
                value = measure(name, pred)
                out[name] = percentile(value, drawn, level=level, n=n, clusters=clusters, seed=seed)
        else:
            out[name] = _point(name, pred, n, clusters, level)
    return out


def _point(name: str, pred: Predictions, n: int, clusters: int, level: float) -> Estimate:
    """A metric for which no interval is known."""
    value = measure(name, pred)
    if np.isnan(value):
        note = "needs probabilities" if pred.probs is None else "undefined"
        return undefined(n, clusters, note, level)
    return Estimate(value, level=level, n=n, clusters=clusters, note=ECE_NOTE if name == "ece" else "no interval")
