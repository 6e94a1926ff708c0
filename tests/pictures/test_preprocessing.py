"""Steps on each picture: hand-computed values, the same in numpy and in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from mien.pictures import tensors
from mien.pictures.preprocessing import (
    OF_OWN_RANGE,
    STEPS,
    equalised,
    median,
    preprocessed,
    standardised,
    without_plane,
)

RNG = np.random.default_rng(0)


def pictures(kind: str) -> np.ndarray:
    """``(6, C, 20, 16)`` of 0 to 1."""
    if kind == "levels":
        return (RNG.integers(0, 256, (6, 1, 20, 16)) / 255).astype(np.float32)
    if kind == "flat":
        return np.full((6, 1, 20, 16), 0.3, np.float32)
    return RNG.random((6, 3 if kind == "colour" else 1, 20, 16)).astype(np.float32)


@pytest.mark.parametrize("kind", ["levels", "resampled", "colour", "flat"])
@pytest.mark.parametrize("steps", [*((s,) for s in STEPS), ("median", "equalise", "plane")], ids="+".join)
def test_numpy_and_torch_agree(steps: tuple[str, ...], kind: str) -> None:
    x = pictures(kind)
    ours = preprocessed(x.copy(), steps)
    assert (ours.dtype, ours.shape) == (np.float32, x.shape)
    theirs = tensors.preprocessed(torch.from_numpy(x), steps).numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)


def test_the_median_is_that_of_nine() -> None:
    x = pictures("resampled")
    expected = np.stack([ndimage.median_filter(p[0], size=3, mode="nearest") for p in x])[:, None]
    np.testing.assert_array_equal(median(x), expected)
    spot = np.zeros((1, 1, 5, 5), np.float32)
    spot[0, 0, 2, 2] = 1.0
    assert median(spot).max() == 0  # a single wrong pixel goes


def test_equalised_levels_are_twice_the_cumulative_share_less_one() -> None:
    x = np.array([[[[0, 0], [100, 255]]]], np.float32) / 255
    np.testing.assert_allclose(equalised(x)[0, 0], [[0, 0], [0.5, 1]], atol=1e-6)
    levels = pictures("levels")
    for picture, found in zip(levels, equalised(levels), strict=True):  # FER+'s own way
        flat = np.round(picture.ravel() * 255).astype(int)
        cdf = np.bincount(flat, minlength=256).cumsum()
        np.testing.assert_allclose(found.ravel(), cdf[flat] * (2.0 / cdf[-1]) - 1.0, atol=1e-5)


def test_equalisation_knows_no_light() -> None:
    x = pictures("levels")
    np.testing.assert_allclose(equalised((x * 0.5 * 255).round() / 255 * 1.0)[0].max(), 1.0, atol=1e-6)
    dark, bright = x * 0.4, 0.4 + x * 0.6  # order kept, levels hardly merged
    assert np.abs(equalised(dark.astype(np.float32)) - equalised(bright.astype(np.float32))).mean() < 0.02


def test_a_difference_in_the_last_digit_stays_one() -> None:
    x = (pictures("levels") * 254.5 / 255).astype(np.float32)  # between levels, where a rounded one would jump
    assert np.abs(equalised(x) - equalised(x + np.float32(1e-6))).max() < 1e-4


def test_a_plane_goes_and_the_deviation_is_one() -> None:
    down, right = np.meshgrid(np.arange(20), np.arange(16), indexing="ij")
    noise = RNG.normal(size=(1, 1, 20, 16))
    design = np.stack([down.ravel(), right.ravel(), np.ones(320)], axis=1)
    residual = noise.ravel() - design @ np.linalg.lstsq(design, noise.ravel(), rcond=None)[0]
    light = (0.1 * noise + 0.3 + 0.01 * down - 0.02 * right).astype(np.float32)
    found = without_plane(light)
    np.testing.assert_allclose(found.ravel(), residual / residual.std(), atol=1e-4)
    assert np.sqrt((found**2).mean()) == pytest.approx(1, abs=1e-5)
    assert np.abs(without_plane((0.3 + 0.01 * down - 0.02 * right)[None, None].astype(np.float32))).max() < 1e-5


def test_a_standardised_picture_has_mean_nought_and_deviation_one() -> None:
    x = pictures("colour") * 0.2 + np.array([0.1, 0.4, 0.7], np.float32)[:, None, None]
    found = standardised(x)
    np.testing.assert_allclose(found.mean((1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(found.std((1, 2, 3)), 1, atol=1e-5)
    assert found[:, 2].mean() > 1  # channels keep their difference
    assert not standardised(pictures("flat")).any()
    assert set(OF_OWN_RANGE) < set(STEPS)
