"""What if the perceived groups are wrong."""

from __future__ import annotations

import math

import numpy as np

from mien.audit.inferred import ConfidenceCoverage, InferredMethod, InferredResult
from mien.audit.inferred.quotes import METHODS, left_out, pair, quotable
from mien.audit.inferred.results import CORRECTED, WEIGHTED
from mien.audit.vocabulary import TOO_FEW, metric_title
from mien.report import audit_question_plots as plots
from mien.report.blocks import (
    Cell,
    Drawing,
    Row,
    Section,
    Table,
    answer,
    cell,
    table,
)
from mien.report.figures import inline
from mien.report.words import listed
from mien.wording import capital

_MISSING = {WEIGHTED: "needs the annotator's confidence", CORRECTED: "needs its confusion matrix"}
_REFUSED = "its confusion matrix\ncannot be used"


def inferred_section(result: InferredResult, anchor: str) -> Section:
    """What if the perceived groups are wrong."""
    curve = next((c for c in result.erasure if c.metric == "accuracy"), None)
    erased = [] if curve is None else [next((n for n in result.notes if n.startswith(curve.sentence)), curve.sentence)]
    even = next((c for c in result.even_errors if c.metric == "accuracy"), None)
    notes = [n for n in result.notes if n not in erased]
    notes += [f"{capital(METHODS.get(m.name, m.name))}: {m.note}" for m in result.methods]
    notes += [f"The curve of even errors {even.note}."] if even and even.note else []
    return answer(
        title=f"What if the {'perceived ' if result.source == 'perceived' else ''}groups are wrong?",
        anchor=anchor,
        sentences=list(filter(None, [_methods_sentence(result), *left_out(result), quotable(result), *erased])),
        figures=_figures(result, anchor),
        tables=_tables(result),
        notes=notes,
    )


def _methods_sentence(result: InferredResult) -> str:
    gaps = {m.name: m.gap("accuracy") for m in result.methods}
    known = {name: gap for name, gap in gaps.items() if not math.isnan(gap.value.value)}
    if not known:
        return "Too few faces: the accuracy gap cannot be estimated by any method."
    pairs = {name: f" ({pair(gap)})" if pair(gap) else "" for name, gap in known.items()}
    one = next(iter(pairs.values())) if len(set(pairs.values())) == 1 else ""
    said = [f"{gap.value} {METHODS.get(name, name)}{'' if one else pairs[name]}" for name, gap in known.items()]
    text = f"The accuracy gap{one} is {listed(said)}."
    if CORRECTED not in gaps and result.refused:
        text += " How often the annotator errs is known, but cannot be used, so nothing could be corrected: see below."
    elif CORRECTED not in gaps:
        text += " No confusion matrix of the annotator was given, so nothing could be corrected."
    return text


def _figures(result: InferredResult, anchor: str) -> list[Drawing]:
    gaps = {METHODS.get(m.name, m.name): m.gap("accuracy").value for m in result.methods}
    missing = {METHODS[name]: why for name, why in _MISSING.items() if name not in {m.name for m in result.methods}}
    if result.refused and METHODS[CORRECTED] in missing:
        missing[METHODS[CORRECTED]] = _REFUSED
    caption = (
        "The accuracy gap with its interval by each method. Only the corrected one knows of the annotator's mistakes."
    )
    figures = []
    if any(not math.isnan(e.value) for e in gaps.values()):
        figures.append(Drawing(inline(plots.methods_plot(gaps, missing), f"{anchor}-methods"), caption))
    even = next((c for c in result.even_errors if c.metric == "accuracy" and len(c.points) > 1), None)
    if even is not None:
        known = float("nan")
        if result.annotator is not None and result.annotator_if_wrong is None:
            known = float(1 - np.diag(result.annotator.rates).mean())
        caption = (
            "If the annotator erred on all groups, and on right and mistaken faces, alike, the gap between the true "
            "groups would be larger than the one seen: read it at the share of errors that seems likely. Shade: "
            "interval."
        )
        if known > even.points[-1].error:
            caption += " This annotator errs more often than that on average, and so not evenly."
        figures.append(Drawing(inline(plots.even_error_plot(even, known), f"{anchor}-even"), caption))
    erasure = next((c for c in result.erasure if c.metric == "accuracy"), None)
    if erasure is not None:
        caption = (
            "The worst case: only faces that the model got wrong are misjudged. At the mark, so many of those "
            f"perceived as {erasure.worst} would be {erasure.best} that no gap were left; its line is the interval."
        )
        if math.isnan(erasure.erased_at.value):
            caption = "The worst case: only faces that the model got wrong are misjudged. No share of them is enough."
        figures.append(Drawing(inline(plots.erasure_plot(erasure), f"{anchor}-erasure"), caption))
    return figures


def _tables(result: InferredResult) -> list[Table]:
    methods = result.methods
    header = ["Group", *(f"{what}, {METHODS.get(m.name, m.name)}" for m in methods for what in ("Faces", "Accuracy"))]
    rows: list[Row] = [[name, *(c for m in methods for c in _method_cells(m, name))] for name in result.groups]
    caption = f"Accuracy by {result.label}, by each method"
    gap_header = ["Gap of", *(capital(METHODS.get(m.name, m.name)) for m in methods)]
    gaps = methods[0].gaps if methods else []
    gap_rows: list[Row] = [
        [_gap_title(g.metric, g.class_name), *(cell(m.gap(g.metric, g.class_name).value) for m in methods)]
        for g in gaps
    ]
    tables = [table(caption, header, rows)]
    if gap_rows:
        gap_caption = "All gaps by each method"
        tables.append(table(gap_caption, gap_header, gap_rows, f"{gap_caption}, as a table"))
    if result.coverage is not None:
        tables.append(_coverage_table(result.coverage))
    return tables


def _method_cells(method: InferredMethod, name: str) -> list[Cell]:
    group = method.group(name)
    counted = Cell(f"{group.n:,.0f}", note="" if group.in_gaps else "too few: in no gap")
    accuracy = group.metrics["accuracy"]
    return [counted, cell(accuracy, note=accuracy.note != TOO_FEW)]


def _gap_title(metric: str, class_name: str) -> str:
    return f"{metric_title(metric)} of {class_name}" if class_name else metric_title(metric)


def _coverage_table(kept: ConfidenceCoverage) -> Table:
    parts = {"all faces": kept.overall} | {f"perceived as {g}": e for g, e in kept.by_group.items()}
    parts |= {f"annotated with {c}": e for c, e in kept.by_class.items()}
    caption = f"Faces that a confidence of {kept.threshold:g} or more leaves"
    return table(caption, ["Faces", "Share left"], [[what, cell(e)] for what, e in parts.items()], caption)
