from __future__ import annotations

import pytest
import torch

from mien.data.augment import Augmentation, greyed, small_grey

NOTHING = {
    "flip": 0.0,
    "rotation": 0.0,
    "scale": 0.0,
    "shift": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
    "erasing": 0.0,
}


def faces(n: int = 8, size: int = 24) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(n, 1, size, size)


def test_nothing_asked_nothing_changed() -> None:
    x = faces()
    torch.testing.assert_close(Augmentation(**NOTHING)(x.clone()), x, atol=1e-5, rtol=0)


def test_flip_mirrors_left_and_right() -> None:
    x = faces()
    out = Augmentation(**NOTHING | {"flip": 1.0})(x.clone())
    torch.testing.assert_close(out, x.flip(3), atol=1e-5, rtol=0)


def test_half_are_flipped() -> None:
    x = faces(2000, 8)
    torch.manual_seed(1)
    out = Augmentation(**NOTHING | {"flip": 0.5})(x.clone())
    flipped = (out - x.flip(3)).abs().amax((1, 2, 3)) < 1e-4
    assert 0.45 < flipped.float().mean() < 0.55


def test_each_face_has_draws_of_its_own() -> None:
    x = faces(1).repeat(16, 1, 1, 1)
    torch.manual_seed(0)
    out = Augmentation()(x)
    assert len({tuple(o.flatten().tolist()) for o in out}) == 16


def test_rotation_turns_by_the_angle() -> None:
    x = torch.zeros(400, 1, 41, 41)
    x[:, :, 5, 20] = 1.0  # a point 15 above the centre
    torch.manual_seed(0)
    out = Augmentation(**NOTHING | {"rotation": 30.0})(x)
    row, column = torch.meshgrid(torch.arange(41.0), torch.arange(41.0), indexing="ij")
    mass = out.sum((1, 2, 3))
    dx = (out[:, 0] * (column - 20)).sum((1, 2)) / mass
    dy = (out[:, 0] * (20 - row)).sum((1, 2)) / mass
    angles = torch.rad2deg(torch.atan2(dx, dy))
    assert 28 < angles.abs().max() < 31
    assert abs(angles.mean()) < 2
    torch.testing.assert_close((dx**2 + dy**2).sqrt(), torch.full((400,), 15.0), atol=0.6, rtol=0)


def test_shift_moves_by_its_share() -> None:
    x = torch.zeros(300, 1, 40, 40)
    x[:, :, 20, 20] = 1.0
    torch.manual_seed(0)
    out = Augmentation(**NOTHING | {"shift": 0.1})(x)
    column = torch.arange(40.0)
    moved = (out[:, 0].sum(1) * (column - 20)).sum(1) / out.sum((1, 2, 3))
    assert 3.7 < moved.abs().max() <= 4.01


def test_light_keeps_the_range_and_erasing_covers_its_area() -> None:
    torch.manual_seed(0)
    out = Augmentation(brightness=0.9, contrast=0.9)(faces(64))
    assert out.min() >= 0
    assert out.max() <= 1
    x = torch.rand(500, 1, 32, 32)
    erased = Augmentation(**NOTHING | {"erasing": 1.0, "erasing_area": (0.1, 0.1)})(x.clone())
    share = ((erased - x).abs() > 1e-4).float().mean((1, 2, 3))
    assert 0.02 < share.mean() <= 0.105
    assert (share > 0).all()


def test_seed_decides() -> None:
    outs, x = [], faces()
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        outs.append(Augmentation()(x.clone()))
    assert torch.equal(outs[0], outs[1])
    assert not torch.equal(outs[0], outs[2])


@pytest.mark.parametrize("channels", [1, 3])
def test_shape_is_kept(channels: int) -> None:
    x = torch.rand(3, channels, 20, 20)
    assert Augmentation()(x).shape == x.shape


def colours(n: int = 8, size: int = 96) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(n, 3, size, size)


def test_small_and_grey_has_no_colour_and_no_detail() -> None:
    x = colours()
    out = Augmentation(**NOTHING | {"small_grey": 1.0})(x.clone())
    assert out.shape == x.shape
    torch.testing.assert_close(out[:, 0], out[:, 2])
    assert out.diff(dim=3).abs().mean() < 0.5 * greyed(x).diff(dim=3).abs().mean()
    torch.testing.assert_close(out.mean((1, 2, 3)), greyed(x).mean((1, 2, 3)), atol=0.01, rtol=0)


def test_small_and_grey_comes_to_a_share_of_the_pictures() -> None:
    x = colours(1000, 8)
    torch.manual_seed(1)
    out = Augmentation(**NOTHING | {"small_grey": 0.3, "grey": 0.2})(x)
    grey = (out[:, 0] - out[:, 1]).abs().amax((1, 2)) < 1e-6
    assert 0.39 < grey.float().mean() < 0.49  # 1 - 0.7 * 0.8 = 0.44


def test_a_grey_picture_of_48_px_is_what_small_grey_makes_of_a_large_one() -> None:
    small = torch.rand(2, 1, 48, 48)
    up = torch.nn.functional.interpolate(small, (96, 96), mode="bilinear", antialias=True, align_corners=False)
    torch.testing.assert_close(small_grey(small.clone(), 48), small)
    assert small_grey(up.repeat(1, 3, 1, 1), 48).shape == (2, 3, 96, 96)


def test_zoom_brings_the_centre_nearer() -> None:
    x = torch.zeros(1, 1, 41, 41)
    x[:, :, 20, 30] = 1.0  # 10 right of the centre
    out = Augmentation(**NOTHING | {"zoom": (1.5, 1.5)})(x)
    column = torch.arange(41.0)
    assert float((out[0, 0].sum(0) * (column - 20)).sum() / out.sum()) == pytest.approx(15, abs=0.3)


def test_tint_moves_channels_apart() -> None:
    x = torch.full((64, 3, 4, 4), 0.5)
    out = Augmentation(**NOTHING | {"tint": 0.2})(x)
    gain = out.mean((2, 3)) / 0.5
    assert 0.8 <= gain.min() < 0.9
    assert 1.1 < gain.max() <= 1.2
    assert (gain[:, 0] - gain[:, 1]).abs().max() > 0.1
