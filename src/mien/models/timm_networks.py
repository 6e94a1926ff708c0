"""Any network of timm, by its name; and a small vision transformer with options of its own."""

from __future__ import annotations

from typing import Annotated, Any

import timm
from pydantic import Field
from torch import Tensor, nn

from mien.models import MODELS
from mien.models.backbones import LibraryModel, head_of
from mien.models.blocks import Count, Depth, Share
from mien.models.published import timm_weights
from mien.registry import nearest

Side = Annotated[int, Field(ge=16, le=1024)]  # pixels


class TimmModel(LibraryModel):
    """A network that timm builds, with a head of ours.

    Args:
        name: What timm calls it.
        num_classes: K.
        in_channels: 1 or 3.
        dropout: Share of features dropped before the head.
        options: What timm's function of that name takes.
    """

    def __init__(self, name: str, num_classes: int, in_channels: int, dropout: float, options: dict[str, Any]) -> None:
        super().__init__()
        # A name with a place in it ("hf_hub:...") would be fetched: only names that timm itself has are built.
        if not timm.is_model(name):
            raise ValueError(f"timm has no network {name!r}. {nearest(name, timm.list_models())}")
        net: Any = timm.create_model(name, pretrained=False, num_classes=num_classes, in_chans=in_channels, **options)
        linear, about = net.get_classifier(), net.pretrained_cfg
        if not isinstance(linear, nn.Linear):
            raise ValueError(f"{name!r} has no single linear layer for a head, so that its features are not known")
        tensors = net.state_dict(keep_vars=True)
        # forward_head(pre_logits=True) ends before it, so that the layer serves as our head.
        net.set_submodule(about["classifier"], nn.Identity())
        self.net: Any = net
        self.feature_dim = linear.in_features
        self.head = head_of(dropout, linear)
        self.learn_names(tensors)
        self.published = timm_weights(name, about)
        if about.get("fixed_input_size"):
            self.size = options.get("img_size", about["input_size"][1])

    def parts(self) -> dict[str, nn.Module]:
        """The modules of timm's network by its names; of a list of blocks or stages each one."""
        found: dict[str, nn.Module] = {}
        for name, child in self.net.named_children():
            listed = isinstance(child, nn.Sequential | nn.ModuleList) and len(child) > 1
            found |= {f"{name}.{i}": inner for i, inner in child.named_children()} if listed else {name: child}
        return {name: part for name, part in found.items() if next(part.parameters(), None) is not None}

    def features(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` normalised images -> ``(B, D)``."""
        pooled: Tensor = self.net.forward_head(self.net.forward_features(x), pre_logits=True)
        return pooled


@MODELS.register("timm", tiny={"name": "test_resnet"})
class AnyTimmModel(TimmModel):
    """Any network that timm knows, by its name: ``timm.list_models()``. Parts: as timm calls its modules.

    ``model.weights: imagenet`` takes the weights that timm publishes for it. Features of frozen parts are not kept
    from epoch to epoch: nobody says in which order a network of timm uses its modules.

    Args:
        num_classes: K.
        in_channels: 1 or 3.
        name: timm's name, such as ``convnext_atto``.
        size: Side of the input in pixels, for networks that are built for one (vision transformers); the published one
            if absent. Others take any.
        dropout: Share of features dropped before the head.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 1,
        *,
        name: Annotated[str, Field(min_length=1, max_length=200)],
        size: Annotated[int | None, Field(ge=16, le=1024)] = None,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__(name, num_classes, in_channels, dropout, {} if size is None else {"img_size": size})


@MODELS.register("vit_tiny", tiny={"size": 32, "width": 24, "depth": 2})
class ViTTiny(TimmModel):
    """Vision transformer of 5.7 M parameters on ImageNet's classes at 224 px, from 16-px patches.

    Parts: patch_embed (with the class token and the places), blocks.0 to blocks.11, norm.

    Source: Dosovitskiy et al. 2021, "An image is worth 16x16 words"; the size of Touvron et al. 2021 (DeiT-Ti), without
    distillation.

    Args:
        num_classes: K.
        in_channels: 1 or 3.
        size: Side of the input in pixels, a multiple of the patch. There are as many places of patches as these make,
            so that weights learnt at 224 fit at 224 only.
        patch: Side of a patch in pixels.
        width: Numbers that stand for a patch, a multiple of the heads.
        depth: Blocks.
        heads: Attention heads of a block.
        dropout: Share of features dropped before the head.
        drop_path: Largest probability that a block is left out of a training step; rises with depth.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 1,
        *,
        size: Side = 224,
        patch: Annotated[int, Field(ge=2, le=64)] = 16,
        width: Annotated[Count, Field(le=1024)] = 192,
        depth: Depth = 12,
        heads: Annotated[Count, Field(le=64)] = 3,
        dropout: Share = 0.0,
        drop_path: Share = 0.0,
    ) -> None:
        if size % patch:
            raise ValueError(f"size {size} is no multiple of patch {patch}")
        if width % heads:
            raise ValueError(f"width {width} is no multiple of heads {heads}")
        options = {"img_size": size, "patch_size": patch, "embed_dim": width, "depth": depth, "num_heads": heads}
        name = "vit_tiny_patch16_224"
        super().__init__(name, num_classes, in_channels, dropout, options | {"drop_path_rate": drop_path})
