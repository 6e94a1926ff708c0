"""Checks of a table as a whole: faults that no single row shows, and that put every finding in doubt.

Each ends in a sentence with the number of faces and what to do, for people who know no Python. An
audit says these sentences before its finding, for the finding may be about the fault.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mien.audit.column_checks import column_warnings
from mien.audit.confounders import candidate_confounders, unknown
from mien.audit.exchanged_classes import LEAST, Z, exchanged
from mien.records import Predictions
from mien.spellings import folded
from mien.stats.cells import Ints
from mien.wording import listed, percent

Array = NDArray[np.float64]
_OFTEN, _LEAST = 0.05, LEAST  # a class is there often: a share of the faces, and a number of them
_COPY = 100  # faces that no model gets all right
_SURE = 0.99  # a probability below is a model's, not a copy of the annotation
_TIE = 1e-6
_CLEARLY = 0.2  # more faces that agree when counted alike than as the table stands


def table_warnings(pred: Predictions, by: Sequence[str] = (), faults: Sequence[str] | None = None) -> list[str]:
    """What puts every finding about these predictions in doubt, in sentences, the gravest first.

    Args:
        pred: The predictions.
        by: Specifications of the attributes in question, as for :func:`mien.audit.attributes.resolve_attributes`.
        faults: What :func:`class_faults` says, where it is known already.
    """
    faults = class_faults(pred) if faults is None else faults
    return list(dict.fromkeys([*faults, *pred.warnings, *column_warnings(pred, by)]))


def class_faults(pred: Predictions) -> list[str]:
    """Why annotated and predicted classes do not fit together, in sentences: then no number means a thing."""
    # One fault of the classes shows in several ways: the first check that sees it can say best what it is.
    checks: tuple[Callable[[Predictions], Iterator[str]], ...] = (
        _all_alike,
        _counted_from_another_base,
        _other_vocabularies,
        _exchanged_classes,
        _below_chance,
    )
    classes: list[str] = next((said for check in checks if (said := list(check(pred)))), [])
    return [*_against_probabilities(pred), *classes]


def table_notes(pred: Predictions) -> list[str]:
    """What a reader should know of the table as a whole but need not fear, in sentences."""
    missing = {c: unknown(pred.groups[c]) for c in candidate_confounders(pred)}
    notes = [f"'{c}' is not known for {n:,} of {len(pred):,} faces." for c, n in missing.items() if n]
    n = int(_not_largest(pred).sum())
    if not n or list(_against_probabilities(pred)):
        return notes
    return [
        *notes,
        f"For {n:,} of {len(pred):,} faces the predicted class is not the one with the largest probability, as where a "
        "threshold decides. The predicted class counts; calibration and top-2 go by the probabilities.",
    ]


def _not_largest(pred: Predictions) -> NDArray[np.bool_]:
    """``(n,)`` faces whose predicted class has less than the largest probability."""
    if pred.probs is None:
        return np.zeros(len(pred), dtype=np.bool_)
    own = pred.probs[np.arange(len(pred)), pred.predicted]
    return np.asarray(own < pred.probs.max(1) - _TIE, dtype=np.bool_)


def _counts(rows: Ints, columns: Ints, k: int) -> Ints:
    return np.bincount(rows * k + columns, minlength=k * k).reshape(k, k).astype(np.int64)


def _against_probabilities(pred: Predictions) -> Iterator[str]:
    """Predicted classes that are not those of the largest probability, as a rule or by exchanged columns."""
    if pred.probs is None:
        return
    off = _not_largest(pred)
    largest = np.where(off, pred.probs.argmax(1), pred.predicted)
    cycle = exchanged(_counts(pred.predicted, largest, len(pred.classes)))
    if off.sum() < _LEAST or (off.mean() <= 0.5 and not cycle):
        return
    right, by_largest = float((pred.labels == pred.predicted).mean()), float((pred.labels == largest).mean())
    columns = f", most of all for {listed(pred.classes[k] for k in cycle)}" if cycle and off.mean() <= 0.5 else ""
    if by_largest > right:
        mend = (
            "The names in 'pred' seem to come from another list of classes: write them anew from the model's own, or "
            "leave 'pred' out, and the largest probability decides."
        )
    else:
        mend = (
            "Most often the prob_<class> columns stand in another order than their names: write them anew from the "
            "model's own list of classes."
        )
    yield (
        f"The predicted class ('pred') is not the one with the largest probability for {int(off.sum()):,} of "
        f"{len(pred):,} faces{columns}: one of the two is wrong. By 'pred' the model is right for {percent(right, 0)} "
        f"of the faces, by the largest probability for {percent(by_largest, 0)}. {mend}"
    )


def _counted_from_another_base(pred: Predictions) -> Iterator[str]:
    """Classes that are numbers, counted from 0 on one side and from 1 on the other."""
    codes = [folded(c) for c in pred.classes]
    if not all(c.isdigit() for c in codes):
        return
    numbers = np.array([int(c) for c in codes], dtype=np.int64)
    labels, predicted = numbers[pred.labels], numbers[pred.predicted]
    ends = [(int(values.min()), int(values.max())) for values in (labels, predicted)]
    shift = ends[0][0] - ends[1][0]
    agree, shifted = float((labels == predicted).mean()), float((labels == predicted + shift).mean())
    # The last class of one side may be missing by chance: then the agreement must tell.
    sure = ends[0][1] - ends[1][1] == shift or shifted > 2 * agree + _CLEARLY
    if abs(shift) != 1 or shifted <= agree or not sure:
        return
    yield (
        f"The annotated classes are the numbers {ends[0][0]} to {ends[0][1]}, the predicted ones {ends[1][0]} to "
        f"{ends[1][1]}: one side counts from 0, the other from 1. As the table stands, {percent(agree, 0)} of "
        f"{len(pred):,} faces agree; counted alike, {percent(shifted, 0)} would. Write the names of the classes in "
        "both columns."
    )


def _other_vocabularies(pred: Predictions) -> Iterator[str]:
    """A class that is often annotated and never predicted, beside one often predicted and never annotated."""
    table = pred.confusion()
    annotated, predicted, n = table.sum(1), table.sum(0), len(pred)
    never_predicted = np.flatnonzero((predicted == 0) & (annotated >= _LEAST))
    never_annotated = np.flatnonzero((annotated == 0) & (predicted >= _LEAST))
    pairs = [
        (a, p)
        for a in never_predicted
        for p in never_annotated
        if min(annotated[a], predicted[p]) >= _OFTEN * n or table[a, p] > annotated[a] / 2
    ]
    if not pairs:
        return
    rows, columns = (list(dict.fromkeys(side)) for side in zip(*pairs, strict=True))
    one, other = (listed((pred.classes[k] for k in side), 4) for side in (rows, columns))
    yield (
        f"{one} {_is(rows)} annotated ({int(annotated[rows].sum()):,} of {n:,} faces) but never predicted, and {other} "
        f"{_is(columns)} predicted ({int(predicted[columns].sum()):,}) but never annotated: annotation and "
        "model seem to use different lists of classes. If two of these mean the same, "
        "give them one name; if not, leave out the faces that the model cannot get right."
    )


def _exchanged_classes(pred: Predictions) -> Iterator[str]:
    table = pred.confusion()
    ring = exchanged(table, _units(pred))
    if not ring:
        return
    n = int(table[ring].sum())
    stands, back = int(table[ring, ring].sum()) / n, int(table[ring].max(1).sum()) / n
    goes = "; ".join(f"{pred.classes[k]} for {pred.classes[int(table[k].argmax())]}" for k in ring[:4])
    more = f"; and {len(ring) - 4} more" if len(ring) > 4 else ""
    yield (
        f"Most faces of some classes are predicted as another class, in a ring ({goes}{more}): "
        f"{n:,} of {len(pred):,} faces are annotated with these; {percent(stands, 0)} of them are right, and "
        f"{percent(back, 0)} would be if the names were exchanged back. No model confuses classes so; the names of the "
        "classes seem to be exchanged. Compare the order of the classes in the program that wrote "
        "the table with the model's own."
    )


def _units(pred: Predictions) -> Ints | None:
    """``(K,)`` independent units that were annotated with each class; None where each face is one."""
    if pred.cluster is None:
        return None
    pairs = np.unique(np.stack([pred.labels, pred.cluster]), axis=1)
    return np.bincount(pairs[0], minlength=len(pred.classes)).astype(np.int64)


def _all_alike(pred: Predictions) -> Iterator[str]:
    """Predictions that are a copy of the annotation, or one class for all faces: no model's, or no use."""
    n, annotated = len(pred), np.bincount(pred.labels, minlength=len(pred.classes))
    graded = pred.probs is not None and bool((pred.probs.max(1) < _SURE).any())
    if n >= _COPY and not graded and (annotated > 0).sum() > 1 and (pred.labels == pred.predicted).all():
        yield (
            f"The predicted class is the annotated one for every one of {n:,} faces: 'pred' may be a copy of 'label'. "
            "No model is always right; see whether the program wrote the model's own answers."
        )
    first = int(pred.predicted[0]) if n else 0
    if n - annotated[first] >= _LEAST and (pred.predicted == first).all():
        yield (
            f"The predicted class is {pred.classes[first]} for all {n:,} faces, of which {int(annotated[first]):,} are "
            "annotated so: a model that always says the same has learnt nothing, and its accuracy in a group only says "
            "how often that class is annotated there. See whether the right model was run on the right pictures."
        )


def _below_chance(pred: Predictions) -> Iterator[str]:
    """An accuracy below what labels and predictions with these frequencies give when they know nothing of each other.

    The number of matches of two shuffled columns has mean sum(n_k m_k) / n and the variance of
    Hoeffding's combinatorial theorem (1951); dependent faces count as their units.
    """
    table, n = pred.confusion().astype(np.float64), len(pred)
    if n < 2:
        return
    rows, columns, k = table.sum(1), table.sum(0), len(table)
    share = float((rows * columns).sum() / n**2)
    centred = np.eye(k) - columns[:, None] / n - rows[None, :] / n + share
    variance = float((rows[:, None] * columns[None, :] * centred**2).sum() / (n - 1))
    units = n if pred.cluster is None else len(np.unique(pred.cluster))
    deviation = math.sqrt(variance * n / units)
    hits = float(np.trace(table))
    if deviation == 0 or hits >= n * share - Z * deviation:
        return
    yield (
        f"The model is right for {percent(hits / n)} of {n:,} faces; guessing, with each class as often as the "
        f"model names it, would be right for {percent(share)}. A model that knows nothing does better, so "
        "annotated and predicted classes do not fit together: the classes may be in another order, or the rows of two "
        "files may be shifted against each other."
    )


def _is(classes: Sequence[int]) -> str:
    return "is" if len(classes) == 1 else "are"
