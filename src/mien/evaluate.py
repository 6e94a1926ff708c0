"""``evaluate``: a run's weights on any split of any store, with copies of training faces set apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.audit import ClassResult, class_results, summary_estimates
from mien.data.images import Store
from mien.data.splits import TEST, TRAIN, VALIDATION, split_units
from mien.errors import DataError, LabelError
from mien.labels import canonical, label_scheme
from mien.models.weights import Classifier
from mien.records import Estimate, Predictions
from mien.runs import COPY_COLUMN, PREDICTIONS, Run
from mien.samples import SampleTable


@dataclass(frozen=True)
class Evaluation:
    """A model's results on some faces.

    Attributes:
        name: Name of the evaluation within the run: the split, or store and split.
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


def parse_on(on: str) -> tuple[Path, str | None]:
    """``STORE:split`` -> store and split; the split is None where there is none."""
    if Path(on).exists():
        return Path(on), None
    path, separator, split = on.rpartition(":")
    return (Path(path), split) if separator else (Path(on), None)


def evaluate(
    run: Run,
    on: str | None = None,
    *,
    device: str = "cpu",
    n_boot: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int | None], None] | None = None,
) -> Evaluation:
    """Evaluate a run and write ``predictions/<name>.parquet`` and the record's estimates.

    Args:
        run: The run.
        on: ``STORE:split``, or a store; by default the run's own test faces, or where it has none,
            its validation faces.
        device: Where to compute.
        n_boot: Bootstrap replicates of the intervals.
        seed: Seed of the bootstrap.
        progress: Called with faces done and in all.

    Returns:
        The evaluation.

    Raises:
        DataError: If the store or split is not there, or no face has a label.
        LabelError: If the labels there are not the model's classes.
    """
    classifier = Classifier.load(run.path, device)
    record = run.record
    splits = run.splits
    if on is None:
        split: str | None = TEST if (splits["split"] == TEST).any() else VALIDATION
        store = Store.open(record.data["store"])
    else:
        path, split = parse_on(on)
        store = Store.open(path)
    same = store.fingerprint == record.data["fingerprint"]
    table = _faces(store, split, run, same)
    scheme = label_scheme(run.config.labels.evaluate or run.config.labels.train, table.vocabulary)
    order = _class_order(scheme.classes, classifier.card.classes, store)
    targets = scheme.targets(table.votes, table.vocabulary)
    if not targets.keep.any():
        raise DataError(f"{store.path}:{split}", "no face has a label", f"faces that {scheme.name!r} can label")
    copies, chosen_on = (_shared(table, run, same, part)[targets.keep] for part in (TRAIN, VALIDATION))
    kept = table.where(targets.keep, "labelled")
    rows = kept.frame["image"].to_numpy(np.int64)
    probs = classifier.probabilities(store.images, rows, progress=progress)
    truth = targets.probs[targets.keep].astype(np.float64)[:, order]
    votes = scheme.class_votes(kept.votes, kept.vocabulary)
    groups = [c for a in kept.attributes for c in (a, f"{a}_source", f"{a}_confidence") if c in kept.frame]
    predictions = Predictions(
        kept.frame["sample_id"].to_numpy(dtype=object),
        classifier.card.classes,
        truth.argmax(1).astype(np.int64),
        probs.argmax(1).astype(np.int64),
        probs,
        truth,
        None if votes is None else votes[:, order],
        kept.frame[groups].assign(**{COPY_COLUMN: np.where(copies, "yes", "no")}),
        split_units(kept),
        rows,
        f"{run.path.name} on {store.path.name}:{split or 'all'}",
    )
    name = (split or "all") if same else f"{store.path.name}-{split or 'all'}"
    some = 0 < copies.sum() < len(copies)
    evaluation = Evaluation(
        name,
        f"{store.path}:{split}" if split else str(store.path),
        predictions,
        copies,
        int(chosen_on.sum()),
        same,
        store.fingerprint,
        summary_estimates(predictions, n_boot=n_boot, seed=seed),
        summary_estimates(predictions.select(~copies), n_boot=n_boot, seed=seed) if some else {},
        class_results(predictions, n_boot=n_boot, seed=seed),
        len(table) - len(kept),
    )
    _write(run, evaluation)
    return evaluation


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


def _class_order(classes: tuple[str, ...], wanted: tuple[str, ...], store: Store) -> list[int]:
    """Where each class of the model stands among the scheme's classes; two spellings of one class are equal."""
    names = [canonical(c) for c in classes]
    if sorted(names) != sorted(canonical(c) for c in wanted):
        raise LabelError(
            f"labels of {store.path}", f"classes {', '.join(classes)}", f"those of the model: {', '.join(wanted)}"
        )
    return [names.index(canonical(c)) for c in wanted]


def _shared(table: SampleTable, run: Run, same: bool, part: str) -> NDArray[np.bool_]:
    """Faces of a part of the run, or copies of them: by cluster on the run's own store, else byte for byte."""
    used = run.splits[run.splits["split"] == part]
    key = "cluster" if same else "hash"
    return table.frame[key].isin(set(used[key])).to_numpy()


def _write(run: Run, evaluation: Evaluation) -> None:
    folder = run.path / PREDICTIONS
    folder.mkdir(exist_ok=True)
    evaluation.predictions.save(folder / f"{evaluation.name}.parquet")
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
