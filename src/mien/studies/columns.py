"""What a column of a study's table holds: a metric of an evaluation, of all faces or of a group, or of the training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from mien.audit.gaps import HEADLINE_METRICS
from mien.audit.overall import SAME_AS
from mien.errors import ConfigError, DataError
from mien.metrics import metric_names
from mien.records import Predictions
from mien.registry import nearest
from mien.spellings import attribute_name, same_groups
from mien.stats.extremes import Extreme

_ANY, _POSITIVE, SHARE = (-math.inf, math.inf), (0.0, math.inf), (0.0, 1.0)
OVER: tuple[Extreme, ...] = get_args(Extreme)
RUN = "run"  # the evaluation of what training itself wrote
MINUTES = "epoch_minutes"
RECALL, CLASS = "recall", "class"  # of a class: recall@class=CLASS
LEAKAGE = "leakage"  # what a fresh probe reads of an attribute from the features: leakage@ATTRIBUTE
#: Columns of ``run``: of the epoch that was kept, as its history has them, and minutes an epoch (the median).
_OF_EPOCH = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_worst_class", "val_worst_group")
#: And the highest of a figure over all epochs, each by itself: what sources report that say "best".
BEST = "best_"
_HIGHEST = tuple(f"{BEST}val_{name}" for name in ("accuracy", "balanced_accuracy", "macro_precision", "macro_f1"))
OF_TRAINING = (*_OF_EPOCH, *_HIGHEST, MINUTES)

#: Where the values of Mien's own metrics, and of what training writes, lie.
_BOUNDS = dict.fromkeys((*metric_names(), *_OF_EPOCH, *_HIGHEST), SHARE)
_BOUNDS |= {"kl": _POSITIVE, "nll": _POSITIVE, "brier": (0.0, 2.0), "overconfidence": (-1.0, 1.0)}
_BOUNDS |= {"train_loss": _ANY, "val_loss": _ANY, MINUTES: _POSITIVE, LEAKAGE: (-1.0, 1.0)}


def bounds_of(metric: str) -> tuple[float, float]:
    """Where a metric's values lie: no interval leaves it. Of a metric that somebody added nothing is known."""
    return _BOUNDS.get(metric, _ANY)


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column.

    Attributes:
        name: As the study writes it.
        evaluation: An evaluation of the study; ``run`` for what training wrote.
        metric: The metric.
        attribute: Attribute of which some groups count alone, or that a probe reads; empty for all faces.
        groups: These groups; several are taken together.
        over: What stands for all groups of the attribute: their largest gap, the worst of them, or worst to best.
        annotated: Whether the groups are classes, and its faces those that are annotated so.
    """

    name: str
    evaluation: str
    metric: str
    attribute: str = ""
    groups: tuple[str, ...] = ()
    over: Extreme | None = None
    annotated: bool = False

    def faces(self, predictions: Predictions) -> NDArray[np.bool_]:
        """``(n,)`` whether a face counts.

        Raises:
            DataError: If the predictions have not the attribute, or no face in one of the groups.
        """
        if not self.attribute or self.over or self.metric == LEAKAGE:
            return np.ones(len(predictions), dtype=bool)
        if self.annotated:
            place = same_groups(predictions.classes, self.groups)
            if lacking := [g for i, g in enumerate(self.groups) if i not in place.values()]:
                found = f"{lacking[0]!r} is no class of {self.evaluation!r}"
                raise DataError(self.name, found, f"one of {', '.join(predictions.classes)}")
            found_faces = np.isin(predictions.labels, [i for i, c in enumerate(predictions.classes) if c in place])
            if not found_faces.any():
                found = f"no face of {self.evaluation!r} is annotated {' or '.join(self.groups)}"
                raise DataError(self.name, found, "some", "Judge on a larger part, or leave the column out.")
            return found_faces
        if self.attribute not in predictions.groups:
            found = f"the faces of {self.evaluation!r} have no attribute {self.attribute!r}"
            raise DataError(self.name, found, "", nearest(self.attribute, list(map(str, predictions.groups))))
        column = predictions.groups[self.attribute].astype(object)
        words = {str(word): word for word in column.dropna().unique()}
        place = same_groups(words, self.groups)
        if lacking := [g for i, g in enumerate(self.groups) if i not in place.values()]:
            found = f"no face of {self.evaluation!r} is {lacking[0]!r}"
            raise DataError(self.name, found, f"one of {', '.join(sorted(words))}")
        return np.asarray(column.astype(str).isin(list(place)) & column.notna())


def column_of(text: str, evaluations: Sequence[str]) -> Column:
    """Read ``METRIC``, ``EVALUATION.METRIC``, ``METRIC@ATTRIBUTE=GROUP|GROUP``, ``METRIC@ATTRIBUTE:gap`` (or ``worst``,
    or ``ratio``), ``recall@class=CLASS``, ``leakage@ATTRIBUTE`` or ``run.FIGURE``.

    Args:
        text: The column; where it names no evaluation the first one is meant.
        evaluations: Those of the study.

    Raises:
        ConfigError: If it is none, with the nearest name.

    >>> column_of("valid.accuracy@age=0-2|3-9", ["test", "valid"]).groups
    ('0-2', '3-9')
    """
    told, at, of = text.partition("@")
    evaluation, dot, metric = told.rpartition(".")
    attribute, equals, groups = of.partition("=")
    whole, colon, word = of.rpartition(":")
    over = next((each for each in OVER if colon and not equals and word.strip() == each), None)
    if over is not None:
        attribute = "*".join(part.strip() for part in whole.split("*"))
    if metric == LEAKAGE and evaluation != RUN:
        if not of.strip() or "=" in of or ":" in of:
            raise ConfigError(text, "tells not what is read", f"{LEAKAGE}@ATTRIBUTE, for all of its groups")
        return Column(
            name=text,
            evaluation=evaluation if dot else evaluations[0],
            metric=metric,
            attribute=attribute_name(of),
        )
    if at and not (attribute.strip() and (over or (equals and all(g.strip() for g in groups.split("|"))))):
        expected = f"ATTRIBUTE=GROUP, several with | between them, or ATTRIBUTE:{' or :'.join(OVER)}"
        raise ConfigError(text, f"{of!r} after the @", expected)
    annotated = metric == RECALL and evaluation != RUN and attribute.strip() == CLASS and bool(equals)
    if annotated:
        metric = "accuracy"  # of the faces annotated so
    if evaluation == RUN:
        if at or metric not in OF_TRAINING:
            raise ConfigError(text, "is nothing that training writes", f"run.{' or run.'.join(OF_TRAINING)}")
    elif metric in SAME_AS:
        raise ConfigError(text, f"{metric} is {SAME_AS[metric]} under another name", SAME_AS[metric])
    elif metric not in metric_names():
        raise ConfigError(text, "names no metric", "", nearest(metric, metric_names()))
    elif over and metric not in HEADLINE_METRICS:
        raise ConfigError(text, f"has no {over} of {metric}", f"one of {', '.join(HEADLINE_METRICS)}")
    return Column(
        name=text,
        evaluation=evaluation if dot else evaluations[0],
        metric=metric,
        attribute=attribute.strip(),
        groups=tuple(g.strip() for g in groups.split("|")) if equals else (),
        over=over,
        annotated=annotated,
    )
