"""The hooks of a mitigation, and what is known of one batch in training.

Every hook does nothing by default. A method overrides one or two, and neither export nor serving knows of
it: what is saved is always ``plain(model)``, a network from image to logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, distributed, nn

from mien.mitigation.faces import Faces
from mien.models.blocks import ExpressionModel
from mien.models.card import WeightCard

Attributes = Annotated[tuple[str, ...], Field(min_length=1)]  # of which a method needs one, or intersections


class Batch(NamedTuple):
    """Some faces, as the loader gives them.

    Attributes:
        images: ``(B, H, W, C)`` uint8 from the loader; ``(B, C, size, size)`` float, normalised, from where
            they have been augmented: that is how :meth:`Mitigation.mix` sees them.
        targets: ``(B, K)``.
        groups: ``(B, G)`` memberships; G is 0 where no attribute is asked for.
        rows: ``(B,)`` numbers of the faces among those of their part.
        weights: ``(B,)`` weights of the faces, of mean 1 over the part; None for equal ones.
        numbers: ``(B, M)`` numbers that are learnt beside the heads, NaN where not known; None without.
        variants: ``(B, 2)`` from the loader where copies of faces are learnt (``augment.copies``): mirrored or not,
            and degrees turned. None once the pictures are augmented.
    """

    images: Tensor
    targets: Tensor
    groups: Tensor
    rows: Tensor
    weights: Tensor | None = None
    numbers: Tensor | None = None
    variants: Tensor | None = None


def _unknown(logits: Tensor) -> Tensor:
    raise NotImplementedError("this step was made without losses of other logits")


@dataclass(frozen=True, kw_only=True)
class Step:
    """What is known of one batch once the network has seen it.

    Attributes:
        batch: The faces, prepared for the network and mixed.
        logits: ``(B, K)`` float32, those of the heads: outputs for numbers are left out.
        features: ``(B, D)`` what the head sees.
        extra: Whatever else the network tells in training only.
        losses: ``(B,)`` the loss of each face, summed over heads with their weights, and the network's own terms;
            not yet reduced, and without the weights of the faces.
        epoch: Epoch of the run, from 0.
        step: Step of the stage, from 0.
        n_steps: Steps of the stage in all.
        loss_of: ``(B,)`` the loss of each face, without the network's own terms, if these ``(B, K)`` were its logits.
    """

    batch: Batch
    logits: Tensor
    features: Tensor
    extra: dict[str, Tensor]
    losses: Tensor
    epoch: int
    step: int
    n_steps: int
    loss_of: Callable[[Tensor], Tensor] = _unknown

    @property
    def progress(self) -> float:
        """How much of the stage is done, from 0 to just under 1."""
        return self.step / max(1, self.n_steps)

    def mean(self) -> Tensor:
        """The loss of the batch: the sum of weight times loss over B, for weights have mean 1 over all faces."""
        weights = self.batch.weights
        return self.losses.mean() if weights is None else (self.losses * weights).mean()


@dataclass(frozen=True, kw_only=True)
class Needs:
    """Where a method needs to know the groups of faces.

    Attributes:
        training: Of the training faces; ``by`` must name attributes then.
        prediction: Of the faces that the model is used on.
    """

    training: bool = False
    prediction: bool = False


def mean_over_processes(n: Tensor) -> Tensor:
    """The mean of a number over the processes that train together; the number itself where there is one.

    Gradients are averaged over processes. A sum over the faces of this process divided by the mean number of faces
    of a process has the gradient of the mean over the whole batch, also where the numbers are unequal.

    Args:
        n: A scalar without gradient; every process must call this in the same step.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return n
    total = n.clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()


Moves = Literal["model", "mitigation", "all"]


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One optimiser's part in a step.

    Attributes:
        name: Its name, for messages.
        moves: Whose parameters it moves; those of the other side stand still meanwhile.
        loss: The step's loss for it; that of :meth:`Mitigation.loss` if None.
        times: How often it moves in every step, each time with a new forward pass.
        lr: Its learning rate; that of ``train.optimizer`` if None.
    """

    name: str = "fit"
    moves: Moves = "all"
    loss: Callable[[Step], Tensor] | None = None
    times: int = 1
    lr: float | None = None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A fit within a run. A run has one or several; each has its own optimisers, schedule and best weights.

    Attributes:
        name: Its name, for messages and the history.
        epochs: How many; ``train.epochs`` if None.
        turns: Who moves in each step, in order.
        begins: With the best weights of the stage before, or with those that the run began with.
        keeps: The best epoch by ``train.monitor``, or the last, where validation says nothing of what is learnt.
    """

    name: str = "fit"
    epochs: int | None = None
    turns: tuple[Turn, ...] = field(default_factory=lambda: (Turn(),))
    begins: Literal["best", "start"] = "best"
    keeps: Literal["best", "last"] = "best"


class Mitigation(nn.Module):
    """A method that does nothing; the base of all.

    It is a module: networks of its own (an adversary) are attributes of it, move to the device and into
    checkpoints with it, and are trained by :meth:`parameter_groups`. They are never averaged and never saved
    with the weights.

    Args:
        faces: The training faces, with the groups of the attributes that ``by`` names.
    """

    needs: ClassVar[Needs] = Needs()
    #: Whether features are to tell nothing of the group; whether they do, fresh probes say.
    hides: ClassVar[bool] = False
    #: Options that may name a run or a folder of weights, which must not have learnt the faces that are held out.
    weights_in: ClassVar[tuple[str, ...]] = ()

    def __init__(self, faces: Faces) -> None:
        super().__init__()
        self.faces = faces

    def sample_weights(self) -> NDArray[np.float32] | None:
        """``(n,)`` weights of the training faces, of mean 1; None for equal ones."""
        return None

    def order(self, seed: int, epoch: int) -> NDArray[np.int64] | None:
        """Numbers of the faces of an epoch in their order, some perhaps several times; None for a shuffle of all.

        Every epoch of a stage has as many.
        """
        return None

    def pictures_are(self, card: WeightCard) -> None:
        """How the network's pictures are made, told before it is adapted."""

    def adapt(self, model: ExpressionModel) -> ExpressionModel:
        """The network that is trained: with further heads, or with a part frozen."""
        return model

    def plain(self, model: ExpressionModel) -> ExpressionModel:
        """Back to image -> logits: what is validated and saved."""
        return model

    def mix(self, batch: Batch) -> Batch:
        """The batch that the network sees; may draw from torch's generator, which every step seeds."""
        return batch

    def loss(self, step: Step) -> Tensor:
        """What is minimised: a scalar."""
        return step.mean()

    def parameter_groups(self) -> Iterable[dict[str, Any]]:
        """Groups of its own parameters, as an optimiser takes them."""
        own = [p for p in self.parameters() if p.requires_grad]
        return [{"params": own}] if own else []

    def stages(self) -> tuple[Stage, ...]:
        """The fits that make the run."""
        return (Stage(),)

    def told(self) -> dict[str, float]:
        """Figures of its own for the history, after every epoch; always the same names."""
        return {}

    def leave(self, stage: int, folder: Path) -> None:
        """Called when a stage ends, on the first process: the method may write into the run's folder.

        Args:
            stage: Its number, from 0.
            folder: The run's folder.
        """

    def begin(self, stage: int, logits: Callable[[], NDArray[np.float32]]) -> None:
        """Called when a stage begins, before its weights and its order are asked for.

        A run that is taken up in the middle of a stage does not call it again: what is found here belongs into a
        buffer, or into ``get_extra_state`` and ``set_extra_state``, which checkpoints keep.

        Args:
            stage: Its number, from 0.
            logits: Gives ``(n, K)`` of all training faces under the plain network without augmentation: the best of
                the stage before, also where this one begins anew. A pass over all faces, made only if it is called.
        """
