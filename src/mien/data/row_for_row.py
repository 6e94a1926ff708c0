"""Whether the votes of FERPlus still stand row for row beside the pictures of FER2013.

Nothing but the place of a line says which picture it is about. A spreadsheet that sorted the file, or a
script that took out the lines without a face, gives most faces the votes of another one, and every
number computed from them is wrong. Three things show it: the numbers in the picture names, the splits,
and the labels of FER2013 itself.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.errors import DataError
from mien.labels import FER2013_CLASSES, FERPLUS_CLASSES
from mien.spellings import canonical

_FIX = (
    "Lines were sorted, added or taken out, so that faces would get other faces' votes; leaving bad rows out "
    "cannot mend that. Restore the published file."
)
_FEWEST = 1000  # labels of fewer faces may disagree by chance
# FER2013's labels and the FERPlus votes agree with a kappa of 0.6; with lines in another order it is 0.
_LEAST_KAPPA = 0.1
_PUBLISHED = r"^(?:fer)?(\d{7})(?:\.[A-Za-z]+)?$"
_NUMBERED = r"^(.*?)(\d+)(?:\.0|\.[A-Za-z]+)?$"
_COPIES = 4  # names of another row, or one in a hundred
_FEWEST_NAMES = 5  # fewer numbers rise by chance
_DISTINCT = 0.9  # of the numbers: a few copies share theirs


def not_row_for_row(where: str, found: str, expected: str) -> DataError:
    """The error for files whose rows do not belong together."""
    return DataError(where, found, f"{expected}: the two files are not row for row", _FIX)


def check_order(votes: pd.DataFrame, name: str) -> bool:
    """Refuse votes whose lines are not in the published order, as far as the picture names tell.

    Under names that somebody changed (``img_16.png``) their numbers must rise, those of each beginning for
    themselves (``Training_16``). In the published names more can be seen: pictures are numbered in the order of
    the rows, and only rows without a name may have used up no number. So from one named row to the next, row
    number minus picture number grows by 0 up to the number of unnamed rows between them. The published file
    gives four copies the name of their other copy: such a single row, after which the count goes on, is no fault.

    Args:
        votes: ``image_name`` and ``line`` of each row.
        name: The file, for the error.

    Returns:
        Whether the names could tell: most of those that are there hold numbers.

    Raises:
        DataError: With the first line out of order.
    """
    names = votes["image_name"]
    published = names.str.extract(_PUBLISHED, expand=False)
    named = int((names != "").sum())
    if published.notna().any() and 2 * int(published.notna().sum()) > named:
        _check_published(votes, pd.to_numeric(published).to_numpy(np.float64), name)
        return True
    parts = names.str.extract(_NUMBERED)
    numbered = 0
    for _, rows in parts[parts[1].notna()].groupby(0, sort=False).groups.items():
        number = np.asarray(parts[1][rows], dtype=np.float64)
        if len(rows) < _FEWEST_NAMES or len(np.unique(number)) < _DISTINCT * len(rows):
            continue  # numbers that come again and again are no count of the pictures
        _check_rising(votes, np.asarray(rows, dtype=np.int64), number, name)
        numbered += len(rows)
    return 2 * numbered > named


def _check_rising(votes: pd.DataFrame, rows: NDArray[np.int64], number: NDArray[np.float64], name: str) -> None:
    """Refuse numbers that fall, but for a single one after which the count goes on (a copy under its copy's name)."""
    last, single = -np.inf, 0
    for i, row in enumerate(rows):
        after = number[i + 1] if i + 1 < len(rows) else np.inf
        alone = after > last and (number[i] <= last or after <= number[i])
        single += alone
        if alone and single <= max(_COPIES, len(rows) // 100):
            continue
        if number[i] <= last or alone:
            where = f"{name} line {votes['line'][row]}"
            raise not_row_for_row(where, f"names the picture {votes['image_name'][row]}", "numbers that rise")
        last = number[i]


def _check_published(votes: pd.DataFrame, number: NDArray[np.float64], name: str) -> None:
    rows = np.flatnonzero(~np.isnan(number))
    surplus = rows - number[rows]
    last_row, last = -1, 0.0
    for i, row in enumerate(map(int, rows)):
        if not 0 <= surplus[i] - last <= row - last_row - 1:
            after = i + 1
            if after == len(rows) or 0 <= surplus[after] - last <= rows[after] - last_row - 1:
                continue  # a copy under its other copy's name, which used up no number of its own
            lowest, highest = int(last_row - last) + 1, int(row - last)
            due = f"fer{lowest:07d}.png" + (f" to fer{highest:07d}.png" if highest > lowest else "")
            where = f"{name} line {votes['line'][row]}"
            raise not_row_for_row(where, f"names the picture {votes['image_name'][row]}", f"{due} by the lines before")
        last_row, last = row, surplus[i]


class LabelAgreement:
    """Compares FER2013's own labels with the votes: in files that are row for row they agree far above chance."""

    def __init__(self) -> None:
        self._columns = [FERPLUS_CLASSES.index(_ferplus_name(c)) for c in FER2013_CLASSES]
        self._counts = np.zeros((len(FER2013_CLASSES), len(FER2013_CLASSES)), dtype=np.int64)

    def add(self, emotion: NDArray[np.int64], votes: NDArray[np.uint8]) -> None:
        """Count some faces.

        Args:
            emotion: ``(n,)`` labels of FER2013.
            votes: ``(n, 10)`` votes in the order of FERPlus; faces with a tie or more votes elsewhere do not count.
        """
        seven = votes[:, self._columns].astype(np.int64)
        top = seven.max(axis=1, initial=0)
        clear = (seven == top[:, None]).sum(axis=1) == 1
        np.add.at(self._counts, (emotion[clear], seven[clear].argmax(axis=1)), 1)

    def check(self, name: str, other: str) -> bool:
        """Refuse files whose labels agree no better than by chance; fewer than 1,000 faces cannot tell (False).

        Raises:
            DataError: If Cohen's kappa is below 0.1.
        """
        n = int(self._counts.sum())
        if n < _FEWEST:
            return False
        agreed = np.trace(self._counts) / n
        chance = float(self._counts.sum(0) @ self._counts.sum(1)) / n**2
        if chance < 1 and (agreed - chance) / (1 - chance) < _LEAST_KAPPA:
            found = f"its votes agree with the labels of {other} for {agreed:.0%} of the faces"
            raise not_row_for_row(name, found, f"well above the {chance:.0%} of chance (about two thirds)")
        return True


def _ferplus_name(word: str) -> str:
    return next(c for c in FERPLUS_CLASSES if canonical(c) == canonical(word))
