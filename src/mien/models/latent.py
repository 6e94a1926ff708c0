"""The networks of latent alignment (Rizvi, Seth and Narang 2024): encoder, generator, discriminator, classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mien.models import MODELS
from mien.models.blocks import Count, ExpressionModel, Outputs, ResidualBlock, Share

Widths = Annotated[Sequence[Count], Field(min_length=1, max_length=5)]  # each halves the picture
WIDTHS = (64, 128, 256)
LATENT, BODY = "latent", "latent_body"  # in Outputs.extra: the mean of the latent, and the maps that it is made of
LARGEST = 10.0  # of |log variance|, so that its exponential is a number in any precision


class LatentEncoder(nn.Module):
    """A picture to mean and log variance of a latent map: 4x4 convolutions of stride 2, then one of 1x1.

    128 px become 64 x 16 x 16. The map is spatial, so that a convolutional classifier can read it. The source names
    neither the normalisation nor the slope; here batch normalisation, and 0.2 below zero.

    Args:
        in_channels: 1 or 3.
        widths: Channels after each convolution.
        latent: Channels of the latent map.
    """

    def __init__(self, in_channels: int = 3, *, widths: Sequence[int] = WIDTHS, latent: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = in_channels
        for outputs in widths:
            layers += [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs)]
            layers += [nn.LeakyReLU(0.2, inplace=True)]
            inputs = outputs
        self.body = nn.Sequential(*layers)
        self.mean, self.log_variance = nn.Conv2d(inputs, latent, 1), nn.Conv2d(inputs, latent, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, C, H, W)`` -> mean and log variance, each ``(B, latent, h, w)``; the latter within 10 of 0."""
        maps = self.body(x)
        return self.mean(maps), self.log_variance(maps).clamp(-LARGEST, LARGEST)


def sampled(mean: Tensor, log_variance: Tensor) -> Tensor:
    """A draw: mean + exp(log_variance / 2) eps, eps from torch's generator (Kingma and Welling 2014, eq. 10)."""
    return mean + (0.5 * log_variance).exp() * torch.randn_like(mean)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """``(B,)``: 1/2 of the sum over the latent of mean^2 + variance - 1 - log variance, the KL to N(0, 1)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(1)


class LatentGenerator(nn.Module):
    """A latent map to a picture of 0 to 1: the encoder mirrored, transposed 4x4 convolutions of stride 2.

    Args:
        out_channels: 1 or 3.
        widths: Those of the encoder, in its order.
        latent: Channels of the latent map.
    """

    def __init__(self, out_channels: int = 3, *, widths: Sequence[int] = WIDTHS, latent: int = 64) -> None:
        super().__init__()
        inputs = widths[-1]
        layers: list[nn.Module] = [nn.Conv2d(latent, inputs, 1, bias=False), nn.BatchNorm2d(inputs)]
        layers += [nn.LeakyReLU(0.2, inplace=True)]
        for outputs in reversed(widths[:-1]):
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs)]
            layers += [nn.LeakyReLU(0.2, inplace=True)]
            inputs = outputs
        self.body = nn.Sequential(*layers, nn.ConvTranspose2d(inputs, out_channels, 4, 2, 1), nn.Sigmoid())

    def forward(self, z: Tensor) -> Tensor:
        """``(B, latent, h, w)`` -> ``(B, C, H, W)``."""
        picture: Tensor = self.body(z)
        return picture


class LatentAutoencoder(nn.Module):
    """Encoder and generator of a variational autoencoder.

    Args:
        in_channels: 1 or 3.
        widths: Channels after each of the encoder's convolutions.
        latent: Channels of the latent map.
    """

    def __init__(self, in_channels: int = 3, *, widths: Sequence[int] = WIDTHS, latent: int = 64) -> None:
        super().__init__()
        self.encoder = LatentEncoder(in_channels, widths=widths, latent=latent)
        self.generator = LatentGenerator(in_channels, widths=widths, latent=latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``(B, C, H, W)`` -> the picture made again from a draw (from the mean in evaluation), mean, log variance."""
        mean, log_variance = self.encoder(x)
        z = sampled(mean, log_variance) if self.training else mean
        return self.generator(z), mean, log_variance


class LatentDiscriminator(nn.Module):
    """Reads attributes from a latent map: convolutions of 128 and 256 (stride 2), mean, 128 units, a head each.

    Args:
        attributes: Attribute -> number of its groups.
        latent: Channels of the latent map.
    """

    def __init__(self, attributes: Mapping[str, int], *, latent: int = 64) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(latent, 128, 3, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(128, 256, 3, 2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
        )
        self.hidden = nn.Sequential(nn.Linear(256, 128), nn.LeakyReLU(0.2, inplace=True))
        self.attributes = tuple(attributes)
        self.heads = nn.ModuleList(nn.Linear(128, n) for n in attributes.values())

    def forward(self, z: Tensor) -> dict[str, Tensor]:
        """``(B, latent, h, w)`` -> attribute -> ``(B, groups)`` logits."""
        hidden = self.hidden(self.body(z).mean((2, 3)))
        return {name: head(hidden) for name, head in zip(self.attributes, self.heads, strict=True)}


class MBConv(nn.Module):
    """Inverted residual with squeeze and excitation (Sandler et al. 2018; Tan and Le 2019).

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        stride: Of the depthwise convolution.
        expand: Channels inside, as a multiple of the input's.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int = 6) -> None:
        super().__init__()
        inside, squeezed = expand * inputs, max(1, inputs // 4)  # a quarter of the input's, as in EfficientNet
        self.wide = nn.Sequential(nn.Conv2d(inputs, inside, 1, bias=False), nn.BatchNorm2d(inside), nn.SiLU())
        self.deep = nn.Sequential(
            nn.Conv2d(inside, inside, 3, stride, 1, groups=inside, bias=False), nn.BatchNorm2d(inside), nn.SiLU()
        )
        self.excite = nn.Sequential(nn.Conv2d(inside, squeezed, 1), nn.SiLU(), nn.Conv2d(squeezed, inside, 1))
        self.narrow = nn.Sequential(nn.Conv2d(inside, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.same = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` -> ``(B, outputs, H / stride, W / stride)``."""
        deep = self.deep(self.wide(x))
        out: Tensor = self.narrow(deep * self.excite(deep.mean((2, 3), keepdim=True)).sigmoid())
        return x + out if self.same else out


class MBConvClassifier(nn.Module):
    """Three blocks on a latent map, MBConv or residual, and their mean: ``(B, latent, h, w)`` -> ``(B, widths[-1])``.

    Args:
        latent: Channels of the latent map.
        widths: Channels of each block; the first keeps the size, the others halve it.
        blocks: ``mbconv``, or ``residual`` ones of the same widths.
    """

    def __init__(
        self,
        latent: int = 64,
        widths: Sequence[int] = (96, 160, 256),
        blocks: Literal["mbconv", "residual"] = "mbconv",
    ) -> None:
        super().__init__()
        channels = [latent, *widths]
        block = MBConv if blocks == "mbconv" else ResidualBlock
        self.blocks = nn.Sequential(
            *(
                block(a, b, 1 if number == 0 else 2)
                for number, (a, b) in enumerate(zip(channels[:-1], channels[1:], strict=True))
            )
        )

    def forward(self, z: Tensor) -> Tensor:
        """``(B, latent, h, w)`` -> ``(B, widths[-1])``."""
        maps: Tensor = self.blocks(z)
        return maps.mean((2, 3))


@MODELS.register("latent_mbconv", tiny={"encoder_widths": (8, 8), "latent": 8, "widths": (8, 16)})
class LatentMBConv(ExpressionModel):
    """The classifier of latent alignment on the mean of its encoder: 1.4 M parameters, half of them the encoder's.

    By itself it trains encoder and classifier together, which is the source's network without its alignment: the
    baseline to hold the method against. With ``freeze_encoder`` the encoder stands still, batch statistics included,
    as in the source's second stage, which begins with an aligned one (``model.weights`` of such a run).

    Source: Rizvi, Seth and Narang 2024, arXiv 2410.19444 at 128 px; block widths, dropout and the
    shape of the latent are not in the text and are chosen here.

    Args:
        num_classes: K.
        in_channels: 1 or 3.
        encoder_widths: Channels after each of the encoder's convolutions, each of which halves the picture.
        latent: Channels of the latent map.
        widths: Channels of the MBConv blocks; the first keeps the size, the others halve it.
        dropout: Share dropped before the head.
        freeze_encoder: Train the classifier alone.
        blocks: MBConv as in the source, or residual ones of the same widths, one of its ablations.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 1,
        *,
        encoder_widths: Widths = WIDTHS,
        latent: Count = 64,
        widths: Widths = (96, 160, 256),
        dropout: Share = 0.2,
        freeze_encoder: bool = False,
        blocks: Literal["mbconv", "residual"] = "mbconv",
    ) -> None:
        super().__init__()
        self.in_channels, self.encoder_widths, self.latent = in_channels, tuple(encoder_widths), latent
        encoder = LatentEncoder(in_channels, widths=encoder_widths, latent=latent)
        # Of the encoder what gives the mean: the variance has no part in the classifier, and no gradient.
        self.encoder = nn.Sequential(encoder.body, encoder.mean)
        self.classifier = MBConvClassifier(latent, widths, blocks)
        self.feature_dim = widths[-1]
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(widths[-1], num_classes))
        self.encoder_stands = freeze_encoder
        if freeze_encoder:
            self.encoder.requires_grad_(False)

    def stand(self, stands: bool) -> None:
        """Let the encoder stand still or move again: without gradient, its batch statistics as they are."""
        self.encoder_stands = stands
        self.encoder.train(self.training and not stands)

    def train(self, mode: bool = True) -> LatentMBConv:
        """As every module; a frozen encoder goes on judging with the statistics that it has."""
        super().train(mode)
        if self.encoder_stands:
            self.encoder.eval()
        return self

    def features(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` normalised images -> ``(B, widths[-1])``."""
        out: Tensor = self.classifier(self._mean(x)[0])
        return out

    def latent_summary(self, x: Tensor) -> Tensor:
        """What a probe may read of the latent itself: mean and deviation over places of its mean, channel by channel.

        Args:
            x: ``(B, C, H, W)`` normalised images.

        Returns:
            ``(B, 2 latent)``.
        """
        mean = self._mean(x)[0].flatten(2)
        return torch.cat([mean.mean(2), mean.std(2, unbiased=False)], 1)

    def _mean(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The latent's mean, and the maps that it is made of; without gradient where the encoder stands still."""
        body, mean = self.encoder
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.encoder_stands):
            maps = body(x)
            return mean(maps), maps

    def forward_train(self, x: Tensor) -> Outputs:
        """Logits, features, and the latent for its alignment."""
        mean, maps = self._mean(x)
        features = self.classifier(mean)
        return Outputs(self.head(features), features, {LATENT: mean, BODY: maps})
