"""From the database to tables: the raw log, judgements in long form, faces with votes, a store's table with both."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.agreement.alpha import NOMINAL, ORDINAL
from mien.agreement.votes import Votes
from mien.data.images import Store, StoreWriter
from mien.data.splits import split_units
from mien.errors import DataError, UsageError
from mien.labelling.database import LabelDatabase
from mien.labelling.schema import annotators, labels, sa
from mien.labelling.task import MAX_INTENSITY, UNSURE
from mien.labelling.voting import as_label, check_label
from mien.labels import NOT_EXPRESSIONS
from mien.registry import nearest
from mien.samples import PERCEIVED, SUGGESTED, VOTES_EACH, SampleTable, Step
from mien.spellings import canonical
from mien.web.refusals import Refused

_PARTS = ("", "_source", "_confidence")
_STRENGTH, _UNKNOWN = "intensity:", NOT_EXPRESSIONS[0]
LABELS_BY_PEOPLE = "labels by people"
SUGGESTIONS_SHOWN = (
    "Annotators were shown what a model said, which draws them to it: these labels must not measure that model."
)


def event_frame(database: LabelDatabase, *, names: bool = False) -> pd.DataFrame:
    """The raw log: one row for each label ever submitted, those that were taken back included.

    Args:
        database: The votes.
        names: Annotators by the names they gave, not by pseudonym.

    Returns:
        Columns ``submission_id, face`` (a sample_id)``, annotator, state`` (``current`` or ``undone``),
        ``created, undone`` (UTC, ISO 8601), ``seconds, not_a_face, votes_<class>, votes_unknown,
        votes_nf``, and where they were asked for ``intensity_<class>`` (missing where not given)
        and the attributes (a group, ``unsure``, or missing where not answered). Who says that a
        picture shows no face gives all of their votes to ``nf``.
    """
    who = annotators.c.name if names else annotators.c.pseudonym
    wanted = sa.select(labels, who.label("who")).join(annotators, annotators.c.id == labels.c.annotator)
    rows = database.read(lambda c: c.execute(wanted.order_by(labels.c.id)).mappings().all())
    _check_rows(database, rows)
    return pd.DataFrame([_event(database, row) for row in rows], columns=_columns(database))


def label_frame(database: LabelDatabase, *, names: bool = False) -> pd.DataFrame:
    """Judgements in long form: one row a face and annotator, without the labels that were taken back.

    The columns of :func:`event_frame` but ``submission_id``, ``state`` and ``undone``.
    """
    events = event_frame(database, names=names)
    current = events[events["state"] == "current"].reset_index(drop=True)
    return current.drop(columns=["submission_id", "state", "undone"])


def vocabulary(database: LabelDatabase) -> tuple[str, ...]:
    """The words that could be voted for: the classes, ``unknown`` and ``nf``."""
    return (*database.task.classes, *NOT_EXPRESSIONS)


def agreement_votes(database: LabelDatabase, table: SampleTable | None = None, *, names: bool = False) -> Votes:
    """The judgements as measures of agreement read them.

    Args:
        database: The votes.
        table: The store's table; copies of a picture and faces of a person are then one unit.
        names: Annotators by the names they gave.
    """
    frame = label_frame(database, names=names)
    words = vocabulary(database)
    return Votes.from_rows(
        frame["face"].to_numpy(dtype=object),
        frame["annotator"].to_numpy(dtype=object),
        frame[[f"votes_{w}" for w in words]].to_numpy(np.float64),
        words,
        cluster=_units(frame, table),
        seconds=frame["seconds"].to_numpy(np.float64),
        source=database.where,
    )


def asked_questions(database: LabelDatabase) -> dict[str, str]:
    """What was asked beside the expression: ``gender``, ``intensity:happiness``, ...; and how its answers differ.

    Returns:
        Question -> ``nominal``, or ``ordinal`` for intensities and for groups whose first numbers
        ascend, such as age bins.
    """
    task = database.task
    strength = {f"{_STRENGTH}{c}": ORDINAL for c in task.classes if task.intensity}
    return {a.name: ORDINAL if _ascending(a.groups) else NOMINAL for a in task.attributes} | strength


def question_votes(
    database: LabelDatabase, question: str, table: SampleTable | None = None, *, names: bool = False
) -> Votes:
    """The answers to one question of :func:`asked_questions`, as measures of agreement read them.

    An answer "unsure" is a vote for ``unknown``. Who gave no answer has not judged the face. Seconds are left
    out: they are those of a whole label.

    Args:
        database: The votes.
        question: The question.
        table: The store's table; copies of a picture and faces of a person are then one unit.
        names: Annotators by the names they gave.

    Raises:
        UsageError: If it was not asked.
    """
    asked = asked_questions(database)
    if question not in asked:
        expected = f"one of {', '.join(asked)}" if asked else "a task that asks for attributes or intensity"
        raise UsageError(f"question {question!r}", "was not asked", expected, nearest(question, list(asked)))
    frame = label_frame(database, names=names)
    if question.startswith(_STRENGTH):
        answers = frame[f"intensity_{question.removeprefix(_STRENGTH)}"].to_numpy(dtype=object)
        words = tuple(str(i) for i in range(MAX_INTENSITY + 1))
    else:
        groups = next(a.groups for a in database.task.attributes if a.name == question)
        words = (*(g for g in groups if canonical(g) != _UNKNOWN), _UNKNOWN)
        said = {UNSURE: _UNKNOWN, **{g: g if g in words else _UNKNOWN for g in groups}}
        answers = frame[question].map(said).to_numpy(dtype=object)
    return Votes.from_choices(
        frame["face"].to_numpy(dtype=object),
        frame["annotator"].to_numpy(dtype=object),
        answers,
        words,
        cluster=_units(frame, table),
        source=f"{database.where} {question}",
    )


def _units(frame: pd.DataFrame, table: SampleTable | None) -> NDArray[np.int64] | None:
    """Independent unit of each judgement's face."""
    if table is None:
        return None
    of = dict(zip(table.frame["sample_id"], split_units(table), strict=True))
    return np.asarray(frame["face"].map(of).to_numpy(np.int64))


def _ascending(groups: Sequence[str]) -> bool:
    numbers = [int(found.group()) for g in groups if (found := re.search(r"\d+", g))]
    return len(numbers) == len(groups) and all(a < b for a, b in pairwise(numbers))


def face_frame(database: LabelDatabase) -> pd.DataFrame:
    """One row for each face that has a label, in the order of the queue.

    Returns:
        Columns ``face, n_labels, votes_<class>, votes_unknown, votes_nf`` (sums over annotators),
        ``intensity_<class>`` (means over who gave one), and for each attribute ``<attribute>`` (the group
        named most often; missing in a tie, or where nobody named one) with ``<attribute>_source``
        (``perceived``: onlookers guessed it, however many agree) and ``<attribute>_confidence``: the share
        of those who answered, "unsure" included, that named it.
    """
    frame = label_frame(database)
    order = {face.sample_id: i for i, face in enumerate(database.faces)}
    grouped = frame.groupby("face", sort=False)
    out = grouped[[f"votes_{w}" for w in vocabulary(database)]].sum()
    out.insert(0, "n_labels", grouped.size())
    if database.task.intensity:
        out = out.join(grouped[[f"intensity_{c}" for c in database.task.classes]].mean())
    for attribute in database.task.attributes:
        out = out.join(_consensus(frame, attribute.name))
    return out.loc[sorted(out.index, key=order.__getitem__)].reset_index()


def merge_labels(
    table: SampleTable,
    database: LabelDatabase,
    *,
    unlabelled: str = "drop",
) -> SampleTable:
    """A store's table with the votes of people in place of its own, and the attributes they perceived.

    Args:
        table: The store's faces.
        database: Their labels.
        unlabelled: ``drop`` leaves faces without a label out; ``keep`` keeps them, with no votes.

    Returns:
        A table whose vocabulary is the task's classes, ``unknown`` and ``nf``. An attribute that the table
        has already gets a column ``labelled_<attribute>``: sources are never mixed in a column. The means
        of intensity stand in columns ``intensity_<class>``, which are no attributes. The last step of the
        history says all this; :func:`label_notes` puts it into words.

    Raises:
        DataError: If no face has a label.
        UsageError: On another word for ``unlabelled``.
    """
    if unlabelled not in ("drop", "keep"):
        raise UsageError("unlabelled", repr(unlabelled), "'drop' or 'keep'")
    faces = face_frame(database).set_index("face")
    if not len(faces):
        raise DataError(database.where, "holds no label yet", "faces with labels")
    to = _columns_for(table, [a.name for a in database.task.attributes])
    faces = faces.rename(columns={f"{old}{s}": f"{new}{s}" for old, new in to.items() for s in _PARTS})
    n_labels = int(faces.pop("n_labels").sum())
    own = {*faces.columns, *(f"votes_{v}" for v in table.vocabulary)}
    kept = table.frame.drop(columns=list(own), errors="ignore")
    kept = kept[kept["sample_id"].isin(faces.index)] if unlabelled == "drop" else kept
    votes = [f"votes_{w}" for w in vocabulary(database)]
    merged = kept.join(faces, on="sample_id")
    merged[votes] = merged[votes].fillna(0.0).astype(np.float64)
    step = Step(
        LABELS_BY_PEOPLE,
        len(table),
        len(merged),
        {"unlabelled": unlabelled},
        {
            "database": database.id,
            "labels": n_labels,
            VOTES_EACH: database.task.votes_per_face,
            "faces": len(faces),
            "columns": to,
            SUGGESTED: database.task.show_suggestion,
            "consent_version": database.task.consent_version,
        },
    )
    return replace(
        table,
        frame=merged.reset_index(drop=True),
        vocabulary=vocabulary(database),
        attributes=(*table.attributes, *to.values()),
        history=(*table.history, step),
    )


def write_labelled_store(
    store: Store,
    database: LabelDatabase,
    out: Path,
    *,
    force: bool = False,
    unlabelled: str = "drop",
) -> Store:
    """A new store with the labels of people; see :func:`merge_labels`.

    Raises:
        UsageError: If ``out`` is the store itself, or exists and ``force`` is not given, or the database labels
            another store.
    """
    database.check_store(store)
    refuse_out(store, out, force)
    table = merge_labels(store.table, database, unlabelled=unlabelled)
    rows = table.frame["image"].to_numpy(np.int64)
    with StoreWriter(Path(out), force) as writer:
        writer.copy(store, rows)
        table = replace(table, frame=table.frame.assign(image=np.arange(len(rows))))
        return writer.commit(
            table, {**store.description, "vocabulary": table.vocabulary, "attributes": table.attributes}
        )


def refuse_out(store: Store, out: Path, force: bool) -> None:
    """Refuse a place at which no labelled store can be written.

    Raises:
        UsageError: If it is the store itself, or exists and ``force`` is not given.
    """
    if Path(out).resolve() == store.path.resolve():
        raise UsageError(str(out), "is the store that was labelled", "a new store", "The database belongs to the old.")
    StoreWriter(Path(out), force)  # creates nothing before it is entered


def label_notes(table: SampleTable) -> list[str]:
    """What readers of a table of :func:`merge_labels` must know, in sentences."""
    detail = table.history[-1].detail
    notes = [
        f"The store has a column {old!r} already: what people said is in {new!r}."
        for old, new in detail["columns"].items()
        if new != old
    ]
    return notes + ([SUGGESTIONS_SHOWN] if detail[SUGGESTED] else [])


def _columns_for(table: SampleTable, attributes: list[str]) -> dict[str, str]:
    """Attribute of the task -> its column, where the table may have one of that name."""
    to: dict[str, str] = {}
    for name in attributes:
        new = name
        while any(f"{new}{part}" in table.frame for part in _PARTS) or (new != name and new in attributes):
            new = f"labelled_{new}"
        to[name] = new
    return to


def _columns(database: LabelDatabase) -> list[str]:
    task = database.task
    return [
        *("submission_id", "face", "annotator", "state", "created", "undone", "seconds", "not_a_face"),
        *(f"votes_{w}" for w in vocabulary(database)),
        *(f"intensity_{c}" for c in task.classes if task.intensity),
        *(a.name for a in task.attributes),
    ]


def _check_rows(database: LabelDatabase, rows: Sequence[sa.RowMapping]) -> None:
    """Refuse labels that the page would have refused: something else wrote them."""
    for row in rows:
        try:
            if row["face"] < 0:
                raise ValueError(f"it is of face {row['face']}")
            check_label(database.task, as_label(database, row))
        except (Refused, LookupError, TypeError, ValueError) as error:
            words = f"label {row['id']} is none that 'mien label' wrote: {error}"
            raise database.damaged(words) from error


def _event(database: LabelDatabase, row: sa.RowMapping) -> dict[str, Any]:
    task = database.task
    event: dict[str, Any] = {
        **{name: row[name] for name in ("submission_id", "created", "undone", "seconds", "not_a_face")},
        "face": database.faces[row["face"]].sample_id,
        "annotator": row["who"],
        "state": "undone" if row["withdrawn"] else "current",
        **{f"votes_{c}": row["votes"].get(c, 0) for c in task.classes},
        "votes_unknown": row["unknown"],
        "votes_nf": task.votes_per_face if row["not_a_face"] else 0,
    }
    if task.intensity:
        event |= {f"intensity_{c}": (row["intensity"] or {}).get(c, np.nan) for c in task.classes}
    return event | {a.name: row["attributes"].get(a.name) for a in task.attributes}


def _consensus(frame: pd.DataFrame, attribute: str) -> pd.DataFrame:
    """Most frequent group of each face, its source and the share that named it."""
    answered = frame[frame[attribute].notna()]
    counts = answered.groupby(["face", attribute]).size().unstack(fill_value=0)
    groups = counts.drop(columns=[UNSURE], errors="ignore")
    out = pd.DataFrame(index=pd.Index(frame["face"].unique(), name="face"))
    if groups.shape[1]:
        most = groups.max(axis=1)
        clear = (most > 0) & (groups.eq(most, axis=0).sum(axis=1) == 1)
        out[attribute] = groups.idxmax(axis=1).where(clear)
        out[f"{attribute}_confidence"] = (most / counts.sum(axis=1)).where(clear)
    else:
        out[attribute], out[f"{attribute}_confidence"] = None, np.nan
    out[f"{attribute}_source"] = out[attribute].notna().map({True: PERCEIVED, False: None})
    return out
