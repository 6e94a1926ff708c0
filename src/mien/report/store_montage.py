"""Faces of a corpus, drawn at random from each class and each group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.audit.attributes import Attribute
from mien.composition.faces import Faces
from mien.data.images import Store
from mien.report.montage import MAX_FACES, face_uri
from mien.stats.settings import random_stream

Ints = NDArray[np.int64]
MAX_ROWS = 40
_MOST_EACH, _LEAST_EACH = 8, 3


@dataclass(frozen=True)
class CorpusFace:
    """One picture.

    Attributes:
        uri: The picture as a PNG data URI.
        caption: What stands below it.
        alt: Its text alternative.
    """

    uri: str
    caption: str
    alt: str


@dataclass(frozen=True)
class FaceRow:
    """Some faces of one class or group.

    Attributes:
        name: The class or group.
        n: How many it has in all.
        faces: Some of them.
    """

    name: str
    n: int
    faces: list[CorpusFace]


@dataclass(frozen=True)
class FaceBlock:
    """The faces of every class, or of every group of an attribute."""

    title: str
    rows: list[FaceRow]


def corpus_montage(store: Store, faces: Faces, attributes: Sequence[Attribute], seed: int) -> list[FaceBlock]:
    """Faces of every class (where there are any), then of every group; about :data:`MAX_FACES` in all.

    One face at most of a picture with copies or of a person stands in a row. Intersections are left
    out, and attributes whose groups would make more than :data:`MAX_ROWS` rows.

    Args:
        store: Where the pictures are.
        faces: Its faces as codes.
        attributes: The attributes described.
        seed: Seed of the choice; the order of the rows does not matter.
    """
    names = tuple(str(c) for c in faces.classes)
    wanted = [("By class", "labelled {}", names, faces.label)] if names else []
    n_rows = len(names)
    for a in attributes:
        if "*" not in a.name and n_rows + len(a.groups) <= MAX_ROWS:
            n_rows += len(a.groups)
            wanted.append((f"By {a.label}", f"{a.label}: {{}}", a.groups, a.codes))
    each = int(np.clip(MAX_FACES // max(n_rows, 1), _LEAST_EACH, _MOST_EACH))
    blocks = []
    for title, form, groups, codes in wanted:
        rng = random_stream(seed, title, "montage")
        rows = []
        for i, group in enumerate(groups):
            members = np.flatnonzero(codes == i)
            picked = _picked(faces, members, each, rng)
            by_group = codes is not faces.label and bool(names)
            shown = [_face(store, faces, int(r), form.format(group), by_group) for r in picked]
            rows.append(FaceRow(group, len(members), shown))
        blocks.append(FaceBlock(title, [r for r in rows if r.n]))
    return blocks


def _picked(faces: Faces, members: Ints, n: int, rng: np.random.Generator) -> Ints:
    """Rows drawn at random, of different units."""
    if not len(members):
        return members
    # In the order of ids, so that the order of the table's rows does not matter.
    ordered = members[np.argsort(faces.rows.sample_id[members].astype(str), kind="stable")]
    drawn = rng.permutation(ordered)
    if faces.unit is not None:
        first = np.unique(faces.unit[drawn], return_index=True)[1]
        drawn = drawn[np.sort(first)]
    return drawn[:n]


def _face(store: Store, faces: Faces, row: int, words: str, named: bool) -> CorpusFace:
    """A picture; ``named`` with its class below."""
    image = store.images[int(faces.table.frame["image"].iloc[row])]
    label = int(faces.label[row])
    name = str(faces.classes[label]) if label >= 0 else "no class"
    return CorpusFace(face_uri(image), name if named else "", f"Face, {words}" + (f", {name}" if named else ""))
