"""The page of a corpus: what it is made of, before any model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mien.composition import (
    MIN_N,
    Association,
    AttributeComposition,
    Composition,
    CorrectedShares,
    Described,
    composition,
)
from mien.composition.faces import corpus_attributes, corpus_faces
from mien.composition.text import attribute_sentences, corpus_sentences, finding_sentences
from mien.data.images import Store
from mien.errors import UsageError
from mien.records import Estimate
from mien.report.blocks import (
    Block,
    Box,
    Cell,
    Drawing,
    Folded,
    Items,
    Page,
    Row,
    Section,
    Table,
    Text,
    answer,
    cell,
    facts_table,
    folded_table,
    history_table,
    p_cell,
    table,
)
from mien.report.figures import inline
from mien.report.montage import corpus_montage
from mien.report.page import PICTURES, check_out, notice_section, write_page
from mien.report.store_plots import MAX_SEGMENTS, Bar, stacked_plot
from mien.report.store_sections import (
    cells_section,
    certainty_section,
    class_section,
    mix_section,
    number_section,
    thin_section,
)
from mien.report.words import details, listed, percent
from mien.samples import PERCEIVED
from mien.spellings import canonical
from mien.stats.settings import Settings
from mien.wording import capital

_WITH_CLASS = ["Normalised mutual information with class", "Cramér's V with class", "p"]
STORE_PAGE = "store.html"
Shares = Mapping[str, CorrectedShares]
_SOURCES = {
    "annotated": "The groups are as annotated: what the persons or the data's makers said of them.",
    "measured": "The groups are parts of a column of numbers.",
    "not stated": "Where the groups come from is not stated.",
}
_PERCEIVED = (
    "The groups are what a model or onlookers perceived in the pictures. They are guesses about appearance, never what "
    "a person is, and every count below is a count of guesses."
)


def render_store(
    store: Store | Sequence[Store],
    out: Path,
    *,
    by: Sequence[str] | None = None,
    labels: str | Sequence[str] = "majority",
    shares: Shares | Sequence[Shares | None] | None = None,
    pictures: bool = True,
    settings: Settings = Settings(min_n=MIN_N),
) -> Path:
    """Write the page of a corpus, or of several beside each other: one file that loads nothing else.

    Args:
        store: The store, or several.
        out: The file, or a folder that then holds ``store.html``.
        by: Attributes, as the audit takes them; by default every column that can be one. With several
            stores each shows those that it has.
        labels: The label scheme that turns votes into classes, or one a store.
        shares: Attribute -> shares corrected for the annotator's errors; with several stores one
            mapping (or None) a store.
        pictures: Show sample faces. The file then holds pictures of people.
        settings: Coverage, replicates, permutations, least faces of a group, seed.

    Returns:
        The file written.

    Raises:
        UsageError: If the place cannot be written, an attribute is in no store, or there are not as
            many label schemes or shares as stores.
        DataError: If a column cannot serve as an attribute.
        LabelError: If a label scheme does not fit the votes.
    """
    stores = [store] if isinstance(store, Store) else list(store)
    if not stores:
        raise UsageError("store", "no store was given", "one or more")
    out = check_out(out, STORE_PAGE)
    schemes = [labels] * len(stores) if isinstance(labels, str) else list(labels)
    given = [shares] * len(stores) if shares is None or isinstance(shares, Mapping) else list(shares)
    _check_numbers(len(stores), schemes, given, shares)
    wanted = _wanted(stores, by)
    found = [
        composition(s.table, attributes, labels=scheme, shares=own, settings=settings)
        for s, attributes, scheme, own in zip(stores, wanted, schemes, given, strict=True)
    ]
    several, faces, corpora = len(stores) > 1, False, []
    for i, (s, c, attributes) in enumerate(zip(stores, found, wanted, strict=True), 1):
        shown = _faces(s, c, attributes, settings.seed) if pictures else []
        faces = faces or bool(shown)
        parts = _corpus(s, c, f"s{i}", shown)
        corpora += [Section(c.source, f"s{i}", parts)] if several else parts
    sections = [
        Section("In short", "short", [_verdict(c, several) for c in found]),
        *([Section("Side by side", "beside", side_by_side(found, "beside"))] if several else []),
        *corpora,
        Section("Method", "method", [Items(_method(found[0]))]),
        _notice(stores, found, faces),
    ]
    title = f"What {listed([c.source for c in found])} {'are' if several else 'is'} made of"
    return write_page(out, Page(title, [], sections))


def _check_numbers(n: int, schemes: list[str], given: list[Shares | None], shares: object) -> None:
    if len(schemes) != n:
        raise UsageError("labels", f"{len(schemes)} label schemes for {n} stores", "one for all, or one a store")
    if len(given) != n or (n > 1 and isinstance(shares, Mapping)):
        raise UsageError("shares", f"do not say to which of {n} stores they belong", "one mapping, or None, a store")


def _wanted(stores: Sequence[Store], by: Sequence[str] | None) -> list[Sequence[str] | None]:
    """The attributes of each store; one that no store has stays with the first, which then says so."""
    if by is None or len(stores) == 1:
        return [by] * len(stores)

    def has(store: Store, spec: str) -> bool:
        columns = set(map(str, store.table.frame.columns))
        return all({part.strip(), part.strip().rpartition(":")[0]} & columns for part in spec.split("*"))

    held = [[spec for spec in by if has(s, spec)] for s in stores]
    held[0] += [spec for spec in by if not any(has(s, spec) for s in stores)]
    return list(held)


def _verdict(c: Composition, several: bool) -> Box:
    lead = corpus_sentences(c)
    said = [Text(lead[0], "lead"), Text(" ".join(lead[1:]))]
    said += [Text(" ".join(finding_sentences(a)), strong=f"{capital(a.label)}.") for a in c.attributes]
    if not c.attributes:
        said.append(Text("It has no attribute, so nothing can be said about groups of people in it."))
    return Box("verdict", said, c.source if several else "")


def _corpus(store: Store, c: Composition, anchor: str, faces: list[Section]) -> list[Section]:
    """What the corpus is, its classes, attributes and columns of numbers, and sample faces."""
    steps = table_history(store)
    history = [Folded("How the table of faces came to be", [history_table(steps)])] if steps else []
    facts = facts_table(f"What {c.source} is", _facts(store, c))
    drawn: list[Block] = [Text("Pictures were left out on request.")]
    if faces:
        perceived = "; the groups stand as they were annotated or perceived, right or wrong" if _perceived(c) else ""
        terms = f"Terms of the pictures: {_terms(store)}."
        drawn = [Text(f"Faces drawn at random, whether typical or not{perceived}. {terms}"), *faces]
    return [
        Section("What it is", f"{anchor}-is", [facts, *history]),
        *([class_section(c.by_label, f"{anchor}-classes")] if c.by_label else []),
        *(_attribute(c, a, f"{anchor}-a{i}") for i, a in enumerate(c.attributes, 1)),
        *(number_section(n, f"{anchor}-n{i}") for i, n in enumerate(c.numbers, 1)),
        Section("Sample faces", f"{anchor}-faces", drawn),
    ]


def _attribute(c: Composition, a: AttributeComposition, anchor: str) -> Section:
    found = [Text(s, "" if i else "finding") for i, s in enumerate(attribute_sentences(a))]
    sections = [mix_section(a, f"{anchor}-groups")]
    if a.with_class:
        sections.append(cells_section(c, a, a.with_class, f"{anchor}-cells"))
    sections.append(thin_section(c, a, f"{anchor}-thin"))
    if a.certainty is not None:
        sections.append(certainty_section(a, a.certainty, f"{anchor}-sure"))
    return Section(f"By {a.label}", anchor, [Text(_provenance(a)), *found, *sections], back=True)


def _provenance(a: AttributeComposition) -> str:
    said = _PERCEIVED if a.source == PERCEIVED else _SOURCES.get(a.source, "")
    unknown = f"{a.n_unknown:,} faces are of unknown group and left out." if a.n_unknown else ""
    return " ".join(filter(None, [said, a.note, unknown]))


def _facts(store: Store, c: Composition) -> list[tuple[str, str]]:
    """What the corpus is, as names and values."""
    info, frame = store.info, store.table.frame
    height, width, channels = (int(x) for x in store.images.shape[1:])
    known = frame["identity"].fillna("") != ""
    persons = f"{frame['identity'][known].nunique():,} of {int(known.sum()):,} faces" if known.any() else "not known"
    copied = f"{c.n - c.n_clusters:,} ({percent((c.n - c.n_clusters) / c.n)})" if c.n > c.n_clusters else "none"
    kinds = {k: int(info[f"n_{k}_copies"]) for k in ("exact", "near") if f"n_{k}_copies" in info}
    expressions = [
        ("Annotators could say", ", ".join(store.table.vocabulary)),
        ("Label scheme", c.labels),
        ("Faces without a class", details(dict(c.unlabelled)) if c.unlabelled else "none"),
    ]
    return [
        ("Corpus", c.source),
        ("Store", store.path.name),
        ("Faces", f"{c.n:,}"),
        ("Independent faces", f"{c.n_clusters:,}"),
        ("Copies, or more faces of a person", copied),
        ("Copies found when it was prepared", details(kinds) if kinds else "not recorded"),
        ("Persons", persons),
        ("Pictures", f"{width} x {height} pixels, {'grey' if channels == 1 else 'colour'}"),
        ("Splits", details({k or "no split": v for k, v in c.splits.items()})),
        *(expressions if c.classes else []),
        ("Attributes", ", ".join(a.label for a in c.attributes) or "none"),
        ("Rows left out when it was prepared", f"{int(info.get('n_dropped', 0)):,}"),
        ("Terms", _terms(store)),
        ("Fingerprint", store.fingerprint),
    ]


def table_history(store: Store) -> list[tuple[str, int, int, str]]:
    """Each step that made the table of faces: name, rows before, rows after, details."""
    steps = []
    for step in store.table.history:
        rest = {k: v for k, v in {**step.options, **step.detail}.items() if v not in ({}, [], None)}
        steps.append((step.name, step.n_before, step.n_after, details(rest)))
    return steps


def _terms(store: Store) -> str:
    return str(store.info.get("terms") or "not stated")


def _perceived(c: Composition) -> bool:
    return any(a.source == PERCEIVED for a in c.attributes)


def _notice(stores: Sequence[Store], found: Sequence[Composition], faces: bool) -> Section:
    """What the page is not for, and the terms of each corpus."""
    guesses = (
        "Perceived groups are guesses about appearance, made to see whether a corpus and what is trained on it serve "
        "people alike. They are not a person’s gender, age or race, and must not be used to sort or to select persons."
    )
    texts = [
        "Classes are expressions that annotators perceived in a picture. They are not what a person feels.",
        *([guesses] if any(map(_perceived, found)) else []),
        "A corpus whose groups are even and go with no class can still serve them unevenly: pictures and labels may "
        "differ in quality. Audit the model too.",
        *([PICTURES] if faces else []),
        *(f"Terms of {c.source}: {_terms(s)}" for s, c in zip(stores, found, strict=True)),
    ]
    return notice_section(texts)


def _faces(store: Store, c: Composition, by: Sequence[str] | None, seed: int) -> list[Section]:
    faces = corpus_faces(store.table, c.labels)
    return corpus_montage(store, faces, corpus_attributes(faces, by), seed)


# Several corpora


def side_by_side(several: Sequence[Composition], anchor: str) -> list[Section]:
    """Classes, and attributes that two corpora or more have, beside each other; spellings of one class are equal."""
    first: dict[str, str] = {}
    for name in (name for c in several for name in c.classes):
        first.setdefault(canonical(name), name)
    classes = [(c.source, c.by_label, None) for c in several if c.by_label]
    same_class = {n: first[canonical(n)] for c in several for n in c.classes}
    sections = [_beside("Classes", "classes", classes, same_class, anchor)] if len(classes) > 1 else []
    names = list(dict.fromkeys(a.described.name for c in several for a in c.attributes))
    for i, name in enumerate(names, 1):
        found = [(c.source, a) for c in several for a in c.attributes if a.described.name == name]
        if len(found) > 1:
            rows = [(source, a.described, a.with_class) for source, a in found]
            same = {g: g for _, a in found for g in a.described.groups}
            sections.append(_beside(capital(found[0][1].label), "groups", rows, same, f"{anchor}-{i}"))
    return sections


def _beside(
    title: str,
    what: str,
    shown: Sequence[tuple[str, Described, Association | None]],
    names: Mapping[str, str],
    anchor: str,
) -> Section:
    """One attribute of several corpora; ``names`` brings their groups under one name each."""
    groups = list(dict.fromkeys(names.values()))
    shares = [{names[g]: e for g, e in d.overall.shares.items()} for _, d, _ in shown]
    figures = []
    if len(groups) <= MAX_SEGMENTS:
        bars = [
            Bar(name, d.overall.n, {g: _value(own.get(g)) for g in groups})
            for (name, d, _), own in zip(shown, shares, strict=True)
        ]
        figures = [
            Drawing(
                inline(stacked_plot(bars, groups, f"{title} by corpus"), f"{anchor}-mix"),
                f"How the faces of each corpus are shared out among the {what}, in per cent.",
            )
        ]
    caption = f"{title}: share of each in every corpus"
    rows: list[Row] = [[g, *(cell(own[g]) if g in own else Cell("–") for own in shares)] for g in groups]
    tables = [
        _measures_beside(title, shown),
        folded_table(caption, ["", *(name for name, _, _ in shown)], rows),
    ]
    return answer(title=title, anchor=f"{anchor}-all", sentences=[], figures=figures, tables=tables)


def _measures_beside(title: str, shown: Sequence[tuple[str, Described, Association | None]]) -> Table:
    header = ["Corpus", "Faces", "Effective number", "Evenness"]
    if any(a for _, _, a in shown):
        header += _WITH_CLASS
    rows: list[Row] = [
        [
            name,
            f"{d.overall.n:,}",
            _effective(d),
            cell(d.representation.evenness),
            *([cell(a.nmi.corrected, ".4f"), cell(a.cramers_v.corrected), p_cell(a.nmi.p)] if a else []),
        ]
        for name, d, a in shown
    ]
    rows = [row + [Cell("–")] * (len(header) - len(row)) for row in rows]
    return table(f"{title} of each corpus", header, rows)


def _effective(d: Described) -> Cell:
    shown = cell(d.representation.effective, ".2f")
    return replace(shown, note=shown.note or f"of {d.representation.n_groups}")


def _value(e: Estimate | None) -> float:
    return 0.0 if e is None or math.isnan(e.value) else e.value


# Method


_METHOD = (
    "Copies of a picture and faces of a person are one unit: intervals and permutations take whole units, so that a "
    "corpus does not look surer for holding the same picture twice.",
    "Shares have Wilson's interval, for as many independent faces as the dependent ones are worth.",
    "The effective number of groups is exp(entropy), evenness is entropy over that of equal shares. Normalised mutual "
    "information is over the joint entropy. The choice of measures follows Dominguez-Catena, Paternain and Galar, "
    "Metrics for Dataset Demographic Bias (IEEE TPAMI 2024).",
    "Global measures are corrected by their mean under independence; their intervals invert a noncentral chi-squared "
    "law fitted to the permutations and to the measure's own variance.",
    "Ducher's Z has an interval recovered from Wilson's intervals of the group's share and of the class's shares "
    "within the group and elsewhere. A cell is shown to depart from independence where its p-value, adjusted for all "
    "cells of its table by Westfall and Young's step-down permutations (Holm's procedure with the joint law of the "
    "cells), is below 0.05.",
    "Intervals say how far a number could be off by the choice of faces. They do not cover what annotators perceive "
    "wrongly, except where shares are corrected for it. Undefined values are called undefined, never 0.",
)


def _method(c: Composition) -> list[str]:
    return [
        *_METHOD,
        f"A cell of group, class and split (of group and split in a corpus without expressions) is thin with fewer "
        f"than {c.min_n} independent faces.",
        f"{c.n_perm:,} permutations and {c.n_boot:,} bootstrap replicates with seed {c.seed}, by Mien {c.version}.",
    ]
