"""What the audit of several seeds found: frozen records that go to JSON and back."""

from __future__ import annotations

from dataclasses import dataclass, field

from mien.audit.lookup import GroupsAndGaps, TitledGap, WholeResult
from mien.records import Estimate

REAL = "gap real beyond seed noise"
WITHIN = "within seed noise"
CANNOT_TELL = "cannot tell with {} seeds"


@dataclass(frozen=True)
class SeedValue:
    """One number of one group over the runs.

    Attributes:
        mean: Mean over the runs; its interval holds for the mean over all seeds and all faces.
        runs: Each run's value.
        sampling_error: Standard error that the sample of faces gives the mean, however many runs there are.
        run_spread: Standard deviation of one run about the mean over seeds, on these faces.
        seed_spread: The part of it that single faces flipping between runs do not explain.
    """

    mean: Estimate
    runs: list[float]
    sampling_error: float
    run_spread: float
    seed_spread: float


@dataclass(frozen=True)
class SeedGroup:
    """One group over the runs.

    Attributes:
        name: The group; empty for all faces.
        n: Faces.
        n_clusters: Independent units with a face in the group.
        metrics: Headline metric -> its values.
        recall: Class -> its values; undefined where nobody is annotated with it.
        verdict: ``too few`` below the least number of faces (shown, but out of every gap), else empty.
    """

    name: str
    n: int
    n_clusters: int
    metrics: dict[str, SeedValue]
    recall: dict[str, SeedValue]
    verdict: str


@dataclass(frozen=True, kw_only=True)
class SeedGap(TitledGap):
    """The gap of one metric over the runs.

    Attributes:
        metric: ``accuracy``, ``balanced_accuracy``, ``macro_f1``, ``weighted_f1`` or ``recall``.
        class_name: The class of a ``recall`` gap; empty otherwise.
        value: The gap between the groups' mean values, with simultaneous intervals of all pairs that
            hold for the procedure: over seeds and faces.
        run_gap: The mean of the runs' own gaps: what one run is expected to show. It is the larger
            of the two, since each run picks its own extremes.
        gaps: Each run's gap.
        worst: The group with the smallest mean value; empty if undefined.
        best: The group with the largest mean value.
        worst_by_run: Each run's group with the smallest value.
        same_worst: Whether the same group comes last in every run.
        expected: The gap of mean values that equal groups would show on average, through seeds and faces.
        seed_gap: The gap that equal groups would show in one run through its seed alone, on average.
        seed_gap_high: Its 95th percentile.
        p: Probability that equal groups would show such a gap of mean values.
        p_adjusted: The same after Benjamini and Hochberg, over all gaps of the audit.
        seeds_needed: Runs that bring the seed noise of worst against best below the sampling noise
            of the faces; 0 where the faces leave none.
        n_groups: Groups that take part.
        verdict: ``gap real beyond seed noise``, ``within seed noise``, ``cannot tell with k seeds`` or ``too few``.
        sentence: The finding in words.
    """

    metric: str
    class_name: str
    value: Estimate
    run_gap: Estimate
    gaps: list[float]
    worst: str
    best: str
    worst_by_run: list[str]
    same_worst: bool
    expected: float
    seed_gap: float
    seed_gap_high: float
    p: float
    p_adjusted: float
    seeds_needed: int
    n_groups: int
    verdict: str
    sentence: str = ""


@dataclass(frozen=True, kw_only=True)
class SeedAttribute(GroupsAndGaps[SeedGroup, SeedGap]):
    """One attribute over the runs.

    Attributes:
        name: As asked for: ``gender``, ``gender*age``.
        label: For people: ``perceived gender``.
        source: ``annotated``, ``perceived`` or ``not stated``.
        n: Faces whose group is known.
        n_unknown: Faces whose group is not.
        groups: All groups, empty intersections too.
        gaps: The headline gaps, then one recall gap a class.
    """

    name: str
    label: str
    source: str
    n: int
    n_unknown: int
    groups: list[SeedGroup]
    gaps: list[SeedGap]


@dataclass(frozen=True, kw_only=True)
class SeedAudit(WholeResult[SeedAttribute]):
    """All that the audit of several seeds found.

    Attributes:
        names: What the runs are called.
        sources: Where their predictions come from.
        classes: The K classes.
        n: Faces that all runs predicted.
        n_clusters: Independent units among them.
        n_left_out: Faces of each run that not all runs have.
        overall: All shared faces.
        attributes: One result an attribute.
        verdict: The finding in a few sentences.
        method_notes: How the numbers were made and how far they can be trusted.
        level: Coverage that the intervals aim at.
        n_boot: Draws of the noise.
        min_n: Least faces of a group to enter gaps.
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
    overall: SeedGroup
    attributes: list[SeedAttribute]
    verdict: str
    method_notes: list[str]
    level: float
    n_boot: int
    min_n: int
    min_class_n: int
    seed: int
    version: str
    warnings: list[str] = field(default_factory=list)
