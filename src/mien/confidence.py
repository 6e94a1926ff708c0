"""How much the confidence of a model that is handed on is worth: kept beside it, for those who have no faces to ask."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import WeightsError
from mien.own_files import as_kind, card_beside
from mien.postprocessing.base import tempered
from mien.stats.selective import Step, risk_threshold, upper_limit

#: Key of a card that holds a Confidence.
KEY = "confidence"
_OUTSIDE = 0.05  # chance of an interval to miss
_LEAST = 1e-12  # of a probability, before its logarithm


@dataclass(frozen=True)
class Confidence:
    """What was counted on faces whose expression is known.

    Attributes:
        scale: Exponent of the probabilities that makes them as sure as they are right (1 over the temperature;
            Guo et al. 2017).
        steps: Right and wrong among the surest faces, after it: see :mod:`mien.stats.selective`.
        counted_on: Which faces, in words.
        faces: How many.
    """

    scale: float = 1.0
    steps: tuple[Step, ...] = ()
    counted_on: str = ""
    faces: int = 0

    def calibrated(self, probs: NDArray[np.float64]) -> NDArray[np.float64]:
        """``(n, K)`` probabilities as sure as they are right on such faces; rows of NaN stay NaN."""
        return tempered(probs, self.scale)

    def worth(self) -> list[dict[str, float]]:
        """How often answers of about the same confidence were right, with a 95 % interval (Clopper and Pearson 1934).

        Returns:
            One step after the other, the surest first: ``least``, its lowest confidence; ``right``, the share of right
            answers; ``low`` and ``high``; ``faces``. None where nothing was counted.
        """
        found, before, wrong_before = [], 0, 0
        for step in self.steps:
            faces, wrong = step.faces - before, step.wrong - wrong_before
            before, wrong_before = step.faces, step.wrong
            found.append(
                {
                    "least": step.confidence,
                    "right": 1 - wrong / faces,
                    "low": 1 - upper_limit(wrong, faces, _OUTSIDE / 2),
                    "high": upper_limit(faces - wrong, faces, _OUTSIDE / 2),
                    "faces": faces,
                }
            )
        return found

    def threshold(self, risk: float) -> float:
        """The confidence under which to abstain: 0 for never, infinity for always (:func:`risk_threshold`)."""
        return risk_threshold(self.steps, risk)


def entropy(probs: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(n, K)`` -> ``(n,)`` from 0 (all on one class) to 1 (all alike).

    >>> entropy(np.array([[1.0, 0.0], [0.5, 0.5]])).tolist()
    [0.0, 1.0]
    """
    k = probs.shape[1]
    terms = np.where(probs > 0, probs * np.log(np.maximum(probs, _LEAST)), 0.0)
    return np.asarray(np.abs(terms.sum(1)) / math.log(max(2, k)))


def confidence_of(model: Path) -> Confidence:
    """What the card beside an exported model says of its confidence; nothing where there is none.

    Raises:
        WeightsError: If it cannot be read.
    """
    beside, card = card_beside(model)
    content = card.get(KEY)
    if content is None:
        return Confidence()
    found: Confidence = as_kind(Confidence, content, f"{beside}: {KEY}", error=WeightsError)
    if not (0 < found.scale < math.inf):
        raise WeightsError(f"{beside}: {KEY}.scale", str(found.scale), "a number above 0")
    return found
