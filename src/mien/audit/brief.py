"""What a terminal shows of an audit, a comparison or an audit over seeds: the finding first, in all a screenful."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from mien.audit.compare.results import GAINED, GREW, LOST, SHRANK, Change, Comparison, GapChange, GroupChange
from mien.audit.gaps import HEADLINE
from mien.audit.inferred.quotes import quotable
from mien.audit.markdown import document, table
from mien.audit.results import AttributeResult, Audit, GapResult
from mien.audit.seeds.results import REAL, SeedAudit, SeedGap
from mien.audit.vocabulary import BELOW, DISPARITY, TOO_FEW
from mien.audit.warned import warning_lines
from mien.wording import interval, number, p_value

_MOST = 8  # rows of a table beside those of accuracy
_MOST_ATTRIBUTES = 12
_REST = "Every group and measure, {}how the numbers were made: --full, or the files of --out."

RowT = TypeVar("RowT")
PairedT = TypeVar("PairedT", bound=GapChange | SeedGap)


def render_brief(audit: Audit) -> str:
    """The finding, the gap in accuracy of each attribute, and the worst of the other gaps that are shown."""
    first = audit.overall.get("accuracy")
    lines = ["# Audit", "", *warning_lines(audit.warnings), audit.finding, ""]
    units = "" if audit.n_clusters == audit.n else f" in {audit.n_clusters} independent units"
    where = f" Source: {audit.source}." if audit.source else ""
    lines += [f"{audit.n} faces{units}, {len(audit.classes)} classes, accuracy {interval(first)}.{where}", ""]
    gaps = [(r, g) for r in audit.attributes for g in r.gaps if g.family == HEADLINE]
    header = ("by", "gap in accuracy", "expected by chance", "adjusted p", "worst", "best", "verdict")
    rows, cut = _first([(r, g) for r, g in gaps if g.metric == "accuracy"], _MOST_ATTRIBUTES)
    lines += [*table(header, [(r.label, *_cells(g)) for r, g in rows]), *_more(cut, "attributes")]
    found = [(r, g) for r, g in gaps if g.metric != "accuracy" and g.verdict == DISPARITY]
    found.sort(key=lambda rg: rg[1].expected - rg[1].value.value)
    rows, cut = _first(found, _MOST)
    if rows:
        header = ("by", "gap in", "gap", *header[2:6])
        lines += ["Other gaps that are more than chance alone would show, furthest beyond it first:", ""]
        lines += [*table(header, [(r.label, g.title, *_cells(g)[:-1]) for r, g in rows]), *_more(cut, "gaps")]
    lines += [*_worth_knowing(audit.attributes), _REST.format("what was not tested and "), ""]
    return document(lines)


def comparison_brief(comparisons: Sequence[Comparison]) -> str:
    """Of each comparison the finding, who gained or lost, and how gaps changed."""
    lines = ["# Comparison", "", *warning_lines(list(dict.fromkeys(w for c in comparisons for w in c.warnings)))]
    for c in comparisons:
        lines += [f"## {c.names[1]} against {c.names[0]}", "", c.finding, "", f"{c.n} shared faces.", ""]
        moved = [(x.label, g) for x in c.attributes for g in x.groups if g.verdict in (GAINED, LOST)]
        rows, cut = _first(sorted(moved, key=lambda lg: lg[1].p_adjusted), _MOST)
        header = ("accuracy of", "faces", *c.names, "change", "adjusted p", "")
        lines += table(header, [_change("all faces", c.overall), *(_change(f"{x} = {g.name}", g) for x, g in rows)])
        lines += _more(cut, "groups that gained or lost")
        gaps, cut = _accuracy_and([(x.label, g) for x in c.attributes for g in x.gaps], (SHRANK, GREW))
        header = ("by", "gap in", *c.names, "change", "adjusted p", "verdict")
        shown = [(x, g.title, *_changed(g.gap), p_value(g.p_adjusted), g.verdict) for x, g in gaps]
        lines += [*table(header, shown), *_more(cut, "gaps that changed")]
    return document([*lines, _REST.format("and "), ""])


def seed_brief(audit: SeedAudit) -> str:
    """The finding, the gap in accuracy of each attribute, and the others that are real beyond seed noise."""
    lines = ["# Audit over seeds", "", *warning_lines(audit.warnings), audit.finding, ""]
    lines += [f"{len(audit.names)} runs on {audit.n} shared faces in {audit.n_clusters} independent units.", ""]
    gaps, cut = _accuracy_and([(a.label, g) for a in audit.attributes for g in a.gaps], (REAL,))
    header = ("by", "gap in", "of the means", "equal groups' seeds alone", "adjusted p", "verdict")
    rows = [(a, g.title, interval(g.value), number(g.seed_gap), p_value(g.p_adjusted), g.verdict) for a, g in gaps]
    return document([*lines, *table(header, rows), *_more(cut, "real gaps"), _REST.format("and "), ""])


def _first(rows: Sequence[RowT], most: int) -> tuple[Sequence[RowT], int]:
    """The first rows, and how many more there are."""
    return rows[:most], max(len(rows) - most, 0)


def _more(n: int, what: str) -> list[str]:
    return [f"And {n} more {what}.", ""] if n else []


def _cells(gap: GapResult) -> tuple[str, ...]:
    numbers = (interval(gap.value), number(gap.expected), p_value(gap.p_adjusted))
    return (*numbers, gap.worst or "\u2013", gap.best or "\u2013", gap.verdict)


def _worth_knowing(attributes: Sequence[AttributeResult]) -> list[str]:
    """Groups below expectation, groups too small, and what may be said of perceived groups."""
    lines = []
    for result in attributes:
        below = [f"{g.name} ({g.metrics['accuracy'].value:.3f}, {g.expected:.3f} expected)" for g in result.groups
                 if g.standing == BELOW]  # fmt: skip
        small = [f"{g.name} ({g.n})" for g in result.groups if g.verdict == TOO_FEW]
        for what, names in (("served below expectation", below), ("too few faces for a gap", small)):
            shown, cut = _first(names, _MOST)
            more = f" and {cut} more" if cut else ""
            lines += [f"- {result.label}, {what}: {', '.join(shown)}{more}."] if names else []
        if result.inferred and (said := quotable(result.inferred)):
            lines.append(f"- {said}")
    shown, cut = _first(lines, _MOST_ATTRIBUTES)
    return [*shown, *([f"- And {cut} more such lines."] if cut else []), ""] if lines else []


def _change(name: str, group: GroupChange) -> tuple[str, ...]:
    return name, str(group.n), *_changed(group.metrics["accuracy"]), p_value(group.p_adjusted), group.verdict


def _changed(change: Change) -> tuple[str, str, str]:
    return interval(change.a), interval(change.b), interval(change.difference)


def _accuracy_and(
    gaps: Sequence[tuple[str, PairedT]], verdicts: Sequence[str]
) -> tuple[list[tuple[str, PairedT]], int]:
    """The gaps in accuracy, then those of other measures with one of the verdicts; and how many more of these."""
    shown = [g for g in gaps if g[1].metric == "accuracy"]
    others = [g for g in gaps if g[1].metric != "accuracy" and g[1].verdict in verdicts]
    cut = max(len(shown) - _MOST_ATTRIBUTES, 0) + max(len(others) - _MOST, 0)
    del shown[_MOST_ATTRIBUTES:]
    shown += sorted(others, key=lambda lg: lg[1].p_adjusted)[:_MOST]
    return shown, cut
