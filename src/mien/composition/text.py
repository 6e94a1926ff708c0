"""What a composition found, in sentences."""

from __future__ import annotations

import math

from mien.composition.composition import AttributeComposition, Composition, Described
from mien.composition.independence import FEWER, MORE, Association, Cell
from mien.stats.multiplicity import SIGNIFICANT
from mien.wording import capital, ends, number, p_words, percent, percent_interval, spoken, unbroken

_MOST_NAMED = 3


def corpus_sentences(c: Composition) -> list[str]:
    """How many faces there are, how many are independent, and how the classes are mixed."""
    units = "each of them independent" if c.n_clusters == c.n else f"{c.n_clusters:,} of them independent"
    out = [f"{c.source} holds {c.n:,} faces, {units}."]
    if lost := sum(c.unlabelled.values()):
        why = ", ".join(f"{reason}: {n:,}" for reason, n in c.unlabelled.items())
        out.append(f"{lost:,} have no class under the label scheme {c.labels} ({why}).")
    if c.by_label is None:
        return [*out, "It has no expressions: it is described by its groups alone."]
    return [*out, mix_sentence(c.by_label, "class", "classes")]


def mix_sentence(described: Described, one: str = "group", many: str = "groups") -> str:
    """The largest and the smallest group, and how even the mix is."""
    r, shares = described.representation, described.overall.shares
    if not r.largest:
        return f"No face has a known {one}." if described.overall.n == 0 else f"There is one {one} only."
    form = ".2f" if r.n_groups < 10 else ".1f"
    largest, smallest = (f"{name}, {unbroken(percent(shares[name].value))}" for name in (r.largest, r.smallest))
    reach = ends(r.effective, form)
    return (
        f"The largest {one} is {largest}, the smallest {smallest}; the {r.n_groups} {many} are as diverse as "
        f"{number(r.effective.value, form)} equally large ones would be{f' ({reach})' if reach else ''}."
    )


def finding_sentences(a: AttributeComposition) -> list[str]:
    """The mix of groups, what the annotator's errors change of it, and whether groups go with the classes."""
    corrected = [corrected_sentence(a)] if a.corrected else []
    together = [association_sentence(a.with_class, "groups", "classes")] if a.with_class else []
    return [mix_sentence(a.described), *corrected, *together]


def attribute_sentences(a: AttributeComposition) -> list[str]:
    """All that was found of an attribute, except where faces are missing (:func:`thin_sentence`)."""
    cells = [cells_sentence(a.with_class)] if a.with_class and a.with_class.cells else []
    return [*finding_sentences(a), *cells]


def corrected_sentence(a: AttributeComposition) -> str:
    """What the annotator's errors change most."""
    raw = a.described.overall.shares
    shares = a.corrected.shares if a.corrected else {}
    known = [g for g in raw if g in shares and not math.isnan(shares[g].value) and not math.isnan(raw[g].value)]
    if not known:
        return "What the annotator's errors change cannot be said."
    noted = next((shares[g].note for g in known if math.isnan(shares[g].low)), "")
    if noted:
        return f"No correction for the annotator's known errors can be trusted: {noted}."
    group = max(known, key=lambda g: abs(shares[g].value - raw[g].value))
    e = shares[group]
    return (
        f"Once the annotator's known errors are counted, the share of {group} is "
        f"{unbroken(percent_interval(e))} and not {unbroken(percent(raw[group].value))}; no share changes more."
    )


def association_sentence(found: Association, one: str, other: str) -> str:
    """Whether groups and classes, or either and splits, go together."""
    if found.note:
        return f"Whether {one} and {other} go together cannot be said: {found.note}."
    nmi, v = found.nmi.corrected, found.cramers_v.corrected
    p = p_words(found.nmi.p)
    if found.nmi.p >= SIGNIFICANT:
        return (
            f"That {one} and {other} go together is not shown ({p}); the faces would still be compatible with a "
            f"normalised mutual information up to {number(nmi.high, '.4f')} and a Cramér's V up to {number(v.high)}."
        )
    return (
        f"{one.capitalize()} and {other} go together, more than chance would show ({p}): normalised mutual information "
        f"{spoken(nmi, '.4f')}, Cramér's V {spoken(v)}, both without what chance adds."
    )


def cells_sentence(found: Association) -> str:
    """The cells furthest from independence."""
    more, fewer = ([c for c in found.cells if c.verdict == verdict] for verdict in (MORE, FEWER))
    if not more and not fewer:
        return "No single cell of group and class is shown to be larger or smaller than independence lets expect."
    sides = [(more, "more"), (fewer, "fewer")]
    if len({c.group for c in found.cells}) == 2:
        sides = sides[:1]  # what one of two groups has more of, the other has less of
    parts = []
    for cells, word in sides:
        named = sorted(cells, key=lambda c: -abs(c.z.value))[:_MOST_NAMED]
        if named:
            parts.append(f"{word} faces than expected: {'; '.join(map(_cell, named))}")
    text = ". ".join(map(capital, parts))
    return f"{len(more) + len(fewer)} of {len(found.cells)} cells are shown to depart from independence. {text}."


def _cell(c: Cell) -> str:
    return f"{cell_name(c.class_name, c.group)} ({c.n:,}, expected {c.expected:,.0f}, Z {number(c.z.value, '+.2f')})"


def thin_sentence(a: AttributeComposition) -> str:
    """How many cells of group, class and split are too thin, and the worst of them."""
    kind = "group, class and split" if a.with_class else "group and split"
    if not a.thin:
        return f"Every cell of {kind} has enough independent faces."
    worst = a.thin[0]
    empty = sum(t.n == 0 for t in a.thin)
    some = f"{empty} of them are empty" if empty else "none of them is empty"
    return (
        f"{len(a.thin)} of {a.n_cells} cells of {kind} have fewer than "
        f"{worst.n_clusters + worst.need} independent faces, and {some}. Most is missing for "
        f"{cell_name(worst.class_name, worst.group)} in {worst.split or 'the corpus'}: it has {worst.n_clusters}."
    )


def cell_name(class_name: str, group: str) -> str:
    """``happiness of woman``; the group alone where there are no classes."""
    return f"{class_name} of {group}" if class_name else group
