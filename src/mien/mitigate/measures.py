"""What each method did to all and to every group, against the baseline of the same seed, on the same faces."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.audit.attributes import Attribute, resolve_attribute
from mien.audit.seeds.noise import over_seeds
from mien.errors import DataError
from mien.metrics import accuracy, balanced_accuracy, max_min_gap, mean_recalls, min_max_ratio
from mien.metrics.fairness import DIFFERENCE, reduce_components
from mien.mitigate.behind import GroupRates, behind, error_of
from mien.mitigate.definition import KnownGapConfig
from mien.mitigate.known import CLASS_FACES, KnownGap, known_gaps, known_sides, too_few
from mien.mitigate.selection import mean_of_recalls, shared_classes
from mien.records import Estimate, Predictions
from mien.stats.extremes import Bounds, Extreme, Rates, change_of_extreme, extreme, share_variance
from mien.stats.replicates import UnitReplicates
from mien.stats.settings import Settings

Array = NDArray[np.float64]
ACCURACY, EQUAL, WORST, GAP, ODDS, PARITY, FAIRNESS, MACRO, KNOWN, BETTER, WORSE, LEAST = (
    "accuracy", "equal_shares", "worst_group", "gap", "odds", "parity", "fairness", "balanced_accuracy", "known",
    "known_better", "known_worse", "least_recall"
)  # fmt: skip
#: Measure -> what a page calls it, and whether more is better.
MEASURES: dict[str, tuple[str, bool]] = {
    ACCURACY: ("accuracy", True),
    MACRO: ("balanced accuracy", True),
    EQUAL: ("accuracy, groups counted alike", True),
    WORST: ("worst group", True),
    GAP: ("largest gap", False),
    ODDS: ("equalised-odds difference", False),
    PARITY: ("demographic-parity difference", False),
    FAIRNESS: ("equal-odds fairness F", True),
    LEAST: ("least recall of a class in a group", True),
    KNOWN: ("known gap", False),
    BETTER: ("known gap, better side", True),
    WORSE: ("known gap, worse side", True),
}
#: Measures that are the largest or smallest of something over groups.
EXTREMES: dict[str, Extreme] = {
    WORST: "worst", GAP: "gap", ODDS: "gap", PARITY: "gap", FAIRNESS: "ratio", LEAST: "worst"
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number of a method.

    Attributes:
        value: Mean over seeds (an extreme: of the mean rates), with an interval for all faces and all seeds.
        seeds: Each seed's.
        change: The same less the baseline's, on the same faces; None for the baseline.
    """

    value: Estimate
    seeds: tuple[float, ...]
    change: Estimate | None = None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A method on the judged faces.

    Attributes:
        overall: Measure of :data:`MEASURES` -> figure; the known gap and its sides only where the study names one.
        groups: Group -> figure; the changes of groups with faces enough hold together at the level.
    """

    overall: Mapping[str, Figure]
    groups: Mapping[str, Figure]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All methods on the judged faces.

    Attributes:
        attribute: Whose groups.
        sizes: Group -> faces; of perceived groups that are corrected, as perceived.
        eligible: Groups with faces enough.
        methods: Method -> what it came to.
        corrected: Whether counts are of true groups behind perceived ones.
        note: Why they are not corrected although perceived; empty otherwise.
        held: Method -> the method that its changes are against, of those that are not against the baseline.
        as_perceived: Method that asks for the group where it is used -> what its changes are against, measured as it
            is, by groups as perceived; empty where nothing is corrected.
        dropped: Classes that the groups' balanced accuracy leaves out, for a group has too few faces of them.
    """

    attribute: Attribute
    sizes: Mapping[str, int]
    eligible: tuple[str, ...]
    methods: Mapping[str, Measured]
    corrected: bool
    note: str = ""
    held: Mapping[str, str] = field(default_factory=dict)
    as_perceived: Mapping[str, Measured] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()

    def against(self, baseline: str, name: str) -> Measured:
        """What a method's changes are against: the baseline, or its own, measured as the method is."""
        return self.as_perceived.get(name, self.methods[self.held.get(name, baseline)])


def compare_methods(
    runs: Mapping[str, Sequence[Predictions]],
    baseline: str,
    spec: str,
    *,
    metric: str = "accuracy",
    min_n: int = 30,
    asking: Collection[str] = (),
    known: Sequence[KnownGapConfig] = (),
    held: Mapping[str, str] = MappingProxyType({}),
    settings: Settings = Settings(n_boot=1000),
) -> Comparison:
    """Measure every method and its change against the baseline.

    A value is the mean over seeds; of what is largest or smallest over groups, it is that of the mean rates, with an
    interval that holds (:mod:`mien.stats.extremes`). Its variance over faces is that of a bootstrap over independent
    units (copies of a picture, faces of a person), the same draws for all methods and seeds, so that differences are
    paired; seeds add Student's. Of a perceived attribute whose annotator's errors came with the predictions, counts of
    groups are corrected, each replicate with errors of its own. That holds of answers that do not depend on whom the
    annotator took a face for; a method that reads the perceived group is measured, as its baseline is, by the groups
    as perceived.

    Args:
        runs: Method -> predictions, one a seed, on the same faces.
        baseline: The method that others are held against.
        spec: The attribute, or an intersection.
        metric: What groups are compared by: ``accuracy``, or ``balanced_accuracy`` over the classes of which every
            group that takes part has five faces or more.
        min_n: Groups with fewer faces are measured and take no part in worst group and gaps; nor do perceived groups
            that are corrected and have fewer faces behind them.
        asking: Methods that ask for a face's group where they are used.
        known: Gaps whose sign is known; their mean is a measure then.
        held: Method -> the method that its changes are against, of those that are not against the baseline.
        settings: Level, replicates, seed.

    Raises:
        ConfigError: If a known gap names a group or a class that is not there.
        DataError: If methods were judged on other faces, or by another number of seeds, or one is held against a
            method without runs.
    """
    first = runs[baseline][0]
    aligned = {name: [_in_order(first, run, name, spec) for run in each] for name, each in runs.items()}
    if len({len(each) for each in aligned.values()}) > 1:
        raise DataError("seeds", "differ between methods", "as many for each")
    attribute = resolve_attribute(first, spec)
    error, note = error_of(first, attribute)
    g, k = len(attribute.groups), len(first.classes)
    group = np.where(attribute.codes < 0, g, attribute.codes)
    rng = settings.stream(spec, "mitigation")
    replicates = UnitReplicates.draw(len(first), first.cluster, settings.n_boot, rng)
    rates = None
    if error is not None:
        rates = np.concatenate([error.rates[None], error.drawn(settings.n_boot, rng)])
    sizes = np.bincount(group, minlength=g + 1)[:g]
    true = behind(sizes, error)
    eligible = true >= min_n
    for i in np.flatnonzero((sizes >= min_n) & ~eligible):
        name = attribute.groups[i]
        rare = (
            f"{name}: {sizes[i]:,} faces are perceived so, and about {true[i]:.0f} are behind them, of {min_n} "
            "that are needed: it judges nothing"
        )
        note = "; ".join(filter(None, [note, rare]))
    units = np.array([len(np.unique(replicates.unit[group == i])) for i in range(g)])
    gaps = known_gaps(known, attribute.groups, first.classes, spec)
    annotated = behind(np.bincount(group * k + first.labels, minlength=(g + 1) * k).reshape(g + 1, k)[:g], error)
    lacking = too_few(gaps, annotated, attribute.groups, first.classes, min_n)
    note = "; ".join(filter(None, [note, lacking and f"the known gap cannot be told: {lacking}"]))
    tell = _Teller(eligible=eligible, metric=metric, annotated=annotated, units=units, gaps=gaps, untold=bool(lacking))

    def told_of(runs: Sequence[Predictions], rates: Array | None) -> _Told:
        each = [tell(replicates.tables(group, r.labels, r.predicted, (g + 1, k)), rates) for r in runs]
        return _Told(
            values={m: np.stack([run.values[m] for run in each]) for m in each[0].values},
            groups=np.stack([run.groups for run in each]),
            rates={
                m: Rates(np.stack([run.rates[m][0] for run in each]), np.max([run.rates[m][1] for run in each], 0))
                for m in EXTREMES
            },
        )

    together = 1 - (1 - settings.level) / max(1, int(eligible.sum()))

    def measured(told: _Told, less: _Told | None) -> Measured:
        overall = {}
        for m in told.values:
            if m in EXTREMES:
                rng, other = settings.stream(f"{spec} {m}", "extremes"), None if less is None else less.rates[m]
                seeds = tuple(told.values[m][:, 0].tolist())
                overall[m] = _extreme(seeds, told.rates[m], other, EXTREMES[m], settings.level, len(first), rng)
            else:
                base_values = None if less is None else less.values[m]
                overall[m] = _figure(told.values[m], base_values, settings.level, len(first), signed=m == KNOWN)
        return Measured(
            overall=overall,
            groups={
                attribute.groups[i]: _figure(
                    told.groups[:, :, i],
                    None if less is None else less.groups[:, :, i],
                    settings.level,
                    int(sizes[i]),
                    together if eligible[i] else settings.level,
                )
                for i in range(g)
                if sizes[i]
            },
        )

    if lost := next((other for name, other in held.items() if name in aligned and other not in aligned), ""):
        raise DataError(lost, "has no run, and another method is held against it", "runs of both")
    held = {name: other for name, other in held.items() if name in aligned}
    reading = set(asking) & (set(aligned) - {baseline}) if rates is not None else set[str]()
    bases = {(baseline, False): told_of(aligned[baseline], rates)}  # by whether groups are as perceived
    methods, as_perceived = {}, {}
    for name, each in aligned.items():
        if name == baseline:
            methods[name] = measured(bases[name, False], None)
            continue
        seen = name in reading or held.get(name) in reading
        key = held.get(name, baseline), seen
        if key not in bases:
            bases[key] = told_of(aligned[key[0]], None if seen else rates)
        methods[name] = measured(told_of(each, None if seen else rates), bases[key])
        if seen:
            as_perceived[name] = measured(bases[key], None)
    return Comparison(
        attribute=attribute,
        sizes={attribute.groups[i]: int(sizes[i]) for i in range(g) if sizes[i]},
        eligible=tuple(attribute.groups[i] for i in range(g) if eligible[i]),
        methods=methods,
        corrected=error is not None,
        note=note,
        held=held,
        as_perceived=as_perceived,
        dropped=tuple(c for c, kept in zip(first.classes, tell.classes, strict=True) if not kept)
        if metric == "balanced_accuracy"
        else (),
    )


def _in_order(first: Predictions, run: Predictions, name: str, spec: str) -> Predictions:
    """The run with its faces in the order of the first one.

    Raises:
        DataError: If they are not the same faces, with the same classes, labels and groups: the store may have been
            annotated or labelled anew between two runs.
    """
    here, there = list(map(str, first.sample_id)), list(map(str, run.sample_id))
    if here != there:
        place = {face: i for i, face in enumerate(there)}
        if len(place) != len(here) or any(face not in place for face in here):
            raise DataError(name, "was judged on other faces than the baseline", "the same faces")
        run = run.select(np.array([place[face] for face in here], dtype=np.int64))
    fix = "Make its runs anew, in another folder."
    if run.classes != first.classes or not np.array_equal(run.labels, first.labels):
        raise DataError(name, "was judged by other labels than the baseline", "the same labels", fix)
    for part in (part.strip() for part in spec.split("*")):
        if (
            not run.groups[part]
            .astype(object)
            .reset_index(drop=True)
            .equals(first.groups[part].astype(object).reset_index(drop=True))
        ):
            raise DataError(name, f"has other groups of {part!r} than the baseline", "the same groups", fix)
    return run


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What a run came to.

    Attributes:
        values: Measure -> ``(1 + B,)``: on the faces as they are, then on replicates; of extremes ``(1,)``.
        groups: ``(1 + B, G)`` of each group.
        rates: Measure that is an extreme -> ``(1 + B, C, G)`` rates that it is of, and the variance of each at least.
    """

    values: Mapping[str, Array]
    groups: Array
    rates: Mapping[str, tuple[Array, Array]]


@dataclass(frozen=True, kw_only=True)
class _Told:
    """What all runs of a method came to: as :class:`_Run`, the runs in front."""

    values: Mapping[str, Array]
    groups: Array
    rates: Mapping[str, Rates]


class _Teller:
    """All measures of confusion counts."""

    def __init__(
        self,
        *,
        eligible: Any,
        metric: str,
        annotated: Any,
        units: Any,
        gaps: Sequence[KnownGap],
        untold: bool,
    ) -> None:
        self.eligible, self.units, self.gaps, self.untold = eligible, units, gaps, untold
        self.cells = annotated >= CLASS_FACES
        self.metric, self.classes = metric, shared_classes(annotated[eligible])

    def __call__(self, tables: Array, rates: Array | None) -> _Run:
        """All measures of ``(1 + B, G + 1, K, K)`` counts, the last of faces without a group."""
        everybody, told = tables.sum(1), GroupRates.of(tables[:, :-1], rates)
        right = told.right
        each = right if self.metric == "accuracy" else mean_of_recalls(told.recall, self.classes)
        some = np.where(self.eligible & ~np.isnan(each), each, np.nan)
        alike = np.where(self.eligible & ~np.isnan(right), right, np.nan)
        n = (~np.isnan(alike)).sum(1)
        mean = np.where(n == 0, np.nan, np.nansum(alike, 1) / np.maximum(n, 1))
        nothing = np.asarray(np.isnan(some).all(1))
        worst = np.where(nothing[:1], np.nan, np.where(np.isnan(some[:1]), np.inf, some[:1]).min(1))
        of = self._rates(told, some)
        found = {
            ACCURACY: accuracy(everybody),
            MACRO: balanced_accuracy(everybody),
            EQUAL: mean,
            WORST: worst,
            # Replicates of extremes are those of the rates that they are of.
            GAP: max_min_gap(each[:1], self.eligible),
            ODDS: reduce_components(of[ODDS][0][:1], DIFFERENCE),
            PARITY: reduce_components(of[PARITY][0][:1], DIFFERENCE),
            FAIRNESS: min_max_ratio(of[FAIRNESS][0][:1, 0]),
            LEAST: _least(of[LEAST][0][:1]),
        }
        if self.gaps:
            better, worse = known_sides(told.recall, each, self.gaps)
            found |= {KNOWN: better - worse, BETTER: better, WORSE: worse}
            found |= {m: np.full_like(found[m], np.nan) for m in (KNOWN, BETTER, WORSE) if self.untold}
        values = {name: np.asarray(value) for name, value in found.items()}
        return _Run(values=values, groups=each, rates=of)

    def _rates(self, told: GroupRates, some: Array) -> dict[str, tuple[Array, Array]]:
        """What the extremes of a run are of: ``(1 + B, C, G)``, and the variance that each has at least."""
        annotated, size = told.annotated, told.annotated.sum(-1)  # (G, K), (G,)
        alone = np.divide(self.units, size, out=np.ones(len(size)), where=size > 0)  # units a face
        own = np.nan_to_num(share_variance(told.recall[0].T, annotated.T * alone).T)
        counted = self.classes & (annotated > 0)
        least = share_variance(some[0], self.units) if self.metric == "accuracy" else _of_mean(own, counted)
        recall = np.where(self.cells, told.recall, np.nan)
        odds = self._of_groups(np.concatenate([recall, told.alarms], -1))
        parity = self._of_groups(told.answered)
        means = mean_recalls(self._of_groups(told.recall), self.classes)[:, None]
        faces = np.concatenate([annotated, size[:, None] - annotated], 1).T * alone
        varies = share_variance(odds[0], faces)
        k = annotated.shape[1]
        return {
            WORST: (some[:, None], least[None]),
            GAP: (some[:, None], least[None]),
            ODDS: (odds, varies),
            LEAST: (odds[:, :k], varies[:k]),
            PARITY: (parity, share_variance(parity[0], self.units)),
            FAIRNESS: (means, _of_mean(own, np.broadcast_to(self.classes, own.shape))[None]),
        }

    def _of_groups(self, rates: Array) -> Array:
        """``(1 + B, G, C)`` rates as ``(1 + B, C, G)``, of groups that take part."""
        return np.asarray(np.swapaxes(np.where(self.eligible[:, None], rates, np.nan), -1, -2))


def _least(rates: Array) -> Array:
    """``(n, C, G)`` -> ``(n,)``: the smallest of all that there are; NaN where there is none."""
    flat = rates.reshape(len(rates), -1)
    nothing = np.isnan(flat).all(1)
    return np.asarray(np.where(nothing, np.nan, np.where(np.isnan(flat), np.inf, flat).min(1)))


def _of_mean(variances: Array, part: Any) -> Array:
    """``(G,)`` variance of the mean over the ``(G, K)`` classes that take part."""
    return np.asarray(np.where(part, variances, 0.0).sum(-1) / np.maximum(part.sum(-1), 1) ** 2)


def _figure(
    values: Array, base: Array | None, level: float, n: int, together: float | None = None, signed: bool = False
) -> Figure:
    """A figure of ``(S, 1 + B)`` values: seeds, then the faces as they are and replicates."""
    least, most = (-1.0, 1.0) if signed else (0.0, 1.0)
    change = None
    if base is not None:
        change = over_seeds(values - base, together or level, n, within=(least - most, most - least))
    value = over_seeds(values, level, n, within=(least, most))
    return Figure(value=value, seeds=tuple(values[:, 0].tolist()), change=change)


def _extreme(
    seeds: tuple[float, ...],
    rates: Rates,
    less: Rates | None,
    kind: Extreme,
    level: float,
    n: int,
    rng: np.random.Generator,
) -> Figure:
    """The figure of an extreme, about which no interval of its own would hold."""
    how = "simultaneous over groups, seeds and faces"

    def told(found: Bounds) -> Estimate:
        if len(seeds) < 2 or np.isnan(found.low):
            return Estimate(found.value, level=level, n=n, note="one seed" if len(seeds) < 2 else "undefined")
        return Estimate(found.value, found.low, found.high, level=level, method=how, n=n)

    change = None if less is None else told(change_of_extreme(rates, less, kind, level, rng))
    return Figure(value=told(extreme(rates, kind, level, rng)), seeds=seeds, change=change)
