"""All metrics of one table of predictions."""

from __future__ import annotations

from mien.metrics.catalogue import METRICS, measure
from mien.metrics.ties import n_tied
from mien.records import Predictions

HEADLINE = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")


def metric_names() -> list[str]:
    """Every registered metric: the headline ones first, the rest sorted."""
    return [*HEADLINE, *(name for name in METRICS.names() if name not in HEADLINE)]


def evaluate_predictions(pred: Predictions) -> dict[str, float]:
    """Compute every metric.

    Args:
        pred: The predictions.

    Returns:
        ``n`` (faces), ``n_tied`` (faces with tied votes), then metric -> value; NaN where a metric
        is undefined or needs something that the predictions lack.
    """
    values = {"n": float(len(pred)), "n_tied": float(n_tied(pred.targets, pred.votes))}
    return values | {name: measure(name, pred) for name in metric_names()}
