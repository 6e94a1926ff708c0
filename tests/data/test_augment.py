from __future__ import annotations

import pytest
import torch

from mien.data.augment import Augmentation

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
