"""The residual networks of the education study: one family, and its twelve members by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from mien.models import MODELS
from mien.models.blocks import AdaptiveMean, Count, Depth, ExpressionModel

Kernel = Annotated[int, Field(ge=1, le=15)]  # odd, or the identity would not fit the output
# A card is believed before its weights are seen: together with the other options it stays under what cards may ask.
Units = Annotated[int, Field(ge=1, le=8192)]


class PlainResidual(nn.Module):
    """Two k x k convolutions with bias, each normalised; the input is added as it is.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        kernel: Side of the kernels, odd.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.same = inputs == outputs
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, kernel, padding=kernel // 2),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` -> ``(B, outputs, H, W)``."""
        # The source has no projection: one grey channel is added to every channel. Three of colour cannot be, so that
        # their mean is; for a grey picture in colour that is the same.
        added = x if self.same else x.mean(1, keepdim=True)
        return torch.relu(self.body(x) + added)


@MODELS.register("education_cnn", tiny={"base": 4, "blocks": 2, "pool": 4, "fc_width": 16})
class EducationCNN(ExpressionModel):
    """Residual network without strides, B{base}_N{blocks}_FC{fc}_K{kernel}_AP{pool}, for the education labels.

    Blocks of two convolutions at the full size of 48 px, an average pool to 20 x 20, and hidden layers as wide as
    what is pooled, which is 400 x base. With kernels of 3 that is 41.0 M parameters (base 16, one layer), 82.0 M
    (two), 164.0 M (base 32, one) and 327.9 M (two); the blocks have 17 k of them to 756 k. A training that does not
    fit in the memory of the machine is refused before it begins; ``fc_width`` makes the layers narrower, and the
    network another one than the source's.

    Source: Samii, Shaikh and Amrollahibioki 2023, section 2 and table 2.2, as their code builds it: the first block
    adds its one grey channel to all of its outputs. That code never passed the kernel, so that the rows of 5 and 7
    in their table may be of 3.

    Args:
        num_classes: K.
        in_channels: 1 or 3; of colour the first block adds the mean, which for grey pictures is the same.
        base: Channels of every convolution (16 or 32 in the source).
        blocks: Residual blocks (4 or 8 in the source).
        fc: Hidden layers (1 where the source has 4 blocks, 2 where it has 8).
        kernel: Side of the kernels, odd (3, 5 or 7 in the source).
        pool: Side of the map that is pooled (20 in the source).
        fc_width: Units of each hidden layer; as many as are pooled, base x pool x pool, if absent.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 1,
        *,
        base: Count = 16,
        blocks: Depth = 8,
        fc: Annotated[int, Field(ge=1, le=4)] = 2,
        kernel: Kernel = 5,
        pool: Annotated[int, Field(ge=1, le=64)] = 20,
        fc_width: Units | None = None,
    ) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"kernel is {kernel}; an odd one keeps the size, which the added input needs")
        channels = [in_channels, *[base] * blocks]
        self.blocks = nn.Sequential(
            *(PlainResidual(a, b, kernel) for a, b in zip(channels[:-1], channels[1:], strict=True))
        )
        self.pool = AdaptiveMean(pool)
        flat = base * pool * pool
        width = fc_width or flat
        layers: list[nn.Module] = []
        for _ in range(fc):
            layers += [nn.Linear(flat, width), nn.ReLU(inplace=True)]
            flat = width
        self.hidden = nn.Sequential(*layers)
        self.feature_dim = width
        self.head = nn.Linear(width, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` normalised images -> ``(B, fc_width)``."""
        hidden: Tensor = self.hidden(self.pool(self.blocks(x)).flatten(1))
        return hidden


def _named(base: int, blocks: int, fc: int, kernel: int) -> Callable[..., ExpressionModel]:
    """One row of the source's table 2.2 as an entry of the catalogue."""

    def build(num_classes: int, in_channels: int = 1, *, fc_width: Units | None = None) -> ExpressionModel:
        options = {"base": base, "blocks": blocks, "fc": fc, "kernel": kernel}
        return EducationCNN(num_classes, in_channels, **options, fc_width=fc_width)

    build.__doc__ = f"""B{base}_N{blocks}_FC{fc}_K{kernel}_AP20 of the education study: see ``education_cnn``.

    Source: Samii, Shaikh and Amrollahibioki 2023, table 2.2.

    Args:
        num_classes: K.
        in_channels: 1 or 3.
        fc_width: Units of each hidden layer; {400 * base:,} as in the source if absent.
    """
    return build


for _kernel in (3, 5, 7):
    for _blocks, _fc in ((4, 1), (8, 2)):
        for _base in (16, 32):
            MODELS.register(f"b{_base}_n{_blocks}_fc{_fc}_k{_kernel}_ap20", tiny={"fc_width": 8})(
                _named(_base, _blocks, _fc, _kernel)
            )
