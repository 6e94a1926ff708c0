"""No disparity where units cannot be exchanged: their departures from what is expected get random weights.

A permutation test needs units of one group that could as well be of another: annotated alike and of the
same size. Video frames, burst shots and persons seldom have such a counterpart. If one group's faces come
in copies of four and the other's are single, nothing can move, and a test that moves nothing finds nothing.

Here every unit u stays in its group. What it adds beyond expectation,

    d_u = x_u - sum_t n_ut P(. | t),

with x_u its counts of (annotated, predicted), n_ut its faces annotated t, and P(p | t) pooled over all
groups (that is the null hypothesis), gets a weight of mean 0 and variance 1; the weighted departures are
added to the expected counts. This is the wild cluster bootstrap with the null imposed (Cameron, Gelbach and
Miller 2008): like Welch's test it allows groups whose units vary differently. Each group keeps its mix of
classes exactly.

Two corrections for few units: a unit that holds a share h of all faces of a class pulls P(. | t) towards
itself, which is undone by 1 / sqrt(1 - h) (MacKinnon and White 1985, HC2); and a group's weights are divided
by sqrt(chi2_v / v) with v the number of its units of equal size less one (3 at least), as for Student's t.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from mien.stats.cells import Ints, Rows, chunk_sizes, equal_units, signatures

Array = NDArray[np.float64]
_LEAST_FREEDOM = 3.0
_NORMAL = 200.0  # degrees of freedom above which Student's t is taken for the normal


@dataclass(frozen=True)
class UnitDepartures:
    """What the draws need.

    Attributes:
        sums: ``(S, G * K * K)`` sparse: counts of each kind of unit, with the correction for its share of a class.
        spread: ``(S,)`` root of the number of units of each kind.
        observed: ``(G, K, K)`` counts.
        chance: ``(K, K)`` probabilities of a prediction given the annotated class, pooled over the groups.
        freedom: ``(G,)`` degrees of freedom.
    """

    sums: csr_array
    spread: Array
    observed: Ints
    chance: Array
    freedom: Array


def unit_departures(rows: Rows) -> UnitDepartures:
    """Gather the units of an attribute; units with faces in several groups stay whole."""
    g, k = rows.n_groups, rows.n_classes
    cluster = np.arange(len(rows), dtype=np.int64) if rows.cluster is None else rows.cluster
    kinds = signatures(rows.cells, cluster, g * k * k)
    shape = (len(kinds.counts), g * k * k)
    counts = csr_array((np.ones(len(kinds.entry_cell)), (kinds.entry_signature, kinds.entry_cell)), shape=shape)
    observed = rows.tables()
    pooled = observed.sum(0)
    of_class = pooled.sum(-1)
    entries = counts.tocoo()
    label = entries.coords[1] % (k * k) // k
    # Faces of each kind of unit annotated with each class, whichever group they stand in.
    held = csr_array((entries.data, (entries.coords[0], label)), shape=(shape[0], k)).toarray()
    share = held[entries.coords[0], label] / np.maximum(of_class[label], 1)
    # A class that one unit holds alone shows no departure: its expectation is itself.
    weight = np.where(share < 1, 1 / np.sqrt(np.maximum(1 - share, 1e-12)), 0.0)
    sums = csr_array((entries.data * weight, entries.coords), shape=shape)
    chance = pooled / np.maximum(of_class[:, None], 1)
    return UnitDepartures(sums, np.sqrt(kinds.counts), observed, chance, _freedom(counts, kinds.counts, g))


def _freedom(counts: csr_array, number: Ints, n_groups: int) -> Array:
    """Units of equal size that each group's faces amount to, less one: ``(G,)``, at least 3.

    Student's t with fewer has no variance, and what it draws says nothing of a share.
    """
    cells = counts.tocoo()
    group = cells.coords[1] // (counts.shape[1] // n_groups)
    held = csr_array((cells.data, (cells.coords[0], group)), shape=(counts.shape[0], n_groups))
    faces, squares = (np.asarray(held.power(p).T @ number, dtype=np.float64) for p in (1, 2))
    return np.asarray(np.maximum(equal_units(faces, squares) - 1, _LEAST_FREEDOM))


def expected_tables(units: UnitDepartures) -> Array:
    """``(G, K, K)`` counts to expect if each group were served as all faces annotated alike."""
    return np.asarray(units.observed.sum(-1)[..., None] * units.chance)


def departure_tables(units: UnitDepartures, n_draws: int, rng: np.random.Generator) -> Iterator[Array]:
    """Draw confusion counts under the null hypothesis.

    Args:
        units: See :func:`unit_departures`.
        n_draws: Number of replicates.
        rng: Source of randomness.

    Yields:
        Chunks ``(b, G, K, K)``, no whole numbers: each row of a table sums to the group's faces of that class; a
        rare cell may fall below 0, which its rate then does too.
    """
    g, k = units.observed.shape[:2]
    expected = units.observed.sum(-1)
    mean = expected_tables(units)
    share = expected / np.maximum(expected.sum(0), 1)
    few = units.freedom < _NORMAL
    for b in chunk_sizes(n_draws, len(units.spread) + 4 * g * k * k):
        weights = rng.standard_normal((b, len(units.spread))) * units.spread
        drawn = (units.sums.T @ weights.T).T.reshape(b, g, k, k)
        if few.any():
            scale = np.ones((b, g))
            v = units.freedom[few]
            scale[:, few] = np.sqrt(v / rng.chisquare(v, (b, int(few.sum()))))
            drawn = drawn * scale[:, :, None, None]
        departure = drawn - drawn.sum(-1, keepdims=True) * units.chance
        # What all groups share moves the pooled probabilities with it: it is nobody's departure from them.
        departure -= share[..., None] * departure.sum(1, keepdims=True)
        yield mean + departure
