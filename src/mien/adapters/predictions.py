"""Any model on the faces of a store: the same crops, labels, groups and units for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.adapters.python import python_model
from mien.data.images import Store
from mien.data.labelled import LabelledFaces, labelled_faces
from mien.errors import DataError, LabelError, UsageError
from mien.inference import FaceModel, Progress
from mien.labels import label_scheme
from mien.pictures.pixels import Images
from mien.records import Predictions
from mien.spellings import canonical

_SILENT = "no probability to any of the classes asked for"


def predictions_from(
    model: FaceModel | Callable[[Images], Any],
    store: Store,
    split: str | None = None,
    *,
    labels: str = "majority",
    classes: Sequence[str] = (),
    only: Sequence[str] = (),
    logits: bool = False,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> Predictions:
    """Run a model on faces of a store.

    The classes are those that labels and model share, as the store spells them, and then any that
    only the model knows: answering with one of these is wrong. Faces labelled with a class that the
    model does not know are left out. ``only`` narrows the classes: faces labelled with another are
    left out, and the model is read as if it could not answer otherwise (its probabilities of these
    classes are brought to sum 1; a face to which it gives none of them is left out), so that tools with
    different classes can be compared. What was left out stands in the predictions' notes.

    Args:
        model: A model of :data:`mien.adapters.ADAPTERS`, or a function from ``(B, H, W, C)`` uint8 to ``(B, K)``.
        store: The store.
        split: A split of the store's table; all faces by default.
        labels: The label scheme.
        classes: The classes of a plain function's outputs, in order.
        only: The classes to audit; two or more that labels and model share.
        logits: A plain function returns logits.
        batch_size: Most crops handed over at a time; the model's own by default.
        progress: Called with faces done and in all.

    Returns:
        One row a face; faces that the model did not find stand in ``undetected``.

    Raises:
        DataError: If no face remains, or the model does not return probabilities.
        LabelError: If labels and model share fewer than two classes.
        UsageError: If ``only`` names a class that they do not share, or the function's classes are not known.
    """
    if not isinstance(model, FaceModel):
        model = python_model(model, classes=classes, logits=logits)
    table = store.table if split is None else store.table.in_split(split)
    where = f"{store.path}:{split}" if split else str(store.path)
    audited = _audited(model, label_scheme(labels, table.vocabulary).classes, only, where)
    faces = labelled_faces(table, labels, audited, where=where, leave_out=True)

    def notes(kept: LabelledFaces, detected: NDArray[np.bool_] | None) -> list[str]:
        return _notes(kept, model, labels, only, detected)

    return predictions_on(model, store, faces, split, notes=notes, batch_size=batch_size, progress=progress)


def predictions_on(
    model: FaceModel,
    store: Store,
    faces: LabelledFaces,
    split: str | None,
    *,
    notes: Callable[[LabelledFaces, NDArray[np.bool_] | None], Sequence[str]],
    attributes: Mapping[str, NDArray[Any]] | None = None,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> Predictions:
    """What a model says of labelled faces: here every evaluation of every model passes.

    Args:
        model: The model; it knows all of the faces' classes.
        store: Their store.
        faces: The faces. Any to which the model gives no probability in their classes are left out.
        split: Their split, for the predictions' source; None for all.
        notes: Given the faces that remain, and ``(n,)`` whether each was found (None where the model does
            not look): what must be known of the predictions.
        attributes: Further columns of groups, name -> ``(n,)`` values.
        batch_size: Most crops handed over at a time; the model's own by default.
        progress: Called with faces done and in all.

    Raises:
        DataError: If no face remains, or the model does not return probabilities.
    """
    names = faces.table.frame["sample_id"].to_numpy(dtype=object)
    probs, numbers = model.answers(store.images, faces.rows, names, batch_size, progress)
    probs, columns = _in_classes(probs, model, faces.classes), dict(attributes or {})
    silent = np.asarray(np.isinf(probs).any(1))
    if silent.any():
        faces, probs, numbers = faces.where(~silent, _SILENT), probs[~silent], numbers[~silent]
        columns = {name: values[~silent] for name, values in columns.items()}
    if not len(probs):
        raise DataError(
            model.name, f"gave no face any probability in {', '.join(faces.classes)}", "some", "Leave 'only' out."
        )
    detected = np.asarray(~np.isnan(probs).all(1)) if model.detects else None
    return faces.predictions(
        probs,
        f"{model.name} on {store.path.name}:{split or 'all'}",
        detected=detected,
        attributes={**columns, **faces.quality(store.images)},
        notes=notes(faces, detected),
        numbers=pd.DataFrame(numbers, columns=list(model.numbers)) if model.numbers else None,
    )


def _audited(model: FaceModel, labelled: tuple[str, ...], only: Sequence[str], where: str) -> tuple[str, ...]:
    """The classes of the predictions, as the labels spell them."""
    of_model = {canonical(c) for c in model.classes}
    if len(of_model) < len(model.classes):
        raise LabelError(model.name, f"has the classes {', '.join(model.classes)}", "each class once")
    shared = tuple(c for c in labelled if canonical(c) in of_model)
    if len(shared) < 2:
        raise LabelError(
            f"labels of {where}",
            f"the classes {', '.join(labelled)} share {len(shared)} with {model.name}",
            f"two or more of {', '.join(model.classes)}",
        )
    if not only:
        known = {canonical(c) for c in labelled}
        return (*shared, *(c for c in model.classes if canonical(c) not in known))
    wanted = {canonical(c) for c in only}
    odd = wanted - {canonical(c) for c in shared}
    if odd or len(wanted) < 2:
        found = f"names {', '.join(sorted(odd))}" if odd else "names fewer than two classes"
        raise UsageError("only", found, f"two or more of {', '.join(shared)}, which labels and {model.name} share")
    return tuple(c for c in shared if canonical(c) in wanted)


def _in_classes(probs: NDArray[np.float64], model: FaceModel, audited: tuple[str, ...]) -> NDArray[np.float64]:
    """Columns in the order of the audited classes, brought to sum 1 where some were cut.

    A row without probability in any of them (a tool that rounds may give one) is infinite.
    """
    place = {canonical(c): k for k, c in enumerate(model.classes)}
    cut = probs[:, [place[canonical(c)] for c in audited]]
    if len(audited) == len(model.classes):
        return cut
    total = cut.sum(1, keepdims=True)
    return np.where(total == 0, np.inf, cut / np.where(total == 0, 1.0, total))


def _notes(
    faces: LabelledFaces,
    model: FaceModel,
    labels: str,
    only: Sequence[str],
    detected: NDArray[np.bool_] | None,
) -> list[str]:
    notes, audited = [], faces.classes
    for reason, n in faces.left_out.items():
        if reason == _SILENT:
            notes.append(f"{n} faces are left out: {model.name} gave {reason}.")
        elif reason.startswith("labelled "):
            why = "not among the classes asked for" if only else f"not a class of {model.name}"
            notes.append(f"{n} faces {reason} are left out: {why}.")
        else:
            notes.append(f"{n} faces have no label under {labels!r}: {reason}.")
    cut = [c for c in model.classes if canonical(c) not in {canonical(a) for a in audited}]
    if cut:
        notes.append(f"{model.name} could also answer {', '.join(cut)}: its probabilities of the others were rescaled.")
    counts = np.bincount(faces.targets.argmax(1), minlength=len(audited))
    never = [c for c, n in zip(audited, counts, strict=True) if not n]
    if never:
        notes.append(f"No face is labelled {', '.join(never)}: answering so counts as wrong.")
    if detected is not None:
        notes.append(f"{model.name} found no face in {int((~detected).sum())} of {len(detected)} crops.")
    return notes
