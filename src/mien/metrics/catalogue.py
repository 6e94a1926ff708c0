"""The registry of metrics, and the three kinds of them: of confusion counts, of single faces, of all faces at once.

A metric is a plain function, and the names of its parameters say what it reads: ``confusion``, ``labels``,
``predicted``, ``probs``, ``targets`` or ``votes``. Parameters with a default are optional.

* One that reads ``confusion`` alone is a function of counts: ``(..., K, K)`` to ``(...)``, or ``(K, K)`` to one
  number (:class:`mien.metrics.counts.CountMetric` then calls it once a table).
* One that gives ``(n,)`` values, each from its own face, is a mean over faces; NaN faces do not count.
* Any other is one number of all faces together, and has no value by group.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import UsageError, reason
from mien.records import Predictions
from mien.registry import Entry, Registry

_READ = ("confusion", "labels", "predicted", "probs", "targets", "votes")


class MetricRegistry(Registry):
    """Metrics by name, and which of them are the better the lower."""

    def __init__(self) -> None:
        super().__init__("metric", "mien.metrics", given=_READ)
        self._lower: set[str] = set()

    def register(
        self, name: str, *, tiny: Mapping[str, Any] | None = None, lower_is_better: bool = False
    ) -> Callable[[Entry], Entry]:
        """Register a metric; see the module for what it may read and give.

        Args:
            name: Its name.
            tiny: As for every registry.
            lower_is_better: Whether the group with the largest value is the one served worst.
        """
        if lower_is_better:
            self._lower.add(name)
        return super().register(name, tiny=tiny)

    def lower_is_better(self, name: str) -> bool:
        """Whether a metric was registered as the better the lower."""
        return name in self._lower


METRICS = MetricRegistry()
HEADLINE = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")


def metric_names() -> list[str]:
    """Every registered metric: the headline ones first, the rest sorted."""
    return [*HEADLINE, *(name for name in METRICS.names() if name not in HEADLINE)]


def _parameters(name: str) -> list[inspect.Parameter]:
    return [p for p in inspect.signature(METRICS.get(name)).parameters.values() if p.name in _READ]


def reads_counts(name: str) -> bool:
    """Whether a metric is a function of confusion counts alone."""
    return [p.name for p in _parameters(name)] == ["confusion"]


def apply_metric(name: str, pred: Predictions) -> NDArray[Any] | None:
    """What a metric's function gives for a table; None where the table lacks what it must read.

    Args:
        name: A name in :data:`METRICS`.
        pred: The predictions.

    Raises:
        ConfigError: If there is no such metric.
        UsageError: If it fails.
    """
    arguments = {}
    for parameter in _parameters(name):
        value = pred.confusion() if parameter.name == "confusion" else getattr(pred, parameter.name)
        if value is None and parameter.default is inspect.Parameter.empty:
            return None
        if isinstance(value, np.ndarray):  # a metric that writes would change what all others read
            value = value.view()
            value.flags.writeable = False
        arguments[parameter.name] = value
    try:
        return np.asarray(METRICS.get(name)(**arguments), dtype=np.float64)
    except Exception as error:  # of a function that anybody may have registered
        raise failure(name, error, "a number, or one a face") from error


def failure(name: str, error: Exception, expected: str) -> UsageError:
    """What a metric's function raised, with the metric's name and what it should have given."""
    return UsageError(f"metric {name!r}", f"fails ({reason(error)})", expected)


def measure(name: str, pred: Predictions) -> float:
    """Compute one registered metric.

    Args:
        name: A name in :data:`METRICS`.
        pred: The predictions.

    Returns:
        The value, of a metric of faces their mean; NaN where it is undefined or where the predictions lack what it
        needs (a table without probabilities has no log-likelihood).

    Raises:
        ConfigError: If there is no such metric.
    """
    found = apply_metric(name, pred)
    if found is None:
        return float("nan")
    known = found[~np.isnan(found)]
    return float(known.mean()) if known.size else float("nan")
