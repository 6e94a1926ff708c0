"""Perceived attributes: gaps that carry the error of whoever perceived them."""

from mien.audit.inferred.annotator_error import AnnotatorError
from mien.audit.inferred.estimates import infer_gaps
from mien.audit.inferred.membership import ConfidenceCoverage
from mien.audit.inferred.results import InferredGap, InferredGroup, InferredMethod, InferredResult
from mien.audit.inferred.sensitivity import ErasureCurve, EvenErrorCurve, SensitivityPoint

__all__ = [
    "AnnotatorError",
    "ConfidenceCoverage",
    "ErasureCurve",
    "EvenErrorCurve",
    "InferredGap",
    "InferredGroup",
    "InferredMethod",
    "InferredResult",
    "SensitivityPoint",
    "infer_gaps",
]
