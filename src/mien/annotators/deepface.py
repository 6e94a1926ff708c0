"""The age, gender and race models of deepface (Serengil and Ozpinar).

Written for deepface 0.0.103, after its source. The tool downloads its weights at the first use.
"""

from __future__ import annotations

from importlib import metadata
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from mien.adapters.deepface import largest_face
from mien.adapters.tools import Side, by_class
from mien.annotators import ANNOTATORS
from mien.annotators.base import RACE6, Perceived, age_bins, with_merged
from mien.demographics import AGE, AGE_GROUP, GENDER, RACE4
from mien.errors import DataError
from mien.foreign import import_tool
from mien.inference import Progress, batches
from mien.pictures.pixels import Images, bgr, resized

# Its names in the order of the groups of race6 and of gender.
_RACES = ("white", "black", "latino hispanic", "asian", "indian", "middle eastern")
_GENDERS = ("Man", "Woman")
_N_VALUES = len(_RACES) + len(_GENDERS) + 1


class DeepFace:
    """deepface as an annotator; see :func:`deepface`.

    Args:
        tool: Its module.
        detector: Its ``detector_backend``; None: the whole crop is the face.
        size: Side in pixels of the crops that it gets.
    """

    name = "deepface"
    source = (
        "deepface's own weights: VGG-Face networks; by its author's account race was learnt from FairFace, "
        "age and gender from IMDB-WIKI"
    )
    terms = "MIT for its code; its networks grew out of VGG-Face and inherit the terms of its weights"
    heads = (RACE6.head, RACE4.head, GENDER, AGE, AGE_GROUP.head)

    def __init__(self, tool: ModuleType, detector: str | None, size: int) -> None:
        self.tool, self.detector, self.size = tool, detector, size
        try:
            version = metadata.version("deepface")
        except metadata.PackageNotFoundError:
            version = "unknown"
        self.version = version + (f" ({detector} detector)" if detector else "")

    def holdout(self, images: Images) -> None:
        """None: nobody has counted its errors here."""

    def annotate(self, images: Images, progress: Progress | None = None) -> Perceived:
        """Perceive some faces.

        Its age is one number: the probabilities of ``age`` and ``age_group`` are 0 and 1, and say nothing of
        how sure it is.

        Args:
            images: ``(n, H, W, C)`` uint8, C = 1 or 3 (RGB).
            progress: Called with faces done and in all.

        Raises:
            DataError: If the tool answers with other groups, as in a version not known here, or with no age.
        """
        values = np.empty((len(images), _N_VALUES))
        for part, crop in batches(images, batch_size=1, progress=progress):
            values[part] = self._values(bgr(resized(crop, self.size))[0])
        races, genders, years = np.split(values, [len(_RACES), _N_VALUES - 1], axis=1)
        lost = np.isnan(years[:, 0])
        ages = np.eye(len(AGE.groups))[age_bins(np.where(lost, 0, years[:, 0]))]
        ages[lost] = np.nan
        probs = with_merged({RACE6.head.name: races, GENDER.name: genders, AGE.name: ages})
        return Perceived(probs, years[:, 0].astype(np.float32), lost if self.detector else None)

    def _values(self, image: Images) -> NDArray[np.float64]:
        """Probabilities of race and gender, and the age, of one crop; NaN where no face is found."""
        face = largest_face(self.tool, image, ["age", "gender", "race"], self.detector)
        if face is None:
            return np.full(_N_VALUES, np.nan)
        where, age = f"{self.name} {self.version}", float(face["age"])
        if not age >= 0:
            raise DataError(where, f"returned the age {age}", "years of 0 or more")
        return np.array([*by_class(face["race"], _RACES, where), *by_class(face["gender"], _GENDERS, where), age])


@ANNOTATORS.register("deepface")
def deepface(*, detect: bool = False, detector: str = "opencv", size: Side = 224) -> DeepFace:
    """The age, gender and race models of deepface; its weights are downloaded by the tool.

    Crops of 48 grey pixels are far from the pictures on which it was trained.

    Args:
        detect: Let the tool look for the face in the crop; one in which it finds none has no groups.
            Without it the whole crop goes to the networks (``detector_backend="skip"``).
        detector: Its ``detector_backend`` where it looks.
        size: Side in pixels to which crops are brought first; the tool brings faces to 224 itself.

    Raises:
        MissingTool: If deepface is not installed.
    """
    return DeepFace(
        import_tool("deepface.DeepFace", "annotator 'deepface'", "deepface"), detector if detect else None, size
    )
