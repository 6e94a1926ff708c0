"""EfficientNet-Lite 0 to 2: EfficientNet without gates and with ReLU6, for telephones; as timm builds it."""

from __future__ import annotations

import re
from collections import OrderedDict
from functools import partial
from typing import Any, ClassVar

from timm.models import get_pretrained_cfg
from timm.models._efficientnet_builder import decode_arch_def, round_channels
from timm.models.efficientnet import EfficientNet
from torch import nn

from mien.models import MODELS
from mien.models.backbones import Backbone, Factor, GlobalMean, Rename, head_of, numbered
from mien.models.blocks import Share
from mien.models.published import timm_weights

# Depthwise-separable or inverted residual, repeats, kernel, stride, expansion, channels, in timm's notation.
_STAGES = (
    "ds_r1_k3_s1_e1_c16", "ir_r2_k3_s2_e6_c24", "ir_r2_k5_s2_e6_c40", "ir_r3_k3_s2_e6_c80",
    "ir_r3_k5_s1_e6_c112", "ir_r4_k5_s2_e6_c192", "ir_r1_k3_s1_e6_c320",
)  # fmt: skip
# Names of the first port to PyTorch -> timm's: outside the blocks, in a block that expands, and in one that does not.
_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_EXPANDING = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
    "_project_conv": "conv_pwl", "_bn2": "bn3",
}  # fmt: skip
_PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


class EfficientNetLite(Backbone):
    """Seven stages of inverted residuals without gates. Parts: stem, stage1 to stage7, last.

    Convolutions pad as TensorFlow does (``same``), where the published weights come from, and which follows the size
    of the picture. Normalised by a mean and deviation of 0.5.

    Source: Tan and Le 2019; the Lite variants as in tensorflow/tpu, ``efficientnet/lite``.

    Args:
        num_classes: K.
        in_channels: 1 or 3.
        small: For pictures of 32 to 96 px: the stem keeps their size (stride 1). Weights fit all the same.
        dropout: Share of features dropped before the head.
        drop_path: Largest probability that a block is left out of a training step; rises with depth.
        width: Factor of the size's channels; weights of the library fit at 1 only.
        depth: Factor of the size's blocks, of which one a stage stays; weights of the library fit at 1 only.
    """

    number: ClassVar[int]
    scale: ClassVar[tuple[float, float]]  # of width and depth, over Lite0

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 1,
        *,
        small: bool = False,
        dropout: Share = 0.2,
        drop_path: Share = 0.2,
        width: Factor = 1.0,
        depth: Factor = 1.0,
    ) -> None:
        blocks: Any = decode_arch_def([[s] for s in _STAGES], self.scale[1] * depth, fix_first_last=True)  # type: ignore[no-untyped-call]
        net: Any = EfficientNet(
            blocks,
            num_classes=num_classes,
            num_features=1280,
            in_chans=in_channels,
            stem_size=32,
            fix_stem=True,
            pad_type="same",
            round_chs_fn=partial(round_channels, multiplier=self.scale[0] * width),
            act_layer=nn.ReLU6,
            norm_layer=partial(nn.BatchNorm2d, eps=0.001),
            drop_path_rate=drop_path,
        )
        if small:
            net.conv_stem.stride = (1, 1)
        parts = {
            "stem": nn.Sequential(OrderedDict(conv_stem=net.conv_stem, bn1=net.bn1)),
            **numbered("stage", net.blocks),
            "last": nn.Sequential(OrderedDict(conv_head=net.conv_head, bn2=net.bn2)),
        }
        super().__init__(net, parts, GlobalMean(), head_of(dropout, net.classifier))
        name = f"tf_efficientnet_lite{self.number}"
        about = get_pretrained_cfg(name)
        self.published = timm_weights(name, about.to_dict()) if about else None  # type: ignore[no-untyped-call]
        self.dialects = (_of_first_port([len(stage) for stage in net.blocks]),)


def _of_first_port(depths: list[int]) -> Rename:
    """From the names of the first port, which numbers blocks through, to timm's, which numbers them in each stage."""
    places = [(stage, block) for stage, n in enumerate(depths) for block in range(n)]

    def rename(key: str) -> str:
        inside = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
        if inside is None:
            module, _, rest = key.partition(".")
            return f"{_OUTSIDE.get(module, module)}.{rest}"
        number, module, rest = int(inside[1]), inside[2], inside[3]
        stage, block = places[number] if number < len(places) else (-1, number)  # of a larger network: fits nowhere
        names = _EXPANDING if stage else _PLAIN
        return f"blocks.{stage}.{block}.{names.get(module, module)}.{rest}"

    return rename


_TINY = {"width": 0.125, "depth": 0.25}


@MODELS.register("efficientnet_lite0", tiny=_TINY)
class EfficientNetLite0(EfficientNetLite):
    """EfficientNet-Lite0: 4.7 M parameters on ImageNet's classes at 224 px. Parts: stem, stage1 to stage7, last."""

    number, scale = 0, (1.0, 1.0)


@MODELS.register("efficientnet_lite1", tiny=_TINY)
class EfficientNetLite1(EfficientNetLite):
    """EfficientNet-Lite1: 5.4 M parameters on ImageNet's classes at 240 px. Parts: stem, stage1 to stage7, last."""

    number, scale = 1, (1.0, 1.1)


@MODELS.register("efficientnet_lite2", tiny=_TINY)
class EfficientNetLite2(EfficientNetLite):
    """EfficientNet-Lite2: 6.1 M parameters on ImageNet's classes at 260 px. Parts: stem, stage1 to stage7, last."""

    number, scale = 2, (1.1, 1.2)
