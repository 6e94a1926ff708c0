"""A latent that tells the picture and not the group is learnt first; a classifier of expressions on it afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from mien.errors import ConfigError
from mien.mitigation import MITIGATIONS
from mien.mitigation.base import Attributes, Batch, Mitigation, Needs, Stage, Step, Turn
from mien.mitigation.faces import Faces
from mien.mitigation.group_loss import asked, group_cross_entropy
from mien.mitigation.style import DRAWN, gram, style_network
from mien.mitigation.uniform_confusion import confused
from mien.models.blocks import ExpressionModel
from mien.models.card import WeightCard
from mien.models.latent import BODY, LATENT, LatentDiscriminator, LatentGenerator, LatentMBConv, sampled

_ALIVE = 0.01  # variance over faces of a latent channel's mean, from which on it tells something (Burda et al. 2016)
_RECENT = 0.05  # share of the newest batch in the running figures


@MITIGATIONS.register("latent_alignment", tiny={"align_epochs": 1})
class LatentAlignment(Mitigation):
    """Two fits: an autoencoder whose latent hides the group, then a classifier on that latent, which stands still.

    In the first fit encoder and generator of ``latent_mbconv`` minimise

        kl b(t) KL + adversary L_adv + style sum_j |Gram_j(x') - Gram_j(x)|^2 + pixel |x' - x|^2,

    with KL the divergence of the latent from N(0, 1), the mean over its units (the sum over 16,000 of them would leave
    no style), b(t) rising from 0 to 1 over the share ``warm_up``, and units below ``free`` nats left alone. Gram
    matrices are of four layers of a network that stands still (``style_network``). Discriminators, one head an
    attribute, learn the groups from a drawn latent in a turn of their own; L_adv is the cross-entropy between equal
    shares and what they say, which has no reward for misleading them. The last epoch of this fit is kept, for no
    expression chooses between its epochs. In the second fit the classifier learns expressions from the latent's mean
    with the configured loss (symmetric cross-entropy in the source).

    A latent that tells nothing hides the group perfectly: beside the losses the history has the share of latent
    channels that are alive (their mean has a variance of 0.01 or more over faces: active units, Burda et al. 2016), and
    ``pictures`` writes faces as the generator makes them again.

    It asks for the model ``latent_mbconv``. Ablations: ``variational: false`` and ``kl: 0`` (an autoencoder),
    ``adversary: 0`` (no discriminator), and ``latent_mbconv`` without this method.

    Source: Rizvi, Seth and Narang 2024, arXiv 2410.19444, eq. 1 to 4, style 10; its epochs and the network of its style
    are not said. Its equation 2 counts the latent's term twice; here it counts once. Confusion in place of a reversed
    loss, the warm-up, the free nats and the pixels' term are ours.

    Args:
        faces: The training faces.
        by: Attributes that the latent should not tell.
        align_epochs: Epochs of the first fit.
        kl: Factor of the divergence.
        adversary: Factor of L_adv.
        style: Factor of the style.
        pixel: Factor of the mean squared error of pixels.
        variational: Whether the latent is drawn; otherwise it is its mean.
        warm_up: Share of the first fit over which the divergence's factor rises.
        free: Nats of a unit's divergence that cost nothing.
        style_network: Whose first four parts tell style: ``drawn``, four convolutions as they were drawn, which needs
            no file; a network with the weights that its library publishes (``vgg16``, as usual for this loss;
            ``mobilenet_v2``), or with those of a file (``vgg16=FILE``); ``annotator``, that of the annotator in the
            box, a MieNet that learnt perceived attributes of FairFace; or the folder of a run or of weights. Pictures
            are shown to it in the range that it learnt, and in our size.
        lr: The discriminators' learning rate; that of the network if None.
        pictures: So many faces are written beside what the generator makes of them, into the run's folder.
    """

    needs = Needs(training=True)
    hides = True
    weights_in = ("style_network",)
    stage: Tensor
    alive: Tensor
    figures: Tensor
    edges: Tensor

    def __init__(
        self,
        faces: Faces,
        *,
        by: Attributes,
        align_epochs: Annotated[int, Field(ge=1, le=10_000)] = 100,
        kl: Annotated[float, Field(ge=0, le=1e6)] = 1.0,
        adversary: Annotated[float, Field(ge=0, le=1e6)] = 1.0,
        style: Annotated[float, Field(ge=0, le=1e6)] = 10.0,
        pixel: Annotated[float, Field(ge=0, le=1e6)] = 0.0,
        variational: bool = True,
        warm_up: Annotated[float, Field(ge=0, le=1)] = 0.3,
        free: Annotated[float, Field(ge=0, le=100)] = 0.0,
        style_network: str = DRAWN,
        lr: Annotated[float | None, Field(gt=0)] = None,
        pictures: Annotated[int, Field(ge=0, le=64)] = 0,
    ) -> None:
        super().__init__(faces)
        self.by, self.align_epochs, self.lr, self.pictures = by, align_epochs, lr, pictures
        if not variational and kl not in (0.0, 1.0):
            found = "does nothing where the latent is not drawn (variational: false)"
            raise ConfigError("mitigation.options.kl", found, "left out, or 0")
        self.kl, self.adversary, self.style, self.pixel = kl, adversary, style, pixel
        self.variational, self.warm_up, self.free, self.style_network = variational, warm_up, free, style_network
        self.register_buffer("stage", torch.zeros((), dtype=torch.long))
        self.register_buffer("figures", torch.full((4,), torch.nan))  # divergence, confusion, style, pixels
        self.register_buffer("edges", torch.tensor([torch.inf, -torch.inf]))  # of pictures as the network sees them
        self.card: WeightCard | None = None
        self.models: list[LatentMBConv] = []  # the network's own, not this module's
        self.shown: list[tuple[Tensor, Tensor]] = []

    def pictures_are(self, card: WeightCard) -> None:
        """A style network that has learnt wants other numbers."""
        self.card = card

    def adapt(self, model: ExpressionModel) -> ExpressionModel:
        """Build generator, variance, discriminators and style network for the encoder.

        Raises:
            ConfigError: If the network is another, or the style network does not take its pictures.
        """
        if not isinstance(model, LatentMBConv):
            found = f"{type(model).__name__} has no latent map"
            raise ConfigError("mitigation.name", found, "the model latent_mbconv", "Set model.name.")
        if model.encoder_stands:
            raise ConfigError("model.options.freeze_encoder", "the encoder would not learn to align", "false")
        self.models = [model]
        widths, latent, channels = model.encoder_widths, model.latent, model.in_channels
        self.generator = LatentGenerator(channels, widths=widths, latent=latent)
        self.log_variance = nn.Conv2d(widths[-1], latent, 1)
        groups = {name: len(self.faces.attributes[name]) for name in self.by}
        self.discriminator = LatentDiscriminator(groups, latent=latent)
        self.register_buffer("alive", torch.zeros(latent))
        self.looks = style_network(self.style_network, channels, self.card).eval().requires_grad_(False)
        return model

    def train(self, mode: bool = True) -> LatentAlignment:
        """As every module; the style network stands still."""
        super().train(mode)
        if hasattr(self, "looks"):
            self.looks.eval()
        return self

    def stages(self) -> tuple[Stage, ...]:
        """The alignment, of two turns, and the classifier's fit."""
        told = Turn(name="discriminator", moves="mitigation", loss=self.discriminate, lr=self.lr)
        align = Stage(name="align", epochs=self.align_epochs, turns=(told, Turn(name="autoencoder", loss=self.align)),
                      keeps="last")  # fmt: skip
        return align, Stage(name="classify", turns=(Turn(name="classifier", moves="model"),))

    def begin(self, stage: int, logits: Any) -> None:
        """The encoder stands still from the second fit on."""
        self.stage.fill_(stage)

    def mix(self, batch: Batch) -> Batch:
        """Nothing is mixed; a run that is taken up in its second fit finds the encoder standing."""
        for model in self.models:
            if bool(self.stage) != model.encoder_stands:
                model.stand(bool(self.stage))
        return batch

    def _latent(self, step: Step) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, log variance and a draw of the latent, ``(B, latent, h, w)`` each."""
        mean = step.extra[LATENT].float()
        log_variance = self.log_variance(step.extra[BODY]).float().clamp(-10, 10)
        return mean, log_variance, sampled(mean, log_variance) if self.variational else mean

    def discriminate(self, step: Step) -> Tensor:
        """What the discriminators minimise, on a latent as it stands."""
        with torch.no_grad():
            _, _, z = self._latent(step)
        told = self.discriminator(z.detach())
        found = [group_cross_entropy(told[name], step.batch.groups[:, self.faces.blocks[name]]) for name in self.by]
        return torch.stack(found).sum()

    def align(self, step: Step) -> Tensor:
        """What encoder and generator minimise."""
        mean, log_variance, z = self._latent(step)
        units = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
        rise = min(1.0, step.progress / self.warm_up) if self.warm_up else 1.0
        divergence = (units - self.free).clamp(min=0).mean()
        told = asked(self.discriminator, z)
        confusion = torch.stack([confused(told[name]) for name in self.by]).sum()
        x = step.batch.images.float()
        again = self._again(z, x)
        looks = torch.stack([
            (gram(a.float()) - gram(b.float())).square().sum((1, 2)).mean()
            for a, b in zip(self.looks(again), self.looks(x), strict=True)
        ]).sum()  # fmt: skip
        pixels = (again - x).square().mean()
        self._note(mean.detach(), torch.stack([divergence, confusion, looks, pixels]).detach())
        if self.pictures:
            self.shown = [(x[: self.pictures].detach(), again[: self.pictures].detach())]
        kl = self.kl * rise * divergence if self.variational else 0 * divergence
        return kl + self.adversary * confusion + self.style * looks + self.pixel * pixels

    def _again(self, z: Tensor, x: Tensor) -> Tensor:
        """The picture made again, in the range of pictures as the network sees them."""
        made = self.generator(z).float()
        if made.shape[2:] != x.shape[2:]:  # an odd side, halved and doubled
            made = functional.interpolate(made, x.shape[2:], mode="bilinear", align_corners=False)
        with torch.no_grad():
            low, high = torch.minimum(self.edges[0], x.min()), torch.maximum(self.edges[1], x.max())
            self.edges.copy_(torch.stack([low, high]))
        again: Tensor = self.edges[0] + (self.edges[1] - self.edges[0]) * made
        return again

    @torch.no_grad()
    def _note(self, mean: Tensor, figures: Tensor) -> None:
        if len(mean) > 1:
            self.alive.lerp_(mean.var(0).mean((1, 2)), _RECENT)
        self.figures.copy_(torch.where(self.figures.isnan(), figures, self.figures.lerp(figures, _RECENT)))

    def told(self) -> dict[str, float]:
        """Running figures of the alignment, for the history."""
        names = ("divergence", "confusion", "style", "pixels")
        found = dict(zip(names, self.figures.tolist(), strict=True))
        return found | {"alive": float((self.alive >= _ALIVE).float().mean())}

    def leave(self, stage: int, folder: Path) -> None:
        """Write the pictures that were asked for."""
        if stage == 0 and self.shown:
            (x, again), (low, high) = self.shown[0], self.edges.tolist()
            both = torch.cat([x, again]).sub(low).div(max(high - low, 1e-6)).clamp(0, 1)
            pixels = both.permute(0, 2, 3, 1).mul(255).round().byte().cpu().numpy()
            rows = [np.concatenate(list(row), axis=1) for row in (pixels[: len(x)], pixels[len(x) :])]
            sheet = np.concatenate(rows)
            Image.fromarray(sheet[:, :, 0] if sheet.shape[2] == 1 else sheet).save(folder / "reconstructions.png")

    def parameter_groups(self) -> list[dict[str, Any]]:
        """All but the style network."""
        return [{"params": [p for p in self.parameters() if p.requires_grad]}]
