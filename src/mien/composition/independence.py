"""Stereotypical bias: whether groups and classes go together, in all and cell by cell, against independence.

The null law is that of units dealt to groups at random: whole units (a picture with its copies, or
a person) exchange groups with others of as many faces. Margins stay as they are. Plain values of every
global measure lie above 0 even then, so each is shown beside its mean under that law and corrected by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.composition.shares import Counted, count_shares, divergence_interval, influence_variance, share_of
from mien.metrics.association import (
    cramers_v,
    duchers_z,
    expected_counts,
    largest_contingency,
    mean_square_contingency,
    normalized_mutual_information,
)
from mien.records import Estimate
from mien.stats.cells import Ints, Rows
from mien.stats.intervals import permutation_p, undefined, wilson_bounds
from mien.stats.multiplicity import SIGNIFICANT, westfall_young
from mien.stats.permutation import permuted_tables, plan_permutation

Array = NDArray[np.float64]
MORE, FEWER, NOT_SHOWN = "more than expected", "fewer than expected", "not shown"


@dataclass(frozen=True)
class Measure:
    """A global measure of association.

    Attributes:
        observed: Its plain value.
        expected: The mean of plain values under independence.
        corrected: The value without what independence would show, 0 or more, with its interval.
        p: Share of random dealings of units to groups with at least the observed value.
    """

    observed: float
    expected: float
    corrected: Estimate
    p: float


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The faces of one group with one class.

    Attributes:
        group: The group.
        class_name: The class.
        n: Its faces.
        n_clusters: Independent units among them.
        expected: Faces to expect under independence.
        share: Share of the class among the group's faces.
        z: Ducher's Z: 1 as many faces as can be, 0 as expected, -1 as few as can be.
        p: Two-sided p-value under independence; NaN where the cell cannot vary.
        p_adjusted: The same adjusted for all cells of the table.
        verdict: ``more than expected``, ``fewer than expected`` or ``not shown``.
    """

    group: str
    class_name: str
    n: int
    n_clusters: int
    expected: float
    share: Estimate
    z: Estimate
    p: float
    p_adjusted: float
    verdict: str


@dataclass(frozen=True)
class Association:
    """How groups and classes (or splits) go together.

    Attributes:
        n: Faces with both known.
        n_clusters: Independent units.
        nmi: Normalised mutual information, over the joint entropy.
        cramers_v: Cramér's V.
        cells: Every cell, group by group; empty where only the whole was asked for.
        note: Why the measures are undefined; empty otherwise.
    """

    n: int
    n_clusters: int
    nmi: Measure
    cramers_v: Measure
    cells: list[Cell]
    note: str = ""


@dataclass(frozen=True)
class Setting:
    """How the inference is made.

    Attributes:
        level: Coverage of the intervals.
        n_perm: Permutations.
        rng: Source of randomness.
    """

    level: float
    n_perm: int
    rng: np.random.Generator


def association(
    group: Ints,
    groups: Sequence[str],
    label: Ints,
    classes: Sequence[str],
    unit: Ints | None,
    setting: Setting,
    cells: bool = True,
) -> Association:
    """Hold a table of group by class against independence.

    Args:
        group: ``(n,)`` codes of groups.
        groups: The G names.
        label: ``(n,)`` codes of classes.
        classes: The K names.
        unit: ``(n,)`` codes of independent units from 0; None where each face is its own.
        setting: How.
        cells: Also judge every cell.
    """
    n, n_units = len(group), len(group) if unit is None else int(unit.max()) + 1
    g, k = len(groups), len(classes)
    table = np.bincount(group * k + label, minlength=g * k).reshape(g, k)
    if min((table.sum(1) > 0).sum(), (table.sum(0) > 0).sum()) < 2:
        return _unknown(n, n_units, "fewer than two groups or classes have faces", setting.level)
    null = independence_tables(group, label, unit, (g, k), setting)
    if (null == null[0]).all():
        return _unknown(n, n_units, "too few units that could exchange their groups", setting.level)
    cell = group * k + label
    shown: list[Cell] = []
    if cells:
        counted = count_shares(group, g, label, k, unit, setting.level)
        z = z_estimates(counted, group, label, unit, setting.level)
        p, adjusted = cell_p_values(table, null)
        shown = [
            _cell(counted, (i, j), (groups[i], classes[j]), z[i][j], (p[i, j], adjusted[i, j]), setting.level)
            for i in range(g)
            for j in range(k)
        ]
    return Association(
        n,
        n_units,
        _measure(table, null, cell, unit, setting.level, squared=False),
        _measure(table, null, cell, unit, setting.level, squared=True),
        shown,
    )


def _unknown(n: int, n_units: int, note: str, level: float) -> Association:
    nan = float("nan")
    none = Measure(nan, nan, undefined(n, n_units, note, level), nan)
    return Association(n, n_units, none, none, [], note)


def independence_tables(group: Ints, label: Ints, unit: Ints | None, shape: tuple[int, int], setting: Setting) -> Ints:
    """``(n_perm, G, K)`` tables with units dealt to groups at random; margins stay."""
    g, k = shape
    # One annotated class for all, so that a unit may take the place of any other of its size.
    rows = Rows(group, np.zeros_like(group), label, unit, g, k)
    drawn = permuted_tables(plan_permutation(rows, pool_sizes=True), setting.n_perm, setting.rng)
    return np.concatenate([np.rint(chunk[:, :, 0, :]).astype(np.int64) for chunk in drawn])


def _measure(table: Ints, null: Ints, cell: Ints, unit: Ints | None, level: float, squared: bool) -> Measure:
    """Normalised mutual information; with ``squared`` Cramér's V, handled as its square."""

    def statistic(tables: Ints) -> Array:
        if not squared:
            return normalized_mutual_information(tables)
        return np.asarray(mean_square_contingency(tables) / largest_contingency(table))

    gradient = _contingency_gradient(table) / largest_contingency(table) if squared else _nmi_gradient(table)
    observed, drawn = float(statistic(table)), statistic(null)
    expected, spread = float(drawn.mean()), float(drawn.var())
    # A chi-squared law times a constant, by its first two moments (Satterthwaite 1946).
    freedom = 2 * expected**2 / spread if spread > 0 else 1.0
    variance = influence_variance(gradient.ravel()[cell], unit)
    ends = divergence_interval(observed, expected, freedom, variance, level)
    value = max(observed - expected, 0.0)
    low, high = min(ends[0], value), min(max(ends[1], value), 1.0)
    scale: Callable[[float], float] = (lambda x: float(np.sqrt(x))) if squared else float
    n, n_units = len(cell), len(cell) if unit is None else int(unit.max()) + 1
    corrected = Estimate(
        scale(value), scale(low), scale(high), level=level, method="noncentral chi-squared", n=n, clusters=n_units
    )
    mean = float(cramers_v(null).mean()) if squared else expected
    return Measure(scale(observed), mean, corrected, permutation_p(observed, drawn))


def _nmi_gradient(table: Ints) -> Array:
    """What a face of each cell adds to the normalised mutual information, times n: ``(G, K)``."""
    share = table / table.sum()
    logs = np.log(share, out=np.zeros(share.shape), where=share > 0)
    ratio = share / np.where(table > 0, expected_counts(table) / table.sum(), 1.0)
    log_ratio = np.log(ratio, out=np.zeros(share.shape), where=share > 0)
    information, joint = (share * log_ratio).sum(), -(share * logs).sum()
    gradient = (log_ratio * joint + information * logs) / joint**2
    return np.asarray(gradient - (share * gradient).sum())


def _contingency_gradient(table: Ints) -> Array:
    """What a face of each cell adds to phi squared, times n: ``(G, K)``."""
    share = table / table.sum()
    rows, columns = share.sum(1, keepdims=True), share.sum(0, keepdims=True)
    ratio = share / np.where(rows * columns > 0, rows * columns, 1.0)
    by_row = (share * ratio).sum(1, keepdims=True) / np.where(rows > 0, rows, 1.0)
    by_column = (share * ratio).sum(0, keepdims=True) / np.where(columns > 0, columns, 1.0)
    gradient = 2 * ratio - by_row - by_column
    return np.asarray(gradient - (share * gradient).sum())


def cell_p_values(table: Ints, null: Ints) -> tuple[Array, Array]:
    """Two-sided p-values of the cells, single and adjusted for all of them.

    A cell's statistic is its signed deviance residual from the expected size, over its standard
    deviation in the null tables. Adjusted:
    :func:`~mien.stats.multiplicity.westfall_young`.

    Args:
        table: ``(G, K)`` observed.
        null: ``(b, G, K)`` under independence.

    Returns:
        Two ``(G, K)`` arrays; NaN where a cell is the same in all null tables.
    """
    expected = np.asarray(expected_counts(table)).ravel()
    flat = np.concatenate([table[None], null]).reshape(len(null) + 1, -1)
    use = np.flatnonzero((expected > 0) & (flat.min(0) < flat.max(0)))
    size, mean = flat[:, use].astype(np.float64), expected[use]
    logs = np.log(size / mean, out=np.zeros(size.shape), where=size > 0)
    residual = np.sign(size - mean) * np.sqrt(np.maximum(2 * (size * logs - (size - mean)), 0))
    # The observed table is one of the dealings, so that the p-values are exact.
    scaled = np.abs(residual - residual.mean(0)) / residual.std(0)
    single, adjusted = np.full(expected.shape, np.nan), np.full(expected.shape, np.nan)
    single[use] = (scaled >= scaled[0] - 1e-9).mean(0)  # equal residuals may differ in their last bits
    adjusted[use] = westfall_young(scaled)
    return single.reshape(table.shape), adjusted.reshape(table.shape)


def z_estimates(counted: Counted, group: Ints, label: Ints, unit: Ints | None, level: float) -> list[list[Estimate]]:
    """Ducher's Z of each cell with its interval.

    A cell's two-by-two table is three shares that vary independently: that of the group, and that of
    the class within the group and elsewhere. Each has Wilson's interval, and the method of variance
    estimates recovery (Zou and Donner 2008) makes one of the three. Z divides by the smaller of two
    distances, and so is the larger (in size) of two smooth functions: each has its interval, and the
    ends of both that lie further out are taken.

    Args:
        counted: Faces by group and class.
        group: ``(n,)`` codes of groups.
        label: ``(n,)`` codes of classes.
        unit: ``(n,)`` codes of independent units, or None.
        level: Coverage of the intervals.

    Returns:
        G lists of K estimates; undefined where the group or the class has no face.
    """
    g, k = counted.counts.shape
    everybody = np.zeros_like(group)
    of_groups = count_shares(everybody, 1, group, g, unit, level)
    of_classes = count_shares(everybody, 1, label, k, unit, level)
    n = float(counted.totals.sum())
    sizes = counted.totals[:, None].astype(np.float64)
    inside = np.divide(counted.counts, sizes, out=np.zeros((g, k)), where=sizes > 0)
    outside = np.divide(counted.counts.sum(0) - counted.counts, n - sizes, out=np.zeros((g, k)), where=n > sizes)
    shares = [np.broadcast_to(sizes / n, (g, k)), inside, outside]
    trials = [
        np.broadcast_to(of_groups.trials.T, (g, k)),
        np.where(np.isnan(counted.trials), 1.0, counted.trials),
        np.maximum((n - sizes) * of_classes.trials / n, 1.0),
    ]
    value = duchers_z(counted.counts)
    ends = [[*wilson_bounds(share, many, level)] for share, many in zip(shares, trials, strict=True)]
    lows, highs = zip(*(_smooth_ends(value, shares, ends, which) for which in (0, 1)), strict=True)
    low, high = (np.where(value > 0, np.maximum(*two), np.minimum(*two)) for two in (lows, highs))
    n_faces, n_units = int(n), len(group) if unit is None else int(unit.max()) + 1
    return [
        [
            Estimate(
                float(value[i, j]),
                float(low[i, j]),
                float(high[i, j]),
                level=level,
                method="mover of wilson",
                n=n_faces,
                clusters=n_units,
            )
            if not math.isnan(value[i, j])
            else undefined(n_faces, n_units, "no face of the group or of the class", level)
            for j in range(k)
        ]
        for i in range(g)
    ]


def _smooth_ends(
    value: Array, shares: Sequence[Array], ends: Sequence[Sequence[Array]], which: int
) -> tuple[Array, Array]:
    """The interval of one of the two smooth functions that Z is the larger of."""
    centre = _smooth_z(value, *shares, which=which)
    below, above = np.zeros(value.shape), np.zeros(value.shape)
    for i, two in enumerate(ends):
        reached = [_smooth_z(value, *(end if j == i else s for j, s in enumerate(shares)), which=which) for end in two]
        below += np.maximum(centre - np.minimum(*reached), 0) ** 2
        above += np.maximum(np.maximum(*reached) - centre, 0) ** 2
    return np.maximum(centre - np.sqrt(below), -1), np.minimum(centre + np.sqrt(above), 1)


def _smooth_z(value: Array, group: Array, inside: Array, outside: Array, *, which: int) -> Array:
    """Ducher's Z, on the side of ``value`` divided by one of the two distances and not by the smaller."""
    label = group * inside + (1 - group) * outside
    departure = group * (inside - label)
    most = group * (1 - label), label * (1 - group)
    least = group * label, (1 - group) * (1 - label)
    up = np.where(value > 0, most[which], np.minimum(*most))
    down = np.where(value > 0, np.minimum(*least), least[which])
    reach = np.where(departure > 0, up, down)
    return np.asarray(np.divide(departure, reach, out=np.zeros(departure.shape), where=reach > 0))


def _cell(
    counted: Counted,
    at: tuple[int, int],
    names: tuple[str, str],
    z: Estimate,
    p: tuple[float, float],
    level: float,
) -> Cell:
    i, j = at
    expected = float(counted.totals[i]) * float(counted.counts[:, j].sum()) / float(counted.totals.sum())
    found = p[1] < SIGNIFICANT and z.value != 0
    return Cell(
        group=names[0],
        class_name=names[1],
        n=int(counted.counts[at]),
        n_clusters=int(counted.units[at]),
        expected=expected,
        share=share_of(counted, i, j, level),
        z=z,
        p=float(p[0]),
        p_adjusted=float(p[1]),
        verdict=(MORE if z.value > 0 else FEWER) if found else NOT_SHOWN,
    )
