"""What each operation that the sources name does to known pixels; presets; RandAugment."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from mien.config import AugmentConfig, parse_config
from mien.data.augment import Augmentation, RandAugment
from mien.data.augment.rand_augment import OPERATIONS
from mien.data.augment.warp import warped
from mien.data.augment_presets import NOTHING, PRESETS
from mien.errors import ConfigError

SIDE = 41
MIDDLE = SIDE // 2


def only(**options: Any) -> Augmentation:
    return Augmentation(**NOTHING | options)


def points(n: int, *places: tuple[int, int]) -> torch.Tensor:
    """``n`` black pictures with a bright point in each place: right and up of the middle."""
    x = torch.zeros(n, 1, SIDE, SIDE)
    for right, up in places:
        x[:, :, MIDDLE - up, MIDDLE + right] = 1.0
    return x


def centre(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Right and up of the middle: the centres of brightness."""
    row, column = torch.meshgrid(torch.arange(SIDE) - MIDDLE, torch.arange(SIDE) - MIDDLE, indexing="ij")
    mass = x.sum((1, 2, 3))
    return (x[:, 0] * column).sum((1, 2)) / mass, -(x[:, 0] * row).sum((1, 2)) / mass


def test_a_copy_is_mirrored_or_turned_counter_clockwise_by_its_angle() -> None:
    x = points(4, (10, 0))
    changes = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 30.0], [0.0, -30.0]])
    right, up = centre(only()(x, changes))
    third = math.radians(30)
    torch.testing.assert_close(right, torch.tensor([10, -10, *[10 * math.cos(third)] * 2]), atol=0.1, rtol=0)
    torch.testing.assert_close(up, torch.tensor([0, 0, 5.0, -5.0]), atol=0.1, rtol=0)


def test_draws_come_on_top_of_a_copy() -> None:
    x, mirrored = points(1, (10, 3)), torch.tensor([[1.0, 0.0]])
    torch.testing.assert_close(only(flip=1.0)(x, mirrored), x, atol=1e-5, rtol=0)  # mirrored twice
    torch.manual_seed(3)
    right, up = centre(only(rotation=90.0)(points(1, (10, 0))))
    torch.manual_seed(3)
    also_right, also_up = centre(only(rotation=90.0)(points(1, (10, 0)), torch.tensor([[0.0, 20.0]])))
    drawn, both = (math.degrees(math.atan2(float(u), float(r))) for r, u in ((right, up), (also_right, also_up)))
    assert (both - drawn) % 360 == pytest.approx(20, abs=1.5)


def test_skew_slopes_what_was_upright_and_what_was_level() -> None:
    torch.manual_seed(0)
    for place, moved, kept in (((0, 15), 0, 1), ((15, 0), 1, 0)):
        found = centre(only(skew=0.2)(points(400, place)))
        slope = found[moved] / 15
        assert 0.18 < slope.abs().max() <= 0.215  # k / (1 - k^2): both slopes go together
        assert abs(float(slope.mean())) < 0.02
        torch.testing.assert_close(found[kept], torch.full((400,), 15.0), atol=0.75, rtol=0)


def test_stretch_is_times_or_by_of_one_to_one_and_a_share() -> None:
    torch.manual_seed(0)
    right, up = centre(only(stretch=0.25)(points(600, (10, 10))))
    for factor in (right / 10, up / 10):
        assert 0.8 - 0.01 <= factor.min() < 0.83
        assert 1.22 < factor.max() <= 1.25 + 0.01
        assert 0.42 < (factor > 1).float().mean() < 0.58
    assert (right - up).abs().max() > 1  # each axis by itself


def test_a_crop_moves_by_whole_pixels_and_shows_black() -> None:
    x = torch.rand(200, 1, 28, 28) + 1  # nothing in it is black
    torch.manual_seed(0)
    out = only(crop=32 / 224, padding="zeros")(x.clamp(max=2) / 2)
    edges = []
    for before, after in zip(x / 2, out, strict=True):
        found = [
            (dy, dx)
            for dy in range(-4, 5)
            for dx in range(-4, 5)
            if torch.allclose(
                after[0, max(0, dy) : 28 + min(0, dy), max(0, dx) : 28 + min(0, dx)],
                before[0, max(0, -dy) : 28 + min(0, -dy), max(0, -dx) : 28 + min(0, -dx)],
                atol=1e-4,
            )
        ]
        assert len(found) == 1
        edges.append(found[0])
        assert (after < 1e-4).sum() == 28 * 28 - (28 - abs(found[0][0])) * (28 - abs(found[0][1]))
    assert {d for d, _ in edges} == {d for _, d in edges} == set(range(-4, 5))  # 32 of 224 px are 4 of 28


def test_all_but_mirroring_happens_with_its_probability() -> None:
    x = points(2000, (10, 5))
    torch.manual_seed(0)
    out = only(affine=0.2, rotation=20.0, shift=0.1, scale=0.1, skew=0.1, crop=0.1, stretch=0.1)(x)
    same = (out - x).abs().amax((1, 2, 3)) < 1e-4
    assert 0.77 < same.float().mean() < 0.83
    right, _ = centre(only(affine=0.0, flip=0.5, rotation=90.0)(x))
    assert 0.45 < (right < 0).float().mean() < 0.55


def test_what_stands_beyond_the_edge() -> None:
    x = torch.zeros(1, 1, 8, 8)
    x[..., 0], x[..., 1] = 1.0, 0.5
    left = torch.tensor([[[1.0, 0.0, -0.5], [0.0, 1.0, 0.0]]])  # two pixels from beyond the left edge
    rows = {padding: warped(x, left, padding)[0, 0, 0, :4].tolist() for padding in ("border", "zeros", "reflection")}
    assert rows["border"] == pytest.approx([1, 1, 1, 0.5], abs=1e-5)
    assert rows["zeros"] == pytest.approx([0, 0, 1, 0.5], abs=1e-5)
    assert rows["reflection"] == pytest.approx([0.5, 1, 1, 0.5], abs=1e-5)


def test_gain_is_of_all_pixels_and_contrast_of_their_distance_to_the_mean() -> None:
    x = torch.tensor([0.2, 0.6]).repeat(500, 1, 1, 2)
    torch.manual_seed(0)
    ratio = only(gain=0.1)(x) / x
    torch.testing.assert_close(ratio.amin((1, 2, 3)), ratio.amax((1, 2, 3)))
    assert 0.9 <= ratio.min() < 0.905
    assert 1.095 < ratio.max() <= 1.1 + 1e-6
    out = only(contrast=0.1)(x)
    torch.testing.assert_close(out.mean((1, 2, 3)), torch.full((500,), 0.4))
    spread = (out.amax((1, 2, 3)) - out.amin((1, 2, 3))) / 0.4
    assert 0.9 - 1e-5 <= spread.min() < 0.905
    assert 1.095 < spread.max() <= 1.1 + 1e-5


@pytest.mark.parametrize("fill", ["mean", "black", "noise"])
def test_a_rectangle_within_the_picture_has_its_area_its_ratio_and_its_filling(fill: str) -> None:
    torch.manual_seed(0)
    x = torch.full((400, 1, 64, 64), 0.5)
    x[:, :, 0, 0] = 1.0  # so that the mean is none of the pixels
    options = {"erasing_area": (0.02, 0.25), "erasing_ratio": (0.5, 2.0), "erasing_inside": True, "erasing_fill": fill}
    out = only(erasing=1.0, **options)(x)
    hole = (out - x)[:, 0].abs() > 1e-6
    height, width = hole.any(2).sum(1), hole.any(1).sum(1)
    assert (height * width).float().sub(hole.sum((1, 2))).abs().max() <= (0 if fill != "noise" else 40)
    share = hole.float().mean((1, 2))
    assert 0.01 < share.min() < 0.03
    assert 0.22 < share.max() < 0.27  # whole, though no centre may lie near the edge then
    ratio = (height / width)[share > 0.1]
    assert 0.45 < ratio.min() < 0.6
    assert 1.7 < ratio.max() < 2.2
    filled = out[:, 0][hole]
    assert {"mean": filled.std() < 1e-3, "black": filled.max() == 0, "noise": 0.27 < filled.std() < 0.31}[fill]


def test_presets_say_what_the_sources_say() -> None:
    config = AugmentConfig(preset="education")
    assert (config.flip, config.rotation) == (0.5, 10.0)
    assert (config.scale, config.shift, config.brightness, config.contrast, config.erasing) == (0, 0, 0, 0, 0)
    duan = AugmentConfig(preset="duan")
    assert duan.copies is not None
    assert (duan.copies.flip, duan.copies.rotation, duan.flip) == (True, (20.0, 20.0), 0)
    ferplus = AugmentConfig(preset="ferplus")
    assert (ferplus.shift, ferplus.stretch, ferplus.rotation, ferplus.skew, ferplus.flip) == (0.08, 0.05, 20, 0.05, 0.5)
    dan = AugmentConfig(preset="dan")
    assert (dan.affine, dan.rotation, round(dan.crop * 224), dan.erasing_area) == (0.2, 20.0, 32, (0.02, 0.25))
    olate = AugmentConfig(preset="olate")
    assert (olate.flip, olate.rotation, olate.gain, olate.contrast) == (0.5, 10.0, 0.1, 0.1)
    latent = AugmentConfig(preset="latent")
    assert (latent.flip, latent.rotation, latent.erasing) == (0.5, 15.0, 0.0)
    assert AugmentConfig(preset="angioni").model_dump(exclude={"preset"}) == AugmentConfig(**NOTHING).model_dump(
        exclude={"preset"}
    )


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_fills_in_and_is_overridden(name: str) -> None:
    config = parse_config({"data": {"store": "s"}, "augment": {"preset": name, "rotation": 3, "flip": 0.25}})
    assert (config.augment.rotation, config.augment.flip, config.augment.preset) == (3.0, 0.25, name)
    for key, value in PRESETS[name].items():
        if key not in ("rotation", "flip", "copies"):
            assert getattr(config.augment, key) == (tuple(value) if isinstance(value, list) else value)
    assert parse_config(config.model_dump(mode="json")) == config  # as a record has it


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        ({"preset": "ferplu"}, r"augment\.preset: 'ferplu', expected one of education, duan"),
        ({"skew": 2}, r"augment\.skew: 2, expected a number from 0 to 1"),
        ({"copies": {"rotation": [30, 10]}}, r"augment\.copies\.rotation.*in order between 0 and 180"),
        ({"adaptive": {"low": 10, "high": 4}}, r"augment\.adaptive.*low must lie below high"),
        ({"adaptive": {}, "copies": {}}, r"augment.*leave one out"),
        ({"rand_augment": {"magnitude": 11}}, r"rand_augment\.magnitude: 11, expected a number from 0 to 10"),
        ({"rand_augment": {"operation": 2}}, r"rand_augment\.operation: unknown key.*Did you mean 'operations'"),
        ({"erasing_ratio": [2, 1]}, r"augment\.erasing_ratio.*in order above 0"),
    ],
)
def test_values_that_cannot_be_are_told_with_their_key(augment: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config({"data": {"store": "s"}, "augment": augment})


def test_each_operation_goes_as_far_as_its_strength() -> None:
    one = torch.ones(1)
    x = points(1, (10, 0))
    right, up = centre(OPERATIONS["rotate"](x, one))
    assert math.degrees(math.atan2(float(up), float(right))) == pytest.approx(30, abs=0.5)
    moved, _ = centre(OPERATIONS["translate_x"](x, -0.5 * one))
    assert float(moved) == pytest.approx(10 + 0.15 * SIDE, abs=0.1)
    sloped, _ = centre(OPERATIONS["shear_x"](points(1, (0, 10)), one))
    assert float(sloped) == pytest.approx(3, abs=0.1)
    _, sloped_up = centre(OPERATIONS["shear_y"](points(1, (10, 0)), one))
    assert float(sloped_up) == pytest.approx(3, abs=0.1)
    grey = torch.tensor([[[[0.2, 0.4]]]])
    torch.testing.assert_close(OPERATIONS["brightness"](grey, one), (grey * 1.9))
    torch.testing.assert_close(OPERATIONS["brightness"](grey, -one), (grey * 0.1))
    torch.testing.assert_close(OPERATIONS["contrast"](grey, -one), torch.tensor([[[[0.29, 0.31]]]]))
    torch.testing.assert_close(OPERATIONS["auto_contrast"](grey, one), torch.tensor([[[[0.0, 1.0]]]]))
    torch.testing.assert_close(OPERATIONS["equalise"](grey * 0 + torch.tensor([0.2, 0.4]), one).amax(), torch.ones(()))
    ramp = torch.linspace(0, 1, 256).view(1, 1, 16, 16)
    assert len(OPERATIONS["posterise"](ramp, one).unique()) == 16
    assert len(OPERATIONS["posterise"](ramp, 0.5 * one).unique()) == 64
    colour = torch.rand(1, 3, 4, 4) * 0.1 + torch.tensor([0.5, 0.3, 0.2]).view(1, 3, 1, 1)
    spread = lambda v: v.amax(1) - v.amin(1)  # noqa: E731
    torch.testing.assert_close(spread(OPERATIONS["colour"](colour, -one)), 0.1 * spread(colour))
    edge = torch.zeros(1, 1, 5, 5)
    edge[0, 0, 2, 2] = 0.5
    assert float(OPERATIONS["sharpness"](edge, -one)[0, 0, 2, 2]) == pytest.approx(0.5 * (0.1 + 0.9 * 5 / 13))


@pytest.mark.parametrize("channels", [1, 3])
def test_rand_augment_draws_for_each_face_and_keeps_the_range(channels: int) -> None:
    x = torch.rand(1, channels, 24, 24).repeat(300, 1, 1, 1)
    torch.manual_seed(0)
    out = RandAugment(1, 9.0)(x)
    assert out.shape == x.shape
    assert out.min() >= 0
    assert out.max() <= 1
    names = RandAugment().names(channels)
    assert len(names) == (12 if channels == 1 else 13)
    # One drawing in 12 or 13 is no change; directions and operations make the rest.
    kept = (out - x).abs().amax((1, 2, 3)) == 0
    assert 0.03 < kept.float().mean() < 0.16
    assert 15 <= len(np.unique(out.flatten(1).numpy().round(4), axis=0)) <= 2 * len(names)
    torch.manual_seed(0)
    assert torch.equal(out, RandAugment(1, 9.0)(x))
    assert "solarise" not in OPERATIONS
    assert RandAugment()(x[:0]).shape == x[:0].shape
