"""Metrics of a confusion matrix: rows annotated, columns predicted, any leading axes.

Undefined cases, the same in every function:

* A class is *present* if a face is annotated with it. Recall and F1 of an absent class are NaN.
* Precision 0/0 is 0 for a class that is present but never predicted (sklearn's
  ``zero_division=0``) and NaN for a class that is neither present nor predicted. A class that is
  absent but predicted has precision 0: every such prediction is wrong.
* Macro averages run over the classes present, so that one stray prediction of an absent class
  does not move them by 1/K: they equal sklearn's with ``labels=`` the classes present. A class
  that is absent takes no part, as a 0 or otherwise.
* Without any face everything is NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.metrics.catalogue import METRICS

Array = NDArray[np.float64]


class Margins:
    """A confusion matrix for several metrics, which count its rows and columns once: of 800 classes that is the work.

    Args:
        confusion: ``(..., K, K)`` counts.
    """

    def __init__(self, confusion: ArrayLike) -> None:
        self.matrix: NDArray[Any] = np.asarray(confusion)
        self.parts = _parts(self.matrix)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The matrix, for metrics that need all of it."""
        return np.array(self.matrix, dtype=dtype, copy=copy)


def _parts(confusion: ArrayLike) -> tuple[Array, Array, Array]:
    """Hits, annotated and predicted faces of each class: three ``(..., K)`` arrays."""
    if isinstance(confusion, Margins):
        return confusion.parts
    matrix: NDArray[Any] = np.asarray(confusion)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ValueError(f"a confusion matrix is (..., K, K), got shape {matrix.shape}")
    hits = np.diagonal(matrix, axis1=-2, axis2=-1).astype(np.float64)
    if matrix.dtype.kind in "iu":  # exact either way, and without a copy as floats
        return hits, matrix.sum(-1).astype(np.float64), matrix.sum(-2).astype(np.float64)
    ones = np.ones(matrix.shape[-1])
    return hits, np.asarray(matrix @ ones), np.asarray(ones @ matrix)


def divide(top: Array, bottom: Array) -> Array:
    """``top / bottom``, NaN where ``bottom`` is 0."""
    out = np.full(np.broadcast_shapes(top.shape, bottom.shape), np.nan)
    return np.asarray(np.divide(top, bottom, out=out, where=bottom > 0))


def _macro(values: Array, annotated: Array) -> Array:
    """Mean of ``(..., K)`` values over the classes present."""
    present = annotated > 0
    return divide(np.where(present, values, 0.0).sum(-1), present.sum(-1).astype(np.float64))


def _weighted(values: Array, annotated: Array) -> Array:
    """Mean of ``(..., K)`` values weighted by the annotated faces of each class."""
    return divide(np.where(annotated > 0, values * annotated, 0.0).sum(-1), annotated.sum(-1))


def _precision(hits: Array, annotated: Array, predicted: Array) -> Array:
    return np.where((predicted == 0) & (annotated > 0), 0.0, divide(hits, predicted))


def _f1(hits: Array, annotated: Array, predicted: Array) -> Array:
    return np.where(annotated > 0, divide(2 * hits, annotated + predicted), np.nan)


def per_class_recall(confusion: ArrayLike) -> Array:
    """Share of each class's faces that are predicted as such.

    Args:
        confusion: ``(..., K, K)`` counts.

    Returns:
        ``(..., K)`` in [0, 1]; NaN for a class that is absent.
    """
    hits, annotated, _ = _parts(confusion)
    return divide(hits, annotated)


def per_class_precision(confusion: ArrayLike) -> Array:
    """Share of each class's predictions that are right.

    Args:
        confusion: ``(..., K, K)`` counts.

    Returns:
        ``(..., K)`` in [0, 1]; 0 for a class that is present and never predicted, NaN for one that
        is neither.
    """
    return _precision(*_parts(confusion))


def per_class_f1(confusion: ArrayLike) -> Array:
    """Harmonic mean of precision and recall, ``2 TP / (annotated + predicted)``.

    Args:
        confusion: ``(..., K, K)`` counts.

    Returns:
        ``(..., K)`` in [0, 1]; NaN for a class that is absent.
    """
    return _f1(*_parts(confusion))


@METRICS.register("accuracy")
def accuracy(confusion: ArrayLike) -> Array:
    """Share of faces whose predicted class is the annotated one: trace over sum.

    Args:
        confusion: ``(..., K, K)`` counts.

    Returns:
        ``(...)`` in [0, 1]; NaN without faces.
    """
    hits, annotated, _ = _parts(confusion)
    return divide(hits.sum(-1), annotated.sum(-1))


@METRICS.register("balanced_accuracy")
def balanced_accuracy(confusion: ArrayLike) -> Array:
    """Mean recall over the classes present.

    Args:
        confusion: ``(..., K, K)`` counts.

    Returns:
        ``(...)`` in [0, 1]; NaN without faces.
    """
    hits, annotated, _ = _parts(confusion)
    return _macro(divide(hits, annotated), annotated)


@METRICS.register("macro_precision")
def macro_precision(confusion: ArrayLike) -> Array:
    """Mean precision over the classes present.

    Args:
        confusion: ``(..., K, K)`` counts.

    Returns:
        ``(...)`` in [0, 1]; a class that is never predicted counts 0; NaN without faces.
    """
    parts = _parts(confusion)
    return _macro(_precision(*parts), parts[1])


@METRICS.register("macro_recall")
def macro_recall(confusion: ArrayLike) -> Array:
    """Mean recall over the classes present; another name of :func:`balanced_accuracy`.

    Args:
        confusion: ``(..., K, K)`` counts.

    Returns:
        ``(...)`` in [0, 1]; NaN without faces.
    """
    return np.asarray(balanced_accuracy(confusion))


@METRICS.register("macro_f1")
def macro_f1(confusion: ArrayLike) -> Array:
    """Mean F1 over the classes present.

    Args:
        confusion: ``(..., K, K)`` counts.

    Returns:
        ``(...)`` in [0, 1]; NaN without faces.
    """
    parts = _parts(confusion)
    return _macro(_f1(*parts), parts[1])


@METRICS.register("weighted_precision")
def weighted_precision(confusion: ArrayLike) -> Array:
    """Precision averaged with the classes' annotated faces as weights.

    Args:
        confusion: ``(..., K, K)`` counts.

    Returns:
        ``(...)`` in [0, 1]; a class that is never predicted counts 0; NaN without faces.
    """
    parts = _parts(confusion)
    return _weighted(_precision(*parts), parts[1])


@METRICS.register("weighted_recall")
def weighted_recall(confusion: ArrayLike) -> Array:
    """Recall averaged with the classes' annotated faces as weights: equals :func:`accuracy`.

    Args:
        confusion: ``(..., K, K)`` counts.

    Returns:
        ``(...)`` in [0, 1]; NaN without faces.
    """
    return np.asarray(accuracy(confusion))


@METRICS.register("weighted_f1")
def weighted_f1(confusion: ArrayLike) -> Array:
    """F1 averaged with the classes' annotated faces as weights.

    Args:
        confusion: ``(..., K, K)`` counts.

    Returns:
        ``(...)`` in [0, 1]; NaN without faces.
    """
    parts = _parts(confusion)
    return _weighted(_f1(*parts), parts[1])


@METRICS.register("micro_precision")
def micro_precision(confusion: ArrayLike) -> Array:
    """Precision of all classes' decisions taken together: one label a face makes it :func:`accuracy`.

    Args:
        confusion: ``(..., K, K)`` counts.

    Returns:
        ``(...)`` in [0, 1]; NaN without faces.
    """
    return np.asarray(accuracy(confusion))


@METRICS.register("micro_recall")
def micro_recall(confusion: ArrayLike) -> Array:
    """Recall of all classes' decisions taken together: one label a face makes it :func:`accuracy`.

    Args:
        confusion: ``(..., K, K)`` counts.

    Returns:
        ``(...)`` in [0, 1]; NaN without faces.
    """
    return np.asarray(accuracy(confusion))


@METRICS.register("micro_f1")
def micro_f1(confusion: ArrayLike) -> Array:
    """F1 of all classes' decisions taken together: one label a face makes it :func:`accuracy`.

    Args:
        confusion: ``(..., K, K)`` counts.

    Returns:
        ``(...)`` in [0, 1]; NaN without faces.
    """
    return np.asarray(accuracy(confusion))
