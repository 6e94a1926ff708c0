"""What an audit found: frozen records that go to JSON and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from mien.audit.calibration import GroupCalibration
from mien.audit.confounders import ConfounderResult
from mien.audit.disagreement import DisagreementResult
from mien.audit.inferred import InferredResult
from mien.audit.inferred.results import CORRECTED
from mien.audit.leakage.results import LeakageResult
from mien.audit.lookup import GroupsAndGaps, TitledGap, WholeResult
from mien.audit.plain_results import from_plain
from mien.errors import DataError
from mien.inputs import SMALL
from mien.outputs import Kind, whole_folder
from mien.own_files import read_json
from mien.records import Estimate, plain, write_json
from mien.spreadsheets import write_csv

_FORMAT = 2
_TABLES = ("groups.csv", "gaps.csv", "groups.parquet", "gaps.parquet")
AUDIT_FOLDER = Kind("an audit", "audit.json", "mien audit", (*_TABLES, "audit.md", "audit.html"))


@dataclass(frozen=True, kw_only=True)
class GroupResult:
    """One group of an attribute.

    Attributes:
        name: The group; ``female*adult`` in an intersection.
        n: Faces.
        n_clusters: Independent units with a face in the group.
        verdict: ``too few`` below the least number of faces (shown, but out of every gap), else empty.
        metrics: Metric -> Estimate: ``accuracy, balanced_accuracy, macro_f1, weighted_f1``; with votes
            ``tie_accuracy``; with probabilities ``top2, kl, overconfidence, ece, coverage, risk``; where
            known ``detection_failure``.
        recall: Class -> Estimate; undefined where nobody is annotated with it, and noted
            ``too few`` where a class is too rare here to enter that class's gap.
        precision: The same for the faces predicted as the class.
        f1: Class -> Estimate.
        selection_rate: Class -> share of the group's faces predicted as it.
        n_per_class: Class -> annotated faces.
        confusion: K rows of K counts, rows annotated, columns predicted.
        pooled: Accuracy after partial pooling over the attribute's groups; None with fewer than three.
        detectable: How much lower the group's accuracy would have to be for the verdict to name that gap four
            times in five; NaN if the group takes no part, or no loss would be named.
        expected: The accuracy to expect if the group's faces were served as all faces annotated alike
            are; NaN if the group takes no part, as the next two.
        p: Permutation p-value of the departure from it, to either side.
        p_adjusted: The same after Benjamini and Hochberg, over the audit's headline gaps and groups.
        standing: ``below expectation`` or ``above expectation`` (adjusted p below 0.05), else empty.
        note: E.g. which classes the group lacks.
    """

    name: str
    n: int
    n_clusters: int
    verdict: str
    metrics: dict[str, Estimate]
    recall: dict[str, Estimate]
    precision: dict[str, Estimate]
    f1: dict[str, Estimate]
    selection_rate: dict[str, Estimate]
    n_per_class: dict[str, int]
    confusion: list[list[int]]
    pooled: Estimate | None = None
    detectable: float = float("nan")
    expected: float = float("nan")
    p: float = float("nan")
    p_adjusted: float = float("nan")
    standing: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class GapResult(TitledGap):
    """The gap of one metric over the groups of an attribute, beside what chance alone would show.

    Attributes:
        metric: ``accuracy``, ``recall``, ``equal_odds_fairness``, ...
        class_name: The class of a gap of one class; empty otherwise.
        value: Largest minus smallest over the groups that take part (of a ratio: smallest over largest),
            with an interval from simultaneous intervals of all pairs.
        worst: The group that is served worst; empty if undefined.
        best: The group that is served best. For rates that are neither good nor bad (demographic and
            statistical parity), the groups with the smallest and the largest rate.
        worst_value: That group's estimate; None if undefined.
        best_value: That group's estimate; None if undefined.
        expected: Mean under no disparity (groups exchanged within the annotated class).
        expected_high: Its 95th percentile; of a ratio its 5th.
        p: Permutation p-value.
        p_adjusted: The same after Benjamini and Hochberg: over all headline gaps and groups of the audit, or
            over all further gaps.
        n_groups: Groups that take part.
        verdict: ``disparity`` (adjusted p below 0.05), ``no disparity shown``, ``not testable`` (the groups share no
            annotated class; p and what is expected are NaN) or ``too few``.
        note: Which class decides, and what was left out.
        kind: ``difference``, ``ratio`` or ``distance``.
        family: ``headline`` (accuracy, balanced accuracy, macro and weighted F1, recalls) or ``further``.
        detectable: The smallest gap that the verdict would have named four times in five, all adjustments included,
            if the group where it is smallest were the one served worse; NaN where no gap would have been, for
            ratios and for the further measures.
        detectable_high: The same for the group where it is largest.
    """

    metric: str
    class_name: str
    value: Estimate
    worst: str
    best: str
    worst_value: Estimate | None
    best_value: Estimate | None
    expected: float
    expected_high: float
    p: float
    p_adjusted: float
    n_groups: int
    verdict: str
    note: str = ""
    kind: str = "difference"
    family: str = "headline"
    detectable: float = float("nan")
    detectable_high: float = float("nan")


@dataclass(frozen=True, kw_only=True)
class AttributeResult(GroupsAndGaps[GroupResult, GapResult]):
    """One attribute, or one intersection.

    Attributes:
        name: As asked for: ``gender``, ``gender*age``.
        label: For people: ``perceived gender``.
        source: ``annotated``, ``perceived``, ``measured`` or ``not stated``.
        confidence: Mean confidence of perceived values; NaN where there is none.
        n: Faces whose group is known.
        n_unknown: Faces whose group is not; they are in no group and no gap.
        groups: All groups, empty intersections too.
        gaps: The headline gaps with one recall gap a class, then the further ones.
        notes: What to mind for this attribute.
        calibration: Reliability and abstention of each group; empty without probabilities.
        disagreement: What annotators' disagreement explains; None without votes.
        confounders: The gap among pictures alike; None without columns of numbers.
        inferred: The gap with the annotator's own error; None unless the groups are perceived.
        leakage: Whether the attribute can be read from the model's features; None unless asked for.
    """

    name: str
    label: str
    source: str
    confidence: float
    n: int
    n_unknown: int
    groups: list[GroupResult]
    gaps: list[GapResult]
    notes: list[str] = field(default_factory=list)
    calibration: list[GroupCalibration] = field(default_factory=list)
    disagreement: DisagreementResult | None = None
    confounders: ConfounderResult | None = None
    inferred: InferredResult | None = None
    leakage: LeakageResult | None = None


@dataclass(frozen=True, kw_only=True)
class ClassResult:
    """How a model does on one class.

    Attributes:
        name: The class.
        n: Faces annotated with it.
        n_predicted: Faces predicted as it.
        recall: Share of its faces that are predicted as such.
        precision: Share of its predictions that are right.
        f1: Harmonic mean of the two.
        mistaken_for: The class that its faces are most often mistaken for; empty if never.
        mistaken_share: The share of its faces that are; NaN if none.
    """

    name: str
    n: int
    n_predicted: int
    recall: Estimate
    precision: Estimate
    f1: Estimate
    mistaken_for: str
    mistaken_share: float


@dataclass(frozen=True, kw_only=True)
class Audit(WholeResult[AttributeResult]):
    """All that an audit found, and how.

    Attributes:
        source: Where the predictions come from.
        classes: The K classes.
        n: Faces.
        n_clusters: Independent units.
        overall: Metric -> Estimate over all faces.
        attributes: One result an attribute.
        verdict: Warnings about the table, if any, and the finding in a sentence or two.
        method_notes: How the numbers were made and how far they can be trusted.
        level: Coverage that the intervals aim at.
        n_boot: Bootstrap replicates.
        n_perm: Permutations.
        min_n: Least faces of a group to enter gaps.
        min_class_n: Least faces of a class in a group to enter that class's recall gap.
        seed: Seed of everything drawn.
        version: Version of Mien.
        not_tested: What this audit says nothing about.
        per_class: Recall, precision and F1 of each class over all faces.
        warnings: What puts the whole finding in doubt, in sentences.
        classes_in_doubt: Whether annotated and predicted classes do not fit together: then no gate passes.
    """

    source: str
    classes: list[str]
    n: int
    n_clusters: int
    overall: dict[str, Estimate]
    attributes: list[AttributeResult]
    verdict: str
    method_notes: list[str]
    level: float
    n_boot: int
    n_perm: int
    min_n: int
    min_class_n: int
    seed: int
    version: str
    not_tested: list[str] = field(default_factory=list)
    per_class: list[ClassResult] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    classes_in_doubt: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries and lists for JSON; NaN becomes None."""
        return {"kind": "mien audit", "format": _FORMAT, **plain(asdict(self))}

    @classmethod
    def from_dict(cls, content: dict[str, Any], where: str = "audit") -> Audit:
        """The inverse of :meth:`to_dict`.

        Args:
            content: What that gave.
            where: Where it stands, for the message.

        Raises:
            DataError: If the content is not an audit's, with the key.
        """
        try:
            return from_plain(cls, content)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
            raise DataError(where, f"cannot be read ({reason})", "what Audit.to_dict gives") from error

    def tables(self) -> dict[str, pd.DataFrame]:
        """``groups``: a row a group and metric; ``gaps``: a row a gap. Undefined values are NaN."""
        return {"groups": pd.DataFrame(_group_rows(self)), "gaps": pd.DataFrame(_gap_rows(self))}

    def save(self, folder: Path | str, *, force: bool = False) -> Path:
        """Write ``audit.json``, and groups and gaps as CSV and Parquet, into a new or empty folder; returns it.

        Args:
            folder: The folder.
            force: Replace an audit that is there.

        Raises:
            UsageError: If the folder holds anything else.
        """
        folder = Path(folder)
        with whole_folder(folder, AUDIT_FOLDER, force=force) as partial:
            for name, table in self.tables().items():
                write_csv(table, partial / f"{name}.csv")
                table.to_parquet(partial / f"{name}.parquet", index=False)  # names as they are, for programs
            write_json(partial / "audit.json", self.to_dict())
        return folder

    @classmethod
    def load(cls, path: Path | str) -> Audit:
        """Read an ``audit.json``, or the folder that holds it.

        Raises:
            DataError: If it is missing or not an audit.
        """
        path = Path(path)
        path = path / "audit.json" if path.is_dir() else path
        return cls.from_dict(read_json(path, "an audit.json", most=SMALL), str(path))


def _group_rows(audit: Audit) -> list[dict[str, Any]]:
    rows = []
    for attribute in audit.attributes:
        for group in attribute.groups:
            by_class = {
                f"{name}:{c}": e
                for name in ("recall", "precision", "f1", "selection_rate")
                for c, e in getattr(group, name).items()
            }
            pooled = {"accuracy_pooled": group.pooled} if group.pooled else {}
            for metric, e in (group.metrics | pooled | by_class).items():
                rows.append(
                    {
                        "attribute": attribute.name,
                        "source": attribute.source,
                        "group": group.name,
                        "metric": metric,
                        "value": e.value,
                        "low": e.low,
                        "high": e.high,
                        "method": e.method,
                        "n": e.n,
                        "clusters": e.clusters,
                        "verdict": group.verdict,
                        "note": e.note,
                    }
                )
    return rows


def _gap_rows(audit: Audit) -> list[dict[str, Any]]:
    return [
        {
            "attribute": attribute.name,
            "source": attribute.source,
            "metric": f"{gap.metric}:{gap.class_name}" if gap.class_name else gap.metric,
            "kind": gap.kind,
            "family": gap.family,
            "gap": gap.value.value,
            "low": gap.value.low,
            "high": gap.value.high,
            "expected": gap.expected,
            "expected_high": gap.expected_high,
            "p": gap.p,
            "p_adjusted": gap.p_adjusted,
            "verdict": gap.verdict,
            "worst": gap.worst,
            "best": gap.best,
            "n_groups": gap.n_groups,
            "detectable": gap.detectable,
            "note": gap.note,
            **_corrected(attribute.inferred, gap),
        }
        for attribute in audit.attributes
        for gap in attribute.gaps
    ]


def _corrected(inferred: InferredResult | None, gap: GapResult) -> dict[str, Any]:
    """The same gap with the annotator's errors undone; empty where the groups are not perceived or that failed."""
    names = ("gap_corrected", "low_corrected", "high_corrected", "worst_corrected", "best_corrected")
    method = next((m for m in inferred.methods if m.name == CORRECTED), None) if inferred else None
    same = [g for g in method.gaps if (g.metric, g.class_name) == (gap.metric, gap.class_name)] if method else []
    if not same or gap.kind != "difference":
        return dict.fromkeys(names)
    e = same[0].value
    return dict(zip(names, (e.value, e.low, e.high, same[0].worst, same[0].best), strict=True))
