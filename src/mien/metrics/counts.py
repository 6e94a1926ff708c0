"""A registered metric of confusion counts, made fit for thousands of tables at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import UsageError
from mien.metrics.catalogue import METRICS, failure

Array = NDArray[np.float64]
_TRIALS = (2, 4)  # shape of the stack of drawn tables on which a metric is tried
_MOST = 60  # the largest count in these: small enough that some cells are empty


class CountMetric:
    """A metric as a function of ``(..., K, K)`` counts, and whether it is a share of faces.

    A metric that cannot take leading axes is called once a table, which is slower by the number of tables.

    A share counts some faces of those that it looks at: recall of a class, accuracy, a rate of false positives. It is
    known by what the metric gives where there is one face only, 1, 0, or NaN for a face that does not count; whether
    those values explain the others is tried on drawn tables. Shares have Wilson's interval, as the built-in ones.

    Args:
        name: A name in ``METRICS`` that reads ``confusion`` alone.
        n_classes: K.

    Attributes:
        name: The name.
        cells: ``(K, K)`` what a face counts by its annotated and predicted class; None unless the metric is a share.

    Raises:
        ConfigError: If there is no such metric.
        UsageError: If it gives more than one number for a matrix.

    >>> metric = CountMetric("accuracy", 2)
    >>> metric.cells.tolist(), metric.values(np.array([[[8, 2], [1, 9]]])).tolist()
    ([[1.0, 0.0], [0.0, 1.0]], [0.85])
    """

    def __init__(self, name: str, n_classes: int) -> None:
        self.name = name
        self._function: Any = METRICS.get(name)
        self._try(n_classes)
        drawn = np.random.default_rng(0).integers(0, _MOST, (*_TRIALS, n_classes, n_classes))
        self._stacks = self._takes_stacks(drawn)
        self.cells: Array | None = None
        faces = np.eye(n_classes**2, dtype=np.int64).reshape(-1, n_classes, n_classes)
        cells = self._values(faces).reshape(n_classes, n_classes)
        if np.isin(cells[~np.isnan(cells)], (0.0, 1.0)).all() and not np.isnan(cells).all():
            hits, trials = _counted(cells, drawn)
            if np.allclose(self._values(drawn), hits / np.maximum(trials, 1), rtol=0, atol=1e-12):
                self.cells = cells

    def values(self, tables: NDArray[Any]) -> Array:
        """``(..., K, K)`` counts, not necessarily whole, to ``(...)``; NaN where undefined or not finite."""
        found = self._values(tables)
        # Weighted units may take a rare cell below 0; a share stays one.
        return found if self.cells is None else np.clip(found, 0.0, 1.0)

    def counted(self, tables: NDArray[Any]) -> tuple[Array, Array]:
        """Faces that a share counts, and faces that it looks at: ``(...)`` each. Of no share: all faces, twice."""
        return _counted(np.ones(tables.shape[-2:]) if self.cells is None else self.cells, tables)

    @property
    def of_all_faces(self) -> bool:
        """Whether every face counts, whatever its classes."""
        return self.cells is None or not bool(np.isnan(self.cells).any())

    def _values(self, tables: NDArray[Any]) -> Array:
        with np.errstate(all="ignore"):
            if self._stacks:
                found = np.asarray(self._function(tables.copy()), dtype=np.float64)  # it may write into its own
            else:
                flat = tables.reshape(-1, *tables.shape[-2:])
                found = np.array([self._one(t) for t in flat], dtype=np.float64).reshape(tables.shape[:-2])
        return np.where(np.isfinite(found), found, np.nan)

    def _one(self, table: NDArray[Any]) -> float:
        try:
            found = np.asarray(self._function(table.copy()), dtype=np.float64)
        except Exception:  # it was tried on a table of all classes: of this one it has no value
            return float("nan")
        if found.size != 1:
            shape = "x".join(map(str, found.shape))
            fix = "Register one metric for each of them."
            raise UsageError(f"metric {self.name!r}", f"gives {shape} numbers for one matrix", "one number", fix)
        return float(found.reshape(()))

    def _try(self, n_classes: int) -> None:
        """Tell what it says of a table with faces in every cell, before it is asked of thousands.

        Raises:
            UsageError: If it fails there.
        """
        try:
            self._function(np.arange(1, n_classes**2 + 1).reshape(n_classes, n_classes))
        except Exception as error:
            raise failure(self.name, error, "a number for a (K, K) matrix") from error

    def _takes_stacks(self, drawn: NDArray[Any]) -> bool:
        """Whether the metric gives for a stack of tables what it gives for each of them."""
        with np.errstate(all="ignore"):
            alone = [self._one(table) for table in drawn.reshape(-1, *drawn.shape[2:])]
            try:
                found = np.asarray(self._function(drawn.copy()), dtype=np.float64)
            except Exception:  # whatever it says of a shape that it was not made for
                return False
        return found.shape == drawn.shape[:2] and np.allclose(found.ravel(), alone, equal_nan=True)


def _counted(cells: Array, tables: NDArray[Any]) -> tuple[Array, Array]:
    hits, trials = (np.einsum("...ij,ij->...", tables, w) for w in (np.nan_to_num(cells), ~np.isnan(cells) * 1.0))
    return np.asarray(hits), np.asarray(trials)
