"""The audit: groups, gaps, what chance alone would show, and a verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien import __version__
from mien.audit.asked import AskedMetrics, asked_metrics
from mien.audit.attributes import Attribute, resolve_attributes
from mien.audit.calibration import group_calibration
from mien.audit.classes import class_results
from mien.audit.confounders import candidate_confounders
from mien.audit.further import Further, further_results
from mien.audit.gaps import (
    CLASS_METRICS,
    FURTHER,
    HEADLINE,
    Measure,
    null_of,
    rates_of,
    stacked_rates,
    table_measures,
)
from mien.audit.group_estimates import GroupTables, group_results, mean_recall
from mien.audit.inferred.annotator_error import AnnotatorError
from mien.audit.judgement import Evidence, judge, verdict_of
from mien.audit.overall import summary_estimates
from mien.audit.power import NullSample, detectable_gaps, headline
from mien.audit.results import AttributeResult, Audit, GapResult, GroupResult
from mien.audit.score_gaps import FaceScores, score_results
from mien.audit.scores import Scores, Units, row_scores
from mien.audit.table_checks import class_faults, table_notes, table_warnings
from mien.audit.text import attribute_notes, method_notes, not_tested
from mien.audit.verdict import verdict_sentences
from mien.audit.vocabulary import ABOVE, BELOW
from mien.audit.warned import said_first
from mien.errors import DataError, UsageError
from mien.records import Estimate, Predictions
from mien.registry import nearest
from mien.samples import PERCEIVED
from mien.stats.cells import Ints, Rows, bootstrap_tables, independent_units
from mien.stats.limits import implied_trials
from mien.stats.multiplicity import SIGNIFICANT, adjust_bh
from mien.stats.permutation import permuted_tables, plan_permutation
from mien.stats.settings import Settings


def audit(
    predictions: Predictions,
    by: Sequence[str] = (),
    *,
    settings: Settings = Settings(),
    confounders: Sequence[str] | None = None,
    annotator_errors: Mapping[str, AnnotatorError] | None = None,
    leakage: bool = False,
    features: NDArray[Any] | None = None,
    power: bool = True,
    metrics: Sequence[str] = (),
    progress: Callable[[int, int | None], None] | None = None,
) -> Audit:
    """Audit predictions for disparities between groups of faces.

    For each attribute: every group's metrics with intervals; the gap of each measure (largest minus
    smallest, or smallest over largest); beside it what chance alone would show, from permutations of
    the groups within the annotated class; a p-value, adjusted over all gaps of its family; and the
    smallest gap that the sample could have shown.

    Args:
        predictions: The predictions; ``cluster`` says which faces are not independent.
        by: Columns of ``predictions.groups``; ``gender*age`` is the intersection, ``brightness:3``
            cuts a column of numbers at its quantiles.
        settings: Coverage, replicates, permutations, least faces to enter gaps, and the seed: the order of ``by``
            does not change any number, nor does the order of the rows.
        confounders: Columns of numbers about the pictures that gaps are re-weighted to a common mix of;
            by default those with a well-known name (brightness, contrast, sharpness, size, yaw, ...).
        annotator_errors: Attribute -> the known confusion of the annotator who perceived it.
        leakage: Probe the features and probabilities for the attributes; takes seconds an attribute.
        features: ``(n, D)`` the model's features, for the leakage probe.
        power: Work out how large a gap the verdict would have named; simulations that do not look at it save a
            good part of the time.
        metrics: Registered metrics to compare beyond the usual: functions of confusion counts, or of one value a face.
        progress: Called with attributes done and in all.

    Returns:
        The audit; undefined values are NaN with a note, and out of every gap.

    Raises:
        UsageError: If no attribute is given or one does not exist, or a setting cannot work.
        DataError: If a column cannot serve as an attribute, or there are no predictions.
    """
    if not len(predictions):
        raise DataError(predictions.source or "predictions", "has no rows", "one row a face")
    n, clustered = len(predictions), predictions.cluster is not None
    clusters = predictions.cluster
    predictions = replace(predictions, cluster=independent_units(predictions.cluster))
    attributes = resolve_attributes(predictions, [by] if isinstance(by, str) else by)
    scores = row_scores(predictions)
    asked = asked_metrics([metrics] if isinstance(metrics, str) else metrics, predictions, scores)
    scores |= asked.values
    columns = candidate_confounders(predictions) if confounders is None else list(confounders)
    errors, error_notes = _errors(predictions, annotator_errors, attributes)
    further = Further(columns, errors, leakage, features)
    results, samples = [], []
    for i, attribute in enumerate(attributes):
        result, sample = _audit_attribute(predictions, attribute, scores, settings, clusters, asked)
        results.append(further_results(predictions, attribute, result, further, settings))
        samples.append(sample)
        if progress:
            progress(i + 1, len(attributes))
    results = _adjusted(results)
    if power:
        results = _with_power(results, samples, settings.seed)
    faults = class_faults(predictions)
    warnings = table_warnings(predictions, [a.name for a in attributes], faults)
    return Audit(
        source=predictions.source,
        classes=[str(c) for c in predictions.classes],
        n=n,
        n_clusters=n if predictions.cluster is None else int(predictions.cluster.max()) + 1,
        overall=summary_estimates(predictions, settings=settings, scores=scores),
        attributes=results,
        verdict=said_first(warnings, verdict_sentences(results, settings.min_n, power)),
        warnings=warnings,
        classes_in_doubt=bool(faults),
        method_notes=[
            *predictions.notes,
            *table_notes(predictions),
            *error_notes,
            *method_notes(results, clustered, settings, power),
        ],
        not_tested=not_tested(predictions, results, clustered, further.leakage),
        per_class=class_results(predictions, settings=settings),
        level=settings.level,
        n_boot=settings.n_boot,
        n_perm=settings.n_perm,
        min_n=settings.min_n,
        min_class_n=settings.min_class_n,
        seed=settings.seed,
        version=__version__,
    )


def _errors(
    pred: Predictions, given: Mapping[str, AnnotatorError] | None, attributes: Sequence[Attribute]
) -> tuple[dict[str, AnnotatorError], list[str]]:
    """Annotators' errors of the audited attributes: those given, else those that came with the predictions.

    Returns:
        Attribute -> errors; and a sentence for each that came but cannot serve.

    Raises:
        UsageError: If one is given for an attribute that is not audited.
    """
    names = [a.name for a in attributes]
    for name in given or {}:
        if name not in names:
            raise UsageError(f"annotator error of {name!r}", "this attribute is not audited", "", nearest(name, names))
    errors, notes = dict(given or {}), []
    for attribute in attributes:
        if attribute.name in errors:
            continue
        if attribute.name not in pred.annotator_errors:
            if "*" in attribute.name and attribute.source == PERCEIVED and pred.annotator_errors:
                notes.append(f"{attribute.label}: not corrected, for its annotator's errors were not counted crossed.")
            continue
        try:
            errors[attribute.name] = AnnotatorError.from_content(
                pred.annotator_errors[attribute.name], f"annotator error of {attribute.name}"
            ).matched(attribute.groups)
        except DataError as error:
            notes.append(f"{attribute.label}: not corrected for its annotator's error. {error}")
    return errors, notes


def _audit_attribute(
    pred: Predictions,
    attribute: Attribute,
    scores: Scores,
    settings: Settings,
    clusters: Ints | None,
    asked: AskedMetrics,
) -> tuple[AttributeResult, NullSample]:
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
    classes = [str(c) for c in pred.classes]
    tables = rows.tables()
    counted_units = rows.unit_counts()
    measures = table_measures(tables, classes, settings, counted_units, asked.counts)
    drawn = bootstrap_tables(rows, settings.n_boot, settings.stream(attribute.name, "bootstrap"))
    boot = stacked_rates(drawn, asked.counts)
    plan = plan_permutation(rows)
    permuted = permuted_tables(plan, settings.n_perm, settings.stream(attribute.name, "permutation"))
    null = null_of(permuted, measures, lambda m: m.family == HEADLINE, asked.counts)
    units = Units.of(rows.group, rows.label, rows.cluster, rows.n_groups, rows.n_classes)
    counted = GroupTables(tables, counted_units, boot, asked.counts)
    of_faces = FaceScores(scores, asked.faces)
    scored = score_results(pred, attribute, known, of_faces, units, settings, clusters)
    tested = plan.comparable > 0
    groups = group_results(attribute, classes, counted, scored.estimates, null.values[0], tested, settings)
    observed = rates_of(tables[None], asked.counts)
    gaps = []
    for i, m in enumerate(measures):
        evidence = Evidence(
            values=m.masked(observed)[0],
            replicates=m.masked(boot),
            null=null.statistics[i],
            estimates=_group_estimates(m, groups, counted, settings),
            sizes=tables.sum((1, 2)),
            units=counted_units.groups,
            tested=tested,
            crossed=counted_units.crossed,
        )
        gaps.append(judge(m, attribute.groups, evidence, settings.level, settings.seed))
    chosen = headline(measures)
    sample = NullSample(
        measures=[measures[i] for i in chosen],
        tables=null.tables,
        statistics=[null.statistics[i] for i in chosen],
        accuracies=null.values[0],
        inflation=_inflation(groups),
        tested=tested,
    )
    apart = [name for name, t in zip(attribute.groups, tested, strict=True) if not t]
    return (
        AttributeResult(
            name=attribute.name,
            label=attribute.label,
            source=attribute.source,
            confidence=attribute.confidence,
            n=len(rows),
            n_unknown=len(pred) - len(rows),
            groups=groups,
            gaps=[*gaps, *scored.gaps],
            notes=[
                *([attribute.note] if attribute.note else []),
                *attribute_notes(attribute.source, plan.n_fixed / len(rows), plan.why, apart),
            ],
            calibration=group_calibration(scores, known, units, attribute.groups) if "confidence" in scores else [],
        ),
        sample,
    )


def _inflation(groups: Sequence[GroupResult]) -> NDArray[np.float64]:
    """Dependent faces that weigh as much as an independent one, by the interval of each group's accuracy."""
    estimates = [g.metrics["accuracy"] for g in groups]
    return np.array([max(e.n / max(implied_trials(e), 1.0), 1.0) if e.clusters < e.n else 1.0 for e in estimates])


def _with_power(results: list[AttributeResult], samples: Sequence[NullSample], seed: int) -> list[AttributeResult]:
    """Say of each headline gap, and of each group, how large a gap the verdict would have named."""
    judged = [g.p for r in results for g in r.gaps if g.family == HEADLINE] + [g.p for r in results for g in r.groups]
    n_tests = sum(not math.isnan(p) for p in judged)
    out = []
    for result, sample in zip(results, samples, strict=True):
        found = detectable_gaps(sample, n_tests, seed)
        ends = {
            (m.name, m.class_name): (float(low), float(high))
            for m, low, high in zip(sample.measures, found.low, found.high, strict=True)
        }
        nothing = (float("nan"), float("nan"))
        gaps = []
        for gap in result.gaps:
            named = gap.family == HEADLINE and not math.isnan(gap.p)
            low, high = ends.get((gap.metric, gap.class_name), nothing) if named else nothing
            gaps.append(replace(gap, detectable=low, detectable_high=high))
        groups = [replace(g, detectable=float(d)) for g, d in zip(result.groups, found.groups, strict=True)]
        out.append(replace(result, gaps=gaps, groups=groups))
    return out


def _group_estimates(
    measure: Measure, groups: Sequence[GroupResult], counted: GroupTables, settings: Settings
) -> list[Estimate] | None:
    """The groups' own estimates of what a measure compares; None where it compares several things at once."""
    if not measure.class_name and measure.name in groups[0].metrics:
        return [g.metrics[measure.name] for g in groups]
    if measure.name == "min_max_accuracy":
        return [g.metrics["accuracy"] for g in groups]
    if measure.name in CLASS_METRICS:
        return [getattr(g, measure.name)[measure.class_name] for g in groups]
    if measure.means:
        return [
            mean_recall(counted, g, list(group.recall.values()), measure.means, settings)
            for g, group in enumerate(groups)
        ]
    return None


def _adjusted(results: list[AttributeResult]) -> list[AttributeResult]:
    """Adjust the p-values, headline gaps and groups together, further gaps apart; and say what follows."""
    gaps = [gap for result in results for gap in result.gaps]
    placed = [group for result in results for group in result.groups]
    headline = [g.p if g.family == HEADLINE else float("nan") for g in gaps]
    together = adjust_bh([*headline, *(g.p for g in placed)])
    apart = adjust_bh([g.p if g.family == FURTHER else float("nan") for g in gaps])
    each = np.where([g.family == HEADLINE for g in gaps], together[: len(gaps)], apart)
    gap_p, group_p = iter(each.tolist()), iter(together[len(gaps) :].tolist())
    return [
        replace(
            result,
            gaps=[_judged(gap, next(gap_p)) for gap in result.gaps],
            groups=[_placed(group, next(group_p)) for group in result.groups],
        )
        for result in results
    ]


def _judged(gap: GapResult, p: float) -> GapResult:
    return replace(gap, p_adjusted=p, verdict=verdict_of(gap, p))


def _placed(group: GroupResult, p: float) -> GroupResult:
    below = group.metrics["accuracy"].value < group.expected
    return replace(group, p_adjusted=p, standing=(BELOW if below else ABOVE) if p < SIGNIFICANT else "")
