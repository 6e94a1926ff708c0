"""A set of faces in which every cell of class, groups and complexity has as many, as far as there are any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.data.images import Store, StoreWriter
from mien.data.splits import split_units
from mien.errors import DataError
from mien.inference import Progress
from mien.labels import NOT_EXPRESSIONS, label_scheme
from mien.prepare import class_counts
from mien.registry import nearest
from mien.samples import SampleTable
from mien.spellings import canonical

CLASS, COMPLEXITY = "class", "complexity"


@dataclass(frozen=True, kw_only=True)
class Balance:
    """Which faces of a table make it balanced.

    Attributes:
        rows: ``(m,)`` rows of the table, in its order.
        cells: One row a cell: its class and groups, ``there`` (faces that it has), ``wanted``, ``taken``, ``short``.
        left_out: Reason -> faces that are in no cell.
        wanted: Faces that each cell should have.
    """

    rows: NDArray[np.int64]
    cells: pd.DataFrame
    left_out: dict[str, int]
    wanted: int

    @property
    def short(self) -> int:
        """Faces that are missing in all cells together."""
        return int(self.cells["short"].sum())


def choose_balanced(
    table: SampleTable,
    by: Sequence[str],
    *,
    n: int | None = None,
    labels: str = "majority",
    split: str | None = None,
    seed: int = 0,
) -> Balance:
    """Choose as many faces of every cell, or as many as it has.

    Distinct pictures come before copies of one, and persons in turn, so that a cell is not filled with one
    of them while there are others; the rest is chance, by the seed.

    Args:
        table: The faces.
        by: What makes the cells: ``class``, ``complexity`` (how many expressions have a vote), attributes.
        n: Faces of each cell at most; by default the number of the smallest cell that has any, which
            leaves no cell short but for those without a face.
        labels: Scheme that says the class; faces without a label are left out.
        split: Choose among the faces of this split and keep all others; by default among all.
        seed: Seed of the choice.

    Returns:
        The choice.

    Raises:
        DataError: If ``by`` names no attribute, ``n`` is under 1, or no face is in any cell.
    """
    known = [CLASS, COMPLEXITY, *table.attributes]
    if not by or (strange := [b for b in by if b not in known]):
        wrong = strange[0] if by else "nothing"
        raise DataError("by", f"{wrong!r}", f"one or more of {', '.join(known)}", nearest(wrong, known) if by else "")
    if n is not None and n < 1:
        raise DataError("n", str(n), "a number of faces, 1 or more")
    columns = {name: _column(table, name, labels) for name in dict.fromkeys(by)}
    asked = np.ones(len(table), dtype=bool) if split is None else _of_split(table, split)
    left_out = {f"no {name}": int((asked & column.isna()).sum()) for name, column in columns.items()}
    groups = pd.DataFrame(columns)
    inside = asked & groups.notna().all(axis=1).to_numpy()
    if not inside.any():
        raise DataError("mien balance", "no face has a value of all of " + ", ".join(columns), "some that have")
    there = groups[inside].value_counts()
    n = int(there.min()) if n is None else n
    turn = _turns(table, inside, groups, seed)
    taken = np.flatnonzero((inside & (turn < n)) | ~asked)
    cells = pd.DataFrame(
        list(product(*(_levels(table, name, column[inside], labels) for name, column in columns.items()))),
        columns=list(columns),
    )
    keys = pd.MultiIndex.from_frame(cells)
    cells["there"] = there.reindex(keys, fill_value=0).to_numpy(np.int64)
    cells["wanted"] = n
    cells["taken"] = np.minimum(cells["there"], n)
    cells["short"] = cells["wanted"] - cells["taken"]
    return Balance(rows=taken, cells=cells, left_out={k: v for k, v in left_out.items() if v}, wanted=n)


def balance(
    store: Path | str,
    out: Path | str,
    by: Sequence[str],
    *,
    force: bool = False,
    progress: Progress | None = None,
    **choice: Any,
) -> tuple[Store, Balance]:
    """Write a store of a balanced choice of another's faces.

    Args:
        store: The store.
        out: Folder of the new one.
        by: What makes the cells; see :func:`choose_balanced`, as for all that follows.
        force: Replace a store that is there.
        progress: Called with faces done and faces in all.
        choice: ``n``, ``labels``, ``split``, ``seed``.

    Returns:
        The new store, and what was short; its table's history says it too.

    Raises:
        DataError: As :func:`choose_balanced`.
        UsageError: If ``out`` cannot be written; before anything is read.
        OutputError: If the disk is full; nothing is left behind.
    """
    place = StoreWriter(Path(out), force)
    source = Store.open(store)
    chosen = choose_balanced(source.table, by, **choice)
    rows = source.table.frame["image"].to_numpy(np.int64)[chosen.rows]
    frame = source.table.frame.iloc[chosen.rows].assign(image=np.arange(len(rows)))
    detail = {
        "faces wanted of each cell": chosen.wanted,
        "cells": len(chosen.cells),
        "cells that are short": int((chosen.cells["short"] > 0).sum()),
        "faces short": chosen.short,
        **{f"faces left out: {reason}": n for reason, n in chosen.left_out.items()},
    }
    table = source.table.derive("balance", frame, {"by": list(by), **choice}, detail)
    with place as writer:
        step = 4096
        for start in range(0, len(rows), step):
            writer.copy(source, rows[start : start + step])
            if progress:
                progress(writer.n, len(rows))
        info = source.description | {
            "classes": class_counts(table),
            "detail": {**source.info.get("detail", {}), **detail},
            # Copies are counted anew: those that were left out are none any more.
            **_copies(table),
        }
        return writer.commit(table, info), chosen


def _column(table: SampleTable, name: str, labels: str) -> pd.Series[Any]:
    """The cell of each face on one side; missing where it has none."""
    if name == CLASS:
        scheme = label_scheme(labels, table.vocabulary)
        targets = scheme.targets(table.votes, table.vocabulary)
        words = np.array(scheme.classes, dtype=object)[targets.probs.argmax(1)]
        return pd.Series(np.where(targets.keep, words, None), dtype=object)
    if name == COMPLEXITY:
        counted = [i for i, word in enumerate(table.vocabulary) if canonical(word) not in NOT_EXPRESSIONS]
        found = (table.votes[:, counted] > 0).sum(1)
        return pd.Series(np.where(found > 0, found, None), dtype=object)
    column = table.frame[name].astype(object).reset_index(drop=True)
    return column.where(column.notna(), None)


def _levels(table: SampleTable, name: str, column: pd.Series[Any], labels: str) -> list[Any]:
    """The cells of one side, in order: all classes, also those without a face; of groups those there are."""
    if name == CLASS:
        return list(label_scheme(labels, table.vocabulary).classes)
    return sorted(column.dropna().unique(), key=lambda v: (isinstance(v, str), v))


def _of_split(table: SampleTable, split: str) -> NDArray[np.bool_]:
    table.in_split(split)  # says which there are
    return np.asarray(table.frame["split"] == split, dtype=bool)


def _turns(table: SampleTable, inside: NDArray[np.bool_], groups: pd.DataFrame, seed: int) -> NDArray[np.int64]:
    """``(n,)`` the turn at which a face of a cell is taken: first one of each picture and person, then the second."""
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(inside))
    cell = groups.iloc[rows].groupby(list(groups.columns), sort=False).ngroup().to_numpy()
    seen = pd.DataFrame({"cell": cell, "unit": split_units(table)[rows]})
    again = seen.groupby(["cell", "unit"]).cumcount().to_numpy()
    order = np.lexsort((np.arange(len(rows)), again))
    turn = np.full(len(table), np.iinfo(np.int64).max)
    turn[rows[order]] = pd.Series(cell[order]).groupby(cell[order]).cumcount().to_numpy()
    return turn


def _copies(table: SampleTable) -> dict[str, int]:
    exact = int(table.frame["hash"].duplicated().sum()) if "hash" in table.frame else 0
    return {"n_exact_copies": exact, "n_near_copies": int(table.frame["cluster"].duplicated().sum()) - exact}
