"""Which weights the libraries publish for a network, under which terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torchvision.models import get_model_weights

from mien.models.backbones import Published

IMAGENET = "ImageNet-1k, whose pictures are for non-commercial research and education"


def torchvision_weights(name: str) -> Published:
    """The first weights that torchvision has of a network, those of the papers (``IMAGENET1K_V1``)."""
    address: str = get_model_weights(name)["IMAGENET1K_V1"].url
    terms = f"BSD-3-Clause (torchvision); learnt on {IMAGENET}"
    return Published(publisher="torchvision", name=name, address=address, terms=terms)


def timm_weights(name: str, about: Mapping[str, Any]) -> Published | None:
    """The weights that timm has of a network, by what it says of them (``pretrained_cfg``); None where it has none."""
    repository = about.get("hf_hub_id")
    if not repository and not about.get("url"):
        return None
    licence, tag = about.get("license") or "licence not stated", about.get("tag") or "ImageNet"
    return Published(
        publisher="timm",
        name=name,
        address=f"https://huggingface.co/{repository}/resolve/main/model.safetensors" if repository else about["url"],
        terms=f"{licence} (timm, {name}.{tag}); learnt on {IMAGENET}",
        mean=tuple(about["mean"]),
        std=tuple(about["std"]),
    )
