"""``evaluate``: a run's weights on any split of any store, with copies of training faces set apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.adapters.loading import run_model
from mien.adapters.predictions import predictions_on
from mien.audit import ClassResult, class_results, summary_estimates
from mien.data.class_notes import class_notes, present_classes
from mien.data.group_columns import group_column
from mien.data.images import Store
from mien.data.labelled import LabelledFaces, labelled_faces, parse_on
from mien.data.splits import TEST, TRAIN, VALIDATION
from mien.errors import DataError
from mien.inference import Progress, batches, refuse_not_finite, softmax
from mien.outputs import check_folder, whole
from mien.records import Estimate, Predictions
from mien.registry import nearest
from mien.runs import COPY_COLUMN, FEATURES, PREDICTIONS, TOLD, Run
from mien.runs import SPLITS as SPLITS_FILE
from mien.samples import SampleTable
from mien.spellings import attribute_name, same_groups
from mien.stats.settings import Settings
from mien.wording import listed

GIVEN = "was told to the network"  # of a note that counts faces whose group it was told


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A model's results on some faces.

    Attributes:
        name: Name of the evaluation within the run: the split, or the folder of the store and the split; with the
            first digits of the store's fingerprint where an evaluation on another store has that name already.
        taken: That name; empty where it was free.
        on: ``STORE:split`` as evaluated.
        predictions: One row a face.
        copies: ``(n,)`` bool, faces that are copies of training faces.
        n_validation: Faces that helped to choose the weights, or are copies of such.
        near_copies_known: Whether copies by look count too (on the run's own store); elsewhere only
            byte-for-byte copies are found.
        fingerprint: That of the store.
        all: Metric -> Estimate over all faces.
        without_copies: The same over faces that are no copies; empty where there are none or all are.
        per_class: Recall, precision and F1 of each class, over all faces.
        n_dropped: Faces of the split that the label scheme cannot label.
        features: ``(n, D)`` what the model's head sees of each face, or None if not asked for.
    """

    name: str
    on: str
    predictions: Predictions
    copies: NDArray[np.bool_]
    n_validation: int
    near_copies_known: bool
    fingerprint: str
    all: dict[str, Estimate]
    without_copies: dict[str, Estimate]
    per_class: list[ClassResult]
    n_dropped: int
    features: NDArray[np.float32] | None = None
    taken: str = ""

    @property
    def renamed(self) -> str:
        """What a user must know of the name, in a line; empty where it is as expected."""
        if not self.taken:
            return ""
        return f"{self.taken} is an evaluation on another store already: this one is called {self.name}"


def evaluate(
    run: Run,
    on: str | None = None,
    *,
    device: str = "cpu",
    settings: Settings = Settings(n_boot=1000),
    features: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate a run and write ``predictions/<name>.parquet`` and the record's estimates.

    An earlier one of that name on the same store is replaced. One on another store (stores are told apart by their
    fingerprints, not by their folders) stays, and the new one is called ``ferplus-test-1a2b3c`` or the like.

    Args:
        run: The run.
        on: ``STORE:split``, or a store; by default the run's own test faces, or where it has none,
            its validation faces.
        device: Where to compute.
        settings: Replicates, seed.
        features: Also write ``features/<name>.npz``: ``sample_id`` and ``features``, row by row as in
            the predictions. Without it, features of an earlier evaluation of this name are removed.
        progress: Called with faces done and in all.

    Returns:
        The evaluation.

    Raises:
        DataError: If the store or split is not there, or no face has a label; or the run's own store is not as it was.
        LabelError: If the labels there are not the model's classes.
        DataError: If an output of the model is not finite.
    """
    check_folder(run.path / PREDICTIONS)
    model = run_model(run.path, device=device)
    asked = asked_faces(run, on, model.classes)
    store, faces, split, copies = asked.store, asked.faces, asked.split, asked.copies
    predictions = predictions_on(
        model,
        store,
        faces,
        split,
        notes=lambda kept, detected: _notes(kept.targets, kept.classes),
        attributes={COPY_COLUMN: np.where(copies, "yes", "no")},
        progress=progress,
    )
    wanted = (split or "all") if asked.same else f"{store.path.name}-{split or 'all'}"
    name = _free_name(run, wanted, store.fingerprint)
    some = 0 < copies.sum() < len(copies)
    evaluation = Evaluation(
        name=name,
        on=asked.where,
        predictions=predictions,
        copies=copies,
        n_validation=0 if run.config.train.monitor == "last" else int(asked.chosen_on.sum()),
        near_copies_known=asked.same,
        fingerprint=store.fingerprint,
        all=summary_estimates(predictions, settings=settings),
        without_copies=summary_estimates(predictions.select(~copies), settings=settings) if some else {},
        per_class=class_results(predictions, settings=settings),
        n_dropped=asked.n - len(faces.table),
        features=model.features(store.images, faces.rows, progress) if features else None,
        taken=wanted if name != wanted else "",
    )
    _write(run, evaluation)
    return evaluation


def evaluate_given(
    run: Run,
    on: str | None = None,
    attributes: Mapping[str, str] | None = None,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Predictions:
    """A run of the model ``conditioned``, told the attributes of each face in place of those that it tells: the oracle.

    Beside the run's own predictions on the same faces, it shows what errors of the attributes' heads cost. A face whose
    group is missing, or is none that the network learnt (none by that name, or one that no training face had), is
    judged as ever, and a note counts these. Groups are the same in any spelling (``Male``, ``male``). Nothing is
    written: save what is returned (``.save(path)``), and audit or compare it as any other predictions.

    Args:
        run: The run.
        on: As in :func:`evaluate`.
        attributes: Attribute of the network, or intersection, -> that of the store that says it; all of the network's,
            by the same name, if None. What is left out is not told: ``{}`` tells nothing.
        device: Where to compute.
        progress: Called with faces done and in all.

    Raises:
        UsageError: If the run's network knows no attributes, or not this one.
        DataError: If the store has not such an attribute, no face of a known group, or an output is not finite.
    """
    from mien.models.given import GivenModel  # torch: what else stands here does without

    model = GivenModel.load(run.path, device)
    asked = asked_faces(run, on, model.classes)
    faces, names = asked.faces, asked.faces.table.frame["sample_id"].to_numpy(dtype=object)
    given, notes = {}, _notes(faces.targets, faces.classes)
    for attribute, column in ({name: name for name in model.groups} if attributes is None else attributes).items():
        name, groups = attribute_name(attribute), model.groups_of(attribute)
        given[name], note = _given(faces.table, column, groups, model.untaught.get(name, ()))
        notes.append(note)
    logits = np.empty((len(names), len(model.classes)))
    for part, crops in batches(asked.store.images, faces.rows, model.batch_size, progress):
        logits[part] = model.logits(crops, {name: groups[part] for name, groups in given.items()})
    refuse_not_finite(logits, names, run.path.name)
    return faces.predictions(
        softmax(logits),
        f"{run.path.name} on {asked.store.path.name}:{asked.split or 'all'}, told {' and '.join(given) or 'nothing'}",
        attributes={COPY_COLUMN: np.where(asked.copies, "yes", "no"), **faces.quality(asked.store.images)},
        notes=notes,
    )


def _given(
    table: SampleTable, column: str, groups: Sequence[str], untaught: Sequence[str]
) -> tuple[NDArray[np.float32], str]:
    """``(n, G)`` one-hot rows, all zero where the group is not known; and what a reader must know of them."""
    parts = attribute_name(column).split("*")
    for name in parts:
        if name not in table.attributes:
            fix = nearest(name, list(table.attributes))
            raise DataError(f"table {table.name!r}", f"has no attribute {name!r}", "", fix)
    words = group_column(table, column)
    place = same_groups(words.dropna().unique(), groups)
    told = np.array([word in place and groups[place[word]] not in untaught for word in words], dtype=bool)
    if not told.any():
        taught = ", ".join(group for group in groups if group not in untaught)
        raise DataError(f"attribute {column!r}", "no face has a group that the network knows", taught)
    rows = np.zeros((len(table), len(groups)), np.float32)
    rows[told, [place[word] for word in words[told]]] = 1
    perceived = any(table.is_perceived(name) for name in parts)
    said = "was perceived, by a model or an onlooker, and" if perceived else "as annotated"
    return rows, f"{column} {said} {GIVEN} for {told.sum():,} faces{_not_told(words[~told], place)}"


def _not_told(words: pd.Series, place: Mapping[str, int]) -> str:
    """What to say of faces whose group was not told: how many, and why."""
    if words.empty:
        return ""
    strange = words.notna() & ~words.isin(list(place))
    why = {
        "of unknown group": words.isna(),
        "of groups that no training face had": words.notna() & ~strange,
        "of groups that it does not know": strange,
    }
    told = [
        f"{mask.sum():,} {reason}" + (f" ({listed(words[mask].unique(), 5)})" if words[mask].notna().any() else "")
        for reason, mask in why.items()
        if mask.any()
    ]
    return f"; of the other {len(words):,} the network's own word was taken: {listed(told)}"


@dataclass(frozen=True, kw_only=True)
class AskedFaces:
    """The faces that a run is evaluated on.

    Attributes:
        store: Their store.
        split: Their split; None for all.
        same: Whether it is the store that the run was trained on.
        where: Store and split, for messages.
        faces: Those that have a label.
        n: How many there are, with and without.
        copies: ``(m,)`` those that are copies of training faces.
        chosen_on: ``(m,)`` those that are validation faces, or copies of such.
    """

    store: Store
    split: str | None
    same: bool
    where: str
    faces: LabelledFaces
    n: int
    copies: NDArray[np.bool_]
    chosen_on: NDArray[np.bool_]


def asked_faces(run: Run, on: str | None, classes: Sequence[str]) -> AskedFaces:
    """The faces that a run is evaluated on, by its own label scheme.

    Args:
        run: The run.
        on: ``STORE:split``, or a store; None for its own test faces, or where it has none, its validation faces.
        classes: Its classes.

    Raises:
        DataError: If the store or split is not there, or no face has a label.
        LabelError: If the labels there are not these classes.
    """
    if on is None:
        split: str | None = TEST if (run.splits["split"] == TEST).any() else VALIDATION
        place, fingerprint = run.trained_on
        store = Store.open(place)
        if store.fingerprint != fingerprint:
            raise DataError(
                str(place),
                "holds other faces or labels than the run was trained on, whose held-out faces are not known there",
                "the store as it was",
                "Name what to evaluate on: --on STORE:split.",
            )
    else:
        path, split = parse_on(on)
        store = Store.open(path)
    same = store.fingerprint == run.trained_on[1]
    table = _faces(store, split, run, same)
    labels = run.config.labels.judged
    where = f"{store.path}:{split}" if split else str(store.path)
    faces = labelled_faces(table, labels.name, classes, where=where, options=labels.options)
    return AskedFaces(
        store=store,
        split=split,
        same=same,
        where=where,
        faces=faces,
        n=len(table),
        copies=_shared(faces.table, run, same, TRAIN),
        chosen_on=_shared(faces.table, run, same, VALIDATION),
    )


def _free_name(run: Run, wanted: str, fingerprint: str) -> str:
    """The name asked for, or where that is of an evaluation on another store, with digits of the fingerprint.

    Records of older versions may lack the fingerprint: what they hold is replaced, as it ever was.
    """
    there = run.record.estimates
    names = [wanted, *(f"{wanted}-{fingerprint[:digits]}" for digits in (6, 12))]
    free = (n for n in names if there.get(n, {}).get("fingerprint", "") in ("", fingerprint))
    return next(free, f"{wanted}-{fingerprint}")


def _notes(targets: NDArray[np.floating], classes: tuple[str, ...]) -> list[str]:
    """What must be known of the classes of these faces."""
    return class_notes(present_classes(targets, classes), "evaluated face", "how often it is found is not known")


def _faces(store: Store, split: str | None, run: Run, same: bool) -> SampleTable:
    """The rows asked for: by the run's own split names on the run's own store, else by the corpus's."""
    if split is None:
        return store.table
    own = run.splits
    own = own[own["split"] == split]
    if same and len(own):
        wanted = store.table.frame["sample_id"].isin(set(own["sample_id"])).to_numpy()
        return store.table.where(wanted, "run split", split=split)
    return store.table.in_split(split)


def _shared(table: SampleTable, run: Run, same: bool, part: str) -> NDArray[np.bool_]:
    """Faces of a part of the run, or copies of them: by cluster on the run's own store, else byte for byte."""
    splits, key = run.splits, "cluster" if same else "hash"
    for what, columns in ((run.path / SPLITS_FILE, splits.columns), (f"table {table.name!r}", table.frame.columns)):
        if key not in columns:
            raise DataError(str(what), f"the column {key!r} is missing", "what tells copies")
    used = splits[splits["split"] == part]
    return table.frame[key].isin(set(used[key])).to_numpy()


def _write(run: Run, evaluation: Evaluation) -> None:
    folder = run.path / PREDICTIONS
    features_path = run.path / FEATURES / f"{evaluation.name}.npz"
    for old in (features_path, run.path / TOLD / f"{evaluation.name}.parquet"):
        old.unlink(missing_ok=True)  # first, so that what is old never stands beside new predictions
    evaluation.predictions.save(folder / f"{evaluation.name}.parquet")
    if evaluation.features is not None:
        _write_features(features_path, evaluation.predictions.sample_id, evaluation.features)
    record = run.record
    record.estimates[evaluation.name] = {
        "on": evaluation.on,
        "n": len(evaluation.predictions),
        "n_copies": int(evaluation.copies.sum()),
        "n_validation": evaluation.n_validation,
        "near_copies_known": evaluation.near_copies_known,
        "fingerprint": evaluation.fingerprint,
        "n_dropped": evaluation.n_dropped,
        "all": {k: asdict(v) for k, v in evaluation.all.items()},
        "without_copies": {k: asdict(v) for k, v in evaluation.without_copies.items()},
        "per_class": [asdict(c) for c in evaluation.per_class],
    }
    run.save_record(record)


def _write_features(path: Path, sample_id: NDArray[Any], features: NDArray[np.float32]) -> None:
    """Write ``.npz``, at once or not at all."""
    with whole(path) as partial, open(partial, "wb") as file:
        np.savez(file, sample_id=sample_id.astype(str), features=features)
