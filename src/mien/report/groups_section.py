"""Who is served worst: the groups of an attribute, ranked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup

from mien.audit import AttributeResult, Audit, GroupResult
from mien.report import words
from mien.report.audit_plots import MAX_GROUPS, group_plot, ranked_groups, shows_pooled
from mien.report.figures import inline

PLOTTED = ("accuracy", "macro_f1")
SHOWN = 10  # groups of the ranking that need no click


@dataclass(frozen=True, kw_only=True)
class GroupsSection:
    """The groups of one attribute.

    Attributes:
        label: The attribute.
        plots: Group plots, one a metric.
        pooled: Whether partially pooled accuracies are shown.
        worst: The groups served worst.
        others: The rest of the ranking.
        ranks: Group -> its rank; groups with too few faces have none.
        metrics: Metrics of the table of all groups.
        shared_notes: Notes that would stand in many cells of it, and are left out there.
        footnotes: These notes in words.
        note: Which groups the plots leave out; empty if none.
    """

    title: ClassVar[str] = "Who is served worst"
    template: ClassVar[str] = "groups.html.j2"
    label: str
    plots: list[Markup]
    pooled: bool
    worst: list[GroupResult]
    others: list[GroupResult]
    ranks: dict[str, int]
    metrics: list[str]
    shared_notes: set[str]
    footnotes: list[str]
    note: str


def groups_section(audit: Audit, result: AttributeResult, anchor: str) -> GroupsSection:
    """Rank the groups and draw them.

    Args:
        audit: The audit, for the values over all faces.
        result: The attribute.
        anchor: Start of all ids.
    """
    ranking = ranked_groups(result)
    ranked = [g for g in ranking if not g.verdict]
    hidden = len(result.groups) - MAX_GROUPS
    shared, footnotes = words.shared_notes([g.metrics for g in result.groups])
    return GroupsSection(
        label=result.label,
        plots=[inline(group_plot(result, audit.overall, [m]), f"{anchor}-{m}") for m in PLOTTED],
        pooled=shows_pooled(result),
        worst=ranking[:SHOWN],
        others=ranking[SHOWN:],
        ranks={g.name: i for i, g in enumerate(ranked, 1)},
        metrics=list(words.in_order({m: e for g in result.groups for m, e in g.metrics.items()})),
        shared_notes=shared,
        footnotes=footnotes,
        note=f"The plots show the {MAX_GROUPS} largest groups; {hidden} more stand in the tables."
        if hidden > 0
        else "",
    )
