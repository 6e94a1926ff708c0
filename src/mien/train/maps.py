"""Class activation maps of a network in training, for losses that ask where it looks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.models.blocks import ExpressionModel, Outputs

MAP = "map"


def class_maps(outputs: Outputs, model: ExpressionModel, block: slice) -> Tensor:
    """``(B, K, h, w)``: where the logits of a block come from, without the bias (Zhou et al. 2016, eq. 2).

    Weights of the linear layer take no gradient through them: what a map is asked to be, the body learns.
    """
    linear = last_linear(model)
    assert linear is not None  # check_maps
    # A square of a difference is taken of them: bf16 has two or three digits.
    with torch.autocast(outputs.logits.device.type, enabled=False):
        return torch.einsum("kd,bdhw->bkhw", linear.weight[block].detach().float(), outputs.extra[MAP].float())


def last_linear(model: ExpressionModel) -> nn.Linear | None:
    """The linear layer of a head that is nothing else; None for a deeper one."""
    *others, last = model.head if isinstance(model.head, nn.Sequential) and len(model.head) else [model.head]
    plain = all(isinstance(m, nn.Dropout | nn.Identity) for m in others)
    return last if plain and isinstance(last, nn.Linear) else None


@torch.no_grad()
def check_maps(model: ExpressionModel, faces: Tensor, loss: str, name: str) -> None:
    """Refuse a loss that asks for maps where the model has none.

    Args:
        model: The network.
        faces: ``(B, C, size, size)`` of any content, where the network is.
        loss: The loss, for the message.
        name: The model, for the message.

    Raises:
        ConfigError: If it has none.
    """
    trained, linear = model.training, last_linear(model)
    found = model.eval().forward_train(faces).extra.get(MAP)  # in eval, so that batch statistics stand still
    model.train(trained)
    if found is None or linear is None or found.ndim != 4 or found.shape[1] != linear.in_features:
        raise ConfigError(
            "loss.name",
            f"{loss!r} asks for class activation maps, and {name!r} has none",
            "a model that ends in a feature map, its mean and one linear layer, such as 'mienet'",
        )
