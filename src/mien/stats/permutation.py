"""What the groups would look like if there were no disparity: permutation within the annotated class.

Null hypothesis: given the annotated class, the prediction does not depend on the group. So groups
are exchanged only among units annotated alike, which holds each group's mix of classes fixed: a
mere difference in class mix is not taken for a disparity.

A unit is a cluster (a picture with its copies, or a person) and is moved whole; a cluster whose
rows stand in several groups is first split into one unit a group. Its *stratum* is the sorted
tuple of its annotated classes, its *type* the multiset of its (annotated, predicted) pairs.

* Single rows, and strata with many units: the table of (type x group) with fixed margins is drawn
  from its exact law, by hypergeometric draws vectorised over the replicates. The cost does not
  depend on the number of rows.
* Other strata that hold two groups or more: the units' groups are shuffled.
* Strata that only one group has (persons with many faces hardly ever share one) cannot move.

Strata that go with the groups make the test blind. What is shuffled within a stratum leaves the
stratum's own share of right answers where it is; if one group fills a stratum, the permuted group looks as
the observed one does. How much of a gap is carried along so is the squared association (Cramer's V) of
group and stratum among the faces of a class. Above a tenth, nothing is permuted: units stay, and their
departures from expectation get random weights (:mod:`mien.stats.unit_departures`). So do they where more
than a tenth of the faces belong to units with faces in several groups (one face shown as both): shuffles
would take these apart, and with them what makes their difference sure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.stats.cells import Ints, Rows, chunk_sizes, units_by_size
from mien.stats.unit_departures import UnitDepartures, departure_tables, unit_departures

MOST_CARRIED = 0.1
SPANNING, UNMATCHED = "spanning", "unmatched"
_MANY = 4  # a stratum is drawn by hypergeometric laws if it has this many times types x groups units


@dataclass(frozen=True)
class _Margins:
    """One stratum with many units: its types and its groups.

    Attributes:
        types: ``(T,)`` units per type.
        pairs: ``(T, s)`` the pair codes of each type's rows.
        groups: ``(G,)`` units per group.
    """

    types: Ints
    pairs: Ints
    groups: Ints


@dataclass(frozen=True)
class _Shuffle:
    """Units of one size whose groups are shuffled within strata.

    Attributes:
        stratum: ``(m,)`` ascending.
        group: ``(m,)`` observed groups.
        pairs: ``(m, s)`` pair codes of each unit's rows.
    """

    stratum: Ints
    group: Ints
    pairs: Ints


@dataclass(frozen=True, kw_only=True)
class PermutationPlan:
    """Everything the draws need; see :func:`plan_permutation`.

    Attributes:
        exact: Strata drawn by hypergeometric laws.
        shuffles: Units shuffled within their strata.
        pooled: Units shuffled within sizes and brought back to the class mix of their group.
        weighted: The units where too little could be exchanged; then nothing is permuted.
        why: ``spanning`` where units have rows in several groups, ``unmatched`` where they have no counterpart.
        n_groups: G.
        n_classes: K.
        n_fixed: Rows that cannot move, since no other group has a unit to exchange with.
        comparable: ``(G,)`` rows annotated with a class that another group has too. A group without any is
            compared with nobody.
    """

    exact: tuple[_Margins, ...] = ()
    shuffles: tuple[_Shuffle, ...] = ()
    pooled: tuple[_Shuffle, ...] = ()
    weighted: UnitDepartures | None = None
    why: str = ""
    n_groups: int
    n_classes: int
    n_fixed: int
    comparable: Ints


def plan_permutation(rows: Rows, *, pool_sizes: bool = False) -> PermutationPlan:
    """Sort the units into strata and choose how each is permuted.

    The choice looks at annotated classes and groups only, never at predictions, except to tell how
    long a draw would take.

    Args:
        rows: The rows.
        pool_sizes: Where both margins must stay (who is in a corpus, not how well it is served): units without
            a counterpart are shuffled with those of about their size and brought back to the margins, and
            nothing is weighted.
    """
    pairs, unit = rows.pairs, rows.cluster
    if unit is not None:
        unit = unit * rows.n_groups + rows.group
    faces = rows.tables().sum(-1)
    shared = (faces > 0).sum(0) > 1
    comparable = faces[:, shared].sum(1).astype(np.int64)
    if not pool_sizes and (reason := _not_exchangeable(rows, unit)):
        return PermutationPlan(
            weighted=unit_departures(rows),
            why=reason,
            n_groups=rows.n_groups,
            n_classes=rows.n_classes,
            n_fixed=int(faces[:, ~shared].sum()),
            comparable=comparable,
        )
    exact: list[_Margins] = []
    shuffles: list[_Shuffle] = []
    lonely: dict[int, list[tuple[Ints, Ints]]] = {}
    for first, members in units_by_size(unit, pairs):
        content, group = pairs[members], rows.group[first]
        lone = _plan_size(content, group, rows, exact, shuffles)
        if lone.any():
            lonely.setdefault(int(np.log2(members.shape[1])), []).append((content[lone], group[lone]))
    pooled, n_fixed = [], 0
    for blocks in lonely.values():
        if pool_sizes and blocks[0][0].shape[1] > 1 and len({int(g) for _, gs in blocks for g in gs}) > 1:
            pooled.append(_pad(blocks))
        else:
            exact += [m for c, g in blocks for m in _fixed(c, g, rows.n_groups)]
            n_fixed += sum(c.size for c, _ in blocks)
    return PermutationPlan(
        exact=tuple(exact),
        shuffles=tuple(shuffles),
        pooled=tuple(pooled),
        n_groups=rows.n_groups,
        n_classes=rows.n_classes,
        n_fixed=n_fixed,
        comparable=comparable,
    )


def _not_exchangeable(rows: Rows, unit: Ints | None) -> str:
    """Why units are weighted and not permuted; empty where they are."""
    if unit is None:
        return ""
    if _in_several_groups(rows) > MOST_CARRIED:
        return SPANNING
    kept = np.zeros((rows.n_groups, rows.n_classes))
    for first, members in units_by_size(unit, rows.pairs):
        kept += _kept_rows(rows.pairs[members] // rows.n_classes, rows.group[first], rows)
    return UNMATCHED if _carried(kept, rows) > MOST_CARRIED else ""


def _kept_rows(labels: Ints, group: Ints, rows: Rows) -> NDArray[np.float64]:
    """Rows that each group gets back from itself, on average, when units of one size are shuffled: ``(G, K)``."""
    g, k = rows.n_groups, rows.n_classes
    stratum = _row_codes(labels)
    n_strata = int(stratum.max()) + 1
    units = np.bincount(stratum * g + group, minlength=n_strata * g).reshape(n_strata, g).astype(np.float64)
    total = units.sum(1)
    back = np.divide(units**2, total[:, None], out=np.zeros(units.shape), where=total[:, None] > 0)
    first = np.zeros(n_strata, dtype=np.int64)
    first[stratum] = np.arange(len(stratum))
    owner = np.repeat(np.arange(n_strata), labels.shape[1])
    content = np.bincount(owner * k + labels[first].ravel(), minlength=n_strata * k).reshape(n_strata, k)
    return np.asarray(back.T @ content)


def _carried(kept: NDArray[np.float64], rows: Rows) -> float:
    """Share of a gap that permutations would carry along: squared association of group and stratum, over classes."""
    if rows.cluster is None:
        return 0.0
    faces = rows.tables().sum(-1).astype(np.float64)
    groups = (faces > 0).sum(0)
    ratio = np.divide(kept, faces, out=np.zeros(kept.shape), where=faces > 0).sum(0)
    shared = groups > 1
    if not shared.any():
        return 0.0
    association = (ratio[shared] - 1) / (groups[shared] - 1)
    return float(np.average(association, weights=faces.sum(0)[shared]))


def _in_several_groups(rows: Rows) -> float:
    """Share of the rows whose unit has rows in several groups."""
    if rows.cluster is None:
        return 0.0
    unit, n_groups = np.unique(
        np.unique(rows.cluster * rows.n_groups + rows.group) // rows.n_groups, return_counts=True
    )
    return float(np.isin(rows.cluster, unit[n_groups > 1]).mean())


def _plan_size(
    content: Ints, group: Ints, rows: Rows, exact: list[_Margins], shuffles: list[_Shuffle]
) -> NDArray[np.bool_]:
    """Plan the units of one size; returns those whose stratum holds one group only: ``(m,)``."""
    if content.shape[1] == 1:
        return _plan_rows(content[:, 0], group, rows, exact)
    stratum = _row_codes(content // rows.n_classes)
    kind = _row_codes(content)
    order = np.lexsort((group, kind, stratum))
    lone = np.zeros(len(group), dtype=bool)
    shuffled: list[Ints] = []
    for index in np.split(order, np.flatnonzero(np.diff(stratum[order])) + 1):
        groups = np.bincount(group[index], minlength=rows.n_groups).astype(np.int64)
        if (groups > 0).sum() == 1:
            lone[index] = True
            continue
        firsts = index[np.flatnonzero(np.diff(kind[index], prepend=-1))]
        if _MANY * len(firsts) * (groups > 0).sum() <= len(index):
            types = np.unique(kind[index], return_counts=True)[1].astype(np.int64)
            exact.append(_Margins(types, content[firsts], groups))
        else:
            shuffled.append(index.astype(np.int64))
    if shuffled:
        index = np.concatenate(shuffled)
        shuffles.append(_Shuffle(stratum[index], group[index], content[index]))
    return lone


def _plan_rows(pairs: Ints, group: Ints, rows: Rows, exact: list[_Margins]) -> NDArray[np.bool_]:
    """Plan units of one row, by counting instead of sorting: of these there may be millions."""
    k, g = rows.n_classes, rows.n_groups
    table = np.bincount(pairs * g + group, minlength=k * k * g).reshape(k, k, g).astype(np.int64)
    lone = np.zeros(len(pairs), dtype=bool)
    for c in range(k):
        groups, types = table[c].sum(0), table[c].sum(1)
        if (groups > 0).sum() == 1:
            lone |= pairs // k == c
        elif groups.any():
            present = np.flatnonzero(types)
            exact.append(_Margins(types[present], (c * k + present)[:, None], groups))
    return lone


def _row_codes(table: Ints) -> Ints:
    """``(m,)`` codes of equal rows of an ``(m, s)`` table, in the rows' lexical order."""
    if table.shape[1] == 1:
        return table[:, 0]
    return np.unique(table, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _fixed(content: Ints, group: Ints, n_groups: int) -> Iterator[_Margins]:
    """Units that cannot move, as margins with one group each."""
    for g in np.unique(group):
        pairs, types = np.unique(content[group == g], axis=0, return_counts=True)
        groups = np.zeros(n_groups, dtype=np.int64)
        groups[g] = types.sum()
        yield _Margins(types.astype(np.int64), pairs, groups)


def _pad(blocks: list[tuple[Ints, Ints]]) -> _Shuffle:
    """Units of about one size in one table; missing rows are -1."""
    width = max(c.shape[1] for c, _ in blocks)
    pairs = np.concatenate([np.pad(c, ((0, 0), (0, width - c.shape[1])), constant_values=-1) for c, _ in blocks])
    group = np.concatenate([g for _, g in blocks])
    order = np.lexsort((group, *pairs.T[::-1]))
    return _Shuffle(np.zeros(len(group), dtype=np.int64), group[order], pairs[order])


def permuted_tables(plan: PermutationPlan, n_perm: int, rng: np.random.Generator) -> Iterator[NDArray[Any]]:
    """Draw confusion counts under the null hypothesis.

    Args:
        plan: See :func:`plan_permutation`.
        n_perm: Number of replicates.
        rng: Source of randomness.

    Yields:
        Chunks ``(b, G, K, K)``; integers, except where units are weighted or pooled.
    """
    if plan.weighted is not None:
        yield from departure_tables(plan.weighted, n_perm, rng)
        return
    g, k = plan.n_groups, plan.n_classes
    for b in chunk_sizes(n_perm, 4 * g * k * k):
        tables: NDArray[Any] = np.zeros((b, g, k * k), dtype=np.int64)
        for margins in plan.exact:
            _add_exact(tables, margins, rng)
        for shuffle in plan.shuffles:
            tables += _shuffled_pairs(shuffle, b, g, k, rng)
        for shuffle in plan.pooled:
            tables = tables + _pooled_pairs(shuffle, b, g, k, rng)
        # Bringing counts back to a class mix can overshoot by part of a face.
        yield (np.clip(tables, 0, None) if plan.pooled else tables).reshape(b, g, k, k)


def _add_exact(tables: NDArray[Any], margins: _Margins, rng: np.random.Generator) -> None:
    present = np.flatnonzero(margins.groups)
    drawn = hypergeometric_tables(margins.types, margins.groups[present], len(tables), rng)
    for t, pairs in enumerate(margins.pairs):
        for pair in pairs:
            tables[:, present, pair] += drawn[:, t]


def hypergeometric_tables(types: Ints, groups: Ints, b: int, rng: np.random.Generator) -> Ints:
    """Draw two-way tables with both margins fixed: the law of shuffling groups among units.

    One type after another takes its units from what is left of the groups (a multivariate
    hypergeometric draw, itself one group after another).

    Args:
        types: ``(T,)`` units per type.
        groups: ``(G,)`` units per group, with the same sum.
        b: Number of tables.
        rng: Source of randomness.

    Returns:
        ``(b, T, G)`` counts.
    """
    out = np.zeros((b, len(types), len(groups)), dtype=np.int64)
    left = np.repeat(groups[None].astype(np.int64), b, axis=0)
    total = int(groups.sum())
    for t, count in enumerate(types[:-1]):
        wanted = np.full(b, count, dtype=np.int64)
        others = np.full(b, total, dtype=np.int64)
        for g in range(len(groups) - 1):
            others -= left[:, g]
            out[:, t, g] = rng.hypergeometric(left[:, g], others, wanted)
            wanted -= out[:, t, g]
        out[:, t, -1] = wanted
        left -= out[:, t]
        total -= int(count)
    out[:, -1] = left
    return out


def _shuffled_groups(shuffle: _Shuffle, b: int, rng: np.random.Generator) -> Iterator[Ints]:
    """``(m,)`` groups after a shuffle within strata, ``b`` times."""
    strata = np.unique(shuffle.stratum, return_inverse=True)[1].astype(np.float64)
    for _ in range(b):
        # Strata ascend, so sorting by stratum plus a fraction shuffles within each.
        yield shuffle.group[np.argsort(strata + rng.random(len(strata)))]


def _shuffled_pairs(shuffle: _Shuffle, b: int, g: int, k: int, rng: np.random.Generator) -> Ints:
    """``(b, G, K * K)`` counts of shuffled units."""
    out = np.empty((b, g * k * k), dtype=np.int64)
    size = shuffle.pairs.shape[1]
    real = (shuffle.pairs >= 0).ravel()
    pairs = shuffle.pairs.ravel()[real]
    for i, groups in enumerate(_shuffled_groups(shuffle, b, rng)):
        cells = np.repeat(groups, size)[real] * (k * k) + pairs
        out[i] = np.bincount(cells, minlength=g * k * k)
    return out.reshape(b, g, k * k)


def _pooled_pairs(shuffle: _Shuffle, b: int, g: int, k: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """``(b, G, K * K)`` counts of units shuffled across strata, at the observed class mix of each group.

    With A the shuffled counts and N the observed faces of class t in group g, the table is
    A + (N - sum_p A) P(p | t), P pooled over the groups: each unit's departure from what its
    classes let expect moves with it, what is expected stays.
    """
    real = shuffle.pairs >= 0
    size = shuffle.pairs.shape[1]
    cells = (np.repeat(shuffle.group, size) * k * k)[real.ravel()] + shuffle.pairs[real]
    observed = np.bincount(cells, minlength=g * k * k).reshape(g, k, k)
    pooled = observed.sum(0)
    chance = pooled / np.maximum(pooled.sum(-1, keepdims=True), 1)
    drawn = _shuffled_pairs(shuffle, b, g, k, rng).reshape(b, g, k, k)
    excess = observed.sum(-1) - drawn.sum(-1)
    return np.asarray((drawn + excess[..., None] * chance).reshape(b, g, k * k))
