"""What an audit asks beyond the gaps: disagreement, confounders, the annotator's error, leakage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from mien.audit.attributes import Attribute
from mien.audit.confounders import confounder_analysis
from mien.audit.disagreement import disagreement_analysis
from mien.audit.inferred import infer_gaps
from mien.audit.inferred.annotator_error import AnnotatorError
from mien.audit.leakage import ProbeSettings, leakage_inputs, leakage_probe
from mien.audit.results import AttributeResult
from mien.records import Predictions
from mien.samples import PERCEIVED
from mien.stats.settings import Settings


@dataclass(frozen=True)
class Further:
    """What to ask.

    Attributes:
        confounders: Columns of numbers to hold common.
        annotator_errors: Attribute -> known confusion of its annotator.
        leakage: Whether to probe for the attributes.
        features: ``(n, D)`` the model's features, or None.
    """

    confounders: list[str]
    annotator_errors: dict[str, AnnotatorError]
    leakage: bool
    features: NDArray[Any] | None


def further_results(
    pred: Predictions, attribute: Attribute, result: AttributeResult, asked: Further, settings: Settings
) -> AttributeResult:
    """Add to an attribute's result whatever its predictions allow to ask.

    A confounder that the groups are parts of (``brightness:3``) is not held common.
    """
    made_of = {part.rpartition(":")[0] or part for part in attribute.name.split("*")}
    columns = [c for c in asked.confounders if c not in made_of]
    inferred = attribute.name in asked.annotator_errors or (attribute.source == PERCEIVED and "*" not in attribute.name)
    return replace(
        result,
        disagreement=disagreement_analysis(pred, attribute, settings=settings) if pred.votes is not None else None,
        confounders=confounder_analysis(pred, attribute, columns, settings=settings) if columns else None,
        inferred=infer_gaps(
            pred,
            attribute,
            asked.annotator_errors.get(attribute.name),
            settings=settings,
        )
        if inferred
        else None,
        leakage=leakage_probe(
            leakage_inputs(pred, asked.features),
            attribute,
            pred.cluster,
            labels=pred.labels,
            settings=ProbeSettings.of(settings),
        )
        if asked.leakage
        else None,
    )
