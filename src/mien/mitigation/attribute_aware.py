"""The expression is learnt given the group, and the network is told it where it is used."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field
from torch import Tensor

from mien.errors import ConfigError
from mien.mitigation import MITIGATIONS
from mien.mitigation.attribute_heads import AttributeHeads
from mien.mitigation.base import Attributes, Needs, Step
from mien.mitigation.faces import Faces
from mien.models.blocks import ExpressionModel
from mien.models.conditioned import ConditionedModel
from mien.spellings import attribute_name


@MITIGATIONS.register("attribute_aware")
class AttributeAware(AttributeHeads):
    """The expression's head sees the features and the group that a face is known to be of.

    It asks for the model ``conditioned`` (``how: concat``), whose head sees features and groups side by side. With a
    linear head each group then has an offset of every class, learnt with the rest: nothing of the features has to say
    which group it is. A face of unknown group is judged by what the network's own heads take it for; they are taught
    beside the expression, and validation and ``mien evaluate`` go by them. The groups are told where the network is
    used by :func:`mien.evaluate.evaluate_given`, and in a study of ``mien mitigate``, whose page says so.

    Source: Xu et al. 2020, "Investigating bias and fairness in facial expression recognition" (attribute-aware: a
    linear layer of the one-hot attributes joins the features before the classifier; with a linear classifier that is
    the classifier's own weights of the attributes).

    Args:
        faces: The training faces.
        by: Attributes that the network knows; what it knows and is not named here it is never told.
        weight: Factor of the loss of the network's own heads.
    """

    needs = Needs(training=True, prediction=True)

    def __init__(self, faces: Faces, *, by: Attributes, weight: Annotated[float, Field(gt=0, le=1000)] = 1.0) -> None:
        super().__init__(faces, by=by, weight=weight)
        for name in by:
            shares = faces.groups[:, faces.blocks[name]]
            if ((shares > 0) & (shares < 1)).any():
                found = f"groups of {name!r} are probabilities, and where the network is used a face has one group"
                raise ConfigError("mitigation.soft", found, "false")
        self.network: list[ConditionedModel] = []  # not this module's: it moves by itself

    def adapt(self, model: ExpressionModel) -> ExpressionModel:
        """Find the head that sees groups.

        Raises:
            ConfigError: If the network has none, is a control, or does not know an attribute or all of its groups.
        """
        if not isinstance(model, ConditionedModel) or model.film is not None or model.control != "none":
            what = "is a control or is moved by film" if isinstance(model, ConditionedModel) else "sees no groups"
            known = ", ".join(f"{attribute_name(name)}: {len(self.faces.attributes[name])}" for name in self.by)
            expected = f"model: {{name: conditioned, options: {{trunk: ..., attributes: {{{known}}}}}}}"
            raise ConfigError("mitigation.name", f"the head of {type(model).__name__} {what}", expected)
        if strange := [name for name in self.by if attribute_name(name) not in model.attributes]:
            found = f"the network knows no {strange[0]!r}"
            raise ConfigError("mitigation.options.by", found, f"some of {', '.join(model.attributes)}")
        self.network = [model]
        return super().adapt(model)

    def loss(self, step: Step) -> Tensor:
        """The expression's loss given the groups, and that of the network's own heads."""
        given = {attribute_name(name): step.batch.groups[:, self.faces.blocks[name]] for name in self.by}
        logits = self.network[0].logits_given(step.features, given).float()[:, : step.logits.shape[1]]
        # The network's own terms stay; what it would lose by its own word goes.
        losses = step.losses - step.loss_of(step.logits) + step.loss_of(logits)
        return super().loss(replace(step, logits=logits, losses=losses))
