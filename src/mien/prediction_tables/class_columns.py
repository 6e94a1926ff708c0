"""Columns of scores under any tool's names: ``angry``, ``Anger``, ``score_happy``, ``emotion.sad``, ``angry0``.

py-feat, EmotiEffLib and fer write one column a class and call it by the class alone. Five or more
expressions side by side are such a block; fewer may be anything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.errors import DataError
from mien.prediction_tables.distributions import NO_CLASS
from mien.prediction_tables.table import PREFIXES, Block, PredictionTable, stacked
from mien.spellings import canonical

EXPRESSIONS = frozenset(
    {"anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral", "contempt"},
)
LEAST = 5  # expressions side by side that make a block
_BREAKS = re.compile(r"[\s._\-:()\[\]]+")
_FACE = re.compile(r"(.*?\D)(\d+)")
_SCORES = frozenset(
    ("p", "prob", "probs", "probability", "probabilities", "score", "scores", "conf", "confidence", "emotion")
    + ("emotions", "expression", "pred", "predicted", "prediction", "output", "softmax", "y", "percent", "pct")
)
_TRUTH = frozenset({"label", "true", "truth", "gt", "target", "annotated", "annotation", "actual"})
_VOTES = frozenset({"vote", "votes", "n", "count", "counts", "raters"})
_LOGITS = frozenset({"logit", "logits", "raw"})
_ROUNDED = 0.05  # of a row's sum: whether it looks like shares at all


@dataclass(frozen=True)
class _Family:
    """Columns that differ in the class alone.

    Attributes:
        role: A prefix of blocks, ``logits``, or empty where only the classes' names stand there.
        face: Number of the face where a tool writes several side by side; empty otherwise.
        columns: Column -> its class, as written.
    """

    role: str
    face: str
    columns: dict[str, str]


def with_class_columns(table: PredictionTable) -> PredictionTable:
    """The table with its columns of scores, votes or targets as blocks; the notes say which were read so.

    Raises:
        DataError: If the columns are called logits.
    """
    found = _families(table)
    for role in ("logits", *PREFIXES, ""):
        mine = [f for f in found if f.role == role]
        if not mine or role in table.blocks:
            continue
        if role == "logits":
            if "prob_" in table.blocks or "pred" in table.columns:
                continue
            names = ", ".join(mine[0].columns)
            raise DataError(
                table.source, f"the columns {names} are logits", "probabilities", "Pass softmax outputs, not logits."
            )
        table = _as_block(table, mine, role)
    return table


def _families(table: PredictionTable) -> list[_Family]:
    families: dict[tuple[str, ...], dict[str, str]] = {}
    for name, column in table.columns.items():
        parts = _parts(name)
        if parts and pd.api.types.is_numeric_dtype(column):
            families.setdefault(parts[1:], {})[name] = parts[0]
    out = []
    for (before, after, face), columns in families.items():
        words = {canonical(c) for c in columns.values()}
        role = _role({*before.split(), *after.split()})
        if role is not None and len(words) == len(columns) and len(words & EXPRESSIONS) >= LEAST:
            out.append(_Family(role, face, columns))
    return out


def _parts(name: str) -> tuple[str, str, str, str] | None:
    """The class in a column's name, what stands before and after it, and the number of the face."""
    numbered = _FACE.fullmatch(name.strip())
    plain, face = (numbered.group(1), numbered.group(2)) if numbered else (name.strip(), "")
    words = [w for w in _BREAKS.split(plain) if w]
    for i, word in enumerate(words):
        if canonical(word) in EXPRESSIONS | NO_CLASS:
            return word, " ".join(words[:i]).lower(), " ".join(words[i + 1 :]).lower(), face
    return None


def _role(words: set[str]) -> str | None:
    if words & _LOGITS:
        return "logits"
    if words & _TRUTH:
        return "target_"
    if words & _VOTES:
        return "votes_"
    if words <= _SCORES:
        return "prob_" if words else ""
    return None


def _as_block(table: PredictionTable, families: list[_Family], role: str) -> PredictionTable:
    """The families of one role as one block; several faces of a picture give the largest face."""
    classes = tuple(families[0].columns.values())
    if any({canonical(c) for c in f.columns.values()} != {canonical(c) for c in classes} for f in families):
        return table
    if len(families) > 1 and len({f.face for f in families}) < len(families):
        return table  # "angry" beside "p_angry": which of the two is meant is not ours to say
    values = [stacked([_floats(table.columns[c]) for c in f.columns]) for f in families]
    chosen, note = (values[0], "") if len(values) == 1 else _largest(table, families, values)
    prefix = role or _meant(table, chosen, classes)
    if prefix is None or prefix in table.blocks:
        return table
    used = {c for f in families for c in (*f.columns, f"box{f.face}")}
    if prefix == "prob_":  # a model's answer "unknown" is an answer; a column of that name alone is anything
        kept = [k for k, c in enumerate(classes) if canonical(c) in EXPRESSIONS or role]
        chosen, classes = chosen[:, kept], tuple(classes[k] for k in kept)
    what = {"prob_": "the model's probabilities", "target_": "the annotated distribution", "votes_": "votes of people"}
    said = f"The columns {', '.join(families[0].columns)} were read as {what[prefix]}."
    columns = {name: column for name, column in table.columns.items() if name not in used}
    blocks = {**table.blocks, prefix: Block(classes, chosen)}
    return replace(table, columns=columns, blocks=blocks, notes=(*table.notes, said, *filter(None, [note])))


def _meant(table: PredictionTable, values: NDArray[Any], classes: Sequence[str]) -> str | None:
    """What columns that are called by the class alone are; None where they may be anything."""
    expressions = np.array([canonical(c) in EXPRESSIONS for c in classes])
    known = values[np.isfinite(values).all(1)]
    if not len(known):
        return None
    sums, shares = known.sum(1), known[:, expressions].sum(1)
    like_shares = (np.abs(shares - 1) < _ROUNDED).mean() > 0.5
    like_percent = (np.abs(shares - 100) < 100 * _ROUNDED).mean() > 0.5
    whole = bool((known == np.rint(known)).all())
    if whole and (known >= 0).all() and sums.max() > 1 and not like_percent:
        return "votes_"
    labelled = "label" in table.columns or "target_" in table.blocks
    answered = "pred" in table.columns or "prob_" in table.blocks
    if whole and like_shares and not labelled:
        return "target_"  # one column a class, 1 in one of them
    if answered and not (like_shares or like_percent):
        return None
    return "prob_"


def _largest(table: PredictionTable, families: list[_Family], values: list[NDArray[Any]]) -> tuple[NDArray[Any], str]:
    """The scores of each row's largest face, by the column ``box<number>``; of the first where there is none."""
    areas = []
    for family, scores in zip(families, values, strict=True):
        box = table.columns.get(f"box{family.face}")
        area = np.ones(table.n) if box is None else np.array([_area(str(b)) for b in box.tolist()])
        areas.append(np.where(np.isnan(scores).all(1), -1.0, area))
    best = np.argmax(np.stack(areas), axis=0)
    out = np.stack(values)[best, np.arange(table.n)]
    several = int(((np.stack(areas) >= 0).sum(0) > 1).sum())
    note = f"In {several:,} of {table.n:,} pictures the tool found several faces: the largest counts."
    return out, note if several else ""


def _area(box: str) -> float:
    """Width times height of ``[x y w h]`` or ``(x, y, w, h)``; 0 where it is none."""
    sides = [float(v) for v in re.findall(r"-?\d+(?:\.\d+)?", box)]
    return sides[2] * sides[3] if len(sides) == 4 else 0.0


def _floats(values: pd.Series[Any]) -> NDArray[Any]:
    small = values.dtype in (np.float16, np.float32)
    return values.to_numpy(np.float32 if small else np.float64, na_value=np.nan)
