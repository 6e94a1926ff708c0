"""Rates of groups, and of perceived ones those of the true groups behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.audit.attributes import Attribute, resolve_attribute
from mien.audit.inferred import AnnotatorError
from mien.audit.inferred.margins import margins_of, metric_values, share_of
from mien.errors import DataError
from mien.records import Predictions
from mien.stats.mixture import true_counts

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class GroupRates:
    """What groups are compared by, on the faces as they are and then in B replicates; NaN where there is no face.

    Counts of true groups are corrected as sums, each alone: right and wrong answers, hits, misses and false alarms of
    each class. Keeping every cell of a confusion table at 0 or more would draw a rare group's rates down.

    Attributes:
        right: ``(1 + B, G)`` accuracy.
        recall: ``(1 + B, G, K)`` of each class.
        alarms: ``(1 + B, G, K)`` how often other faces are taken for the class.
        answered: ``(1 + B, G, K)`` how often the class is answered.
        annotated: ``(G, K)`` faces as they are.
    """

    right: Array
    recall: Array
    alarms: Array
    answered: Array
    annotated: Array

    @classmethod
    def of(cls, tables: Array, rates: Array | None) -> GroupRates:
        """From confusion counts.

        Args:
            tables: ``(1 + B, G, K, K)`` counts, rows annotated.
            rates: ``(1 + B, G, G)`` the annotator's, true groups in rows; None to take groups as they stand.
        """
        margins = margins_of(tables)
        if rates is not None:
            margins = true_counts(margins, rates)
        hits, misses, alarms = np.split(margins[..., 2:], 3, axis=-1)
        total, annotated = margins[..., :2].sum(-1, keepdims=True), hits + misses
        return cls(
            right=metric_values(margins, "accuracy"),
            # Sums that are corrected each alone do not quite add up: a share is no more than 1.
            recall=np.minimum(share_of(hits, annotated), 1.0),
            alarms=np.minimum(share_of(alarms, total - annotated), 1.0),
            answered=np.minimum(share_of(hits + alarms, np.broadcast_to(total, hits.shape)), 1.0),
            annotated=annotated[0],
        )


def faces_behind(predictions: Predictions, spec: str) -> Array:
    """``(G,)`` faces of each group that it may be counted by.

    Of a perceived group whose annotator's errors came with the predictions they are no more than are likely behind it.

    Args:
        predictions: Of some faces.
        spec: The attribute, or an intersection.
    """
    attribute = resolve_attribute(predictions, spec)
    known = attribute.codes[attribute.codes >= 0]
    return behind(np.bincount(known, minlength=len(attribute.groups)), error_of(predictions, attribute)[0])


def sizes_behind(sizes: Mapping[str, int], content: Mapping[str, Any] | None, name: str) -> dict[str, float]:
    """Group -> faces that it may be counted by, as :func:`faces_behind`, of faces that nobody has judged yet.

    Args:
        sizes: Group -> faces.
        content: What the annotator of the attribute gets wrong, as it comes with a table; None where nobody knows.
        name: The attribute.
    """
    found = counts_behind(np.array(list(sizes.values()), dtype=np.int64), tuple(sizes), content, name)
    return dict(zip(sizes, found.tolist(), strict=True))


def counts_behind(
    counts: NDArray[np.int64], groups: Sequence[str], content: Mapping[str, Any] | None, name: str
) -> Array:
    """``(G,)`` or ``(G, C)`` as :func:`behind`, of faces that nobody has judged yet.

    Args:
        counts: Faces of each group, of some kinds.
        groups: Names of the groups.
        content: What the annotator of the attribute gets wrong, as it comes with a table; None where nobody knows.
        name: The attribute.
    """
    return behind(counts, _matched(content, name, tuple(groups))[0])


def behind(counts: NDArray[np.int64], error: AnnotatorError | None) -> Array:
    """``(G,)`` or ``(G, C)`` faces that groups may be counted by: of perceived ones no more than are behind them."""
    found = counts.astype(np.float64)
    if error is None:
        return found
    kinds = found.reshape(1, len(found), -1)
    true: Array = true_counts(kinds, error.rates[None])[0].reshape(found.shape)
    return np.minimum(found, true)


def error_of(predictions: Predictions, attribute: Attribute) -> tuple[AnnotatorError | None, str]:
    """What the annotator of a perceived attribute gets wrong; and why it cannot serve."""
    content = predictions.annotator_errors.get(attribute.name)
    if content is None:
        why = "groups are perceived, and nobody counted their annotator's errors: figures by group are not corrected"
        return None, why if attribute.source == "perceived" else ""
    return _matched(content, attribute.name, attribute.groups)


def _matched(
    content: Mapping[str, Any] | None, name: str, groups: tuple[str, ...]
) -> tuple[AnnotatorError | None, str]:
    """An annotator's errors on these groups; and why they cannot serve."""
    if content is None:
        return None, ""
    try:
        found = AnnotatorError.from_content(content, f"annotator error of {name}").matched(groups)
    except DataError as error:
        return None, f"figures by perceived group are not corrected: {error}"
    if len(found.groups) > len(groups):
        return None, "figures by perceived group are not corrected: nobody is perceived as one of the groups"
    return found, ""
