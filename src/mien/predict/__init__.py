"""From a picture to perceived expressions: one :class:`Predictor` behind every way in, one row for every way out."""

from mien.predict.predictor import Predictor
from mien.predict.rows import FaceRow

__all__ = ["FaceRow", "Predictor"]
