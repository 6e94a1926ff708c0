"""The sections of an audit: overview, groups, gaps, recall, power, and what was not tested."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from mien.audit import DISPARITY, TOO_FEW, AttributeResult, Audit, GapResult, GroupResult
from mien.audit.vocabulary import BELOW
from mien.records import Estimate
from mien.report import words
from mien.report.audit_overview_plot import overview_plot
from mien.report.audit_plots import MAX_GROUPS, group_class_heatmap, group_plot, ranked_groups, shows_pooled
from mien.report.blocks import (
    SMALL,
    Block,
    Cell,
    Drawing,
    Figures,
    Folded,
    Items,
    Row,
    Section,
    Table,
    Text,
    faces_cell,
    full_cell,
    p_cell,
)
from mien.report.figures import inline
from mien.wording import capital, ends

PLOTTED = ("accuracy", "macro_f1")
SHOWN = 10  # groups of the ranking that need no click; a caption says "ten"
_DASH = Cell("–")


def overview(audit: Audit, anchor: str) -> list[Block]:
    """The gaps of all attributes in one figure, and the words that the page uses.

    Args:
        audit: The audit.
        anchor: Start of all ids.
    """
    caption = (
        "How to read this: each mark is a gap, the value of the group served best minus that of the group served "
        "worst; its line is the interval. Even where all groups are served alike, the best and the worst differ by "
        "chance: the grey band shows by how much. An orange diamond is a gap that chance does not explain. The upright "
        "tick is the smallest gap that these faces would have shown four times in five, whichever group had it: "
        "smaller ones can stay unseen."
    )
    wide = inline(overview_plot(audit), f"{anchor}-overview")
    narrow = inline(overview_plot(audit, narrow=True), f"{anchor}-narrow")
    return [Figures([Drawing(wide, caption, narrow=narrow)]), Folded("The words on this page", [Items(_terms(audit))])]


def _terms(audit: Audit) -> list[tuple[str, str]]:
    return [
        ("Gap", "The difference between the group served best and the group served worst."),
        (
            "Interval",
            "The range in which the true value lies, as far as the choice of faces leaves it open; it is right "
            f"{100 * audit.level:g} times in 100.",
        ),
        (
            "Chance alone",
            "What the gap would be if the groups were served alike: the faces with the same annotated class are dealt "
            "out to the groups anew, many times.",
        ),
        (
            "p",
            "How often chance alone shows a gap as large as this one. Adjusted: made stricter, because many gaps are "
            "looked at.",
        ),
        (
            "Disparity, or more than chance",
            "Adjusted p below 0.05. It says that the groups are not served alike, not why.",
        ),
        (
            "No disparity shown, or could be chance",
            "Not proof that the groups are served alike: few faces hide large gaps.",
        ),
        (
            "Too few",
            f"The group has fewer than {audit.min_n} faces, or fewer than {audit.min_class_n} of the class: shown, but "
            "in no gap.",
        ),
        (
            "Recall, precision, F1",
            "Recall: share of a class’s faces that are found. Precision: share of the answers with this class that are "
            "right. F1: both in one number. Macro F1: their mean over the classes, so that rare classes count as much "
            "as common ones.",
        ),
        (
            "Independent units",
            "Copies of one picture, or the faces of one person, count once where they are known.",
        ),
    ]


# Groups


def groups_section(audit: Audit, result: AttributeResult, anchor: str) -> list[Section]:
    """Who is served worst: the groups, ranked and drawn.

    Args:
        audit: The audit, for the values over all faces.
        result: The attribute.
        anchor: Start of all ids.
    """
    ranking, pooled = ranked_groups(result), shows_pooled(result)
    worst, others = ranking[:SHOWN], ranking[SHOWN:]
    first = ": the first ten" if others else ""
    caption = f"Groups of {result.label}, worst {'pooled ' if pooled else ''}accuracy first{first}"
    ranks = {g.name: str(i) for i, g in enumerate((g for g in ranking if not g.verdict), 1)}
    more = f"The other {len(others)} groups"
    rest = [_ranking("The rest of the ranking", others, ranks, pooled, more)] if others else []
    blocks: list[Block] = [
        Figures([Drawing(inline(group_plot(result, audit.overall, [m]), f"{anchor}-{m}")) for m in PLOTTED]),
        Text(_plot_words(result, pooled), SMALL),
        _ranking(caption, worst, ranks, pooled),
        *rest,
        Text(
            "Groups whose intervals overlap may change places. Accuracy to expect: if the group’s faces were served as "
            "all faces with the same annotated class are; it is marked where the group lies below or above it by more "
            "than chance (adjusted p below 0.05). Shortfall that would show: how much worse the group would have to be "
            "served to be noticed four times in five.",
            SMALL,
        ),
        _every_metric(result, ranking),
    ]
    return [Section("Who is served worst", f"{anchor}-groups", blocks)]


def _plot_words(result: AttributeResult, pooled: bool) -> str:
    text = (
        "Dots are groups, with intervals and numbers of faces; hollow grey ones have too few. The dashed line is all "
        "faces together. The grey band is as wide as the gap that chance alone shows (dark: on average; light: "
        "95\u00a0% of the time): where the lowest and the highest group lie outside it, their gap is wider than that."
    )
    if pooled:
        text += (
            " Orange diamonds are pooled accuracies: each group is drawn towards the others, the more the fewer faces "
            "it has, for few faces seldom show a group as good or as bad as it looks."
        )
    hidden = len(result.groups) - MAX_GROUPS
    more = f" The plots show the {MAX_GROUPS} largest groups; {hidden} more stand in the tables."
    return text + (more if hidden > 0 else "")


def _ranking(
    caption: str, groups: Sequence[GroupResult], ranks: Mapping[str, str], pooled: bool, summary: str = ""
) -> Table:
    header = ["Rank", "Group", "Accuracy", *(["Pooled accuracy"] * pooled), "Accuracy to expect", "Faces", "Macro F1"]
    return Table(
        caption=caption,
        header=[*header, "Shortfall that would show"],
        rows=[_ranked(g, ranks.get(g.name, "–"), pooled) for g in groups],
        summary=summary,
        style="ranked",
        names=1,
        right=(0, 5 if pooled else 4),
        few=_few(groups),
    )


def _ranked(g: GroupResult, rank: str, pooled: bool) -> Row:
    few = f"{g.verdict} faces: in no gap" if g.verdict and g.n else ""
    drawn = full_cell(g.pooled) if g.pooled and g.n else _DASH
    return [
        rank,
        Cell(g.name, note=" ".join(filter(None, [few, g.note]))),
        full_cell(g.metrics.get("accuracy")),
        *([drawn] if pooled else []),
        Cell(words.number(g.expected), standing=g.standing, found=g.standing == BELOW) if _known(g.expected) else _DASH,
        faces_cell(g.n, g.n_clusters),
        full_cell(g.metrics.get("macro_f1")),
        words.number(g.detectable) if _known(g.detectable) else _DASH,
    ]


def _every_metric(result: AttributeResult, groups: Sequence[GroupResult]) -> Folded:
    metrics = list(words.in_order({m: e for g in result.groups for m, e in g.metrics.items()}))
    titles = {m: words.metric_words(m) for m in metrics}
    shared, footnotes = words.shared_notes([g.metrics for g in result.groups])
    found = Table(
        caption="Each value with its interval",
        header=["Group", "Faces", *(title for title, _ in titles.values())],
        rows=[
            [g.name, faces_cell(g.n, g.n_clusters), *(full_cell(g.metrics.get(m), shared) for m in metrics)]
            for g in groups
        ],
        right=(1,),
        few=_few(groups),
    )
    about = [f"{title}: {means}." for title, means in titles.values() if means]
    return Folded("Every metric of every group", [found, Text(" ".join([*about, *footnotes]), SMALL)])


# Gaps


def gaps_section(audit: Audit, result: AttributeResult, anchor: str) -> list[Section]:
    """The gaps of an attribute: the headline ones, and every further measure."""
    headline = [g for g in result.gaps if g.family == "headline"]
    # Measures of the whole first, those of single classes below.
    further = sorted((g for g in result.gaps if g.family != "headline"), key=lambda g: bool(g.class_name))
    caption = (
        f"Gaps between groups of {result.label}. Chance alone: the gap that groups served alike would show on average"
    )
    tables = [_gaps_table(headline, caption)]
    if further:
        caption = (
            f"Further measures for {result.label}, with p-values adjusted apart from those above. For parity and false "
            "positives no group is worst or best: the smallest and the largest rate stand there"
        )
        tables.append(_gaps_table(further, caption, f"Further measures: {words.gap_share(further, 'further')}"))
    return [Section("Gaps between groups", f"{anchor}-gaps", tables)]


def _gaps_table(gaps: Sequence[GapResult], caption: str, summary: str = "") -> Table:
    ends = ["Worst or smallest", "Best or largest"] if summary else ["Served worst", "Served best"]
    return Table(
        caption=caption,
        header=["Gap of", "Finding", "Gap and interval", "Chance alone", *ends, "p", "Adjusted p"],
        rows=[_gap(g, bool(summary)) for g in gaps],
        summary=summary,
        style="gaps explained" if summary else "gaps",
        right=(6, 7),
        few=[i for i, g in enumerate(gaps) if g.verdict == TOO_FEW],
    )


def _gap(g: GapResult, explained: bool) -> Row:
    side = "above" if g.kind == "ratio" else "below"
    chance = Cell(words.number(g.expected), f"95 % {side} {words.number(g.expected_high)}")
    return [
        Cell(capital(g.title), note=words.METRIC_ABOUT.get(g.metric, "") if explained else ""),
        Cell(words.verdict_words(g.verdict), note=g.note, found=g.verdict == DISPARITY),
        full_cell(g.value),
        chance if _known(g.expected) else Cell(""),
        _end(g.worst, g.worst_value),
        _end(g.best, g.best_value),
        p_cell(g.p),
        p_cell(g.p_adjusted),
    ]


def _end(name: str, e: Estimate | None) -> Cell:
    """The group at one end of a gap, with its value."""
    if e is None:
        return _DASH
    reach = f" ({ends(e)})" if ends(e) else ""
    return Cell(name, words.number(e.value) + reach, words.remark(e))


# Recall and power


def recall_section(audit: Audit, result: AttributeResult, anchor: str) -> list[Section]:
    """Class by class: how many faces of each class are found in each group."""
    drawing = Drawing(
        inline(group_class_heatmap(result, audit.classes), f"{anchor}-heat"),
        "Recall: of the faces annotated with a class (column), the share that the model finds, in each group (row, "
        "with faces). Grey and hatched: too few faces of the class, or in the group, to say; n is their number.",
        wide=True,
    )
    found = Table(
        caption="Recall, interval and annotated faces (n)",
        header=["Group", *audit.classes],
        rows=[[g.name, *(_recall(g, c) for c in audit.classes)] for g in result.groups],
        summary=f"Recall by {result.label} and class, as a table with intervals",
        few=_few(result.groups),
    )
    return [Section("Class by class", f"{anchor}-recall", [Figures([drawing]), found])]


def _recall(g: GroupResult, name: str) -> Cell:
    shown = full_cell(g.recall[name])
    return Cell(shown.text, shown.range, ", ".join(filter(None, [shown.note, f"n {g.n_per_class[name]:,}"])))


def power_section(audit: Audit, result: AttributeResult, anchor: str) -> list[Section]:
    """What this sample could have shown: the smallest gaps that it would not have missed."""
    gaps = [g for g in result.gaps if g.family == "headline" and _known(g.detectable)]
    accuracy = next((g for g in gaps if g.metric == "accuracy"), None)
    blocks: list[Block] = [Text(_power_words(result, accuracy))]
    if gaps:
        blocks.append(
            Table(
                caption="The smallest gap that would have shown four times in five: for the group where it is "
                "smallest, and where it is largest",
                header=["Gap of", "Smallest", "Largest", "Gap found"],
                rows=[
                    [capital(g.title), *map(words.number, (g.detectable, g.detectable_high, g.value.value))]
                    for g in gaps
                ],
                summary="The smallest gap that would have shown, measure by measure",
                right=(1, 2, 3),
            )
        )
    return [Section("What this sample could have shown", f"{anchor}-power", blocks)]


def _power_words(result: AttributeResult, gap: GapResult | None) -> str:
    if gap is None:
        return "Too few faces: no gap of any size could have been shown."
    taking_part = [g for g in result.groups if _known(g.detectable)]
    easiest = min(taking_part, key=lambda g: g.detectable, default=None)
    hardest = max(taking_part, key=lambda g: g.detectable, default=None)
    if easiest is None or hardest is None or f"{gap.detectable:.2f}" == f"{gap.detectable_high:.2f}":
        size = words.points(gap.detectable_high)
        first = f"This sample would have shown a gap of {size} in accuracy four times in five."
    else:
        first = (
            f"This sample would have shown a gap in accuracy four times in five if it were "
            f"{words.points(gap.detectable)} or more, with {easiest.name} served worse, and "
            f"{words.points(gap.detectable_high)} or more with {hardest.name}."
        )
    return f"{first} Smaller gaps may be there and stay unseen. That many gaps were judged at once is allowed for."


# What was not tested, and how it was made


def untested_section(audit: Audit, anchor: str) -> Section:
    """The audit's own list, what was too rare in it, and what no audit of this kind sees."""
    never = [
        "Whether the annotations are right: if annotators judge the faces of a group differently, that is not seen.",
        "What people feel: the classes are expressions as others perceive them.",
    ]
    items = [*audit.not_tested, *_combinations(audit), *_rare_classes(audit), *never]
    return Section("What was not tested", anchor, [Items(items)])


def _combinations(audit: Audit) -> Iterator[str]:
    labels = [a.label for a in audit.attributes]
    if len(labels) > 1 and not any("*" in a.name for a in audit.attributes):
        yield (
            f"Combinations of attributes, such as {' * '.join(labels[:2])}: none was asked for. Each attribute alone "
            "can look even where a combination is served badly."
        )


def _rare_classes(audit: Audit) -> Iterator[str]:
    """Classes that do not enter a gap everywhere, attribute by attribute."""
    found = [f"by {a.label}: {words.listed(rare)}" for a in audit.attributes if (rare := list(_rare(a)))]
    if found:
        yield (
            f"Classes too rare in a group, with fewer than {audit.min_class_n} faces there: the group stays out of "
            f"that class's gap ({'; '.join(found)})."
        )


def _rare(attribute: AttributeResult) -> Iterator[str]:
    """Each class that some group, large enough to take part, has too few faces of."""
    groups = [g for g in attribute.groups if not g.verdict]
    for name in groups[0].recall if groups else ():
        few = [g.name for g in groups if g.recall[name].note == TOO_FEW or not g.n_per_class[name]]
        if few:
            yield f"{name} in {'every group' if len(few) == len(groups) else words.listed(few, 3)}"


def method_notes(audit: Audit) -> list[str]:
    """How the audit was made."""
    made = f"{audit.n_boot} bootstrap replicates and {audit.n_perm} permutations with seed {audit.seed}"
    return [*audit.method_notes, f"{made}, by Mien {audit.version}."]


def _few(groups: Sequence[GroupResult]) -> list[int]:
    return [i for i, g in enumerate(groups) if g.verdict]


def _known(value: float) -> bool:
    return not math.isnan(value)
