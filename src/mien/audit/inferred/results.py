"""What an audit finds out about one perceived attribute: its gaps by each method, and what they rest on."""

from __future__ import annotations

from dataclasses import dataclass, field

from mien.audit.inferred.annotator_error import AnnotatorError
from mien.audit.inferred.membership import ConfidenceCoverage
from mien.audit.inferred.sensitivity import ErasureCurve, EvenErrorCurve
from mien.audit.lookup import GroupsAndGaps, TitledGap, pick
from mien.records import Estimate

THRESHOLDED, WEIGHTED, CORRECTED = "thresholded", "weighted", "corrected"


@dataclass(frozen=True)
class InferredGroup:
    """One group, by one of the methods.

    Attributes:
        name: The group.
        n: Faces by this method's count, not necessarily whole.
        n_effective: Faces of known group that would give as precise an accuracy.
        metrics: ``accuracy``, ``balanced_accuracy``, ``macro_f1``, ``weighted_f1`` -> Estimate.
        recall: Class -> Estimate.
        in_gaps: Whether it has enough faces to enter gaps.
    """

    name: str
    n: float
    n_effective: float
    metrics: dict[str, Estimate]
    recall: dict[str, Estimate]
    in_gaps: bool


@dataclass(frozen=True)
class InferredGap(TitledGap):
    """The gap of one metric, by one of the methods.

    Attributes:
        metric: ``accuracy``, ``balanced_accuracy``, ``macro_f1``, ``weighted_f1`` or ``recall``.
        class_name: The class of a ``recall`` gap; empty otherwise.
        value: Largest minus smallest, with its interval.
        worst: The group with the smallest value; empty if undefined.
        best: The group with the largest value.
        n_groups: Groups that take part.
    """

    metric: str
    class_name: str
    value: Estimate
    worst: str
    best: str
    n_groups: int


@dataclass(frozen=True)
class InferredMethod(GroupsAndGaps[InferredGroup, InferredGap]):
    """All groups and gaps by one method.

    Attributes:
        name: ``thresholded`` (each face in the group it is perceived as), ``weighted`` (in every group
            by its probability) or ``corrected`` (by the annotator's confusion matrix).
        groups: All groups.
        gaps: The headline gaps, then one recall gap a class.
        note: What the method rests on, and what its intervals leave out.
    """

    name: str
    groups: list[InferredGroup]
    gaps: list[InferredGap]
    note: str


@dataclass(frozen=True, kw_only=True)
class InferredResult:
    """The gaps of one perceived attribute under the annotator's error.

    Attributes:
        name: The attribute.
        label: For people: ``perceived gender``.
        source: ``perceived``, ``annotated`` or ``not stated``.
        groups: Names, in the order of all lists.
        n: Faces whose group is perceived.
        n_unknown: Faces without a perceived group; they are left out of everything.
        annotator: The annotator's errors in the order of ``groups``; None if not known.
        annotator_if_wrong: Its errors on faces that the model gets wrong; None where ``annotator`` is for all.
        methods: The estimates side by side.
        coverage: What a confidence threshold leaves; None without a threshold.
        even_errors: What errors that fall evenly would mean for each gap.
        erasure: What errors on mistaken faces alone would erase each gap.
        notes: Findings and assumptions in plain words.
        level: Coverage that intervals aim at.
        n_boot: Bootstrap replicates.
        seed: Seed of everything drawn.
        annotator_note: What the annotator's errors were counted for, e.g. which groups a merged one holds.
        refused: Why errors that came with the predictions could not be used; empty if they could, or none came.
        doubts: What speaks against the corrected values; also among the notes.
    """

    name: str
    label: str
    source: str
    groups: list[str]
    n: int
    n_unknown: int
    annotator: AnnotatorError | None
    annotator_if_wrong: AnnotatorError | None
    methods: list[InferredMethod]
    coverage: ConfidenceCoverage | None
    even_errors: list[EvenErrorCurve]
    erasure: list[ErasureCurve]
    notes: list[str] = field(default_factory=list)
    level: float = 0.95
    n_boot: int = 1000
    seed: int = 0
    annotator_note: str = ""
    refused: str = ""
    doubts: list[str] = field(default_factory=list)

    def method(self, name: str) -> InferredMethod:
        """The method called ``name``.

        Raises:
            UsageError: If it was not possible; the message says which were.
        """
        return pick("method", name, {m.name: m for m in self.methods})

    def side_by_side(self, metric: str, class_name: str = "") -> dict[str, Estimate]:
        """Method -> its estimate of one gap."""
        return {m.name: m.gap(metric, class_name).value for m in self.methods}
