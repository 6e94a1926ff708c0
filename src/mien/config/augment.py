"""The sections of augmentation."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from mien.config.section import Section
from mien.data.augment_presets import PRESETS, Preset


class CopiesConfig(Section):
    """Copies of every training face, learnt beside it in every epoch; Duan 2022 has four times the faces so."""

    flip: bool = Field(True, description="A mirrored copy.")
    rotation: tuple[float, float] = Field(
        (20.0, 20.0), description="Two turned copies: smallest and largest angle, drawn once a face; [0, 0] for none."
    )

    @field_validator("rotation")
    @classmethod
    def _ordered(cls, angles: tuple[float, float]) -> tuple[float, float]:
        return _in_order(angles, 0, 180, "smallest and largest angle must lie in order between 0 and 180")


class AdaptiveConfig(Section):
    """Copies by how far a face leans (Duan 2022): hardly leaning ones are not mirrored, leaning ones set upright."""

    low: float = Field(4.0, ge=0, le=90, description="X1, degrees: below it turned both ways, not mirrored.")
    high: float = Field(15.0, ge=0, le=90, description="X2, degrees: above it mirrored, and turned back only.")
    rotation: float = Field(15.0, gt=0, le=180, description="Degrees by which copies are turned.")
    criterion: Literal["auto", "landmarks", "symmetry"] = Field(
        "auto", description="What tells the lean: eyes, the most symmetric turn, or eyes where they are known."
    )

    @model_validator(mode="after")
    def _below(self) -> AdaptiveConfig:
        if self.low >= self.high:
            raise ValueError("low must lie below high")
        return self


class RandAugmentConfig(Section):
    """RandAugment (Cubuk et al. 2020)."""

    operations: int = Field(2, ge=1, le=14, description="Operations a face, drawn anew each time.")
    magnitude: float = Field(9.0, ge=0, le=10, description="How far each goes, of 10.")


def _in_order(pair: tuple[float, float], least: float, most: float, message: str) -> tuple[float, float]:
    if not least <= pair[0] <= pair[1] <= most:
        raise ValueError(message)
    return pair


class AugmentConfig(Section):
    """Augmentation of training pictures; see mien.data.augment.Augmentation. Other faces are never changed."""

    enabled: bool = True
    preset: Preset | None = Field(
        None, description=f"A source, whose values are filled in where none are given: {', '.join(PRESETS)}."
    )
    flip: float = Field(0.5, ge=0, le=1, description="Probability of mirroring.")
    affine: float = Field(1.0, ge=0, le=1, description="Probability of rotation, scale, move and skew together.")
    rotation: float = Field(15.0, ge=0, le=180, description="Largest, in degrees.")
    scale: float = Field(0.1, ge=0, lt=1, description="Largest relative change of each axis.")
    stretch: float = Field(0.0, ge=0, le=1, description="Each axis times or divided by 1 to 1 + this (FER+).")
    zoom: tuple[float, float] = Field((1.0, 1.0), description="Smallest and largest factor of size.")
    skew: float = Field(0.0, ge=0, le=1, description="Largest slope of what was upright or level.")
    shift: float = Field(0.08, ge=0, le=1, description="Largest move, as a share of the side.")
    crop: float = Field(0.0, ge=0, le=1, description="Crop from a border of this share of the side.")
    padding: Literal["border", "zeros", "reflection"] = Field("border", description="What stands beyond the edge.")
    brightness: float = Field(0.15, ge=0, le=1, description="Largest change, as a share of full white.")
    contrast: float = Field(0.25, ge=0, le=1, description="Largest relative change.")
    gain: float = Field(0.0, ge=0, lt=1, description="Largest relative change of all pixels together.")
    tint: float = Field(0.0, ge=0, lt=1, description="Largest relative change of each colour.")
    grey: float = Field(0.0, ge=0, le=1, description="Probability of losing colour.")
    small_grey: float = Field(0.0, ge=0, le=1, description="Probability of being shown as a 48-px corpus would.")
    erasing: float = Field(0.3, ge=0, le=1, description="Probability that a rectangle is blanked.")
    erasing_area: tuple[float, float] = Field((0.03, 0.2), description="Its smallest and largest share.")
    erasing_ratio: tuple[float, float] = Field((1 / 3, 3.0), description="Its smallest and largest height by width.")
    erasing_inside: bool = Field(False, description="Whether it lies within the picture, whole.")
    erasing_fill: Literal["mean", "black", "noise"] = Field("mean", description="What fills it.")
    copies: CopiesConfig | None = Field(None, description="Copies of each face: section with flip and rotation.")
    adaptive: AdaptiveConfig | None = Field(
        None, description="Copies by how far a face leans: section with low, high, rotation and criterion."
    )
    rand_augment: RandAugmentConfig | None = Field(None, description="Section with operations and magnitude.")
    mixup: float = Field(0.0, ge=0, le=100, description="Alpha of mixup; 0 for none.")
    cutmix: float = Field(0.0, ge=0, le=100, description="Alpha of CutMix; 0 for none. With mixup: one or the other.")

    @model_validator(mode="before")
    @classmethod
    def _filled_in(cls, content: Any) -> Any:
        named = content.get("preset") if isinstance(content, dict) else None
        return PRESETS[named] | content if isinstance(named, str) and named in PRESETS else content

    @field_validator("erasing_area")
    @classmethod
    def _ordered(cls, area: tuple[float, float]) -> tuple[float, float]:
        return _in_order(area, 0, 1, "smallest and largest share must lie in order between 0 and 1")

    @field_validator("zoom", "erasing_ratio")
    @classmethod
    def _positive(cls, factors: tuple[float, float]) -> tuple[float, float]:
        if not 0 < factors[0] <= factors[1]:
            raise ValueError("smallest and largest factor must lie in order above 0")
        return factors

    @model_validator(mode="after")
    def _one_way(self) -> AugmentConfig:
        if self.copies is not None and self.adaptive is not None:
            raise ValueError("copies and adaptive are two ways to copy faces: leave one out")
        return self
