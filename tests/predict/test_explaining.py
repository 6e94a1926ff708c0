from __future__ import annotations

import numpy as np
import pytest

from mien.inference import FaceModel, Wants
from mien.predict.explaining import drawn_map, occlusion_map


def corner(images: np.ndarray) -> np.ndarray:
    """A model that looks at the upper left quarter alone: the lighter, the surer of the first class."""
    p = images[:, :12, :12].reshape(len(images), -1).mean(1) / 255
    return np.stack([p, 1 - p], axis=1)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_map_shows_where_the_model_looks(channels: int) -> None:
    crop = np.full((24, 24, channels), 50, np.uint8)
    crop[:12, :12] = 250
    model = FaceModel("corner", ("light", "dark"), corner, wants=Wants(24, channels))
    falls = occlusion_map(model, crop, 0)
    assert falls[:8, :8].min() > 0
    assert np.abs(falls[16:, 16:]).max() < 1e-12
    # Covering one patch of 4 x 4 of the 12 x 12 brings it from 250 to the mean of the crop, which is 100.
    assert falls[0, 0] == pytest.approx(16 / 144 * 150 / 255)
    np.testing.assert_allclose(occlusion_map(model, crop, 1), -falls, atol=1e-12)
    picture = np.asarray(drawn_map(crop, falls)).astype(int)
    assert picture.shape == (240, 240, 3)
    assert (picture[20, 20, 0] - picture[20, 20, 2]) > 80  # orange
    assert np.abs(picture[200, 200] - 50).max() <= 2  # as it was


def test_a_model_that_looks_nowhere_has_an_empty_map() -> None:
    model = FaceModel("still", ("a", "b"), lambda images: np.full((len(images), 2), 0.5), wants=Wants(5, 1))
    crop = np.random.default_rng(0).integers(0, 256, (5, 5, 1), dtype=np.uint8)
    falls = occlusion_map(model, crop, 0)
    assert (falls == 0).all()
    assert np.asarray(drawn_map(crop, falls)).shape == (240, 240, 3)
