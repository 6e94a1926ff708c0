"""On a graphics card: the network's kernels recorded once and replayed in every step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mien.errors import reason
from mien.models.blocks import ExpressionModel, Outputs


class _Plain(nn.Module):
    """A network as a function of tensors to tensors, which is all that can be recorded."""

    def __init__(self, model: ExpressionModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        outputs = self.model.forward_train(x)
        return outputs.logits, outputs.features


def record(
    model: ExpressionModel, faces: Tensor, dtype: torch.dtype | None, say: Callable[[str], None]
) -> Callable[[Tensor], Outputs] | None:
    """Record forward and backward of a network in training mode, for batches of one size.

    A small network's step is a hundred short kernels, and the processor needs longer to launch them one
    by one than the card to run them. Validation and everything else run as they are. Weights, batch
    statistics and gradients are as before.

    Args:
        model: The network, on the card.
        faces: Zeros of the shape of every training batch, on the card.
        dtype: What the network computes in; None for full precision.
        say: Receives a line where the network cannot be recorded.

    Returns:
        In place of ``forward_train``; None where it cannot be recorded, or is no function of the picture alone.
    """
    if type(model).forward_train is not ExpressionModel.forward_train:
        return None
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    plain = _Plain(model).train()
    try:
        # Casts are recorded with the rest, so that they see new weights each time: nothing of them is cached.
        with torch.autocast("cuda", dtype, enabled=dtype is not None, cache_enabled=False):
            torch.cuda.make_graphed_callables(plain, (faces,))
    except RuntimeError as error:
        say(f"note: the network's kernels are launched one by one, for they cannot be recorded: {reason(error)}")
        plain = None  # type: ignore[assignment]
    with torch.no_grad():  # the trial runs before the recording moved the batch statistics
        for name, buffer in model.named_buffers():
            buffer.copy_(before[name])
    model.zero_grad(set_to_none=True)
    return None if plain is None else lambda x: Outputs(*plain(x))
