"""From the database to tables: the raw log, judgements in long form, faces with votes, a store's table with both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mien.agreement.votes import Votes
from mien.data.images import Store, StoreWriter
from mien.data.splits import split_units
from mien.errors import DataError, UsageError
from mien.labelling.database import LabelDatabase
from mien.labelling.schema import annotators, labels, sa
from mien.labelling.task import UNSURE
from mien.labels import NOT_EXPRESSIONS
from mien.samples import ANNOTATED, SampleTable, Step

_CHUNK = 4096
LABELS_BY_PEOPLE = "labels by people"


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
    units = None
    if table is not None:
        of = dict(zip(table.frame["sample_id"], split_units(table), strict=True))
        units = frame["face"].map(of).to_numpy(np.int64)
    return Votes.from_rows(
        frame["face"].to_numpy(dtype=object),
        frame["annotator"].to_numpy(dtype=object),
        frame[[f"votes_{w}" for w in words]].to_numpy(np.float64),
        words,
        cluster=units,
        seconds=frame["seconds"].to_numpy(np.float64),
        source=database.where,
    )


def face_frame(database: LabelDatabase) -> pd.DataFrame:
    """One row for each face that has a label, in the order of the queue.

    Returns:
        Columns ``face, n_labels, votes_<class>, votes_unknown, votes_nf`` (sums over annotators),
        ``intensity_<class>`` (means over who gave one), and for each attribute ``<attribute>`` (the group
        named most often; missing in a tie, or where nobody named one) with ``<attribute>_source``
        (``annotated``) and ``<attribute>_confidence``: the share of those who answered, "unsure"
        included, that named it.
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
    rename: Mapping[str, str] | None = None,
) -> SampleTable:
    """A store's table with the votes of people in place of its own, and the attributes they perceived.

    Args:
        table: The store's faces.
        database: Their labels.
        unlabelled: ``drop`` leaves faces without a label out; ``keep`` keeps them, with no votes.
        rename: Attribute of the task -> its column, where the table has one of that name.

    Returns:
        A table whose vocabulary is the task's classes, ``unknown`` and ``nf``.

    Raises:
        DataError: If no face has a label, or an attribute's column is there already (an audit refuses
            columns that mix sources).
        UsageError: On another word for ``unlabelled``.
    """
    if unlabelled not in ("drop", "keep"):
        raise UsageError("unlabelled", repr(unlabelled), "'drop' or 'keep'")
    asked = [a.name for a in database.task.attributes]
    to = {name: (rename or {}).get(name, name) for name in asked}
    taken = [new for new in to.values() if new in table.frame]
    if taken:
        raise DataError(
            table.name,
            f"has a column {taken[0]!r} already",
            "a new name for what people said",
            f"Rename it, e.g. rename={{{taken[0]!r}: 'labelled_{taken[0]}'}}: sources are never mixed in a column.",
        )
    faces = face_frame(database).set_index("face")
    if not len(faces):
        raise DataError(database.where, "holds no label yet", "faces with labels")
    suffixes = ("", "_source", "_confidence")
    faces = faces.rename(columns={f"{old}{s}": f"{new}{s}" for old, new in to.items() for s in suffixes})
    own = [f"votes_{v}" for v in table.vocabulary]
    kept = table.frame.drop(columns=own)
    kept = kept[kept["sample_id"].isin(faces.index)] if unlabelled == "drop" else kept
    votes = [f"votes_{w}" for w in vocabulary(database)]
    merged = kept.join(faces[[*votes, *(f"{new}{s}" for new in to.values() for s in suffixes)]], on="sample_id")
    merged[votes] = merged[votes].fillna(0.0).astype(np.float64)
    step = Step(
        LABELS_BY_PEOPLE,
        len(table),
        len(merged),
        {"unlabelled": unlabelled, "rename": to},
        {"database": database.id, "labels": int(faces["n_labels"].sum()), "faces": len(faces)},
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
    rename: Mapping[str, str] | None = None,
) -> Store:
    """A new store with the labels of people; see :func:`merge_labels`.

    Raises:
        UsageError: If ``out`` exists and ``force`` is not given, or the database labels another store.
    """
    database.check_store(store)
    table = merge_labels(store.table, database, unlabelled=unlabelled, rename=rename)
    rows = table.frame["image"].to_numpy(np.int64)
    with StoreWriter(Path(out), force) as writer:
        for start in range(0, len(rows), _CHUNK):
            writer.append(store.images[rows[start : start + _CHUNK]])
        table = replace(table, frame=table.frame.assign(image=np.arange(len(rows))))
        info = {k: v for k, v in store.info.items() if k not in ("format", "n", "shape", "fingerprint")}
        return writer.commit(table, {**info, "vocabulary": table.vocabulary, "attributes": table.attributes})


def _columns(database: LabelDatabase) -> list[str]:
    task = database.task
    return [
        *("submission_id", "face", "annotator", "state", "created", "undone", "seconds", "not_a_face"),
        *(f"votes_{w}" for w in vocabulary(database)),
        *(f"intensity_{c}" for c in task.classes if task.intensity),
        *(a.name for a in task.attributes),
    ]


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
    out[f"{attribute}_source"] = out[attribute].notna().map({True: ANNOTATED, False: None})
    return out
