"""Blocks of probabilities, target distributions and votes: told for what they are, then checked.

Tools write the same probabilities in several ways: as shares, as percentages, rounded to two decimals,
with an empty row where they found no face. What can only be one of these is read as that, and said;
anything else is refused with the row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.errors import DataError
from mien.missing import missing_mask
from mien.prediction_tables.table import Block, PredictionTable
from mien.spellings import canonical

TOLERANCE = 1e-3  # of a row's sum: what single precision and six printed digits do
_CLOSE = (
    0.9 * TOLERANCE
)  # a sum nearer to 1 is left alone; less than what is refused, for sums differ in the last digit
_HALF = 1e-2  # what half precision does to a row's sum
_BELOW = 1e-6  # a value so little below 0 is a 0 that was computed
_DECIMALS = (2, 3, 4)  # roundings that are told; to one decimal, a row of seven could sum to anything
_CHUNK = 1_000_000  # rows checked at once
#: Words beside the expressions in votes: they say that a face has none, and are no classes.
NO_CLASS = frozenset({"unknown", "nf", "uncertain", "unsure", "non-face", "nonface", "none"})

Bools = NDArray[np.bool_]
Floats = NDArray[Any]
Ints = NDArray[np.int64]


def settled(table: PredictionTable) -> PredictionTable:
    """Percentages, roundings and faces that were not found, read as what they are; the notes say which.

    Args:
        table: The table as it was found. Its blocks are changed in place.

    Raises:
        DataError: If some rows are percentages and others shares, or no row has any probability.
    """
    if not table.n:
        return table
    table = _faces_not_found(_votes_for_classes(table))
    notes: list[str] = []
    for prefix in ("prob_", "target_"):
        if prefix in table.blocks:
            notes += _brought_to_one(table, prefix)
    return replace(table, notes=(*table.notes, *notes))


def _votes_for_classes(table: PredictionTable) -> PredictionTable:
    """Votes for "unknown" or "not a face" are set aside: they are for no class."""
    block = table.blocks.get("votes_")
    if block is None:
        return table
    other = np.array([canonical(c) in NO_CLASS for c in block.names])
    if not other.any() or other.all():
        return table
    aside = float(np.nansum(block.values[:, other]))
    words = ", ".join(f"votes_{c}" for c, o in zip(block.names, other, strict=True) if o)
    of_all = f"{aside:,.0f} of {float(np.nansum(block.values)):,.0f} votes"
    note = f"{words} are no expressions: their {of_all} do not count."
    kept = Block(tuple(c for c, o in zip(block.names, other, strict=True) if not o), block.values[:, ~other])
    return replace(table, blocks={**table.blocks, "votes_": kept}, notes=(*table.notes, note))


def _faces_not_found(table: PredictionTable) -> PredictionTable:
    """Rows without any probability are faces that the tool did not find, unless the table says otherwise."""
    block = table.blocks.get("prob_")
    if block is None or "detected" in table.columns:
        return table
    lost = np.isnan(block.values[:, 0])  # one look tells of most tables that there is none
    if not lost.any():
        return table
    lost[lost] = np.isnan(block.values[lost]).all(1)
    if "pred" in table.columns:
        lost[lost] = missing_mask(table.columns["pred"][lost].tolist())
    n = int(lost.sum())
    if not n:
        return table
    if n == table.n:
        raise DataError(table.source, "no row has any probability", "numbers in the prob_<class> columns")
    note = f"{n:,} of {table.n:,} rows have no probabilities: they count as faces that the tool did not find."
    columns = {**table.columns, "detected": pd.Series((~lost).astype(np.int64))}
    return replace(table, columns=columns, notes=(*table.notes, note))


def _in_order(values: Floats) -> bool:
    """Whether all rows are distributions as they stand: so most tables are, and this look takes no memory."""
    for start in range(0, len(values), _CHUNK):
        part = values[start : start + _CHUNK]
        with np.errstate(invalid="ignore"):  # infinities of both signs are no distribution
            if not (part.min() >= 0 and bool((np.abs(part.sum(1) - 1) <= _CLOSE).all())):
                return False
    return True


@dataclass(frozen=True)
class _Sums:
    """What the rows of a block sum to.

    Attributes:
        values: ``(n,)`` sums, NaN where a value is missing or infinite, or lies below 0.
        n_below: Values a hair below 0.
    """

    values: Floats
    n_below: int


def _sums(values: Floats) -> _Sums:
    sums, below = np.empty(len(values)), 0
    for start in range(0, len(values), _CHUNK):
        part = values[start : start + _CHUNK]
        hair = (part < 0) & (part > -_BELOW)
        if hair.any():
            below += int(hair.sum())
            part[hair] = 0
        with np.errstate(invalid="ignore"):  # infinities of both signs: refused below, as what they are
            total = part.sum(1, dtype=np.float64)
        total[~np.isfinite(total) | ~(part.min(1) >= 0)] = np.nan
        sums[start : start + _CHUNK] = total
    return _Sums(sums, below)


def _brought_to_one(table: PredictionTable, prefix: str) -> list[str]:
    """Divide percentages by 100 and rounded rows by their sum, in place; sentences that say so."""
    values, what = table.blocks[prefix].values, f"The values of {prefix}<class>"
    if _in_order(values):
        return []
    found = _sums(values)
    notes = []
    if found.n_below:
        notes.append(f"{found.n_below} values of {prefix}<class> lie a hair below 0 and were read as 0.")
    sums = found.values
    known = np.isfinite(sums)
    off = known & (np.abs(sums - 1) > _CLOSE)
    if not off.any():
        return notes
    percent = _percentages(table, prefix, sums)
    if percent:
        values /= 100
        sums = sums / 100
        off = known & (np.abs(sums - 1) > _CLOSE)
        notes.append(f"{what} are percentages (their rows sum to 100) and were divided by 100.")
        if not off.any():
            return notes
    decimals = _decimals(values, known)
    allowed = max(_HALF, 0.0 if decimals is None else 0.5 * 10.0**-decimals * values.shape[1])
    if (np.abs(sums[off] - 1) > allowed + 1e-9).any():
        return notes  # not what rounding can do: block_of refuses the row
    ties = _ties(values, known) if decimals is not None else 0
    values[off] /= sums[off, None].astype(values.dtype)
    how = f"rounded to {decimals} decimals" if decimals is not None else "of low precision"
    if percent and decimals is not None:
        how = f"rounded to {decimals - 2} decimals of a percentage" if decimals > 2 else "rounded to whole percentages"
    rows = f"{int(off.sum()):,} of {table.n:,} rows did not sum to 1 and were divided by their sum"
    notes.append(f"{what} are {how}: {rows}.")
    if ties and prefix == "prob_" and "pred" not in table.columns:
        notes.append(f"In {ties:,} rows two classes share the largest probability: the first counts as predicted.")
    return notes


def _percentages(table: PredictionTable, prefix: str, sums: Floats) -> bool:
    """Whether the rows are percentages."""
    slack = 0.5 * table.blocks[prefix].values.shape[1] + 1e-9  # whole percentages of K classes
    known = np.isfinite(sums)
    hundred = known & (np.abs(sums - 100) <= slack)
    if not hundred.any():
        return False
    if bool(hundred[known].all()):
        return True
    one = known & (np.abs(sums - 1) <= _HALF)
    if (hundred | one)[known].all():
        row = int(one.argmax()) if hundred[known].mean() > 0.5 else int(hundred.argmax())
        raise DataError(
            table.place(row),
            f"{prefix}* values sum to {sums[row]:.4g}: {int(hundred.sum()):,} of the rows hold percentages (they sum "
            f"to 100) and {int(one.sum()):,} shares (they sum to 1)",
            "one of the two in all rows",
            "Divide the percentages by 100.",
        )
    return False


def _decimals(values: Floats, known: Bools) -> int | None:
    """To how many decimals all values are rounded; None where they are not."""
    found = np.clip(values[known], -1e9, 1e9)  # what is far beyond a share is refused elsewhere
    for decimals in _DECIMALS:
        scaled = found[:1000] * 10.0**decimals
        if np.abs(scaled - np.rint(scaled)).max(initial=0.0) < 1e-2:
            scaled = found * 10.0**decimals
            if np.abs(scaled - np.rint(scaled)).max(initial=0.0) < 1e-2:
                return decimals
    return None


def _ties(values: Floats, known: Bools) -> int:
    found = values[known]
    return int(((found == found.max(1, keepdims=True)).sum(1) > 1).sum())


def block_of(
    table: PredictionTable, prefix: str, classes: tuple[str, ...], needed: Bools | None = None
) -> NDArray[Any] | None:
    """``(n, K)`` values of a block in the order of the classes, checked in the rows ``needed``; None if absent.

    Raises:
        DataError: If columns and classes differ, or with the first row that cannot be.
    """
    block = table.blocks.get(prefix)
    if block is None:
        return None
    order = _order(block.names, classes)
    if order is None and prefix == "votes_":
        return None
    if order is None:
        odd = [f"{prefix}{c}" for c in sorted(set(block.names) ^ set(classes))]
        wanted = ", ".join(f"{prefix}{c}" for c in classes)
        raise DataError(table.source, f"columns {odd} do not match the classes", wanted)
    values = block.values if order == list(range(len(classes))) else block.values[:, order]
    distribution = prefix != "votes_"
    bad = _wrong_rows(values, distribution, needed)
    if len(bad):
        row = values[int(bad[0])].astype(np.float64)
        what = "are incomplete" if np.isnan(row).any() else f"sum to {row.sum():.4f}"
        raise DataError(
            table.place(int(bad[0])),
            f"{prefix}* values {row.round(4).tolist()} {what} ({len(bad)} such rows)",
            "numbers of 0 or more that sum to 1" if distribution else "counts of 0 or more",
            _advice(values, row, prefix) if distribution else "",
        )
    return values


def _order(names: tuple[str, ...], classes: tuple[str, ...]) -> list[int] | None:
    """Where each class stands among the names, under any of its spellings; None if they are not the same."""
    if set(names) == set(classes):
        return [names.index(c) for c in classes]
    place = {canonical(c): k for k, c in enumerate(names)}
    wanted = [canonical(c) for c in classes]
    if len(place) < len(names) or len(set(wanted)) < len(wanted) or set(place) != set(wanted):
        return None
    return [place[c] for c in wanted]


def _wrong_rows(values: NDArray[Any], distribution: bool, needed: Bools | None) -> Ints:
    wrong = []
    for start in range(0, len(values), _CHUNK):
        part = values[start : start + _CHUNK]
        bad = ~np.isfinite(part).all(1) | (part < 0).any(1)
        if distribution:
            with np.errstate(invalid="ignore"):
                bad |= np.abs(part.sum(1) - 1) > TOLERANCE
        if needed is not None:
            bad &= needed[start : start + _CHUNK]
        wrong.append(start + np.flatnonzero(bad))
    return np.concatenate(wrong).astype(np.int64)


def _advice(values: Floats, wrong: Floats, prefix: str) -> str:
    """What to do about a row that is no distribution: by what all rows look like."""
    known = values[np.isfinite(values).all(1)]
    share = prefix == "prob_"
    if (wrong < 0).any():
        return "Pass softmax outputs, not logits."
    tenths = known[:1000] * 10.0
    if (
        len(known)
        and known.max() <= 1
        and not (known == np.rint(known)).all()
        and np.abs(tenths - np.rint(tenths)).max() < 1e-4
    ):
        return "Rounded to one decimal, a row no longer says what the model thought: write three decimals or more."
    if not len(known) or (np.abs(known.sum(1) - 1) <= TOLERANCE).mean() >= 0.5:
        how = "write detected=0" if np.isnan(wrong).all() else "leave all of the row's cells empty, or write detected=0"
        lost = f" If the tool found no face there, {how}."
        return "Mend the row, or take it out." + (lost if share and not np.nansum(wrong) else "")
    if (known == np.rint(known)).all() and known.sum(1).max() > 1:
        return "If these are counts of votes, call the columns votes_<class>."
    if share and known.max() <= 1:
        return (
            "If each class was scored for itself (sigmoid), or only the best classes were written, leave these "
            "columns out and give the class with the highest score as 'pred'."
        )
    return "Pass softmax outputs, not logits." if share else "Divide each row by its sum."
