"""The page of a corpus: what it is made of, before any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mien.composition import MIN_N, Composition, CorrectedShares, composition
from mien.composition.faces import corpus_attributes, corpus_faces
from mien.composition.text import corpus_sentences
from mien.data.images import Store
from mien.errors import UsageError
from mien.report.html import check_out, write_page
from mien.report.store_beside import side_by_side
from mien.report.store_certainty import number_section
from mien.report.store_mix import class_section
from mien.report.store_montage import FaceBlock, corpus_montage
from mien.report.store_sections import CorpusBlock, attribute_block, corpus_facts, findings, table_history
from mien.report.words import listed
from mien.samples import PERCEIVED
from mien.stats.settings import Settings

STORE_PAGE = "store.html"
Shares = Mapping[str, CorrectedShares]


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
    out = Path(out)
    out = check_out(out / STORE_PAGE if out.is_dir() else out)
    schemes = [labels] * len(stores) if isinstance(labels, str) else list(labels)
    given = [shares] * len(stores) if shares is None or isinstance(shares, Mapping) else list(shares)
    _check_numbers(len(stores), schemes, given, shares)
    wanted = _wanted(stores, by)
    blocks = [
        _corpus(s, f"s{i}", attributes, scheme, own, pictures, settings)
        for i, (s, attributes, scheme, own) in enumerate(zip(stores, wanted, schemes, given, strict=True), 1)
    ]
    compositions = [b.composition for b in blocks]
    return write_page(
        out,
        "store.html.j2",
        title=f"What {listed([b.name for b in blocks])} {'is' if len(blocks) == 1 else 'are'} made of",
        blocks=blocks,
        beside=side_by_side(compositions, "beside") if len(blocks) > 1 else [],
        notes=_method(compositions[0]),
        has_faces=any(b.faces for b in blocks),
        has_perceived=any(a.source == PERCEIVED for c in compositions for a in c.attributes),
    )


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


def _corpus(
    store: Store,
    anchor: str,
    by: Sequence[str] | None,
    labels: str,
    shares: Shares | None,
    pictures: bool,
    settings: Settings,
) -> CorpusBlock:
    c = composition(store.table, by, labels=labels, shares=shares, settings=settings)
    return CorpusBlock(
        name=c.source,
        anchor=anchor,
        lead=corpus_sentences(c),
        findings=findings(c),
        facts=corpus_facts(store, c),
        history=table_history(store),
        classes=class_section(c.by_label, f"{anchor}-classes") if c.by_label else None,
        attributes=[attribute_block(c, a, f"{anchor}-a{i}") for i, a in enumerate(c.attributes, 1)],
        numbers=[number_section(n, f"{anchor}-n{i}") for i, n in enumerate(c.numbers, 1)],
        faces=_faces(store, c, by, settings.seed) if pictures else [],
        faces_missing="" if pictures else "Pictures were left out on request.",
        terms=str(store.info.get("terms") or "not stated"),
        composition=c,
    )


def _faces(store: Store, c: Composition, by: Sequence[str] | None, seed: int) -> list[FaceBlock]:
    faces = corpus_faces(store.table, c.labels)
    return corpus_montage(store, faces, corpus_attributes(faces, by), seed)


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
