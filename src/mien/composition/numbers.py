"""Attributes that are numbers, such as an age in years."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.composition.faces import Faces
from mien.records import Estimate
from mien.samples import PERCEIVED
from mien.stats.intervals import mean_estimate

_BINS = 24


@dataclass(frozen=True, kw_only=True)
class NumberColumn:
    """One column of numbers.

    Attributes:
        name: The column.
        label: For people.
        source: ``perceived`` or ``measured``.
        n: Faces with a number.
        n_unknown: Faces without.
        mean: Its mean.
        by_class: Class -> mean.
        edges: Edges of the histogram's bins.
        counts: Faces in each bin.
    """

    name: str
    label: str
    source: str
    n: int
    n_unknown: int
    mean: Estimate
    by_class: dict[str, Estimate]
    edges: list[float]
    counts: list[int]


def number_column(faces: Faces, name: str, level: float) -> NumberColumn | None:
    """Describe a column of numbers; None where it holds none."""
    values = faces.rows.groups[name].to_numpy(np.float64, na_value=np.nan)
    known = np.isfinite(values)
    if not known.any():
        return None
    counts, edges = np.histogram(values[known], _bins(values[known]))
    perceived = name.startswith(f"{PERCEIVED}_")
    plain = re.sub("_years$", " in years", name.removeprefix(f"{PERCEIVED}_")).replace("_", " ")

    def mean(where: NDArray[np.bool_]) -> Estimate:
        return mean_estimate(values[where], faces.units(where), level)

    return NumberColumn(
        name=name,
        label=f"{PERCEIVED} {plain}" if perceived else plain,
        source=PERCEIVED if perceived else "measured",
        n=int(known.sum()),
        n_unknown=int((~known).sum()),
        mean=mean(known),
        by_class={str(c): mean(known & (faces.label == k)) for k, c in enumerate(faces.classes)},
        edges=[float(e) for e in edges],
        counts=[int(c) for c in counts],
    )


def _bins(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges of bins: whole numbers wide where the values reach far enough, so that no bin holds more of them."""
    low, high = float(values.min()), float(values.max())
    if high == low:
        return np.array([low - 0.5, high + 0.5])
    if high - low < _BINS:
        return np.linspace(low, high, _BINS + 1)
    width = float(np.ceil((high - low) / _BINS))
    return np.arange(np.floor(low), high + width, width)
