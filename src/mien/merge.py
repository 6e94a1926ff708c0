"""Several corpora in one store: one vocabulary, one size and colour, and their copies of one picture found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.data.cleaning import exact_hashes, find_duplicates, perceptual_hashes
from mien.data.images import Store, StoreWriter
from mien.data.splits import TEST, TRAIN, VALIDATION
from mien.data.splits.corpus import TEST_NAMES, TRAIN_NAMES, VALIDATION_NAMES
from mien.errors import DataError
from mien.inference import Progress
from mien.inputs import rows_at_once
from mien.pictures.landmarks import rescaled
from mien.pictures.pixels import as_stored
from mien.prediction_tables.number_columns import MOST_GROUPS
from mien.prepare import class_counts
from mien.registry import nearest
from mien.samples import ANNOTATED, MERGE, SUGGESTED, VOTES_EACH, SampleTable, Step
from mien.spellings import canonical, commonest, spellings
from mien.units import joined_units
from mien.wording import listed

CORPUS = "corpus"  # the attribute that says where a face is from
_PARTS = {name: part for part, names in zip(
    (TRAIN, VALIDATION, TEST), (TRAIN_NAMES, VALIDATION_NAMES, TEST_NAMES), strict=True) for name in names}  # fmt: skip

Classes = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class _Source:
    """A store under the name that its faces carry in the merged one."""

    name: str
    store: Store


def merge(
    stores: Sequence[Path | str],
    out: Path | str,
    *,
    classes: Classes | None = None,
    size: int | None = None,
    channels: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Store:
    """Write one store of the faces of several.

    Votes stay as many as each corpus has; a scheme of labels makes targets of them. A face says in the
    attribute ``corpus`` where it is from, which an audit can compare and the split ``held_out`` can hold out.
    The corpora's own names of splits become train, validation and test; any other is kept.
    Faces that are copies of one picture share a cluster across corpora too, so that no split cuts them.

    Args:
        stores: Folders of the stores, two or more.
        out: Folder of the new store.
        classes: Class -> the words of the corpora that it joins, in order. By default all words of all
            corpora, where ``angry`` and ``anger`` are one. Faces without a vote for any class are left out
            and counted.
        size: Side in pixels; by default that of most faces.
        channels: 1 or 3; by default that of most faces.
        force: Replace a store that is there.
        progress: Called with faces done and faces in all.

    Returns:
        The store, opened.

    Raises:
        DataError: If a store is none, a word of ``classes`` is in no corpus or in two classes, or no face is left.
        UsageError: If ``out`` cannot be written; before anything is read.
        OutputError: If the disk is full; nothing is left behind.
    """
    place = StoreWriter(Path(out), force)
    sources = _named([Store.open(path) for path in stores])
    if len(sources) < 2:
        raise DataError("mien merge", f"{len(sources)} store", "two or more")
    joined = _joined(sources, classes)
    shapes = [(s.store.info["shape"], len(s.store.table)) for s in sources]
    size = size or _commonest([(shape[1], n) for shape, n in shapes])
    channels = channels or _commonest([(shape[3], n) for shape, n in shapes])
    n_all = sum(n for _, n in shapes)
    frames = []
    detail: dict[str, Any] = {}
    with place as writer:
        for source in sources:
            kept, frame = _rows(source, joined)
            if (n := len(source.store.table) - len(kept)) > 0:
                detail[f"{source.name} faces without a vote for any class"] = n
            _pack(source.store, kept, writer, (size, channels), lambda done: progress and progress(done, n_all))
            height, width = source.store.info["shape"][1:3]
            frames.append(rescaled(frame, (size / width, size / height)))
        frame = pd.concat(frames, ignore_index=True)
        if frame.empty:
            raise DataError("mien merge", "no face has a vote for any class", "at least one")
        attributes = tuple(dict.fromkeys([CORPUS, *(a for s in sources for a in s.store.table.attributes)]))
        detail |= _one_spelling(frame, attributes)
        detail |= _one_source(frame, attributes) | _unlike_groups(frame, attributes)
        duplicates = _find_copies(frame, writer.images())
        detail["faces with a copy in another corpus"] = _across(frame)
        detail["faces of each corpus"] = {s.name: len(f) for s, f in zip(sources, frames, strict=True)}
        detail |= _changed(sources, frames, (size, channels)) | _labelled_by_people(sources) | _same_persons(sources)
        options = {"classes": {k: list(v) for k, v in joined.items()}, "size": size, "channels": channels}
        name = "+".join(s.name for s in sources)
        table = SampleTable(
            frame,
            name,
            tuple(joined),
            attributes,
            (Step(MERGE, n_all, len(frame), options, detail),),
            _errors(sources, frame),
        )
        info = {
            "corpus": name,
            "terms": " | ".join(f"{s.name}: {s.store.info.get('terms', '')}" for s in sources),
            "vocabulary": table.vocabulary,
            "attributes": attributes,
            "n_exact_copies": duplicates.n_exact,
            "n_near_copies": duplicates.n_near,
            "n_dropped": 0,
            "classes": class_counts(table),
            "detail": detail,
            "merged": {s.name: s.store.fingerprint for s in sources},
        } | _alignment(sources)
        cut = {s.name: s.store.info["cut"] for s in sources if s.store.info.get("cut")}
        info |= {"cut": cut} if cut else {}
        return writer.commit(table, info)


def _changed(sources: Sequence[_Source], frames: Sequence[pd.DataFrame], wanted: tuple[int, int]) -> dict[str, Any]:
    """What a user must know of the merged faces: whose pictures were changed, and what splits are called now."""
    found: dict[str, Any] = {}
    for source, frame in zip(sources, frames, strict=True):
        side, channels = source.store.info["shape"][1], source.store.info["shape"][3]
        if side != wanted[0]:
            found.setdefault(f"faces brought to {wanted[0]} px", {})[f"{source.name}, {side} px"] = len(frame)
        if channels != wanted[1]:
            found.setdefault(f"faces made {'grey' if wanted[1] == 1 else 'colour'}", {})[source.name] = len(frame)
        for name, n in source.store.table.frame["split"].value_counts().items():
            if _PARTS.get(str(name), name) != name:
                found.setdefault("splits by another name", {})[f"{source.name} {name} is {_PARTS[str(name)]}"] = int(n)
    return found


def _same_persons(sources: Sequence[_Source]) -> dict[str, Any]:
    """Names of persons that two stores of one corpus have: they count as different ones, which they may not be."""
    found: dict[str, Any] = {}
    for i, source in enumerate(sources):
        for other in sources[:i]:
            if source.store.info.get("corpus") == other.store.info.get("corpus"):
                common = {str(p) for p in source.store.table.frame["identity"].dropna()} - {""}
                common &= {str(p) for p in other.store.table.frame["identity"].dropna()}
                if common:
                    what = f"persons of one name in {other.name} and {source.name}, taken for different ones"
                    found[what] = len(common)
    return found


def _labelled_by_people(sources: Sequence[_Source]) -> dict[str, Any]:
    """What votes are, where people of a labelling tool gave them: of one such store, it holds of the merged one."""
    each = max(s.store.table.votes_each for s in sources)
    seen = any(step.detail.get(SUGGESTED) for s in sources for step in s.store.table.history)
    return ({VOTES_EACH: each} if each > 1 else {}) | ({SUGGESTED: True} if seen else {})


def _named(stores: Sequence[Store]) -> list[_Source]:
    """Each store by the name of its corpus; a second one of a name by its number too."""
    found: list[_Source] = []
    for store in stores:
        name = str(store.info.get("corpus") or store.table.name)
        taken = {s.name for s in found}
        number = next(i for i in range(1, len(stores) + 1) if (name if i == 1 else f"{name} {i}") not in taken)
        found.append(_Source(name if number == 1 else f"{name} {number}", store))
    return found


def _commonest(values: Sequence[tuple[int, int]]) -> int:
    """The value that most faces have, of pairs of value and faces; of two as common the smaller."""
    faces: dict[int, int] = {}
    for value, n in values:
        faces[value] = faces.get(value, 0) + n
    return min(faces, key=lambda v: (-faces[v], v))


def _joined(sources: Sequence[_Source], asked: Classes | None) -> dict[str, tuple[str, ...]]:
    """Class -> the forms of the words that it joins."""
    words = {canonical(w): w for s in reversed(sources) for w in s.store.table.vocabulary}
    if asked is None:
        order = dict.fromkeys(canonical(w) for s in sources for w in s.store.table.vocabulary)
        return {words[form]: (form,) for form in order}
    joined = {name: tuple(dict.fromkeys(canonical(w) for w in own)) for name, own in asked.items()}
    seen: dict[str, str] = {}
    for name, forms in joined.items():
        for form in forms:
            if form not in words:
                known = sorted(words.values())
                raise DataError(
                    f"class {name!r}", f"no corpus has the word {form!r}", listed(known), nearest(form, known)
                )
            if form in seen:
                raise DataError(
                    f"class {name!r}", f"{form!r} stands in class {seen[form]!r} too", "each word in one class"
                )
            seen[form] = name
    return joined


def _rows(source: _Source, joined: Mapping[str, Sequence[str]]) -> tuple[NDArray[np.int64], pd.DataFrame]:
    """Which pictures of a store are kept, and their rows in the merged table."""
    table = source.store.table
    forms = [canonical(w) for w in table.vocabulary]
    votes = {
        f"votes_{name}": table.votes[:, [i for i, form in enumerate(forms) if form in own]].sum(1)
        for name, own in joined.items()
    }
    own = table.frame
    frame = pd.DataFrame({"sample_id": source.name + "/" + own["sample_id"].astype(str)})
    frame["split"] = [_PARTS.get(str(s), str(s)) for s in own["split"]]
    persons = own["identity"].fillna("").astype(str)
    frame["identity"] = np.where(persons == "", "", source.name + "/" + persons)
    frame["cluster"] = source.name + "/" + own["cluster"].astype(str)
    frame[CORPUS] = source.name
    frame = frame.assign(**votes)
    for column in table.attribute_columns:
        if column != CORPUS:
            frame[column] = own[column].to_numpy()
    numbers = [c for c in own.columns if c not in frame and not c.startswith("votes_") and c not in _AGAIN]
    frame = frame.assign(**{c: own[c].to_numpy() for c in numbers})
    keep = frame[list(votes)].to_numpy().sum(1) > 0
    return own["image"].to_numpy(np.int64)[keep], frame[keep]


_AGAIN = ("image", "hash", "phash")  # columns that the merged pictures have of their own


def _alignment(sources: Sequence[_Source]) -> dict[str, str]:
    """How the faces were aligned, where some were: in one way, or each corpus in its own."""
    ways = {s.name: str(s.store.info.get("alignment") or "") for s in sources}
    if len(set(ways.values())) == 1:
        return {"alignment": ways[sources[0].name]} if ways[sources[0].name] else {}
    return {"alignment": "; ".join(f"{name}: {way or 'not aligned'}" for name, way in ways.items())}


def _pack(store: Store, rows: NDArray[np.int64], writer: StoreWriter, shape: tuple[int, int], done: Any) -> None:
    """Add these pictures of a store, at one size and colour."""
    images, (size, channels) = store.images, shape
    step = rows_at_once(max(1, int(np.prod(images.shape[1:]))), 2048)
    for start in range(0, len(rows), step):
        writer.append(as_stored(images[rows[start : start + step]], size, channels))
        done(writer.n)


def _one_spelling(frame: pd.DataFrame, attributes: Sequence[str]) -> dict[str, Any]:
    """Groups that two corpora spell differently get one spelling; returns which."""
    changed: dict[str, Any] = {}
    for attribute in attributes:
        known = frame[attribute].dropna()
        for ways in spellings(known.astype(str)).values():
            counts = known.astype(str).value_counts()
            word = commonest({w: int(counts[w]) for w in ways})
            others = [w for w in ways if w != word]
            frame[attribute] = frame[attribute].where(~frame[attribute].astype("object").isin(others), word)
            changed[f"{attribute}: spellings of {word!r}"] = others
    return changed


def _one_source(frame: pd.DataFrame, attributes: Sequence[str]) -> dict[str, Any]:
    """Where one corpus has perceived groups and another annotated ones, each face says which."""
    mixed: dict[str, Any] = {}
    for attribute in attributes:
        column = f"{attribute}_source"
        if column in frame:
            known = frame[attribute].notna()
            frame.loc[known & frame[column].isna(), column] = ANNOTATED
            found = frame.loc[known, column].value_counts()
            if len(found) > 1:
                mixed[f"{attribute}: source of its groups"] = {str(k): int(n) for k, n in found.items()}
    return mixed


def _unlike_groups(frame: pd.DataFrame, attributes: Sequence[str]) -> dict[str, Any]:
    """Attributes of which corpora have other groups: one column of all of them tells the corpora apart, not people."""
    found: dict[str, Any] = {}
    for attribute in attributes:
        if attribute == CORPUS or pd.api.types.is_numeric_dtype(frame[attribute]):
            continue
        groups = {str(name): set(map(str, part.dropna())) for name, part in frame.groupby(CORPUS)[attribute]}
        groups = {name: theirs for name, theirs in groups.items() if theirs}
        every = [set[str](), *groups.values()]
        if len(groups) < 2 or len(set[str].union(*every)) > MOST_GROUPS:
            continue
        common = set[str].intersection(*groups.values())
        alone = {name: ", ".join(sorted(theirs - common)) for name, theirs in groups.items() if theirs - common}
        if alone:
            found[f"groups of {attribute} that not all corpora have"] = alone
    return found


def _errors(sources: Sequence[_Source], frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """What annotators get wrong, where the same is known of all faces that have the attribute's groups.

    Errors counted on one corpus would correct the groups of another that nobody perceived, or somebody else.
    """
    found: dict[str, dict[str, Any]] = {}
    for attribute in {a for s in sources for a in s.store.table.annotator_errors}:
        having = [
            s for s in sources if attribute in s.store.table.attributes and s.store.table.frame[attribute].notna().any()
        ]
        errors = [s.store.table.annotator_errors.get(attribute) for s in having]
        if errors[0] is not None and all(e == errors[0] for e in errors):
            found[attribute] = errors[0]
    return found


def _find_copies(frame: pd.DataFrame, images: NDArray[np.uint8]) -> Any:
    """Clusters over all corpora: those that each had, and copies that show at the common size."""
    step = rows_at_once(max(1, int(np.prod(images.shape[1:]))), 4096)
    parts = [images[i : i + step] for i in range(0, len(images), step)]
    exact = np.concatenate([exact_hashes(p) for p in parts])
    perceptual = np.concatenate([perceptual_hashes(p) for p in parts])
    duplicates = find_duplicates(images, exact, perceptual)
    frame["cluster"] = joined_units([frame["cluster"], pd.Series(duplicates.cluster, name="shown")])
    frame["hash"], frame["phash"] = exact, perceptual
    frame.insert(1, "image", np.arange(len(frame)))
    return duplicates


def _across(frame: pd.DataFrame) -> int:
    """Faces whose cluster holds faces of two corpora or more."""
    return int((frame.groupby("cluster")[CORPUS].transform("nunique") > 1).sum())
