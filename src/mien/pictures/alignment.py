"""Faces turned, scaled and moved so that their eyes stand level and their landmarks near those of a template."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from mien.errors import DataError
from mien.pictures.landmarks import COLUMNS

#: Left and right eye (the onlooker's), tip of the nose, corners of the mouth, as shares of the side: a tight crop.
TEMPLATE = ((0.32, 0.40), (0.68, 0.40), (0.50, 0.60), (0.36, 0.78), (0.64, 0.78))
#: What a store, and the card of weights that learnt from it, says of its faces.
IN_WORDS = "eyes level, similarity transform of five landmarks to eyes at 0.32 and 0.68 of the side, 0.40 from above"
_EYES = slice(0, 2)
_NAMED = 3


@dataclass
class Aligner:
    """Aligns the faces of a corpus, a chunk after the other, and counts.

    Attributes:
        aligned: Faces that were.
        left: Names of those that stayed as they were, for want of an eye.
    """

    aligned: int = 0
    left: list[str] = field(default_factory=list)

    def __call__(self, images: NDArray[np.uint8], frame: pd.DataFrame) -> tuple[NDArray[np.uint8], pd.DataFrame]:
        """Align some faces.

        Args:
            images: ``(n, S, S)`` grey or ``(n, S, S, 3)``.
            frame: Their rows, with ``landmark_<i>_x`` and ``_y`` in pixels, NaN where unknown.

        Returns:
            Both anew: pictures, and landmarks where they lie now. Faces without both eyes are as they were.

        Raises:
            DataError: If the corpus has no landmarks.
        """
        missing = [name for name in COLUMNS if name not in frame]
        if missing:
            expected = "landmarks of the faces (columns landmark_0_x to landmark_4_y)"
            raise DataError("align", f"the corpus has no {missing[0]}", expected, "Prepare it without aligning.")
        if images.shape[1] != images.shape[2]:
            raise DataError("align", f"pictures of {images.shape[1]}x{images.shape[2]}", "squares")
        points = frame[list(COLUMNS)].to_numpy(np.float64).reshape(len(frame), -1, 2)
        side = images.shape[1]
        scales, moves = similarity(points, side)
        known = ~np.isnan(scales)
        out = images.copy()
        for i in np.flatnonzero(known):
            out[i] = _resampled(images[i], complex(scales[i]), complex(moves[i]))
        moved = scales[:, None] * (points[..., 0] + 1j * points[..., 1]) + moves[:, None]
        new = np.where(known[:, None, None], np.stack([moved.real, moved.imag], axis=2), points)
        self.aligned += int(known.sum())
        self.left += frame["sample_id"][~known].astype(str).tolist()
        return out, frame.assign(**dict(zip(COLUMNS, new.reshape(len(frame), -1).T, strict=True)))

    def facts(self) -> dict[str, Any]:
        """What was done, for people to read."""
        some = ", ".join(self.left[:_NAMED]) + (", ..." if len(self.left) > _NAMED else "")
        return {
            "aligned by their landmarks": self.aligned,
            "not aligned, for an eye is not known": f"{len(self.left)} ({some})" if self.left else 0,
        }


def similarity(points: NDArray[np.float64], side: int) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Turn, scale and move of each face to the template: ``z -> scale * z + move`` of ``z = x + iy``.

    The turn makes the eyes level; scale and move are then the least-squares ones over the landmarks that are known
    (Umeyama 1991, eq. 40 to 42, with the rotation given).

    Args:
        points: ``(n, 5, 2)`` in pixels, whose centres lie on whole numbers; NaN where unknown.
        side: Side of the picture.

    Returns:
        ``(n,)`` and ``(n,)``; NaN where an eye is not known, both stand in one place, or the points fit no face (the
        scale would be none).
    """
    z = points[..., 0] + 1j * points[..., 1]
    target = np.array([complex(x, y) for x, y in TEMPLATE]) * side - (0.5 + 0.5j)
    line = z[:, 1] - z[:, 0]
    there = ~np.isnan(z.real) & ~np.isnan(z.imag)
    with np.errstate(invalid="ignore", divide="ignore"):
        turn = np.conj(line) / np.abs(line)
        n = there.sum(1)
        z, w = np.where(there, z, 0), np.where(there, target, 0)
        from_, to = z.sum(1) / n, w.sum(1) / n
        centred, aim = np.where(there, z - from_[:, None], 0), np.where(there, target - to[:, None], 0)
        size = (np.conj(turn[:, None] * centred) * aim).real.sum(1) / (np.abs(centred) ** 2).sum(1)
        fit = there[:, _EYES].all(1) & (np.abs(line) > 0) & (size > 0)
        scale = np.where(fit, size * turn, np.nan)
    return scale, to - scale * from_


def _resampled(image: NDArray[np.uint8], scale: complex, move: complex) -> NDArray[np.uint8]:
    """A picture under a similarity, bilinearly; beyond the edge stands its nearest pixel."""
    back = 1 / scale
    first = -move * back  # where the first pixel of the result comes from
    # Rows come before columns: what is x + iy elsewhere is (y, x) here.
    matrix = np.array([[back.real, back.imag], [-back.imag, back.real]])
    planes = image[..., None] if image.ndim == 2 else image
    out = [
        ndimage.affine_transform(
            planes[..., c].astype(np.float32), matrix, (first.imag, first.real), order=1, mode="nearest"
        )
        for c in range(planes.shape[2])
    ]
    return np.stack(out, axis=2).round().clip(0, 255).astype(np.uint8).reshape(image.shape)
