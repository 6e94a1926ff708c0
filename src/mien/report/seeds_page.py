"""The page of one model over several seeds: attributes, then all faces together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from mien.audit.seeds import SeedAttribute, SeedAudit, SeedGap, SeedGroup
from mien.audit.seeds.results import REAL
from mien.report import compare_plots as plots
from mien.report.blocks import (
    Box,
    Cell,
    Drawing,
    Items,
    Page,
    Row,
    Section,
    Table,
    Text,
    answer,
    beyond,
    cell,
    folded_table,
    p_cell,
    table,
)
from mien.report.compare_page import faces_shared, made_by
from mien.report.figures import inline
from mien.report.page import check_out, notice, write_page
from mien.report.words import listed, metric_words
from mien.wording import capital

SEEDS_PAGE = "seeds.html"
_MANY_RUNS = 12


def render_seeds(audit: SeedAudit, out: Path) -> Path:
    """Write the page of an audit over several seeds: one file that loads nothing else.

    Args:
        audit: The audit.
        out: The file, or a folder that then holds ``seeds.html``.

    Returns:
        The file written.

    Raises:
        UsageError: If the folder does not exist.
    """
    out = check_out(out, SEEDS_PAGE)
    left = [f"{n:,} of {name}" for name, n in zip(audit.names, audit.n_left_out, strict=True) if n]
    facts = [faces_shared(audit.n, audit.n_clusters, audit.classes), f"Runs: {listed(audit.names)}."]
    facts += [f"Faces left out, since not every run has them: {listed(left)}."] if left else []
    sections = [
        Section("In short", "short", [Box("verdict", [Text(audit.finding, "lead")])]),
        *(_attribute_section(audit, a, f"s-a{i}") for i, a in enumerate(audit.attributes, 1)),
        _overall_section(audit, "s-all"),
        Section("Method", "method", [Items([*audit.method_notes, made_by(audit)])]),
        notice(),
    ]
    title = f"Audit over {len(audit.names)} seeds"
    return write_page(
        check_out(out, SEEDS_PAGE), Page(title, [Text(" ".join(facts), "muted")], sections, audit.warnings)
    )


def _overall_section(audit: SeedAudit, anchor: str) -> Section:
    overall = audit.overall
    value = overall.metrics["accuracy"]
    runs = f"{min(value.runs):.3f} to {max(value.runs):.3f}" if not math.isnan(value.mean.value) else "undefined"
    header = ["Metric", "Mean over seeds", "Lowest and highest run"]
    rows: list[Row] = [
        [Cell(metric_words(m)[0], note=metric_words(m)[1]), cell(v.mean), _span(v.runs)]
        for m, v in overall.metrics.items()
    ]
    return answer(
        title="All faces together",
        anchor=anchor,
        sentences=[f"Over all faces the accuracy is {value.mean} on average; single runs lie at {runs}."],
        tables=[table("Every metric over all shared faces", header, rows)],
    )


def _span(runs: Sequence[float]) -> Cell:
    known = [r for r in runs if not math.isnan(r)]
    return Cell(f"{min(known):.3f} to {max(known):.3f}" if known else "")


def _attribute_section(audit: SeedAudit, attribute: SeedAttribute, anchor: str) -> Section:
    unknown = f"{attribute.n_unknown:,} shared faces are of unknown group and left out."
    tables = [_seed_groups_table(audit, attribute), _seed_gaps_table(attribute)]
    if len(audit.names) <= _MANY_RUNS:
        tables.append(_runs_table(audit, attribute))
    return answer(
        title=f"By {attribute.label}",
        anchor=anchor,
        sentences=[g.sentence for g in attribute.gaps[:1]] + _more_real(attribute.gaps[1:]),
        figures=_seed_figures(audit, attribute, anchor),
        tables=tables,
        notes=[unknown] if attribute.n_unknown else [],
    )


def _more_real(gaps: Sequence[SeedGap]) -> list[str]:
    named = [f"{g.title} ({g.value.value:.3f})" for g in gaps if g.verdict == REAL]
    return [f"Real beyond seed noise: the gaps in {listed(named)}."] if named else []


def _seed_figures(audit: SeedAudit, attribute: SeedAttribute, anchor: str) -> list[Drawing]:
    groups = [g for g in attribute.groups if g.n]
    kept = sorted(groups, key=lambda g: -g.n)[: plots.MAX_ROWS - 1]
    shown: list[SeedGroup] = [audit.overall, *(g for g in groups if g in kept)]
    hidden = len(groups) - len(kept)
    note = f" The {hidden} smallest groups stand in the table only." if hidden else ""
    gaps = attribute.gaps[: plots.MAX_ROWS]
    further = beyond(len(attribute.gaps), plots.MAX_ROWS)
    svg = inline(plots.seed_gaps_plot(gaps, [g.verdict == REAL for g in gaps]), f"{anchor}-gaps")
    figures = [
        Drawing(
            inline(plots.seed_values_plot(shown), f"{anchor}-values"),
            f"Diamonds: mean over the seeds, with the interval for all seeds and faces. Small dots: single runs.{note}",
        ),
        Drawing(
            svg,
            "Large marks: the gap between the means, with its interval; a filled diamond is real beyond seed noise. "
            "Small dots: the gaps of single runs. Grey: what equal groups would show on average. Upright tick: what "
            f"the seed alone gives equal groups in one run, 95 % of the time at most.{further}",
        ),
    ]
    known = [g for g in shown if (share := plots.seed_share(g, len(audit.names))) == share]
    if known:
        caption = (
            "Where the doubt about each mean comes from: which faces were sampled (first part), or which seeds were "
            "drawn (second part). More seeds shrink the second part only."
        )
        svg = inline(plots.noise_plot(known, len(audit.names)), f"{anchor}-noise")
        figures.append(Drawing(svg, caption))
    return figures


def _seed_groups_table(audit: SeedAudit, attribute: SeedAttribute) -> Table:
    header = ["Group", "Faces", "Mean accuracy", "Lowest and highest run", "Error from the faces", "Spread of one run"]
    header += ["Of it the seed's", "Mean macro F1"]
    rows: list[Row] = []
    for g in attribute.groups:
        value = g.metrics["accuracy"]
        spreads = [
            Cell("" if math.isnan(s) else f"{s:.3f}")
            for s in (value.sampling_error, value.run_spread, value.seed_spread)
        ]
        few = f"{g.verdict} faces: in no gap" if g.verdict and g.n else ""
        own: list[str | Cell] = [
            f"{g.n:,}",
            cell(value.mean),
            _span(value.runs),
            *spreads,
            cell(g.metrics["macro_f1"].mean),
        ]
        rows.append([Cell(g.name, note=few), *own])
    caption = f"Groups of {attribute.label} over {len(audit.names)} seeds; errors and spreads as standard deviations"
    return table(caption, header, rows)


def _seed_gaps_table(attribute: SeedAttribute) -> Table:
    header = [
        "Gap of",
        "Between means",
        "Finding",
        "One run on average",
        "Equal groups would show",
        "Seed alone, one run",
    ]
    header += ["Lowest", "Highest", "Adjusted p", "Seeds until the faces are the limit"]
    rows: list[Row] = [_seed_gap_row(g) for g in attribute.gaps]
    caption = f"Gaps between groups of {attribute.label}"
    return folded_table(caption, header, rows)


def _seed_gap_row(g: SeedGap) -> Row:
    if math.isnan(g.value.value):
        blank: list[str | Cell] = [Cell("–") for _ in range(7)]
        return [capital(g.title), cell(g.value), f"{g.verdict} faces", *blank]
    last = g.worst_by_run.count(g.worst)
    return [
        capital(g.title),
        cell(g.value),
        g.verdict,
        cell(g.run_gap),
        f"{g.expected:.3f}",
        Cell(f"{g.seed_gap:.3f}", f"95 % below {g.seed_gap_high:.3f}"),
        Cell(g.worst, note=f"last in {last} of {len(g.worst_by_run)} runs"),
        g.best,
        p_cell(g.p_adjusted),
        f"{g.seeds_needed:,}" if g.seeds_needed else "–",
    ]


def _runs_table(audit: SeedAudit, attribute: SeedAttribute) -> Table:
    rows: list[Row] = [
        [g.name, *(Cell("" if math.isnan(r) else f"{r:.3f}") for r in g.metrics["accuracy"].runs)]
        for g in attribute.groups
    ]
    caption = "Accuracy of every run by group"
    return folded_table(caption, ["Group", *audit.names], rows)
