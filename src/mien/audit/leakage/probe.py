"""The leakage probe: fresh classifiers on features, beside what expression alone gives away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.audit.attributes import Attribute
from mien.audit.leakage.folds import kept_groups
from mien.audit.leakage.permutations import GroupPermutations
from mien.audit.leakage.probes import Groups, class_probe, linear_probe, mlp_probe
from mien.audit.leakage.results import EXPRESSION, FREQUENCIES, LINEAR, MLP, TOO_FEW, LeakageResult, ProbeResult
from mien.audit.leakage.sample import ProbeSettings, Sample, checked_arrays, draw_sample
from mien.audit.leakage.text import finding, notes_on
from mien.metrics import per_class_recall
from mien.records import Estimate
from mien.stats.cells import Ints, Rows, bootstrap_counts, bootstrap_tables, independent_units
from mien.stats.intervals import macro_estimate, macro_sides, percentile, permutation_p, share_estimate
from mien.stats.multiplicity import bonferroni

_WIDEST = 2.0  # few permutations may exaggerate


@dataclass(frozen=True)
class _Read:
    """What one probe read.

    Attributes:
        input: What it read from.
        probe: Which it was.
        predicted: ``(n,)`` groups, out of fold.
        null: ``(P,)`` balanced accuracies under permutation.
        excess: Their standard deviation over that of independent faces put in groups at the same rates.
        given_expression: Whether groups were permuted among faces annotated alike.
    """

    input: str
    probe: str
    predicted: Ints
    null: NDArray[np.float64]
    excess: float
    given_expression: bool


def leakage_probe(
    inputs: Mapping[str, NDArray[Any]],
    attribute: Attribute,
    cluster: Ints | None = None,
    *,
    labels: Ints | None = None,
    names: NDArray[Any] | None = None,
    settings: ProbeSettings = ProbeSettings(),
    progress: Callable[[int, int | None], None] | None = None,
) -> LeakageResult:
    """Ask how well fresh probes read an attribute from features, and how much of it expression alone gives away.

    Probes are fitted and judged on folds that never split an independent unit. The measure is
    balanced accuracy, whose chance level is 1 / groups however unequal they are. p-values come from
    permutations of the groups with the probe refitted on all folds each time: test 1 of Ojala and
    Garriga (2010), with ``labels`` restricted to faces annotated alike.

    Args:
        inputs: Name -> ``(n, D)`` what to read from; see :func:`leakage_inputs`. The first one gives the verdict.
        attribute: The groups.
        cluster: ``(n,)`` independent units; None where each row is its own.
        labels: ``(n,)`` annotated classes. With them, groups are permuted within a class, and what
            the classes alone tell is probed beside.
        names: ``(n,)`` what the faces are called. With them the faces that are probed and their folds are dealt by
            names, so that several models of the same faces are read on the same ones in the same folds, and can be
            set against each other; without them by what the inputs hold, so that a table whose names are changed is
            read alike.
        settings: Probes, folds, permutations and what every analysis shares.
        progress: Called with steps done and in all.

    Returns:
        The result; without two groups that are large enough it says so and holds no probe.

    Raises:
        UsageError: On a setting that cannot work, an unknown probe or no input.
        DataError: If the arrays do not belong together or hold undefined numbers.
    """
    arrays = checked_arrays(inputs, len(attribute.codes), labels, cluster)
    unit = np.arange(len(attribute.codes)) if cluster is None else np.unique(cluster, return_inverse=True)[1].ravel()
    kept, left_out = kept_groups(attribute.groups, attribute.codes, unit, settings.min_n, settings.n_folds)
    if len(kept) < 2:
        return _too_few(attribute, left_out, settings)
    sample = draw_sample(arrays, attribute, kept, unit, labels, names, settings)
    reads, mobility = _read_all(sample, settings, progress or (lambda done, total: None))
    alone = next((r for r in reads if r.input == EXPRESSION), None)
    results = [_result(r, sum(s.input == r.input for s in reads), alone, sample, settings) for r in reads]
    chance = 1 / len(kept)
    verdict, sentence = finding(results, attribute.label, chance)
    return LeakageResult(
        name=attribute.name,
        label=attribute.label,
        source=attribute.source,
        n=len(sample.group),
        n_clusters=sample.n_units,
        n_available=sample.n_available,
        n_per_group={g: int((sample.group == i).sum()) for i, g in enumerate(sample.groups)},
        left_out=left_out,
        chance=chance,
        probes=results,
        verdict=verdict,
        sentence=sentence,
        notes=notes_on(results, sample, attribute.source, left_out, mobility, settings),
        n_folds=settings.n_folds,
        n_boot=settings.n_boot,
        level=settings.level,
        seed=settings.seed,
    )


def _too_few(attribute: Attribute, left_out: dict[str, str], settings: ProbeSettings) -> LeakageResult:
    why = "; ".join(f"{group}: {reason}" for group, reason in left_out.items())
    return LeakageResult(
        name=attribute.name,
        label=attribute.label,
        source=attribute.source,
        n=0,
        n_clusters=0,
        n_available=0,
        n_per_group={},
        left_out=left_out,
        chance=float("nan"),
        probes=[],
        verdict=TOO_FEW,
        sentence=f"Nothing can be said of {attribute.label}: fewer than two groups have enough faces ({why}).",
        n_folds=settings.n_folds,
        n_boot=settings.n_boot,
        level=settings.level,
        seed=settings.seed,
    )


def _read_all(
    sample: Sample, settings: ProbeSettings, progress: Callable[[int, int | None], None]
) -> tuple[list[_Read], GroupPermutations]:
    """Every probe on every input, observed and permuted; last what the annotated classes alone tell."""
    n_perm = {LINEAR: settings.n_perm, MLP: settings.n_perm_mlp}
    steps = {LINEAR: 1, MLP: settings.n_folds}
    total = len(sample.inputs) * sum(steps[p] for p in settings.probes)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    mobility = GroupPermutations(sample.group, sample.unit, sample.fold, sample.label)
    codes = _permuted(mobility, max(n_perm[p] for p in settings.probes), sample, settings)
    reads = []
    for name in sample.inputs:
        for probe in settings.probes:
            part = codes[: 1 + n_perm[probe]]
            predicted = _predict(sample, name, probe, part, settings, step)
            reads.append(_read(name, probe, part, predicted, sample))
    if sample.label is not None:
        # Groups permuted within classes would be as easy to tell from the classes as the observed ones.
        free = GroupPermutations(sample.group, sample.unit, sample.fold, None)
        codes = _permuted(free, settings.n_perm, sample, settings)
        predicted = class_probe(sample.label, codes, sample.fold, len(sample.groups))
        reads.append(_read(EXPRESSION, FREQUENCIES, codes, predicted, sample))
    return reads, mobility


def _permuted(permutations: GroupPermutations, n_perm: int, sample: Sample, settings: ProbeSettings) -> Groups:
    """``(1 + n_perm, n)`` the observed groups, then permuted ones."""
    drawn = permutations.draw(n_perm, settings.stream(sample.attribute, "leakage permutation"))
    return np.concatenate([sample.group.astype(np.int8)[None], drawn])


def _predict(
    sample: Sample, name: str, probe: str, codes: Groups, settings: ProbeSettings, step: Callable[[], None]
) -> Groups:
    x, n_groups = sample.inputs[name], len(sample.groups)
    if probe == LINEAR:
        predicted = linear_probe(x, codes, sample.fold, n_groups)
        step()
        return predicted

    def stream(fold: int) -> np.random.Generator:
        return settings.stream(sample.attribute, f"leakage mlp {name} {fold}")

    return mlp_probe(x, codes, sample.fold, n_groups, sample.unit, stream, step)


def _read(name: str, probe: str, codes: Groups, predicted: Groups, sample: Sample) -> _Read:
    right, groups = predicted == codes, range(len(sample.groups))
    sizes = np.array([(codes == g).sum(1) for g in groups])
    recalls = np.array([(right & (codes == g)).sum(1) for g in groups]) / np.maximum(sizes, 1)
    null = recalls.mean(0)[1:]
    independent = _independent_error(recalls[:, 1:].T, sizes[:, 1:].T)
    excess = float(null.std() / np.sqrt(np.mean(independent**2))) if independent.any() else 1.0
    given = sample.label is not None and name != EXPRESSION
    return _Read(name, probe, predicted[0].astype(np.int64), null, excess, given)


def _independent_error(recalls: NDArray[Any], sizes: NDArray[Any]) -> NDArray[np.float64]:
    """Standard error of the mean of ``(..., G)`` recalls if all faces were independent."""
    variance = recalls * (1 - recalls) / np.maximum(sizes, 1)
    return np.asarray(np.sqrt(variance.sum(-1)) / recalls.shape[-1])


def _result(read: _Read, n_probes: int, alone: _Read | None, sample: Sample, settings: ProbeSettings) -> ProbeResult:
    value, recall, wider = _estimates(read, sample, settings)
    p = permutation_p(value.value, read.null)
    return ProbeResult(
        input=read.input,
        probe=read.probe,
        balanced_accuracy=value,
        recall=recall,
        expected=float(read.null.mean()),
        expected_high=float(np.quantile(read.null, 0.95)),
        p=p,
        p_adjusted=bonferroni(p, n_probes),
        n_perm=len(read.null),
        given_expression=read.given_expression,
        beyond_expression=None if alone is None or read is alone else _beyond(read, alone, wider, sample, settings),
    )


def _estimates(read: _Read, sample: Sample, settings: ProbeSettings) -> tuple[Estimate, dict[str, Estimate], float]:
    """Balanced accuracy and each group's recall, with intervals over independent units; and the first's widening."""
    n, n_groups, level, seed = len(sample.group), len(sample.groups), settings.level, settings.seed
    unit = independent_units(sample.unit)
    rows = Rows(np.zeros(n, dtype=np.int64), sample.group, read.predicted, unit, 1, n_groups)
    rng = settings.stream(sample.attribute, f"leakage bootstrap {read.input} {read.probe}")
    drawn = per_class_recall(np.concatenate(list(bootstrap_tables(rows, settings.n_boot, rng)))[:, 0])
    table, units = rows.tables()[0], rows.units_per_class()[0]
    recall = [
        share_estimate(float(table[g, g]), int(table[g].sum()), int(units[g]), drawn[:, g], level=level, seed=seed)
        for g in range(n_groups)
    ]
    values, low, high = (np.array([getattr(e, end) for e in recall]) for end in ("value", "low", "high"))
    sides = macro_sides(values, low, high, np.full(n_groups, 1 / n_groups), drawn)
    value, replicates = float(values.mean()), drawn.mean(1)
    wider = _widening(read.excess, float(np.nanstd(replicates)), float(_independent_error(values, table.sum(1))))
    sides = (wider * sides[0], wider * sides[1])
    replicates = value + wider * (replicates - value)
    estimate = macro_estimate(value, replicates, sides, level=level, n=n, clusters=sample.n_units, seed=seed)
    return estimate, dict(zip(sample.groups, recall, strict=True)), wider


def _widening(excess: float, error: float, independent: float) -> float:
    """By how much an interval of balanced accuracy must be wider than the bootstrap of the predictions says.

    Probes share their training faces, so that their mistakes go together even where faces are
    independent, which that bootstrap does not see. The permutations show it: their spread over that
    of independent faces, less what dependence within units explains, which the bootstrap does see.
    Right near chance, where it matters most, and too wide rather than too narrow far from it.
    """
    if error == 0 or independent == 0:
        return 1.0
    return float(np.clip(excess * independent / error, 1.0, _WIDEST))


def _beyond(read: _Read, alone: _Read, wider: float, sample: Sample, settings: ProbeSettings) -> Estimate:
    """Balanced accuracy less that of the annotated expression alone: a paired bootstrap over units."""
    n_groups, unit = len(sample.groups), independent_units(sample.unit)
    right, right_alone = ((r.predicted == sample.group).astype(np.int64) for r in (read, alone))
    cells = sample.group * 4 + right * 2 + right_alone
    rng = settings.stream(sample.attribute, f"leakage pairs {read.input} {read.probe}")
    drawn = bootstrap_counts(cells, unit, 4 * n_groups, settings.n_boot, rng)
    replicates = np.concatenate([_gain(counts, n_groups) for counts in drawn])
    value = float(_gain(np.bincount(cells, minlength=4 * n_groups)[None], n_groups)[0])
    replicates = value + wider * (replicates - value)
    level, seed = settings.level, settings.seed
    return percentile(value, replicates, level=level, n=len(cells), clusters=sample.n_units, seed=seed)


def _gain(counts: NDArray[Any], n_groups: int) -> NDArray[np.float64]:
    """``(b,)`` mean over groups of (right here only - right there only) / faces; NaN where a group was not drawn."""
    by_group = counts.reshape(-1, n_groups, 4)
    size = by_group.sum(2)
    gain = (by_group[..., 2] - by_group[..., 1]) / np.maximum(size, 1)
    return np.asarray(np.where((size > 0).all(1), gain.mean(1), np.nan))
