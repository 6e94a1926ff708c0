"""Checks of the columns beside annotation and prediction: what they say that an audit must not overlook.

Faces that the model was trained on, persons under a name that Mien does not know, groups under two
words. Each ends in a sentence with the number of faces and what to do, as in :mod:`mien.audit.table_checks`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from mien.audit.attributes import missing_words
from mien.missing import missing_mask
from mien.prediction_tables.columns import NO, YES
from mien.prediction_tables.repeats import PICTURE_COLUMNS
from mien.records import Predictions
from mien.spellings import folded, same_group
from mien.wording import listed

LOST = 0.05  # share of the faces whose group was taken for missing, from which on it is said first
_SPLITS = {
    "train": ("train", "training", "trn", "fit"),
    "validation": ("val", "valid", "validation", "dev", "development", "publictest", "public test"),
    "test": ("test", "testing", "tst", "eval", "evaluation", "holdout", "held-out", "privatetest", "private test"),
}
_SPLIT_OF = {word: name for name, words in _SPLITS.items() for word in words}
_SET = re.compile(r"[ _-]*(?:set|split|data|part|subset)$")  # "training set", "testset"
_TRAINED_ON = ("istrain", "istraining", "intrain", "intraining", "trainset", "train", "training", "usedfortraining")
_MOST_WORDS = 2 * len(_SPLIT_OF)  # a column with more distinct words names no splits
_SLASHES = re.compile(r"[\\/]+")
_NUMBERED = re.compile(r"(train|training|test|val|valid|validation)[_-]?\d+.*")  # RAF-DB: train_00001.jpg
_PERSONS = (
    *("subject", "person", "participant", "actor", "speaker", "user", "patient", "individual", "celebrity"),
    *("video", "clip", "track", "tracklet", "movie", "film", "sequence"),
)
_PERSON_NAME = re.compile(rf"(?:{'|'.join(_PERSONS)})(?:id|ids|name|number|no|nr|index)?")
_RECUR = 0.9  # values a known face: where more are, each face is nearly a person of its own


def column_warnings(pred: Predictions, by: Sequence[str] = ()) -> list[str]:
    """What the columns beside annotation and prediction put in doubt, in sentences.

    Args:
        pred: The predictions.
        by: Specifications of the attributes in question, as for :func:`mien.audit.attributes.resolve_attributes`.
    """
    asked = list(dict.fromkeys(part.strip() for spec in by for part in spec.split("*")))
    return [*_learnt_from(pred), *_persons(pred, asked), *_lost_groups(pred, asked), *_synonyms(pred, asked)]


def _learnt_from(pred: Predictions) -> Iterator[str]:
    """Faces that the model was trained on, alone or beside others."""
    told = False
    for name in pred.groups.columns:
        splits = _trained_on(pred.groups[name]) if _plain(name) in _TRAINED_ON else _splits(pred.groups[name])
        told |= bool(splits)
        if "train" in splits:
            yield _learnt_sentence(f"The column '{name}' says", splits, len(pred))
    if told:
        return  # a column of splits knows better than folders, which may be older
    pictures = [(str(c), pred.groups[c]) for c in pred.groups.columns if str(c).lower() in PICTURE_COLUMNS]
    if pred.image is None:  # ids of Mien's own stores keep the folders of a corpus that was split anew
        pictures.append(("sample_id", pd.Series(pred.sample_id)))
    for name, column in pictures:
        splits = _splits_of_paths(column)
        if "train" in splits:
            yield _learnt_sentence(f"The names in '{name}' say", splits, len(pred))
            return


def _learnt_sentence(who: str, splits: dict[str, int], n: int) -> str:
    said = ", ".join(f"{count:,} {split}" for split, count in splits.items())
    return (
        f"{who} that {splits['train']:,} of {n:,} faces are of the training split ({said}): a model does better on "
        "faces that it learnt from, and gaps on them say little of new faces. "
        + (
            "Keep the rows of one split that the model has not seen."
            if len(splits) > 1
            else "Audit faces that are new to it."
        )
    )


def _splits(column: pd.Series[Any]) -> dict[str, int]:
    """Split -> faces, of a column that holds nothing but names of splits; empty otherwise."""
    if pd.api.types.is_numeric_dtype(column) or column.nunique() > _MOST_WORDS:
        return {}
    found: dict[str, int] = {}
    for word, n in _known(column).items():
        split = _split_of(word)
        if not split:
            return {}
        found[split] = found.get(split, 0) + n
    return {s: found[s] for s in _SPLITS if s in found}


def _split_of(word: str) -> str:
    """``train``, ``validation`` or ``test`` for the usual words, with or without *set*; empty for any other."""
    plain = folded(word).removeprefix("fer2013").strip("_- ")
    return _SPLIT_OF.get(plain) or _SPLIT_OF.get(_SET.sub("", plain), "")


def _trained_on(column: pd.Series[Any]) -> dict[str, int]:
    """Faces of the training split and others, of a column such as ``is_train`` that says yes or no; else empty."""
    if column.nunique() > len(YES) + len(NO):
        return {}
    known = _known(column)
    words = {folded(w) for w in known}
    if not words or not words <= {*YES, *NO}:
        return _splits(column)
    n = sum(count for w, count in known.items() if folded(w) in YES)
    rest = sum(known.values()) - n
    return {split: count for split, count in (("train", n), ("other", rest)) if count}


def _splits_of_paths(column: pd.Series[Any]) -> dict[str, int]:
    """Split -> pictures whose path says so: by its first folder or its file's name, or by a folder beside others'."""
    if pd.api.types.is_numeric_dtype(column):
        return {}
    texts = column.astype(object).dropna().astype(str)
    if not texts.str.contains("train|trn", case=False, regex=True).any():
        return {}
    first: dict[str, int] = {}
    inner: dict[str, int] = {}
    for text in texts:
        *folders, file = _SLASHES.split(text.strip().lower().removeprefix("./"))
        folders = [f for f in folders if f != "fit"]  # in a path this is a body's state as well
        numbered = _NUMBERED.fullmatch(file)
        top = _split_of(folders[0]) if folders else ""
        top = top or (_split_of(numbered.group(1)) if numbered else "")
        any_of_them = top or next((s for f in reversed(folders) if (s := _split_of(f))), "")
        for found, split in ((first, top), (inner, any_of_them)):
            if split:
                found[split] = found.get(split, 0) + 1
    # A folder 'train' deep in all paths may be a matter of where the files lie; beside 'test' it is a split.
    chosen = inner if len(inner) > 1 else first
    return {s: chosen[s] for s in _SPLITS if s in chosen}


def _persons(pred: Predictions, asked: Sequence[str]) -> Iterator[str]:
    """Columns that look like persons or videos, in a table that says nowhere which faces belong together."""
    if pred.cluster is not None:
        return
    columns = {part.partition(":")[0] for part in asked}
    found = [c for c in pred.groups.columns if c not in columns and _PERSON_NAME.fullmatch(_plain(c))]
    said = {str(c): sizes for c in found if (sizes := _recurring(pred.groups[c]))}
    if not said:
        return
    name, (n_values, n) = next(iter(said.items()))
    more = f" (and so {'does' if len(said) == 2 else 'do'} {_quoted(list(said)[1:])})" if len(said) > 1 else ""
    yield (
        f"The column '{name}' looks like persons or videos{more}: {n_values:,} values stand in {n:,} rows. Faces of "
        "one person are not independent, but here each counts as independent: intervals are too narrow, and a chance "
        "gap may look like a finding. Call the column 'identity' (persons) or 'cluster' (pictures, videos)."
    )


def _recurring(column: pd.Series[Any]) -> tuple[int, int] | None:
    """Distinct values and rows of a column whose values recur as names of persons do; None for any other."""
    if pd.api.types.is_float_dtype(column) and not (column.dropna() % 1 == 0).all():
        return None
    if pd.api.types.is_datetime64_any_dtype(column) or column.nunique() > _RECUR * len(column):
        return None
    known = _known(column, cluster=True)
    if len(known) < 2 or {folded(w) for w in known} <= {*YES, *NO}:
        return None  # whether the face is of a video, or speaks
    n = sum(known.values())
    return (len(known), n) if len(known) < _RECUR * n else None


def _lost_groups(pred: Predictions, asked: Sequence[str]) -> Iterator[str]:
    """Attributes of which more than a twentieth of the faces say a word that means missing."""
    for name in (p for p in asked if p in pred.groups.columns):
        words = missing_words(pred.groups[name])
        n = sum(words.values())
        if n > LOST * len(pred):
            said = ", ".join(f"{w!r}" for w in sorted(words, key=lambda w: -words[w])[:4])
            yield (
                f"{n:,} of {len(pred):,} faces take no part in what is said of {name}: their cells hold {said}, which "
                "was taken for 'not known'. If that is a group of its own, give it another name."
            )


def _synonyms(pred: Predictions, asked: Sequence[str]) -> Iterator[str]:
    """Groups of an attribute that two usual words name: they are not joined, for a table may mean two things."""
    for name in (p for p in asked if p in pred.groups.columns):
        column = pred.groups[name]
        if pd.api.types.is_numeric_dtype(column) or column.nunique() > len(column) / 2:
            continue
        known = _known(column, group=True)
        for words in same_group(sorted(known, key=lambda w: -known[w])):
            n = sum(known[w] for w in words)
            yield (
                f"{_quoted(words)} in the column '{name}' may be one group; they count as {_count(len(words))} "
                f"({n:,} faces in all). If they mean the same, write one word for all of them."
            )


def _known(column: pd.Series[Any], *, group: bool = False, cluster: bool = False) -> dict[str, int]:
    """Word -> rows, without those that mean missing."""
    counts = column.astype(object).value_counts()
    words = [str(w).strip() for w in counts.index]
    gone = missing_mask(words, group=group, cluster=cluster)
    found: dict[str, int] = {}
    for word, n, absent in zip(words, counts.tolist(), gone, strict=True):
        if not absent:
            found[word] = found.get(word, 0) + int(n)
    return found


def _plain(name: object) -> str:
    """A column's name without case, blanks and signs: ``Subject-ID`` -> ``subjectid``."""
    return re.sub(r"[\W_]+", "", str(name).lower())


def _quoted(words: Sequence[str]) -> str:
    return listed(f"'{w}'" for w in words)


def _count(n: int) -> str:
    return {2: "two", 3: "three", 4: "four"}.get(n, str(n))
