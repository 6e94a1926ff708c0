"""What the page of a corpus shows, section by section."""

from __future__ import annotations

from dataclasses import dataclass

from mien.composition import AttributeComposition, Composition
from mien.composition.text import attribute_sentences, finding_sentences
from mien.data.images import Store
from mien.report.question import Drawing, FurtherSection
from mien.report.store_cells import cells_map, cells_section, thin_section
from mien.report.store_certainty import certainty_section
from mien.report.store_mix import mix_section
from mien.report.store_montage import FaceBlock
from mien.report.words import capital, details, percent
from mien.samples import PERCEIVED

_SOURCES = {
    "annotated": "The groups are as annotated: what people perceived in the pictures, or what the data's makers knew.",
    "measured": "The groups are parts of a column of numbers.",
    "not stated": "Where the groups come from is not stated.",
}
_PERCEIVED = (
    "The groups are what an annotator perceived in the pictures. They are guesses about appearance, never what "
    "a person is, and every count below is a count of guesses."
)


@dataclass(frozen=True, kw_only=True)
class AttributeBlock:
    """One attribute of a corpus.

    Attributes:
        title: ``By perceived gender``.
        anchor: Its id on the page.
        provenance: How the groups are known.
        sentences: What was found.
        mix: How its groups are represented.
        cells: Whether they go with the classes; None without classes.
        map: The map of cells; None where there is none.
        others: Thin cells, and the annotator's confidence where it is known.
    """

    title: str
    anchor: str
    provenance: str
    sentences: list[str]
    mix: FurtherSection
    cells: FurtherSection | None
    map: Drawing | None
    others: list[FurtherSection]


@dataclass(frozen=True, kw_only=True)
class CorpusBlock:
    """One corpus on the page.

    Attributes:
        name: The corpus.
        anchor: Start of its ids.
        lead: Its first sentences.
        findings: Attribute -> what was found, for the summary.
        facts: What the corpus is: names and values.
        history: Each step that made its table: name, rows before, rows after, details.
        classes: The classes; None without expressions.
        attributes: One entry an attribute.
        numbers: Columns of numbers.
        faces: Sample faces; empty where they are left out.
        faces_missing: Why they are.
        terms: The corpus's terms.
        composition: The numbers.
    """

    name: str
    anchor: str
    lead: list[str]
    findings: dict[str, str]
    facts: list[tuple[str, str]]
    history: list[tuple[str, int, int, str]]
    classes: FurtherSection | None
    attributes: list[AttributeBlock]
    numbers: list[FurtherSection]
    faces: list[FaceBlock]
    faces_missing: str
    terms: str
    composition: Composition


def findings(c: Composition) -> dict[str, str]:
    """What was found of each attribute, in a few sentences."""
    return {capital(a.label): " ".join(finding_sentences(a)) for a in c.attributes}


def attribute_block(c: Composition, a: AttributeComposition, anchor: str) -> AttributeBlock:
    """Everything about one attribute."""
    others = [thin_section(c, a, f"{anchor}-thin")]
    if a.certainty is not None:
        others.append(certainty_section(a, a.certainty, f"{anchor}-sure"))
    return AttributeBlock(
        title=f"By {a.label}",
        anchor=anchor,
        provenance=_provenance(a),
        sentences=attribute_sentences(a),
        mix=mix_section(a, f"{anchor}-groups"),
        cells=cells_section(a, a.with_class, f"{anchor}-cells") if a.with_class else None,
        map=cells_map(c, a, a.with_class, f"{anchor}-map") if a.with_class else None,
        others=others,
    )


def _provenance(a: AttributeComposition) -> str:
    said = _PERCEIVED if a.source == PERCEIVED else _SOURCES.get(a.source, "")
    unknown = f"{a.n_unknown:,} faces are of unknown group and left out." if a.n_unknown else ""
    return " ".join(filter(None, [said, a.note, unknown]))


def corpus_facts(store: Store, c: Composition) -> list[tuple[str, str]]:
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
        ("Terms", str(info.get("terms") or "not stated")),
        ("Fingerprint", store.fingerprint),
    ]


def table_history(store: Store) -> list[tuple[str, int, int, str]]:
    """Each step that made the table of faces: name, rows before, rows after, details."""
    steps = []
    for step in store.table.history:
        rest = {k: v for k, v in {**step.options, **step.detail}.items() if v not in ({}, [], None)}
        steps.append((step.name, step.n_before, step.n_after, details(rest)))
    return steps
