"""Ratings in a table of anybody's making: one row a rating, one column a rater, or counts of votes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.agreement.raters import refuse_lost_raters, refuse_other_codes, set_aside
from mien.agreement.votes import Votes, check_counts, word_of
from mien.errors import DataError
from mien.missing import is_unsure, missing_mask
from mien.prediction_tables.reading import table_as_found
from mien.prediction_tables.table import PredictionTable
from mien.prediction_tables.tool_tables import recognised
from mien.spellings import canonical, folded

ITEM = ("item", "face", "picture", "image", "filename", "file", "path", "img", "stimulus", "sample_id", "id", "unit")
RATER = ("rater", "annotator", "coder", "judge", "worker", "worker_id", "participant", "labeler", "labeller", "user")
LABEL = ("label", "rating", "choice", "answer", "expression", "emotion", "vote", "class", "code")
MOST_WORDS = 50  # more different answers than this are no classes but free text
_LONG = "one row a rating: item, rater, label"
_LAYOUTS = f"{_LONG}; or one column a rater; or votes_<class> columns"


def read_ratings(path: Path) -> tuple[Votes, list[str]]:
    """Read ratings from CSV (any separator), Parquet or JSON.

    Three layouts are told apart by their columns: *long* (an item, a rater and a label in each row),
    *votes* (``votes_<class>`` columns with counts) and *wide* (one column a rater). What
    :mod:`mien.missing` calls missing is no rating. Two spellings of one answer are one.

    Args:
        path: The file.

    Returns:
        The votes, and what was joined or left out, in sentences.

    Raises:
        DataError: If it is none of the three, a rater judged an item twice, or there are fewer than two
            answers or more than fifty.
    """
    table = table_as_found(path)
    if not table.n:
        raise DataError(str(path), "has no rows", _LAYOUTS)
    rater, label = _named(table, RATER), _named(table, LABEL)
    if rater and label:
        return _long(table, rater, label)
    counted = recognised(table)
    block = counted.blocks.get("votes_")
    if block is not None:
        _check_counts(table, block.values)
        name = _named(counted, ITEM)
        faces = None if name is None else _words(counted.columns[name])
        votes = Votes.from_counts(block.values, block.names, faces=faces, source=str(path))
        return votes, list(counted.notes)
    return _wide(table)


def _check_counts(table: PredictionTable, values: NDArray[Any]) -> None:
    """Refuse what cannot be counts of votes, with the line."""
    lost = np.flatnonzero(np.isnan(values).any(1))
    if len(lost):
        raise DataError(table.place(int(lost[0])), "a count of votes is missing", "0 where nobody voted so")
    check_counts(values, table.place)


def _named(table: PredictionTable, names: Sequence[str]) -> str | None:
    """The first of some columns that is there, whatever its case."""
    found = {folded(c): c for c in table.columns}
    return next((found[n] for n in names if n in found), None)


def _words(values: pd.Series[Any]) -> NDArray[Any]:
    """``(n,)`` a column's values as text, None where missing; numbers without a trailing ``.0``."""
    plain = values.astype(object)
    codes, distinct = pd.factorize(plain)
    texts = [word_of(v) for v in distinct]
    gone = missing_mask(texts) if texts else np.zeros(0, dtype=bool)
    kept = np.array([*(None if g else t for t, g in zip(texts, gone, strict=True)), None], dtype=object)
    return np.asarray(kept[codes])


def _long(table: PredictionTable, rater: str, label: str) -> tuple[Votes, list[str]]:
    item = _named(table, ITEM)
    if item is None:
        found = f"has raters in {rater!r} and no column that names what they judged (it has {', '.join(table.names)})"
        raise DataError(table.source, found, _LONG, "Call that column 'item'.")
    items, raters, answers = (_words(table.columns[c]) for c in (item, rater, label))
    for name, values in ((item, items), (rater, raters)):
        lost = [i for i, v in enumerate(values) if v is None]
        if lost:
            raise DataError(table.place(lost[0]), f"{name} is missing", "a name in each row")
    pairs = pd.DataFrame({"item": items, "rater": raters})[answers != None]  # noqa: E711 (elementwise)
    twice = pairs.duplicated()
    if twice.any():
        row = int(twice.index[int(twice.to_numpy().argmax())])
        found = f"{rater} {raters[row]!r} judged {item} {items[row]!r} a second time ({int(twice.sum())} such rows)"
        raise DataError(table.place(row), found, "one row an item and rater", "Keep the last one.")
    return _chosen(table, items, raters, answers)


def _wide(table: PredictionTable) -> tuple[Votes, list[str]]:
    name = _named(table, ITEM)
    columns, notes = set_aside(table, [c for c in table.columns if c != name])
    raters = [c for c in columns if any(folded(c).startswith(r) for r in RATER)]
    if len(raters) < 2:
        raters = _alike(table, columns)
    if len(raters) < 2:
        raise DataError(table.source, f"has the columns {', '.join(table.names)}", _LAYOUTS)
    answers = [_words(table.columns[c]) for c in raters]
    items = np.arange(table.n).astype(object) if name is None else _words(table.columns[name])
    lost = [i for i, v in enumerate(items) if v is None]
    if lost:
        raise DataError(table.place(lost[0]), f"{name} is missing", "a name in each row")
    again = pd.Series(items).duplicated()
    if again.any():
        row = int(again.to_numpy().argmax())
        raise DataError(table.place(row), f"{name} {items[row]!r} stands there a second time", "one row an item")
    whole = [np.repeat(np.array(raters, dtype=object), table.n), np.concatenate(answers)]
    votes, said = _chosen(table, np.tile(items, len(raters)), whole[0], whole[1])
    unread = [c for c in columns if c not in raters]
    refuse_lost_raters(table.source, raters, unread)
    notes += [f"Not read as raters: {', '.join(unread)}."] if unread else []
    return votes, [f"The columns {', '.join(raters)} were read as one rater each.", *notes, *said]


def _alike(table: PredictionTable, columns: Sequence[str]) -> list[str]:
    """Columns whose answers are those of another column too: raters under any name.

    Raises:
        DataError: If there are two such sets, of which one may be no raters but groups.
    """
    sets: list[tuple[set[str], list[str]]] = []
    for name in columns:
        found = {canonical(w) for w in _words(table.columns[name]) if w is not None}
        if not 0 < len(found) <= MOST_WORDS:
            continue
        words, members = next((s for s in sets if 2 * len(s[0] & found) >= min(len(s[0]), len(found))), (set(), []))
        if not members:
            sets.append((words, members))
        words |= found
        members.append(name)
    several = [members for _, members in sets if len(members) > 1]
    if len(several) > 1:
        found_sets = " and in ".join(", ".join(m) for m in several)
        fix = "Call the columns of the raters rater_1, rater_2, ..."
        raise DataError(table.source, f"the same answers stand in {found_sets}", "one set of raters", fix)
    return several[0] if several else []


def _chosen(
    table: PredictionTable, items: NDArray[Any], raters: NDArray[Any], answers: NDArray[Any]
) -> tuple[Votes, list[str]]:
    """Votes of one answer each, two spellings of an answer joined; and what to say of them."""
    unsure = {a: is_unsure(a) for a in dict.fromkeys(answers.tolist()) if a is not None}
    n_unsure = sum(unsure.get(a, False) for a in answers)
    answers = np.array([None if unsure.get(a, False) else a for a in answers], dtype=object)
    refuse_other_codes(table.source, items, raters, answers)
    given = [a for a in dict.fromkeys(answers.tolist()) if a is not None]
    first: dict[str, str] = {}
    for word in given:
        first.setdefault(canonical(word), word)
    if not 2 <= len(first) <= MOST_WORDS:
        few = f"one answer only ({given[0]!r})" if first else "no answer"
        found = f"holds {f'{len(first)} different answers' if len(first) > 1 else few}"
        raise DataError(table.source, found, f"2 to {MOST_WORDS}", "Is this the column of the ratings?")
    notes = list(table.notes)
    ways = [w for w in given if first[canonical(w)] != w]
    if ways:
        notes.append(f"Spellings were joined: {', '.join(f'{w} is {first[canonical(w)]}' for w in ways)}.")
    if n_unsure:
        words = ", ".join(repr(a) for a, u in unsure.items() if u)
        notes.append(f"{words} is no answer: {n_unsure:,} such ratings count as missing.")
    lost = sum(a is None for a in answers)
    if lost:
        notes.append(f"{lost:,} of {len(answers):,} ratings are missing.")
    spelt = {w: first[canonical(w)] for w in given}
    choice = np.array([None if a is None else spelt[a] for a in answers], dtype=object)
    vocabulary = sorted(first.values(), key=_order)
    return Votes.from_choices(items, raters, choice, vocabulary, source=table.source), notes


def _order(word: str) -> tuple[float, str]:
    """Numbers as numbers, before words."""
    try:
        return float(word), word
    except ValueError:
        return float("inf"), word
