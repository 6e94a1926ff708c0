"""``align``: a store's faces with their eyes level, by landmarks that it has or that a detector finds."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from mien.data.images import Store, StoreWriter
from mien.errors import DataError, UsageError
from mien.faces.base import FaceDetector, Faces
from mien.inference import Progress
from mien.pictures.alignment import IN_WORDS, Aligner
from mien.pictures.landmarks import COLUMNS
from mien.prepare import class_counts

_SIDE = 96  # pixels to which a smaller face is enlarged before one is looked for
_MARGIN = 0.5  # of the side, added all around: detectors want a face whole, with something around it
_BLOCK = 256
_ENOUGH = 4 * _BLOCK  # faces of which one at least must show its eyes

Landmarks = NDArray[np.float64]


def align(
    store: Store,
    out: Path | str,
    detector: FaceDetector | None = None,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> Store:
    """Write a store with the same faces turned, scaled and moved so that their eyes stand level.

    Labels, votes, groups, clusters and hashes stay: a face that was aligned is the same face, its copies are the same
    copies, and splits are the same splits, so that a model of the one store compares with a model of the other.

    Args:
        store: Crops of one face each.
        out: Folder of the new store.
        detector: Finds the landmarks; None where the store has them (columns ``landmark_0_x`` to ``landmark_4_y``).
            Of a face that it does not find those of the store count; without, it stays as it is and is counted.
        force: Replace a store that is there.
        progress: Called with faces done and in all.

    Raises:
        DataError: If no detector is given and the store has no landmarks, none of the first thousand faces shows its
            eyes (some detectors tell no landmarks), or pictures are no squares.
        UsageError: If the store is aligned already, or ``out`` exists.
    """
    if was := store.info.get("alignment"):
        raise UsageError(str(store.path), f"is aligned already ({was})", "a store as it was prepared")
    frame, images, aligner = store.table.frame, store.images, Aligner()
    if detector is None and (missing := [name for name in COLUMNS if name not in frame]):
        fix = "Name a detector that tells some: --detector mtcnn."
        raise DataError(str(store.path), f"has no {missing[0]}", "a store with landmarks of its faces", fix)
    by, options = ("landmarks of the store", {}) if detector is None else (detector.name, detector.options)
    rows = frame.set_index("image").sort_index()  # a row a picture
    known = np.array(rows.reindex(columns=list(COLUMNS)), dtype=np.float64).reshape(len(rows), -1, 2)
    with StoreWriter(Path(out), force) as writer, ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(images), _BLOCK):
            part = slice(start, start + _BLOCK)
            block = np.asarray(images[part])
            if detector is not None:
                found = np.stack(list(pool.map(partial(landmarks_of, detector), block)))
                known[part] = np.where(np.isnan(found[:, :2]).any((1, 2), keepdims=True), known[part], found)
            told = pd.DataFrame(known[part].reshape(len(block), -1), columns=list(COLUMNS))
            turned, moved = aligner(block, told.assign(sample_id=rows["sample_id"].to_numpy()[part]))
            known[part] = moved[list(COLUMNS)].to_numpy().reshape(known[part].shape)
            writer.append(turned)
            if not aligner.aligned and (start >= _ENOUGH or start + _BLOCK >= len(images)):
                raise DataError(str(store.path), f"no eyes were found in {writer.n:,} faces by {by}", "some")
            if progress:
                progress(min(start + _BLOCK, len(images)), len(images))
        places = frame["image"].to_numpy(np.int64)
        now = dict(zip(COLUMNS, known[places].reshape(len(frame), -1).T, strict=True))
        table = store.table.derive("align", frame.assign(**now), {"landmarks": by, **options}, aligner.facts())
        how = ", ".join(f"{name} {value:g}" for name, value in options.items())
        about = "; ".join(filter(None, (IN_WORDS, by, how, detector.about if detector is not None else "")))
        detail = {**store.info.get("detail", {}), **aligner.facts()}
        classes = class_counts(table)
        return writer.commit(table, store.description | {"alignment": about, "detail": detail, "classes": classes})


def landmarks_of(detector: FaceDetector, image: NDArray[np.uint8]) -> Landmarks:
    """The landmarks of the face that a crop shows.

    Args:
        detector: Finds it.
        image: ``(H, W, 1)`` grey or ``(H, W, 3)``.

    Returns:
        ``(5, 2)`` in pixels, whose centres lie on whole numbers; NaN where no face in the middle of the crop is found.
        Of several it is the largest.
    """
    height, width = image.shape[:2]
    factor = max(1, -(-_SIDE // min(height, width)))
    rgb = np.broadcast_to(image, (height, width, 3)) if image.shape[2] == 1 else image
    large = Image.fromarray(np.ascontiguousarray(rgb)).resize(
        (width * factor, height * factor), Image.Resampling.BICUBIC
    )
    margin = round(_MARGIN * min(large.size))
    faces = detector.find(np.pad(np.asarray(large), ((margin, margin), (margin, margin), (0, 0)), mode="edge"))
    return np.asarray((_central(faces, large.size, margin) - margin) / factor - 0.5)


def _central(faces: Faces, size: tuple[int, int], margin: int) -> Landmarks:
    """Those of the largest face whose middle lies in the middle half of the crop, in pixels of what was looked at."""
    corners = faces.boxes.reshape(-1, 2, 2)
    middles = (corners.mean(1) - margin) / np.array(size)
    areas = np.where((np.abs(middles - 0.5) <= 0.25).all(1), np.ptp(corners, axis=1).prod(1), 0.0)
    if not (areas > 0).any():
        return np.full((5, 2), np.nan)
    return np.asarray(faces.landmarks[areas.argmax()])
