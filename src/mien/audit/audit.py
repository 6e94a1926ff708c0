"""The audit: groups, gaps, what chance alone would show, and a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien import __version__
from mien.audit.attributes import Attribute, resolve_attributes
from mien.audit.cells import Ints, Rows, bootstrap_tables, independent_units
from mien.audit.gaps import HEADLINE_METRICS, Eligible, Stack, statistics_of
from mien.audit.intervals import (
    adjust_bh,
    edge_errors,
    gap_interval,
    percentile,
    permutation_p,
    share_estimate,
    undefined,
)
from mien.audit.overall import (
    ECE_NOTE,
    check_settings,
    random_stream,
    row_scores,
    score_estimate,
    summary_estimates,
)
from mien.audit.permutation import permuted_tables, plan_permutation
from mien.audit.results import (
    DISPARITY,
    NOT_SHOWN,
    TOO_FEW,
    AttributeResult,
    Audit,
    GapResult,
    GroupResult,
)
from mien.audit.text import attribute_notes, method_notes, verdict_sentences
from mien.errors import DataError
from mien.metrics import expected_calibration_error
from mien.records import Estimate, Predictions

SIGNIFICANT = 0.05
MIN_CLASS_N = 10
_GROUP_SCORES = ("top2", "kl")


@dataclass(frozen=True)
class _Settings:
    level: float
    n_boot: int
    n_perm: int
    min_n: int
    min_class_n: int
    seed: int


@dataclass(frozen=True)
class _Numbers:
    """All that one attribute's results are read from: observed, bootstrapped and permuted."""

    tables: Ints
    units: Ints
    class_units: Ints
    observed: Stack
    boot: Stack
    null: Stack
    eligible: Eligible


def audit(
    predictions: Predictions,
    by: Sequence[str] = (),
    *,
    level: float = 0.95,
    n_boot: int = 1000,
    n_perm: int = 1000,
    min_n: int = 30,
    min_class_n: int = MIN_CLASS_N,
    seed: int = 0,
) -> Audit:
    """Audit predictions for disparities between groups of faces.

    For each attribute: every group's metrics with intervals; the gap (largest minus smallest) of
    each headline metric and each class's recall; beside it the gap that chance alone would show,
    from permutations of the groups within the annotated class; a p-value, adjusted over all gaps of
    the audit.

    Args:
        predictions: The predictions; ``cluster`` says which faces are not independent.
        by: Columns of ``predictions.groups``; ``gender*age`` is the intersection.
        level: Coverage that the intervals aim at.
        n_boot: Bootstrap replicates.
        n_perm: Permutations.
        min_n: Groups with fewer faces are shown, but enter no gap.
        min_class_n: Classes with fewer faces in a group do not enter that class's recall gap.
        seed: Seed of everything drawn; the order of ``by`` does not change any number, nor does
            the order of the rows.

    Returns:
        The audit; undefined values are NaN with a note, and out of every gap.

    Raises:
        UsageError: If no attribute is given or one does not exist, or a setting cannot work.
        DataError: If a column cannot serve as an attribute, or there are no predictions.
    """
    check_settings(level, n_boot, n_perm, seed)
    if not len(predictions):
        raise DataError(predictions.source or "predictions", "has no rows", "one row a face")
    n, clustered = len(predictions), predictions.cluster is not None
    predictions = replace(predictions, cluster=independent_units(predictions.cluster))
    attributes = resolve_attributes(predictions, [by] if isinstance(by, str) else by)
    settings = _Settings(level, n_boot, n_perm, min_n, min_class_n, seed)
    scores = row_scores(predictions)
    results = _adjusted([_audit_attribute(predictions, a, scores, settings) for a in attributes])
    return Audit(
        source=predictions.source,
        classes=[str(c) for c in predictions.classes],
        n=n,
        n_clusters=n if predictions.cluster is None else int(predictions.cluster.max()) + 1,
        overall=summary_estimates(predictions, n_boot=n_boot, seed=seed, level=level),
        attributes=results,
        verdict=verdict_sentences(results, min_n),
        method_notes=method_notes(results, clustered, level, n_boot, n_perm, min_n, min_class_n),
        level=level,
        n_boot=n_boot,
        n_perm=n_perm,
        min_n=min_n,
        min_class_n=min_class_n,
        seed=seed,
        version=__version__,
    )


def _audit_attribute(
    pred: Predictions, attribute: Attribute, scores: dict[str, NDArray[Any]], settings: _Settings
) -> AttributeResult:
    known = np.flatnonzero(attribute.codes >= 0)
    rows = Rows(
        attribute.codes[known],
        pred.labels[known],
        pred.predicted[known],
        None if pred.cluster is None else pred.cluster[known],
        len(attribute.groups),
        len(pred.classes),
    )
    if not len(rows):
        raise DataError(f"attribute {attribute.name!r}", "no face has a known value in every part", "some that do")
    tables = rows.tables()
    eligible = Eligible.of(tables, settings.min_n, settings.min_class_n)
    plan = plan_permutation(rows)
    boot = bootstrap_tables(rows, settings.n_boot, random_stream(settings.seed, attribute.name, "bootstrap"))
    null = permuted_tables(plan, settings.n_perm, random_stream(settings.seed, attribute.name, "permutation"))
    numbers = _Numbers(
        tables,
        rows.units_per_group(),
        rows.units_per_class(),
        statistics_of([tables[None]], eligible),
        statistics_of(boot, eligible),
        statistics_of(null, eligible),
        eligible,
    )
    groups = _groups(pred, attribute, known, scores, numbers, settings)
    return AttributeResult(
        attribute.name,
        attribute.label,
        attribute.source,
        attribute.confidence,
        len(rows),
        len(pred) - len(rows),
        groups,
        _gaps(groups, [str(c) for c in pred.classes], numbers, settings),
        attribute_notes(attribute.source, plan.n_fixed / len(rows), plan.n_pooled / len(rows)),
    )


def _groups(
    pred: Predictions,
    attribute: Attribute,
    known: Ints,
    scores: dict[str, NDArray[Any]],
    numbers: _Numbers,
    settings: _Settings,
) -> list[GroupResult]:
    codes = attribute.codes[known]
    order = known[np.argsort(codes, kind="stable")]
    ends = np.cumsum(np.bincount(codes, minlength=len(attribute.groups)))[:-1]
    members = np.split(order, ends)
    return [_group(g, name, pred, members[g], scores, numbers, settings) for g, name in enumerate(attribute.groups)]


def _group(
    g: int,
    name: str,
    pred: Predictions,
    members: Ints,
    scores: dict[str, NDArray[Any]],
    numbers: _Numbers,
    settings: _Settings,
) -> GroupResult:
    table, n, units = numbers.tables[g], len(members), int(numbers.units[g])
    per_class = table.sum(1)
    classes = [str(c) for c in pred.classes]
    lacking = [c for c, m in zip(classes, per_class, strict=True) if not m]
    note = f"nobody annotated with {', '.join(lacking)}: macro values leave these out" if n and lacking else ""
    return GroupResult(
        name,
        n,
        units,
        "" if numbers.eligible.groups[g] else TOO_FEW,
        _headline(g, n, units, numbers, settings) | _row_metrics(pred, members, units, scores, settings.level),
        {c: _recall(g, k, numbers, settings) for k, c in enumerate(classes)},
        {c: int(m) for c, m in zip(classes, per_class, strict=True)},
        [[int(v) for v in row] for row in table],
        note if n else "no faces",
    )


def _headline(g: int, n: int, units: int, numbers: _Numbers, settings: _Settings) -> dict[str, Estimate]:
    out = {}
    for metric in HEADLINE_METRICS:
        draws = numbers.boot.values[metric][:, g]
        if metric == "accuracy":
            hits = float(np.trace(numbers.tables[g]))
            out[metric] = share_estimate(hits, n, units, draws, level=settings.level, seed=settings.seed)
        else:
            value = float(numbers.observed.values[metric][0, g])
            note = "" if n else "no faces"
            out[metric] = percentile(
                value, draws, level=settings.level, n=n, clusters=units, seed=settings.seed, note=note
            )
    return out


def _recall(g: int, k: int, numbers: _Numbers, settings: _Settings) -> Estimate:
    row = numbers.tables[g, k]
    n = int(row.sum())
    if n == 0:
        return undefined(0, 0, "nobody annotated with it", settings.level)
    clusters = int(numbers.class_units[g, k])
    note = "" if n >= settings.min_class_n else TOO_FEW
    draws = numbers.boot.recall[:, g, k]
    return share_estimate(float(row[k]), n, clusters, draws, level=settings.level, seed=settings.seed, note=note)


def _row_metrics(
    pred: Predictions, members: Ints, units: int, scores: dict[str, NDArray[Any]], level: float
) -> dict[str, Estimate]:
    """``top2``, ``kl`` and ``ece`` of one group; empty without probabilities."""
    if pred.probs is None:
        return {}
    cluster = None if pred.cluster is None else pred.cluster[members]
    out = {
        name: score_estimate(name, scores[name][members], cluster, level)
        if name in scores
        else undefined(len(members), units, "two classes: it could only be 1", level)
        for name in _GROUP_SCORES
    }
    ece = expected_calibration_error(pred.probs[members], pred.labels[members])
    note = ECE_NOTE if len(members) else "no faces"
    return out | {"ece": Estimate(ece, level=level, n=len(members), clusters=units, note=note)}


def _gaps(groups: list[GroupResult], classes: list[str], numbers: _Numbers, settings: _Settings) -> list[GapResult]:
    out = []
    for metric in HEADLINE_METRICS:
        values = np.where(numbers.eligible.groups, numbers.observed.values[metric][0], np.nan)
        estimates = [g.metrics[metric] for g in groups]
        boot, null = numbers.boot.values[metric], numbers.null.gaps[metric]
        out.append(_gap(metric, "", groups, values, estimates, boot, null, settings))
    for k, name in enumerate(classes):
        values = np.where(numbers.eligible.recalls[:, k], numbers.observed.recall[0, :, k], np.nan)
        estimates = [g.recall[name] for g in groups]
        boot, null = numbers.boot.recall[:, :, k], numbers.null.recall_gaps[:, k]
        out.append(_gap("recall", name, groups, values, estimates, boot, null, settings))
    return out


def _gap(
    metric: str,
    class_name: str,
    groups: list[GroupResult],
    values: NDArray[np.float64],
    estimates: list[Estimate],
    boot: NDArray[np.float64],
    null: NDArray[np.float64],
    settings: _Settings,
) -> GapResult:
    part = np.flatnonzero(~np.isnan(values))
    n, units = sum(estimates[i].n for i in part), sum(estimates[i].clusters for i in part)
    nan = float("nan")
    if len(part) < 2:
        value = undefined(n, units, "fewer than two groups with enough faces", settings.level)
        return GapResult(metric, class_name, value, "", "", None, None, nan, nan, nan, nan, len(part), TOO_FEW)
    worst, best = int(part[values[part].argmin()]), int(part[values[part].argmax()])
    gap = float(values[best] - values[worst])
    floor = edge_errors([estimates[i] for i in part])
    low, upper = gap_interval(values[part], boot[:, part], settings.level, floor)
    value = Estimate(gap, low, upper, settings.level, "simultaneous bootstrap", n, units, settings.seed)
    defined = null[~np.isnan(null)]
    expected, high = (float(defined.mean()), float(np.quantile(defined, 0.95))) if len(defined) else (nan, nan)
    return GapResult(
        metric,
        class_name,
        value,
        groups[worst].name,
        groups[best].name,
        estimates[worst],
        estimates[best],
        expected,
        high,
        permutation_p(gap, null),
        nan,
        len(part),
        NOT_SHOWN,
    )


def _adjusted(results: list[AttributeResult]) -> list[AttributeResult]:
    """Adjust the p-values over all gaps of the audit, and say for each gap what follows."""
    adjusted = iter(adjust_bh([gap.p for result in results for gap in result.gaps]).tolist())
    return [replace(result, gaps=[_judged(gap, next(adjusted)) for gap in result.gaps]) for result in results]


def _judged(gap: GapResult, p_adjusted: float) -> GapResult:
    if gap.verdict == TOO_FEW:
        return gap
    return replace(gap, p_adjusted=p_adjusted, verdict=DISPARITY if p_adjusted < SIGNIFICANT else NOT_SHOWN)
