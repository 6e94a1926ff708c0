"""A network that knows attributes: it tells them from the face, and the expression given what it told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mien.errors import ConfigError, UsageError
from mien.models import MODELS
from mien.models.blocks import ExpressionModel, Outputs
from mien.registry import nearest
from mien.spellings import attribute_name
from mien.values import shown

ATTRIBUTES = "attributes"  # the part that holds their heads
ATTRIBUTE = "attribute:"  # and its name: where Outputs.extra holds the logits of an attribute
CONDITIONED = "conditioned"
_WHOLE = 0.01  # how far memberships may sum from 1, as distributions in bf16 do
_RECENT = 100  # batches over which the mean of the probabilities runs: what heads told before they had learnt is left

Groups = Annotated[int, Field(ge=2, le=100)]
Control = Literal["none", "shuffled", "constant"]


@MODELS.register(
    CONDITIONED,
    tiny={
        "trunk": {"name": "mienet", "options": {"widths": [4, 8], "depths": [1, 1], "stem": 4}},
        "attributes": {"gender": 2, "age": 3},
    },
)
class ConditionedModel(ExpressionModel):
    """Any network as a trunk, heads of attributes on its features, and the expression given their probabilities.

    A linear head tells each attribute from the trunk's features f. The probabilities p of all of them side by side
    join f before the expression's head, which is the trunk's own: with ``concat`` the head sees [f, p], with ``film``
    (1 + A p + a) * f + (B p + b). What joins counts for nothing at first (its weights begin at 0), so that the network
    begins as its trunk. The mitigation ``attribute_heads``, with ``by`` naming the attributes, teaches the heads;
    without it they are free numbers and no attributes.

    Such a network may judge a face by the group that it takes it for. It pulls against methods that hide groups, and
    an audit must be read beside it. Its controls tell whether the attributes did anything: a face is given the
    probabilities of another one (``shuffled``), or the mean of the training faces (``constant``); what they were
    annotated as (:meth:`conditioned_on`, :func:`mien.evaluate.evaluate_given`) is the other end.

    Evaluation and use of a face must not depend on which others lie in its batch: there a network that was shuffled
    gives each face the mean too. The mean runs over the probabilities of the last hundred training batches or so, and
    is saved with the weights.

    Parts: those of the trunk, then ``attributes`` and, with film, ``film``. ``model.weights`` are those of the trunk,
    or of a run of this model; with several processes the mean is that of the first one's faces.

    Source: Duan 2022, future work, figure 37 (age, gender and race told beside the expression and given to it); FiLM
    from Perez et al. 2018, "FiLM: visual reasoning with a general conditioning layer", eq. 2.

    Args:
        num_classes: K.
        in_channels: 1 or 3.
        trunk: Any other model: its name, or a section with ``name`` and ``options``.
        attributes: Name of each attribute in the store, or of an intersection of several, and how many groups it has,
            such as ``{gender: 2, age: 9}`` or ``{gender*age: 18}``.
        how: Their probabilities stand beside the features (``concat``), or scale and move them (``film``).
        stop_gradient: Whether the expression's loss ends at the probabilities; it then never moves the heads of the
            attributes, and the trunk only by its features. The attributes' losses move their heads and the trunk, and
            never the expression's head, either way.
        control: ``none``; ``shuffled`` and ``constant`` give the expression's head nothing of the face's own
            attributes, and pass no gradient to their heads.
    """

    mean_probabilities: Tensor
    n_batches: Tensor

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 1,
        *,
        trunk: str | Mapping[str, Any],
        attributes: Annotated[Mapping[str, Groups], Field(min_length=1, max_length=20)],
        how: Literal["concat", "film"] = "concat",
        stop_gradient: bool = False,
        control: Control = "none",
    ) -> None:
        super().__init__()
        # In the order of their names, whatever order a file has them in: weights must not depend on that.
        self.attributes = _named_once(attributes)
        self.stop_gradient, self.control = stop_gradient, control
        self.trunk = trunk_of(trunk, num_classes, in_channels)
        self.size = self.trunk.size
        dim, joined = self.trunk.feature_dim, sum(self.attributes.values())
        self.attribute_head = nn.Linear(dim, joined)  # one linear layer is a linear head for each
        self.film = nn.Linear(joined, 2 * dim) if how == "film" else None
        if self.film is not None:
            nn.init.zeros_(self.film.weight)
            nn.init.zeros_(self.film.bias)
        self.head = self.trunk.head if how == "film" else _widened(self.trunk.head, dim, joined)
        self.trunk.head = nn.Identity()
        self.feature_dim = dim if how == "film" else dim + joined
        even = torch.cat([torch.full((n,), 1 / n) for n in self.attributes.values()])
        self.register_buffer("mean_probabilities", even)
        self.register_buffer("n_batches", torch.zeros((), dtype=torch.long))

    @property
    def pretrainable(self) -> ExpressionModel:
        """The trunk, for which others have weights."""
        return self.trunk.pretrainable

    def parts(self) -> dict[str, nn.Module]:
        """The trunk's parts, then the attributes' heads and what makes a scale and a move of their probabilities."""
        own: dict[str, nn.Module] = {ATTRIBUTES: self.attribute_head}
        return self.trunk.parts() | own | ({} if self.film is None else {"film": self.film})

    def features(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` normalised images -> ``(B, D)`` what the expression's head sees, attributes included."""
        return self._joined(self.trunk.features(x))[0]

    def forward_train(self, x: Tensor) -> Outputs:
        """Logits, features, whatever else the trunk tells, and ``attribute:NAME``: ``(B, G)`` logits of each."""
        found = self.trunk.forward_train(x)
        features, logits = self._joined(found.features)
        # The trunk's map is left out: its mean is not what the head sees any more.
        extra = {name: tensor for name, tensor in found.extra.items() if name != "map"}
        extra |= {ATTRIBUTE + name: block for name, block in self._blocks(logits).items()}
        return Outputs(self.head(features), features, extra)

    def auxiliary(self, outputs: Outputs, targets: Tensor) -> Tensor | None:
        """The trunk's own loss terms, which read what it told beside its features."""
        return self.trunk.auxiliary(outputs, targets)

    def conditioned_on(self, x: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """What :meth:`forward` gives where somebody says who is in the picture.

        Args:
            x: ``(B, C, H, W)`` normalised images.
            given: Attribute -> ``(B, G)`` memberships in place of the probabilities. A row of zeros is a face of
                unknown group, which keeps what the network would have used; so do attributes that are not given.

        Returns:
            ``(B, K)`` logits.

        Raises:
            UsageError: If the network has no such attribute, or the memberships have another shape, one below 0, or a
                row whose sum is neither 0 nor 1.
        """
        for name, groups in given.items():
            if name not in self.attributes:
                raise UsageError("given", f"unknown attribute {name!r}", "", nearest(name, list(self.attributes)))
            wanted = (len(x), self.attributes[name])
            if tuple(groups.shape) != wanted:
                raise UsageError(f"given[{name!r}]", f"has the shape {tuple(groups.shape)}", f"{wanted}")
            _check_memberships(name, groups)
        logits: Tensor = self.head(self._joined(self.trunk.features(x), given)[0])
        return logits

    def logits_given(self, features: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """What the expression's head says of features that it has seen, had somebody said who is in the picture.

        Args:
            features: ``(B, D)`` of :meth:`features` or :meth:`forward_train`, without ``film``.
            given: As in :meth:`conditioned_on`, on trust.
        """
        alone = self.feature_dim - sum(self.attributes.values())
        told = self._told(features[:, alone:], given)
        logits: Tensor = self.head(torch.cat([features[:, :alone], told], dim=1))
        return logits

    def _told(self, own: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """``(B, sum of G)`` of the network's own, with what is given in its place."""
        return torch.cat([_said(given.get(name), block) for name, block in self._blocks(own).items()], dim=1)

    def _joined(self, features: Tensor, given: Mapping[str, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """``(B, D)`` of the trunk -> what the expression's head sees, and ``(B, sum of G)`` logits of attributes."""
        logits = self.attribute_head(features)
        joining = self._joining(torch.cat([z.float().softmax(1) for z in self._blocks(logits).values()], dim=1))
        if given is not None:
            joining = self._told(joining, given)
        joining = joining.to(features.dtype)
        if self.film is None:
            return torch.cat([features, joining], dim=1), logits
        scale, move = self.film(joining).chunk(2, dim=1)
        return (1 + scale) * features + move, logits

    def _joining(self, probabilities: Tensor) -> Tensor:
        """``(B, sum of G)`` that join the features: the probabilities, or what the control has in their place."""
        if self.training:
            self._note(probabilities.detach())
        if self.control == "none":
            return probabilities.detach() if self.stop_gradient else probabilities
        if self.control == "shuffled" and self.training and len(probabilities) > 1:
            return probabilities.detach()[others(len(probabilities)).to(probabilities.device)]
        # A copy: the mean moves on with the next batch, and the backward pass of this one needs it as it was.
        return self.mean_probabilities.clone().expand_as(probabilities)

    @torch.no_grad()
    def _note(self, probabilities: Tensor) -> None:
        """Let the mean run on: the mean of all batches at first, then mostly of the recent ones."""
        self.n_batches += 1
        self.mean_probabilities.lerp_(probabilities.mean(0), 1 / self.n_batches.clamp(max=_RECENT))

    def _blocks(self, values: Tensor) -> dict[str, Tensor]:
        """``(B, sum of G)`` -> attribute -> its ``(B, G)``."""
        return dict(zip(self.attributes, torch.split(values, list(self.attributes.values()), dim=1), strict=True))


def _named_once(attributes: Mapping[str, int]) -> dict[str, int]:
    """Attributes in one spelling of their names.

    Sorted, whatever order a file has them in: weights must not depend on that. By their names as written, for so were
    the weights of older runs.
    """
    found: dict[str, int] = {}
    for written in sorted(attributes):
        name = attribute_name(written)
        if name in found:
            raise ConfigError("model.options.attributes", f"{name!r} is written twice", "each attribute once")
        found[name] = attributes[written]
    return found


def _check_memberships(name: str, groups: Tensor) -> None:
    """Refuse what no face can be: a network would judge by it in silence."""
    sums = groups.double().sum(1)
    # So that NaN, which is never less than anything, is refused too.
    fits = (groups >= 0).all(1) & ((sums == 0) | ((sums - 1).abs() <= _WHOLE))
    if not fits.all():
        row = int((~fits).nonzero()[0])
        found = f"row {row} is {[round(float(m), 4) for m in groups[row]]}"
        raise UsageError(f"given[{name!r}]", found, "memberships of 0 or more, of sum 1, or all 0 if not known")


def _said(given: Tensor | None, own: Tensor) -> Tensor:
    """``(B, G)`` of what is given; as far as that is not known (also of mixed faces) the network's own."""
    if given is None:
        return own
    said = given.to(own)
    known = said.sum(1, keepdim=True)
    # What sums to 1 but for the rounding of its own precision is known.
    return said + torch.where(known < 1 - _WHOLE, 1 - known, 0) * own


def others(n: int) -> Tensor:
    """``(n,)`` another face for each of n, two or more, drawn from torch's generator: nobody is given itself.

    A permutation of a single cycle. Of the processor's generator, so that one seed draws the same on every device.
    """
    order = torch.randperm(n)
    return torch.empty_like(order).scatter_(0, order, order.roll(1))


def trunk_of(asked: str | Mapping[str, Any], num_classes: int, in_channels: int) -> ExpressionModel:
    """The network that ``trunk`` names, with its head."""
    where = "model.options.trunk"
    said = {"name": asked} if isinstance(asked, str) else dict(asked)
    name, options = said.pop("name", None), said.pop("options", None) or {}
    if said or not isinstance(name, str) or not isinstance(options, Mapping):
        raise ConfigError(where, shown(asked), "the name of a model, or a section with name and options")
    if name == CONDITIONED:
        raise ConfigError(where, f"{CONDITIONED!r} within itself", "another model", "It takes all attributes at once.")
    build = MODELS.get(name, f"{where}.name")
    model: ExpressionModel = build(num_classes, in_channels, **MODELS.check_options(name, options, f"{where}.options"))
    return model


def _widened(head: nn.Module, features: int, more: int) -> nn.Module:
    """A head whose first layer takes ``more`` numbers after the features, of weight 0 at first.

    Raises:
        ConfigError: If it does not begin with a linear layer on the features.
    """
    name, first = next(((n, m) for n, m in head.named_modules() if not _passes_on(m)), ("", head))
    if not isinstance(first, nn.Linear) or first.in_features != features:
        expected = "a model whose head begins with a linear layer, or how: film"
        raise ConfigError("model.options.trunk", "has a head that takes its features alone", expected)
    wide = nn.Linear(features + more, first.out_features, bias=first.bias is not None)
    with torch.no_grad():
        wide.weight.zero_()
        wide.weight[:, :features] = first.weight
        if first.bias is not None:
            wide.bias.copy_(first.bias)
    if not name:
        return wide
    head.set_submodule(name, wide)
    return head


def _passes_on(module: nn.Module) -> bool:
    """Whether a module of a head takes any number of features: it drops some, or does nothing itself but hold others.

    Anything else before the linear layer may be made for the features alone, as a normalisation is.
    """
    if isinstance(module, nn.Dropout | nn.AlphaDropout | nn.FeatureAlphaDropout | nn.Identity):
        return True
    holds = any(True for _ in module.children()) and not any(True for _ in module.parameters(recurse=False))
    return holds and not isinstance(module, nn.Linear)
