"""Which columns are raters: not the summary of what they said, not a model, and all in the same codes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.errors import DataError
from mien.prediction_tables.table import PredictionTable
from mien.spellings import folded

_SUMMARY = re.compile(
    r"(majority|consensus|gold|gold[ _]?standard|label|final|ground[ _]?truth|gt|truth|adjudicated|aggregated?|mode)"
    r"([ _](label|vote|answer|class|rating|emotion|expression))?",
)
_MODEL = frozenset({"pred", "prediction", "predicted", "y_pred", "model", "predicted_label"})
_CODE = re.compile(r"\d+")


def set_aside(table: PredictionTable, columns: Sequence[str]) -> tuple[list[str], list[str]]:
    """The columns that can be raters, and what to say of the others.

    Args:
        table: Ratings with one column a rater.
        columns: Its columns but that of the items.

    Raises:
        DataError: If it is a table of a model's predictions beside the labels.
    """
    plain = {c: re.sub(r"^(rater|annotator|coder|judge)[ _]+", "", folded(c)) for c in columns}
    models = [c for c in columns if plain[c] in _MODEL or folded(c).startswith("prob_")]
    summaries = [c for c in columns if _SUMMARY.fullmatch(plain[c])]
    rest = [c for c in columns if c not in models and c not in summaries]
    if models and (summaries or "prob_" in table.blocks) and not _several_alike(table, rest, models + summaries):
        raise DataError(
            table.source,
            f"holds a model's answers ({models[0]}) beside {summaries[0] if summaries else 'its probabilities'}",
            "ratings of two people or more",
            "To compare a model with the labels: mien audit. Call columns of raters rater_1, rater_2, ...",
        )
    notes = [f"{', '.join(summaries)} is what the raters add up to, no rater: left out."] if summaries else []
    notes += [f"{', '.join(models)} is what a model said, no rater: left out."] if models else []
    return rest, notes


def _several_alike(table: PredictionTable, columns: Sequence[str], named: Sequence[str]) -> bool:
    """Whether two columns hold the answers that the summary or the model has too: then these are the raters."""
    known = {folded(str(v)) for c in named if c in table.columns for v in table.columns[c].dropna().unique()}
    found = [{folded(str(v)) for v in table.columns[c].dropna().unique()} for c in columns]
    return sum(bool(words) and 2 * len(words & known) >= len(words) for words in found) >= 2


def refuse_lost_raters(source: str, raters: Sequence[str], unread: Sequence[str]) -> None:
    """Refuse a column that is called like the raters but for its number, and answers in other words.

    Raises:
        DataError: With the column.
    """
    stems = {re.sub(r"\d+", "#", folded(c)) for c in raters}
    for name in unread if len(stems) == 1 and "#" in next(iter(stems)) else ():
        if re.sub(r"\d+", "#", folded(name)) in stems:
            found = f"{name!r} is called like the raters {', '.join(raters[:3])}, and has none of their answers"
            fix = "Write the same words in all of them, or call the column something else if it is no rater."
            raise DataError(source, found, "the same answers of all", fix)


def refuse_other_codes(source: str, items: NDArray[Any], raters: NDArray[Any], answers: NDArray[Any]) -> None:
    """Refuse a rater in numbers beside others in words, and one who counts from 1 where the others count from 0.

    Args:
        source: The table, for the message.
        items: ``(m,)`` what was judged.
        raters: ``(m,)`` who judged it.
        answers: ``(m,)`` the answers, None where missing.

    Raises:
        DataError: With the rater.
    """
    frame = pd.DataFrame({"item": items, "rater": raters, "answer": answers}).dropna(subset=["answer"])
    frame["coded"] = frame["answer"].map(lambda a: bool(_CODE.fullmatch(a)))
    share = frame.groupby("rater")["coded"].mean()
    if len(share) < 2:
        return
    coded, worded = share.index[share == 1], share.index[share == 0]
    if len(coded) and len(worded):
        one = coded[0] if len(coded) <= len(worded) else worded[0]
        how = ("numbers", "words") if one in coded else ("words", "numbers")
        found = f"the rater {one!r} answers in {how[0]}, others ({worded[0] if one in coded else coded[0]}) in {how[1]}"
        raise DataError(source, found, "the same answers of all", "Write the words instead of the numbers.")
    if len(coded) == len(share) and len(share) > 2:
        _refuse_shifted(source, frame.assign(answer=frame["answer"].astype(np.int64)))


def _refuse_shifted(source: str, frame: pd.DataFrame) -> None:
    ends = frame.groupby("rater")["answer"].agg(["min", "max"])
    for rater in ends.index:
        low, high = (int(ends.loc[rater, k]) for k in ("min", "max"))
        others = ends.drop(index=rater)
        step = int(others["min"].min()) - low
        if abs(step) != 1 or int(others["max"].max()) - high != step or (others["min"] == low).any():
            continue
        mine = frame[frame["rater"] == rater]
        pairs = mine.merge(frame[frame["rater"] != rater], on="item")
        agreed = [(pairs["answer_x"] + shift == pairs["answer_y"]).mean() for shift in (0, step)]
        if agreed[1] > agreed[0]:
            found = f"the rater {rater!r} answers {low} to {high}, the others {low + step} to {high + step}"
            fix = "One counts the classes from 0, the other from 1: bring that rater's numbers in line."
            raise DataError(source, found, "the same numbers of all", fix)
