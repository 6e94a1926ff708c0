"""Confusion counts of groups, and their bootstrap.

Rows are never resampled. What an independent unit (a picture with its copies, or a person)
adds to the counts is its *signature*: the multiset of (group, annotated, predicted) cells of its
rows. Units with the same signature are interchangeable, so one bootstrap replicate of N units is
one multinomial draw over the distinct signatures: exactly the law of drawing N units with
replacement, at a cost that depends on the number of signatures and not of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from mien.errors import DataError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
#: Most classes: counts go with their square, and of 800 a thousand replicates take five gigabytes.
MOST_CLASSES = 256
_CHUNK = 12_000_000  # numbers held at once
_MANY_SIGNATURES = 20_000
_LEAST_BLOCKS, _MOST_BLOCKS, _BLOCK_NUMBERS = 1000, 10_000, 20_000_000


def equal_units(faces: NDArray[Any], squares: NDArray[Any]) -> Floats:
    """Units of equal size that unlike ones amount to, from sums of their faces and of the squares (Kish 1965)."""
    return np.asarray(np.divide(faces**2, squares, out=np.zeros(faces.shape), where=squares > 0))


@dataclass(frozen=True, kw_only=True)
class UnitCounts:
    """Independent units behind the shares of groups: floors and intervals count these, never copies.

    Attributes:
        groups: ``(G,)`` units with a face in the group.
        annotated: ``(G, K)`` units with a face of the group annotated with the class (behind a recall).
        predicted: ``(G, K)`` units with a face predicted as it (behind a precision).
        either: ``(G, K)`` units with a face that is one or the other (behind an F1).
        others: ``(G, K)`` units with a face annotated otherwise (behind a rate of false positives).
        crossed: Whether some unit has faces in several groups.
        worth: Units of equal size that units of unlike sizes amount to (Kish 1965: the squared number of faces over
            the sum of squares), for ``groups`` ``(G, 1)``, ``annotated`` and ``others`` ``(G, K)``. Variances are
            as sure as these are many: three bursts of five and fifteen single faces are worth ten.
    """

    groups: Ints
    annotated: Ints
    predicted: Ints
    either: Ints
    others: Ints
    crossed: bool
    worth: tuple[Floats, Floats, Floats]

    @classmethod
    def of_faces(cls, tables: NDArray[Any]) -> UnitCounts:
        """Where every face is its own unit: from ``(G, K, K)`` counts."""
        n, annotated, predicted = (tables.sum(axes).astype(np.int64) for axes in ((1, 2), 2, 1))
        hits = np.diagonal(tables, axis1=1, axis2=2).astype(np.int64)
        others = n[:, None] - annotated
        worth = (n[:, None].astype(np.float64), annotated.astype(np.float64), others.astype(np.float64))
        return cls(
            groups=n,
            annotated=annotated,
            predicted=predicted,
            either=annotated + predicted - hits,
            others=others,
            crossed=False,
            worth=worth,
        )


@dataclass(frozen=True)
class Rows:
    """The rows of one attribute whose group is known.

    Attributes:
        group: ``(n,)`` codes below ``n_groups``.
        label: ``(n,)`` annotated classes.
        predicted: ``(n,)`` predicted classes.
        cluster: ``(n,)`` codes of independent units, from 0; None where each row is its own.
        n_groups: G.
        n_classes: K.
    """

    group: Ints
    label: Ints
    predicted: Ints
    cluster: Ints | None
    n_groups: int
    n_classes: int

    def __post_init__(self) -> None:
        if self.n_classes > MOST_CLASSES:
            fix = "Join rare classes; or do names or numbers of pictures stand where the label should?"
            raise DataError("classes", f"the predictions have {self.n_classes:,}", f"at most {MOST_CLASSES}", fix)

    def __len__(self) -> int:
        return len(self.group)

    @property
    def pairs(self) -> Ints:
        """``(n,)`` codes of (annotated, predicted)."""
        return self.label * self.n_classes + self.predicted

    @property
    def cells(self) -> Ints:
        """``(n,)`` codes of (group, annotated, predicted)."""
        return self.group * self.n_classes**2 + self.pairs

    def tables(self) -> Ints:
        """``(G, K, K)`` confusion counts."""
        shape = (self.n_groups, self.n_classes, self.n_classes)
        return np.bincount(self.cells, minlength=int(np.prod(shape))).reshape(shape).astype(np.int64)

    def unit_counts(self) -> UnitCounts:
        """Independent units behind every kind of share; where no unit has two rows, they are the faces."""
        if self.cluster is None:
            return UnitCounts.of_faces(self.tables())
        shape = (self.n_groups, self.n_classes)
        groups = self._units(self.group, self.n_groups)
        by_class = self._class_units(self.label)
        both = np.concatenate([self.label, self.predicted])
        twice = Rows(np.tile(self.group, 2), both, both, np.tile(self.cluster, 2), self.n_groups, self.n_classes)
        return UnitCounts(
            groups=groups,
            annotated=by_class,
            predicted=self._class_units(self.predicted),
            either=twice._class_units(both),
            others=groups[:, None] - self._units_of_one_class().reshape(shape),
            crossed=int(groups.sum()) > len(np.unique(self.cluster)),
            worth=self._worth(),
        )

    def _worth(self) -> tuple[Floats, Floats, Floats]:
        """See :attr:`UnitCounts.worth`."""
        if self.cluster is None:
            return UnitCounts.of_faces(self.tables()).worth
        g, k = self.n_groups, self.n_classes
        cells, faces = np.unique((self.cluster * g + self.group) * k + self.label, return_counts=True)
        owner, code = np.unique(cells // k, return_inverse=True)
        whole = np.bincount(code, weights=faces)  # faces of each unit in a group
        group = owner % g
        n = np.bincount(group, weights=whole, minlength=g)
        square = np.bincount(group, weights=whole**2, minlength=g)
        # Of a unit with w faces in the group, of which m are of the class, w - m are not: (w - m)^2 = w^2 - 2wm + m^2.
        cell = group[code] * k + cells % k
        of_class, squares, crossed = (
            np.bincount(cell, weights=x, minlength=g * k).reshape(g, k) for x in (faces, faces**2, whole[code] * faces)
        )
        rest = square[:, None] - 2 * crossed + squares
        return (
            equal_units(n[:, None], square[:, None]),
            equal_units(of_class, squares),
            equal_units(n[:, None] - of_class, rest),
        )

    def _class_units(self, classes: Ints) -> Ints:
        """``(G, K)`` units with a row of the group and of the class."""
        codes = self.group * self.n_classes + classes
        return self._units(codes, self.n_groups * self.n_classes).reshape(self.n_groups, self.n_classes)

    def _units_of_one_class(self) -> Ints:
        """``(G * K,)`` units all of whose rows in the group are annotated with the one class."""
        if self.cluster is None:
            return np.zeros(self.n_groups * self.n_classes, dtype=np.int64)
        cells = np.unique((self.cluster * self.n_groups + self.group) * self.n_classes + self.label)
        owner, first, several = np.unique(cells // self.n_classes, return_index=True, return_counts=True)
        alone = several == 1
        codes = owner[alone] % self.n_groups * self.n_classes + cells[first[alone]] % self.n_classes
        return np.bincount(codes, minlength=self.n_groups * self.n_classes).astype(np.int64)

    def units_per_group(self) -> Ints:
        """``(G,)`` independent units with a row in the group."""
        return self._units(self.group, self.n_groups)

    def units_per_class(self) -> Ints:
        """``(G, K)`` independent units with a row of the group annotated with the class."""
        return self._class_units(self.label)

    def _units(self, codes: Ints, n_codes: int) -> Ints:
        if self.cluster is not None:
            both = np.sort(self.cluster * n_codes + codes)  # faster than np.unique
            codes = both[np.diff(both, prepend=-1) > 0] % n_codes
        return np.bincount(codes, minlength=n_codes).astype(np.int64)


def independent_units(cluster: Ints | None) -> Ints | None:
    """Codes of units from 0 without holes; None where no unit has two rows."""
    if cluster is None or not len(cluster):
        return None
    distinct, codes = np.unique(cluster, return_inverse=True)
    return None if len(distinct) == len(cluster) else codes.reshape(-1).astype(np.int64)


def units_by_size(unit: Ints | None, content: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Gather the rows of each unit; units of one size come together.

    Args:
        unit: ``(n,)`` codes of units, or None where each row is one.
        content: ``(n,)`` what to sort a unit's rows by.

    Yields:
        ``(first, rows)`` for each size s: ``rows`` is ``(m, s)`` indices of rows, sorted by content
        within the unit; ``first`` is ``rows[:, 0]``.
    """
    if unit is None:
        index = np.arange(len(content), dtype=np.int64)
        yield index, index[:, None]
        return
    order = np.lexsort((content, unit)).astype(np.int64)
    ordered = unit[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1))
    sizes = np.diff(starts, append=len(unit))
    for size in np.unique(sizes):
        begin = starts[sizes == size]
        rows = order[begin[:, None] + np.arange(size)]
        yield rows[:, 0], rows


@dataclass(frozen=True)
class Signatures:
    """The distinct signatures of the units and how many units have each.

    Attributes:
        counts: ``(S,)`` units per signature.
        entry_signature: ``(E,)`` which signature an entry belongs to, ordered by cell.
        entry_cell: ``(E,)`` the cell that the entry adds 1 to, ascending.
        n_cells: Number of cells in all.
    """

    counts: Ints
    entry_signature: Ints
    entry_cell: Ints
    n_cells: int

    @property
    def n_units(self) -> int:
        """Independent units in all."""
        return int(self.counts.sum())

    def cells_of(self, draws: NDArray[Any]) -> Ints:
        """Turn ``(b, S)`` numbers of units drawn into ``(b, n_cells)`` confusion counts."""
        out = np.zeros((self.n_cells, len(draws)), dtype=np.int64)
        if len(self.entry_cell):
            by_signature = np.ascontiguousarray(draws.T)
            starts = np.flatnonzero(np.diff(self.entry_cell, prepend=-1))
            out[self.entry_cell[starts]] = np.add.reduceat(by_signature[self.entry_signature], starts, axis=0)
        return np.asarray(out.T)


def signatures(cells: Ints, cluster: Ints | None, n_cells: int) -> Signatures:
    """Count the distinct signatures; they do not depend on the order of the rows.

    Args:
        cells: ``(n,)`` the cell that each row adds 1 to.
        cluster: ``(n,)`` codes of independent units; None where each row is its own.
        n_cells: Number of cells in all.
    """
    counts, entry_signature, entry_cell, n = [], [], [], 0
    for _, members in units_by_size(cluster, cells):
        if members.shape[1] == 1:
            number = np.bincount(cells[members[:, 0]], minlength=1)
            distinct = np.flatnonzero(number)[:, None]
            number = number[distinct[:, 0]]
        else:
            distinct, number = _distinct_rows(cells[members], n_cells)
        counts.append(number.astype(np.int64))
        entry_signature.append(np.repeat(np.arange(len(distinct)) + n, distinct.shape[1]))
        entry_cell.append(distinct.ravel())
        n += len(distinct)
    cell = np.concatenate(entry_cell).astype(np.int64)
    order = np.argsort(cell, kind="stable")
    return Signatures(
        np.concatenate(counts), np.concatenate(entry_signature).astype(np.int64)[order], cell[order], n_cells
    )


def _distinct_rows(table: Ints, n_values: int) -> tuple[Ints, Ints]:
    """Distinct rows of an ``(m, s)`` table of codes below ``n_values``, in lexical order, and their numbers."""
    width = table.shape[1]
    if width * np.log2(max(n_values, 2)) >= 62:
        distinct, number = np.unique(table, axis=0, return_counts=True)
        return distinct, number
    weights = n_values ** np.arange(width - 1, -1, -1, dtype=np.int64)
    codes, number = np.unique(table @ weights, return_counts=True)  # a row as one number: far quicker to sort
    return codes[:, None] // weights % n_values, number


def chunk_sizes(n_replicates: int, numbers_each: int) -> list[int]:
    """Split replicates so that a chunk holds a bounded number of numbers."""
    size = max(1, min(n_replicates, _CHUNK // max(numbers_each, 1)))
    whole, rest = divmod(n_replicates, size)
    return [size] * whole + ([rest] if rest else [])


def bootstrap_counts(
    cells: Ints, cluster: Ints | None, n_cells: int, n_boot: int, rng: np.random.Generator
) -> Iterator[Ints]:
    """Bootstrap the counts of any cells, whole units at a time.

    Args:
        cells: ``(n,)`` codes below ``n_cells``.
        cluster: ``(n,)`` codes of independent units; None where each row is its own.
        n_cells: C.
        n_boot: Number of replicates.
        rng: Source of randomness.

    Yields:
        Chunks ``(b, C)`` of replicates; their lengths sum to ``n_boot``.
    """
    sig = signatures(cells, cluster, n_cells)
    if len(sig.counts) > _MANY_SIGNATURES:
        yield from _bootstrap_blocks(sig, n_boot, rng)
        return
    share = sig.counts / sig.n_units
    for b in chunk_sizes(n_boot, 2 * len(sig.counts) + len(sig.entry_cell) + 3 * sig.n_cells):
        yield sig.cells_of(rng.multinomial(sig.n_units, share, size=b))


def _bootstrap_blocks(sig: Signatures, n_boot: int, rng: np.random.Generator) -> Iterator[Ints]:
    """Bootstrap where hardly any two units are alike: units are dealt at random into blocks, and blocks are drawn.

    The sum of a block's units varies as its units do, so thousands of blocks estimate the same
    variance as all units would, at a cost that no longer grows with them.
    """
    n_blocks = int(np.clip(_BLOCK_NUMBERS // sig.n_cells, _LEAST_BLOCKS, _MOST_BLOCKS))
    signature = rng.permutation(np.repeat(np.arange(len(sig.counts)), sig.counts))
    block = np.arange(len(signature)) % n_blocks
    ones = np.ones(len(signature), dtype=np.float32)
    dealt = csr_array((ones, (block, signature)), shape=(n_blocks, len(sig.counts)))
    entries = np.ones(len(sig.entry_cell), dtype=np.float32)
    held = csr_array((entries, (sig.entry_signature, sig.entry_cell)), shape=(len(sig.counts), sig.n_cells))
    sums = (dealt @ held).toarray()
    for b in chunk_sizes(n_boot, 2 * n_blocks + 3 * sig.n_cells):
        draws = rng.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), size=b)
        yield np.rint(draws.astype(np.float32) @ sums).astype(np.int64)


def bootstrap_tables(rows: Rows, n_boot: int, rng: np.random.Generator) -> Iterator[Ints]:
    """Bootstrap confusion counts: chunks ``(b, G, K, K)``; see :func:`bootstrap_counts`."""
    shape = (rows.n_groups, rows.n_classes, rows.n_classes)
    for counts in bootstrap_counts(rows.cells, rows.cluster, int(np.prod(shape)), n_boot, rng):
        yield counts.reshape(len(counts), *shape)
