"""The classes of a table, whatever they are called in which column; two spellings of one class are joined and said.

``label`` says *anger* and ``pred`` says *angry*: kept apart, the model would be wrong for each of these
faces, alike in all groups, and every gap would vanish.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mien.errors import DataError
from mien.missing import is_missing
from mien.prediction_tables.columns import Bools, Ints, Texts
from mien.prediction_tables.table import PredictionTable
from mien.registry import nearest
from mien.spellings import NO_FACE, canonical, commonest, folded

_LOOKS_ALIKE = 0.85  # of difflib: one slip in a word of seven letters


def classes_of(table: PredictionTable, classes: Sequence[str] | None, named: Mapping[str, Texts]) -> tuple[str, ...]:
    """The classes: as given, else those of the ``prob_`` or ``target_`` columns, else the words used.

    Args:
        table: The table.
        classes: The classes in order, or None.
        named: ``label`` and ``pred``, those that are there.

    Raises:
        DataError: If two of them are one expression, if there is nothing to tell them from, or if ``label`` and
            ``pred`` share none or differ by a slip of the pen.
    """
    if classes:
        return _each_once(tuple(map(str, classes)), "", table.source)
    for prefix in ("prob_", "target_"):
        if prefix in table.blocks:
            return table.blocks[prefix].names
    missing = [c for c in ("label", "pred") if c not in named]
    if missing:
        raise DataError(
            table.source,
            f"no column {' and no column '.join(repr(m) for m in missing)} (it has {', '.join(table.names)})",
            "'label' or 'target_<class>' columns, and 'pred' or 'prob_<class>' columns",
            "Rename the columns.",
        )
    # The annotation's spelling is the one that people chose.
    spelt = {**_spelling(named["pred"]), **_spelling(named["label"])}
    _check_spelling(named, table.source)
    return tuple(sorted(spelt.values()))


@dataclass(frozen=True)
class NotFound:
    """Rows in which ``pred`` says that there is no face.

    Attributes:
        rows: ``(n,)`` these rows.
        named: The predicted classes without that word.
        note: What was read so, in a sentence.
    """

    rows: Bools
    named: Texts
    note: str


def not_found(table: PredictionTable, classes: Sequence[str] | None, named: Mapping[str, Texts]) -> NotFound | None:
    """Rows whose prediction is *no face*, where that is no class of the table: the tool found none there.

    Args:
        table: The table.
        classes: The classes in order, or None.
        named: ``label`` and ``pred``, those that are there.
    """
    if "pred" not in named:
        return None
    texts, label = named["pred"], named.get("label")
    wanted = [*(classes or ()), *(name for block in table.blocks.values() for name in block.names)]
    wanted += list(label.counts()) if label else []
    lost = np.array([*(canonical(w) == canonical(NO_FACE) for w in texts.words), False])
    rows = np.asarray(lost[texts.codes], dtype=np.bool_)
    if not rows.any() or rows.all() or canonical(NO_FACE) in map(canonical, wanted):
        return None
    words = " and ".join(repr(w) for w, gone in zip(texts.words, lost, strict=False) if gone)
    note = f"In {int(rows.sum()):,} rows 'pred' says {words}: they count as faces that were not found (detected = 0)."
    return NotFound(rows, Texts(np.where(rows, -1, texts.codes), texts.words), note)


def _each_once(names: tuple[str, ...], prefix: str, source: str) -> tuple[str, ...]:
    """Refuse two names of one expression: which of the two columns counts, or whether their sum does, is not ours."""
    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault(canonical(name), name)
        if other != name:
            what = f"columns {prefix + other!r} and {prefix + name!r}" if prefix else f"classes {other!r} and {name!r}"
            raise DataError(
                source,
                f"{what} are one expression",
                "each expression once, under any spelling",
                "Leave one out; if both hold a part of the probability, write their sum." if prefix else "",
            )
    return names


def _spelling(texts: Texts) -> dict[str, str]:
    """Canonical class -> its commonest spelling in a column."""
    ways: dict[str, dict[str, int]] = {}
    for word, n in _counted(texts).items():
        ways.setdefault(canonical(word), {})[word] = n
    return {name: commonest(found) for name, found in ways.items()}


def _counted(texts: Texts) -> dict[str, int]:
    """Word -> rows, without the words that mean missing."""
    return {w: n for w, n in texts.counts().items() if not is_missing(w)}


def _check_spelling(named: Mapping[str, Texts], source: str) -> None:
    """Refuse classes that look like two spellings of one, but are no known ones: they would count as always wrong."""
    words = {column: list(_counted(named[column])) for column in ("label", "pred")}
    labels, predicted = ({canonical(w) for w in words[c]} for c in ("label", "pred"))
    if not labels & predicted:
        numbers = [all(folded(w).lstrip("+-").isdigit() for w in words[c]) for c in ("label", "pred")]
        raise DataError(
            source,
            f"'label' ({_few(words['label'])}) and 'pred' ({_few(words['pred'])}) share no class",
            "the same names in both columns",
            "One column holds numbers, the other names: write the names in both." if len(set(numbers)) == 2 else "",
        )
    # A class of both columns is taken at its word; one of a single column may be a slip of the pen.
    for column in ("label", "pred"):
        for odd in sorted(w for w in words[column] if canonical(w) in labels ^ predicted):
            others = {folded(w): w for c in words for w in words[c] if canonical(w) != canonical(odd)}
            others |= {canonical(w): canonical(w) for w in others.values()}  # 'hapiness' beside 'happy'
            close = difflib.get_close_matches(folded(odd), others, n=1, cutoff=_LOOKS_ALIKE)
            if close:
                raise DataError(
                    source,
                    f"class {odd!r} stands in {column!r} only and looks like {others[close[0]]!r}",
                    "one spelling of each class",
                    "Mend the rows; if the two do differ, give one another name.",
                )


def _few(words: Iterable[str]) -> str:
    return ", ".join(sorted(words)[:4])


def class_codes(
    table: PredictionTable, column: str, named: Mapping[str, Texts], classes: tuple[str, ...], needed: Bools | None
) -> Ints:
    """``(n,)`` classes of a column of names; -1 where a row that is not ``needed`` has none.

    Raises:
        DataError: With the first row whose name is no class.
    """
    if column not in named:
        other = "target_<class>" if column == "label" else "prob_<class>"
        raise DataError(table.source, f"no column {column!r}", f"{column!r} or {other!r} columns")
    texts, index = named[column], {canonical(c): k for k, c in enumerate(classes)}
    codes: Ints = np.array([*(index.get(canonical(w), -1) for w in texts.words), -1], dtype=np.int64)[texts.codes]
    # A word for missing that is a class of the table (the probability of 'unknown') is that class.
    absent = np.array([*(is_missing(w) and canonical(w) not in index for w in texts.words), True])[texts.codes]
    wrong = codes < 0 if needed is None else (codes < 0) & (needed | ~absent)
    if not wrong.any():
        return codes
    row = int(wrong.argmax())
    word, rows = texts.words[texts.codes[row]] if texts.codes[row] >= 0 else "", f"({int(wrong.sum())} such rows)"
    if absent[row]:
        said = f", only {word!r}" if word.strip() else ""
        fix = "Leave these rows out" + (
            "; if the tool found no face there, add a column 'detected' with 0 in them." if column == "pred" else "."
        )
        raise DataError(table.place(row), f"no class in column {column!r}{said} {rows}", "one of the classes", fix)
    raise DataError(
        table.place(row),
        f"unknown class {word!r} in column {column!r} {rows}",
        "one of the classes",
        _fix(word, classes),
    )


def _fix(word: str, classes: tuple[str, ...]) -> str:
    """What to do about a word that is no class."""
    digits = [folded(w).isdigit() for w in (word, *classes)]
    if digits[0] and all(digits):
        return f"The classes are {', '.join(classes)}: one column may count from 0 and another from 1."
    if digits[0]:
        return f"Write the names instead of numbers: {', '.join(classes)}."
    return nearest(word, list(classes))


def check_blocks(table: PredictionTable) -> None:
    """Refuse two columns of a block that are one class.

    Raises:
        DataError: With both columns.
    """
    for prefix, block in table.blocks.items():
        _each_once(block.names, prefix, table.source)


def joined_note(table: PredictionTable, named: Mapping[str, Texts], classes: tuple[str, ...]) -> str:
    """Which classes are written in several ways, in a sentence; empty where none is."""
    spelt = {canonical(c): c for c in classes}
    words = [w for texts in named.values() for w in texts.counts()]
    words += [name for block in table.blocks.values() for name in block.names]
    ways: dict[str, list[str]] = {}
    for word in dict.fromkeys(words):
        name = spelt.get(canonical(word))
        if name is not None and word.strip() != name:
            ways.setdefault(name, []).append(word.strip())
    if not ways:
        return ""
    said = "; ".join(f"{name} (also {', '.join(dict.fromkeys(found))})" for name, found in sorted(ways.items()))
    return f"Classes that are spelt in more than one way were taken for one each: {said}."
