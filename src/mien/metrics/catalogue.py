"""The registry of metrics, and how a metric finds what it needs in a table of predictions."""

from __future__ import annotations

import inspect

import numpy as np

from mien.records import Predictions
from mien.registry import Registry

_FROM_PREDICTIONS = ("labels", "predicted", "probs", "targets", "votes")

METRICS = Registry("metric", "mien.metrics", given=("confusion", *_FROM_PREDICTIONS))


def measure(name: str, pred: Predictions) -> float:
    """Compute one registered metric.

    A metric is a plain function; its parameters' names say what it reads: ``confusion``, ``labels``,
    ``predicted``, ``probs``, ``targets`` or ``votes``. Parameters with a default are optional.

    Args:
        name: A name in :data:`METRICS`.
        pred: The predictions.

    Returns:
        The value; NaN where the metric is undefined or where the predictions lack what it needs
        (a table without probabilities has no log-likelihood).

    Raises:
        ConfigError: If there is no such metric.
    """
    function = METRICS.get(name)
    arguments = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "confusion":
            arguments["confusion"] = pred.confusion()
        elif parameter.name in _FROM_PREDICTIONS:
            value = getattr(pred, parameter.name)
            if value is None and parameter.default is inspect.Parameter.empty:
                return float("nan")
            arguments[parameter.name] = value
    return float(np.asarray(function(**arguments)))
