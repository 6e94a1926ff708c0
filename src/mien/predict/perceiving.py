"""Perceived gender, race and age of detected faces, where somebody asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.annotators.mien import SMALL, MienAnnotator
from mien.demographics import Head
from mien.faces.base import Faces
from mien.faces.crop import FAIRFACE, CropRule, cut, squares_by_points
from mien.pictures.pixels import as_stored
from mien.pictures.whole import WholePicture

Crop = NDArray[np.uint8]


@dataclass(frozen=True)
class Perceived:
    """What is perceived in one face.

    Attributes:
        attributes: Attribute, ``gender`` say -> group -> probability that a person perceives it.
        years: Expected age in years; None where the annotator tells none.
    """

    attributes: dict[str, dict[str, float]]
    years: float | None


@dataclass(frozen=True)
class Perceiver:
    """An annotator before faces that were detected and not given.

    Attributes:
        annotator: It learnt from crops of FairFace.
        rule: From the detector's boxes to such crops, for faces without landmarks.
    """

    annotator: MienAnnotator
    rule: CropRule

    @classmethod
    def load(cls, detector: str | None, device: str = "cpu") -> Perceiver:
        """The annotator in the box.

        Args:
            detector: Whose boxes it is given; None where pictures are crops.
            device: Where it computes.
        """
        from mien.annotators.mien import mien

        return cls(mien(device=device), FAIRFACE.get(detector or "", FAIRFACE["mtcnn"]))

    @property
    def called(self) -> str:
        """The annotator and its version."""
        return f"{self.annotator.name} {self.annotator.version}"

    @property
    def heads(self) -> tuple[Head, ...]:
        """What it perceives."""
        return self.annotator.heads

    def crops(self, picture: WholePicture, faces: Faces | None) -> tuple[Crop, ...]:
        """``(S, S, C)`` of each face, large or small and grey or in colour as it is: its errors were counted for each.

        Args:
            picture: The picture.
            faces: Found in it; None where it is itself a crop.
        """
        full = self.annotator.classifier.card.size
        if faces is None:
            size = min(full, SMALL) if min(picture.pixels.shape[:2]) <= SMALL else full
            return tuple(map(_own_colour, as_stored(picture.pixels[None], size, 3)))
        places = squares_by_points(faces, self.rule)
        sizes = [min(full, SMALL) if place.side <= SMALL else full for place in places]
        crops = (cut(picture.pixels, [place], size, 3)[0] for place, size in zip(places, sizes, strict=True))
        return tuple(map(_own_colour, crops))

    def told(self, crops: Sequence[Crop]) -> list[Perceived]:
        """What is perceived in each face: those of one size and colour together."""
        out: list[Perceived | None] = [None] * len(crops)
        for shape in {crop.shape for crop in crops}:
            rows = [i for i, crop in enumerate(crops) if crop.shape == shape]
            said = self.annotator.annotate(np.stack([crops[i] for i in rows]))
            for place, i in enumerate(rows):
                attributes = {
                    head.name: {g: float(p) for g, p in zip(head.groups, said.probs[head.name][place], strict=True)}
                    for head in self.heads
                }
                out[i] = Perceived(attributes, None if said.years is None else float(said.years[place]))
        return [each for each in out if each is not None]


def _own_colour(crop: Crop) -> Crop:
    """One channel of a crop without colour: what is perceived in a face does not depend on those beside it."""
    return crop[..., :1] if bool((crop == crop[..., :1]).all()) else crop
