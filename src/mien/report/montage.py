"""Sample faces as small pictures inside the page: right and wrong ones of a model, random ones of a corpus."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.audit.attributes import Attribute
from mien.composition.faces import Faces as CorpusFaces
from mien.data.images import Store
from mien.errors import DataError
from mien.records import Predictions
from mien.report.blocks import Face, FaceRow, Faces, Section
from mien.stats.settings import random_stream

Ints = NDArray[np.int64]
MAX_FACES = 120
MAX_ROWS = 40  # classes and groups of a corpus
_MOST_EACH, _LEAST_EACH = 8, 3


@dataclass(frozen=True)
class SampleFace:
    """One picture of a montage.

    Attributes:
        uri: The picture as a PNG data URI.
        labelled: Its annotated class.
        predicted: The model's class.
        confidence: Probability of the predicted class; NaN where there are no probabilities.
    """

    uri: str
    labelled: str
    predicted: str
    confidence: float

    @property
    def caption(self) -> str:
        """``labelled fear, predicted surprise 0.87``."""
        text = f"labelled {self.labelled}, predicted {self.predicted}"
        return text if math.isnan(self.confidence) else f"{text} {self.confidence:.2f}"


@dataclass(frozen=True)
class ClassFaces:
    """The sample of one annotated class.

    Attributes:
        name: The class.
        right: Some of its faces that were predicted as such, at random.
        wrong: Some of its other faces: the most confident mistakes first, then random ones.
        n_right: How many right ones there are in all.
        n_wrong: How many wrong ones.
    """

    name: str
    right: list[SampleFace]
    wrong: list[SampleFace]
    n_right: int
    n_wrong: int


@dataclass(frozen=True)
class Picks:
    """Rows of the predictions picked for one class: see :class:`ClassFaces`."""

    right: NDArray[np.int64]
    wrong: NDArray[np.int64]
    n_right: int
    n_wrong: int


def pick_faces(pred: Predictions, n_right: int = 4, n_wrong: int = 6, seed: int = 0) -> list[Picks]:
    """Pick faces of every annotated class.

    Args:
        pred: The predictions.
        n_right: Right faces a class, drawn at random.
        n_wrong: Wrong faces a class: the more confident half first, the rest drawn at random
            (all at random where there are no probabilities).
        seed: Seed of the draw.

    Returns:
        One entry a class, in order.
    """
    rng = np.random.default_rng(seed)
    confidence = np.zeros(len(pred)) if pred.probs is None else pred.probs.max(1)
    out = []
    for c in range(len(pred.classes)):
        right = np.flatnonzero((pred.labels == c) & (pred.predicted == c))
        wrong = np.flatnonzero((pred.labels == c) & (pred.predicted != c))
        n_confident = 0 if pred.probs is None else (n_wrong + 1) // 2
        ordered = wrong[np.argsort(-confidence[wrong], kind="stable")]
        chosen = [ordered[:n_confident], _draw(rng, ordered[n_confident:], n_wrong - n_confident)]
        out.append(Picks(_draw(rng, right, n_right), np.concatenate(chosen), len(right), len(wrong)))
    return out


def _draw(rng: np.random.Generator, rows: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    return rng.choice(rows, size=min(n, len(rows)), replace=False) if len(rows) and n > 0 else rows[:0]


def face_uri(image: NDArray[np.uint8], size: int = 72) -> str:
    """A face as a PNG data URI, its longer side ``size`` pixels.

    Args:
        image: ``(H, W)``, ``(H, W, 1)`` or ``(H, W, 3)``.
        size: Pixels of the longer side.
    """
    flat = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
    picture = Image.fromarray(np.ascontiguousarray(flat))
    scale = size / max(picture.size)
    shape = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
    buffer = io.BytesIO()
    picture.resize(shape, Image.Resampling.LANCZOS).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def rows_in_store(pred: Predictions, store: Store) -> NDArray[np.int64] | None:
    """The store's picture of every prediction; None unless the store holds all of the faces."""
    frame = store.table.frame
    known = dict(zip(frame["sample_id"].astype(str), frame["image"].astype(int), strict=True))
    rows = np.array([known.get(str(s), -1) for s in pred.sample_id], dtype=np.int64)
    if (rows < 0).any() or (pred.image is not None and (rows != pred.image).any()):
        return None
    return rows


def sample_faces(
    pred: Predictions, store: Store, *, n_right: int = 4, n_wrong: int = 6, seed: int = 0, size: int = 72
) -> list[ClassFaces]:
    """Faces right and wrong of every class, at most :data:`MAX_FACES` in all.

    Args:
        pred: The predictions.
        store: The store that holds the faces.
        n_right: Right faces a class.
        n_wrong: Wrong faces a class.
        seed: Seed of the choice.
        size: Pixels of a picture's longer side.

    Raises:
        DataError: If the store does not hold the faces.
    """
    rows = rows_in_store(pred, store)
    if rows is None:
        wanted = f"the faces of {pred.source or 'the predictions'}"
        raise DataError(str(store.path), "does not hold these faces", wanted)
    each = max(MAX_FACES // max(len(pred.classes), 1), 2)
    n_wrong = min(n_wrong, each - 1)
    picks = pick_faces(pred, min(n_right, each - n_wrong), n_wrong, seed)

    def faces(chosen: NDArray[np.int64]) -> list[SampleFace]:
        return [_face(pred, int(i), store.images[rows[i]], size) for i in chosen]

    return [
        ClassFaces(str(c), faces(p.right), faces(p.wrong), p.n_right, p.n_wrong)
        for c, p in zip(pred.classes, picks, strict=True)
    ]


def _face(pred: Predictions, i: int, image: NDArray[np.uint8], size: int) -> SampleFace:
    classes: Sequence[str] = [str(c) for c in pred.classes]
    confidence = float("nan") if pred.probs is None else float(pred.probs[i, pred.predicted[i]])
    return SampleFace(face_uri(image, size), classes[pred.labels[i]], classes[pred.predicted[i]], confidence)


# A corpus


def corpus_montage(store: Store, faces: CorpusFaces, attributes: Sequence[Attribute], seed: int) -> list[Section]:
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
    sections = []
    for title, form, groups, codes in wanted:
        rng = random_stream(seed, title, "montage")
        rows = []
        for i, group in enumerate(groups):
            members = np.flatnonzero(codes == i)
            picked = _picked(faces, members, each, rng)
            by_group = codes is not faces.label and bool(names)
            shown = [_corpus_face(store, faces, int(r), form.format(group), by_group) for r in picked]
            if len(members):
                rows.append(FaceRow(group, f"{len(shown)} of {len(members):,}", shown))
        sections.append(Section(title, "", [Faces(rows)]))
    return sections


def _picked(faces: CorpusFaces, members: Ints, n: int, rng: np.random.Generator) -> Ints:
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


def _corpus_face(store: Store, faces: CorpusFaces, row: int, words: str, named: bool) -> Face:
    """A picture; ``named`` with its class below."""
    image = store.images[int(faces.table.frame["image"].iloc[row])]
    label = int(faces.label[row])
    name = str(faces.classes[label]) if label >= 0 else "no class"
    return Face(face_uri(image), name if named else "", f"Face, {words}" + (f", {name}" if named else ""))
