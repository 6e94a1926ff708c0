"""Classes that were rare in training are raised afterwards."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from mien.errors import DataError
from mien.postprocessing import POSTPROCESSORS
from mien.postprocessing.base import GroupScores, Judged, PostProcessor, by_group


@POSTPROCESSORS.register("logit_adjustment")
class LogitAdjustment(PostProcessor):
    """Probabilities divided by the training share of their class to the power tau: log p - tau log n, normalised.

    With ``tau`` = 1 and calibrated probabilities it is the answer with the fewest errors where all classes are equally
    common, and raises the mean recall; accuracy on faces as they come falls. Nobody's group is asked for. A class that
    training never saw is raised as little as the commonest one. Of a model that was trained with weights or another
    order of faces, the shares that it was taught are others, and this is not for it.

    Source: Menon et al. 2021, "Long-tail learning via logit adjustment", eq. 9.

    Args:
        tau: 0 changes nothing.
    """

    def __init__(self, *, tau: Annotated[float, Field(ge=0, le=10)] = 1.0) -> None:
        self.tau = tau

    @property
    def fits_groups(self) -> bool:
        """Never."""
        return False

    def fit(self, faces: Judged) -> GroupScores:
        """The rule, which follows from the shares of the training faces alone."""
        if faces.prior is None:
            raise DataError("logit_adjustment", "nobody says how common the classes were in training", "their shares")
        prior = np.where(faces.prior > 0, faces.prior, faces.prior.max())
        factors = (prior / prior.max()) ** -self.tau
        return by_group(faces, factors=dict.fromkeys(range(-1, len(faces.names)), factors))
