"""Whether a crop looks like the faces that a model knows: kept beside a model that is handed on.

A network is sure of noise too: how sure the one in the box is of white noise is measured by ``benchmarks/domain.py``
(docs/results/domain). So what a crop is like is looked at before its answer is believed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import WeightsError
from mien.own_files import as_kind, card_beside
from mien.pictures.quality import QUALITIES, image_quality

#: Key of a card that holds a Domain.
KEY = "domain"
#: Share of known faces beyond each end of a range: of all ends together about one face in a hundred.
OUTSIDE = 0.002
_FEWEST = 1000  # faces of which so small a share can be told
_WORDS = {
    "brightness": ("too dark", "too bright"),
    "contrast": ("too little contrast", "too much contrast"),
    "sharpness": ("blurred", "too grainy"),
}
_FLAT = "nothing can be seen: all pixels are alike"


@dataclass(frozen=True)
class Domain:
    """How the crops of known faces were taken.

    Attributes:
        ranges: Quality of :func:`mien.pictures.quality.image_quality` -> lowest and highest that is still known; empty
            where nothing was measured.
        measured_on: Which faces, in words.
        faces: How many.
    """

    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    measured_on: str = ""
    faces: int = 0

    def doubts(self, crops: NDArray[np.uint8]) -> list[str]:
        """Why an answer for each crop had better not be used; empty where it is like the known ones.

        Args:
            crops: ``(n, S, S, C)`` as the model is given them.
        """
        if not self.ranges or not len(crops):
            return [""] * len(crops)
        found = image_quality(crops)
        return [self._doubt({name: float(values[i]) for name, values in found.items()}) for i in range(len(crops))]

    def _doubt(self, quality: dict[str, float]) -> str:
        for name, (low, high) in self.ranges.items():
            value = quality[name]
            if np.isnan(value):
                return _FLAT
            if value < low:
                return f"{_WORDS[name][0]}: {name} {value:.2f}, under {low:.2f} of the faces that the model knows"
            if value > high:
                return f"{_WORDS[name][1]}: {name} {value:.2f}, over {high:.2f} of the faces that the model knows"
        return ""


def domain_of_faces(parts: Iterable[NDArray[np.uint8]], measured_on: str) -> Domain:
    """The ranges of some faces' crops; none of fewer than a thousand, or where all are flat.

    Args:
        parts: ``(n, S, S, C)`` each, as the model is given them.
        measured_on: Which faces, in words.
    """
    measured = [image_quality(crops) for crops in parts]
    ranges, faces = {}, 0
    for name in QUALITIES:
        values = np.concatenate([np.empty(0), *(found[name] for found in measured)])
        faces, known = len(values), values[np.isfinite(values)]
        if len(known) < _FEWEST:
            return Domain()
        low, high = np.quantile(known, (OUTSIDE, 1 - OUTSIDE))
        ranges[name] = (float(low), float(high))
    return Domain(ranges, measured_on, faces)


def domain_of_model(model: Path) -> Domain:
    """What the card beside an exported model says of the faces that it knows; nothing where there is none.

    Raises:
        WeightsError: If it cannot be read.
    """
    beside, content = card_beside(model)
    if content.get(KEY) is None:
        return Domain()
    found: Domain = as_kind(Domain, content[KEY], f"{beside}: {KEY}", error=WeightsError)
    unknown = set(found.ranges) - set(QUALITIES)
    if unknown:
        raise WeightsError(f"{beside}: {KEY}.ranges", f"names {', '.join(sorted(unknown))}", ", ".join(QUALITIES))
    return found
