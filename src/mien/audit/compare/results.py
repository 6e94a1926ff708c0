"""What a comparison of two models found: frozen records that go to JSON and back."""

from __future__ import annotations

from dataclasses import dataclass, field

from mien.audit.lookup import GroupsAndGaps, TitledGap, WholeResult
from mien.records import Estimate

GAINED, LOST = "gained", "lost"
SHRANK, GREW = "shrank", "grew"
NO_CHANGE = "no change shown"
BEST_LOST, WORST_GAINED, BEST_GAINED, WORST_LOST = "best lost", "worst gained", "best gained", "worst lost"
BOTH_ENDS = "both"


@dataclass(frozen=True)
class Change:
    """One number of both models on the same faces.

    Attributes:
        a: The first model's value.
        b: The second model's value.
        difference: B - A, with a paired interval.
    """

    a: Estimate
    b: Estimate
    difference: Estimate


@dataclass(frozen=True, kw_only=True)
class GroupChange:
    """What changed for one group.

    Attributes:
        name: The group; empty for all faces.
        n: Faces.
        n_clusters: Independent units with a face in the group.
        metrics: Metric -> change: the headline metrics, and with probabilities of both models ``top2`` and ``kl``.
        recall: Class -> change.
        only_a: Faces that only the first model gets right.
        only_b: Faces that only the second model gets right.
        p: McNemar's p-value: exact and mid-p, over units where faces are dependent.
        p_adjusted: The same after Benjamini and Hochberg, over all groups of the comparison.
        verdict: ``gained`` or ``lost`` (accuracy, adjusted p below 0.05), ``no change shown`` or ``too few``.
        note: E.g. which classes the group lacks.
    """

    name: str
    n: int
    n_clusters: int
    metrics: dict[str, Change]
    recall: dict[str, Change]
    only_a: int
    only_b: int
    p: float
    p_adjusted: float
    verdict: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class GapChange(TitledGap):
    """What changed for the gap of one metric.

    Attributes:
        metric: ``accuracy``, ``balanced_accuracy``, ``macro_f1``, ``weighted_f1`` or ``recall``.
        class_name: The class of a ``recall`` gap; empty otherwise.
        gap: The gap of A, of B, and its change; below 0 where the gap is smaller under B.
        worst: The smallest value of A, of B, and its change.
        best: The largest value of A, of B, and its change; the gap's change is this minus that of ``worst``.
        worst_a: The group with A's smallest value; empty if undefined, as the next three.
        worst_b: The group with B's smallest value.
        best_a: The group with A's largest value.
        best_b: The group with B's largest value.
        p: p-value of "the gap did not change", from the interval.
        p_adjusted: The same after Benjamini and Hochberg, over all gaps of the comparison.
        n_groups: Groups that take part.
        verdict: ``shrank``, ``grew`` (adjusted p below 0.05), ``no change shown`` or ``too few``.
        cause: Which end of a changed gap moved: ``best lost``, ``worst gained``, ``best gained``,
            ``worst lost`` or ``both``; empty where no change is shown.
        sentence: The finding in words.
    """

    metric: str
    class_name: str
    gap: Change
    worst: Change
    best: Change
    worst_a: str
    worst_b: str
    best_a: str
    best_b: str
    p: float
    p_adjusted: float
    n_groups: int
    verdict: str
    cause: str = ""
    sentence: str = ""


@dataclass(frozen=True, kw_only=True)
class AttributeChange(GroupsAndGaps[GroupChange, GapChange]):
    """What changed between the groups of one attribute.

    Attributes:
        name: As asked for: ``gender``, ``gender*age``.
        label: For people: ``perceived gender``.
        source: ``annotated``, ``perceived`` or ``not stated``.
        n: Shared faces whose group is known.
        n_unknown: Shared faces whose group is not.
        groups: All groups, empty intersections too.
        gaps: The headline gaps, then one recall gap a class.
        fairness: Equal-odds fairness (1 is equal) over the groups with enough faces and the classes
            that each of them has enough faces of; above 0 where B is fairer.
    """

    name: str
    label: str
    source: str
    n: int
    n_unknown: int
    groups: list[GroupChange]
    gaps: list[GapChange]
    fairness: Change


@dataclass(frozen=True, kw_only=True)
class Comparison(WholeResult[AttributeChange]):
    """A second model beside a first, on the faces that both predicted.

    Attributes:
        names: What the models are called: A, then B.
        sources: Where their predictions come from.
        classes: The K classes, in A's order.
        n: Shared faces.
        n_clusters: Independent units among them.
        n_left_out: Faces of A, and of B, that are not shared.
        overall: All shared faces.
        attributes: One result an attribute.
        verdict: The finding in a few sentences.
        method_notes: How the numbers were made and how far they can be trusted.
        level: Coverage that the intervals aim at.
        n_boot: Bootstrap replicates.
        min_n: Least faces of a group to enter gaps and be judged.
        min_class_n: Least faces of a class in a group to enter that class's recall gap.
        seed: Seed of everything drawn.
        version: Version of Mien.
        warnings: What puts the whole finding in doubt, in sentences; the verdict begins with them.
    """

    names: list[str]
    sources: list[str]
    classes: list[str]
    n: int
    n_clusters: int
    n_left_out: list[int]
    overall: GroupChange
    attributes: list[AttributeChange]
    verdict: str
    method_notes: list[str]
    level: float
    n_boot: int
    min_n: int
    min_class_n: int
    seed: int
    version: str
    warnings: list[str] = field(default_factory=list)
