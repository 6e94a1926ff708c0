"""The columns that have no meaning of their own: attributes, and numbers that must be read as numbers."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.errors import DataError
from mien.missing import missing_mask
from mien.prediction_tables.columns import RESERVED, Texts, images_of
from mien.prediction_tables.table import PredictionTable, numbers

#: Words in the names of columns that describe how a picture was taken: such a column is meant to be numbers.
NUMBER_WORDS = (
    *("brightness", "contrast", "sharpness", "blur", "noise", "illumination", "resolution", "quality"),
    *("size", "width", "height", "area", "scale", "interocular", "yaw", "pitch", "roll", "occlusion"),
)
NUMBER = "number_"  # and the name: what a model told beside the classes
MOST_GROUPS = 50  # a column with more distinct values can be no attribute
_NEARLY_ALL = 0.9  # of a column's values are numbers: the rest are slips
_LOOKED_AT = 5_000
_FOREIGN = re.compile(r"[+-]?\d+(?:[.,]\d+)?\s*%|[+-]?\d+,\d+")


def attributes_of(table: PredictionTable) -> pd.DataFrame:
    """Every column that has no meaning of its own.

    Raises:
        DataError: See :func:`check_numbers`.
    """
    rows_of_store = images_of(table) is not None
    told = {f"{NUMBER}{name}" for name in table.numbers}
    other = {*RESERVED, *told, *(("image",) if rows_of_store else ())}
    names = [c for c in table.columns if c not in other]
    for name in names:
        check_numbers(table, name)
    return pd.DataFrame({c: table.columns[c] for c in names}, index=pd.RangeIndex(table.n), copy=False)


def told_numbers(table: PredictionTable) -> pd.DataFrame | None:
    """``(n, M)`` numbers that a model told beside the classes, by name; None where the table says of none.

    A name whose column was taken out of the file is passed over.

    Raises:
        DataError: With the first value that is no number.
    """
    names = [name for name in table.numbers if f"{NUMBER}{name}" in table.columns]
    if not names:
        return None
    columns = [f"{NUMBER}{name}" for name in names]
    values = [numbers(table.columns[c], c, table.place) for c in columns]
    return pd.DataFrame(dict(zip(names, values, strict=True)))


def means_numbers(name: str) -> bool:
    """Whether a column's name says that it holds numbers about the picture: ``brightness``, ``face_size``."""
    words = name.lower().split("_")
    return words[-1] not in ("source", "confidence") and bool(set(words) & set(NUMBER_WORDS))


def check_numbers(table: PredictionTable, name: str) -> None:
    """Refuse text that was meant to be numbers: the column would silently take no part.

    Raises:
        DataError: With the first decimal comma or % in a column whose other values are numbers; with the first
            word that is neither number nor missing, where the column's name says that it holds numbers and nearly
            all of its values are.
    """
    column = table.columns[name]
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return
    # Names of a million pictures are no numbers, as their first thousands show.
    if len(column) > _LOOKED_AT and not _looks_like_numbers(Texts.of(column.iloc[:_LOOKED_AT])):
        return
    texts = Texts.of(column)
    counts = np.bincount(texts.codes[texts.codes >= 0], minlength=len(texts.words))
    numbers = np.isfinite(pd.to_numeric(pd.Series(texts.words, dtype=object), errors="coerce").to_numpy(np.float64))
    known = ~missing_mask(texts.words) & (counts > 0)
    n_numbers, n_known = int(counts[numbers & known].sum()), int(counts[known].sum())
    foreign = np.array([bool(_FOREIGN.fullmatch(w.strip())) for w in texts.words], dtype=bool) & known
    wanted = means_numbers(name)
    # A few shares with a sign of per cent are names of groups: "25 %" of the face covered.
    groups = int(known.sum()) <= MOST_GROUPS and any("%" in w for w in texts.words)
    meant = n_numbers >= n_known / 2 or (wanted and not groups)
    if meant and foreign.any():
        row, word = _first(texts, foreign)
        raise DataError(
            table.place(row),
            f"column {name!r} holds {word!r}",
            "a number with a decimal point and without a sign of per cent",
            "Write all values of the column in one unit, such as 0.55 for 55 %."
            if "%" in word
            else "Write 3.5 for 3,5.",
        )
    if wanted and _NEARLY_ALL * n_known <= n_numbers < n_known:
        row, word = _first(texts, known & ~numbers)
        found = f"column {name!r} holds {word!r}"
        raise DataError(table.place(row), found, "a number, or an empty cell where there is none")


def _looks_like_numbers(texts: Texts) -> bool:
    """Whether at least some words are numbers, in whatever way of writing."""
    plain = [w.strip().rstrip("% ").replace(",", ".") for w in texts.words]
    return bool(pd.to_numeric(pd.Series(plain, dtype=object), errors="coerce").notna().any())


def _first(texts: Texts, which: NDArray[np.bool_]) -> tuple[int, str]:
    """The first row with one of some words, and the word."""
    row = int(np.argmax(np.append(which, False)[texts.codes]))
    return row, texts.words[texts.codes[row]].strip()
