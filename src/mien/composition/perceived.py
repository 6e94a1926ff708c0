"""Groups that somebody perceived: how sure of them they were, and how large the groups are behind their errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mien.audit.attributes import Attribute
from mien.audit.inferred import AnnotatorError
from mien.audit.inferred import shares as audit_shares
from mien.audit.inferred.membership import face_confidence, group_probabilities
from mien.composition.faces import Faces
from mien.composition.shares import count_shares, share_of
from mien.errors import DataError, UsageError
from mien.records import Estimate
from mien.stats.intervals import mean_estimate
from mien.stats.settings import Settings

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
_BINS = 20


@dataclass(frozen=True)
class Below:
    """The share of faces whose group is named with less confidence than a threshold.

    Attributes:
        threshold: The threshold.
        overall: Among all faces of a perceived group.
        by_group: Perceived group -> share.
        by_class: Annotated class -> share.
    """

    threshold: float
    overall: Estimate
    by_group: dict[str, Estimate]
    by_class: dict[str, Estimate]


@dataclass(frozen=True)
class Certainty:
    """How confident the annotator is of the groups that it names.

    Attributes:
        n: Faces with a confidence.
        mean: Mean confidence.
        edges: Edges of the histogram's bins.
        counts: Faces in each bin.
        below: One entry a threshold.
    """

    n: int
    mean: Estimate
    edges: list[float]
    counts: list[int]
    below: list[Below]


@dataclass(frozen=True)
class CorrectedShares:
    """Shares of the groups once the annotator's errors are counted.

    Attributes:
        shares: Group -> share, with an interval that knows of the errors.
        source: Where the errors were counted.
    """

    shares: dict[str, Estimate]
    source: str


def certainty(faces: Faces, attribute: Attribute, level: float) -> Certainty | None:
    """Describe the confidence of a perceived attribute; None without confidence or probabilities.

    Raises:
        DataError: If a confidence is not a number from 0 to 1.
    """
    confidence = face_confidence(faces.rows, attribute, attribute.groups)
    if confidence is None:
        return None
    known = (attribute.codes >= 0) & ~np.isnan(confidence)
    if not known.any():
        return None
    counts, edges = np.histogram(confidence[known], _BINS, (0.0, 1.0))
    return Certainty(
        int(known.sum()),
        mean_estimate(confidence[known], faces.units(known), level),
        [float(e) for e in edges],
        [int(c) for c in counts],
        [_below(faces, attribute, confidence, known, t, level) for t in THRESHOLDS],
    )


def _below(
    faces: Faces,
    attribute: Attribute,
    confidence: NDArray[np.float64],
    known: NDArray[np.bool_],
    threshold: float,
    level: float,
) -> Below:
    low = (confidence < threshold).astype(np.int64)

    def shares(codes: NDArray[np.int64], names: tuple[str, ...]) -> dict[str, Estimate]:
        rows = known & (codes >= 0)
        counted = count_shares(codes[rows], len(names), low[rows], 2, faces.units(rows), level)
        return {name: share_of(counted, i, 1, level) for i, name in enumerate(names)}

    everybody = np.zeros(len(faces), dtype=np.int64)
    return Below(
        threshold,
        shares(everybody, ("",))[""],
        shares(attribute.codes, attribute.groups),
        shares(faces.label, tuple(map(str, faces.classes))),
    )


def probable_shares(faces: Faces, attribute: Attribute, level: float) -> dict[str, Estimate]:
    """Mean probability of each group; empty where the table has no probabilities.

    With probabilities that are calibrated on these faces it estimates the group's share without
    the bias of counting the likeliest group only. Faces that are of unknown group because the
    annotator was not sure enough count too.

    Raises:
        DataError: If the probabilities are none, or a group has no column.
    """
    everybody = replace(attribute, codes=np.zeros_like(attribute.codes))
    no_confidence = np.eye(len(attribute.groups))
    probs = group_probabilities(faces.rows, everybody, attribute.groups, None, no_confidence)
    if probs is None:
        return {}
    known = np.asarray(~np.isnan(probs).any(1))
    unit = faces.units(known)
    return {name: mean_estimate(probs[known, i], unit, level) for i, name in enumerate(attribute.groups)}


def own_correction(faces: Faces, attribute: Attribute, *, settings: Settings) -> tuple[CorrectedShares | None, str]:
    """Shares corrected with the annotator's errors that came with the table, or a sentence why there are none.

    Returns:
        The shares, None where no errors came or they cannot serve; and in the latter case why.
    """
    content = faces.table.annotator_errors.get(attribute.name)
    if content is None:
        return None, ""
    try:
        error = AnnotatorError.from_content(content, f"annotator error of {attribute.name}").matched(attribute.groups)
    except DataError as reason:
        return None, f"The shares are not corrected for the annotator's errors. {reason}"
    shares = audit_shares.corrected_shares(attribute.codes, error, faces.unit, settings=settings)
    return CorrectedShares(shares, error.where), ""


def checked_shares(
    shares: Mapping[str, CorrectedShares] | None, attributes: list[Attribute]
) -> dict[str, CorrectedShares]:
    """Corrected shares by attribute.

    Raises:
        UsageError: If they are of an attribute that is not described.
    """
    known = [a.name for a in attributes]
    for name in shares or {}:
        if name not in known:
            raise UsageError("shares", f"are given for {name!r}", f"one of {', '.join(known) or 'no attribute'}")
    return dict(shares or {})
