"""Arrays of faces: what a file becomes, a stored face becomes too; torch and Pillow agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.pictures.decode import decode_file
from mien.pictures.pixels import FILTERS, as_stored, luma, normalised_floats
from writers import faces

COLOUR = np.stack([faces(3, 60)] * 3, axis=3).astype(np.float64)
COLOUR = (COLOUR * [1.0, 0.8, 0.6]).astype(np.uint8)
GREY = faces(3, 60)[..., None]


@pytest.mark.parametrize("by", FILTERS)
@pytest.mark.parametrize("images", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("size", [13, 60, 90])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_array_becomes_what_a_file_becomes(
    tmp_path: Path, by: str, images: np.ndarray, size: int, channels: int
) -> None:
    found = as_stored(images, size, channels, by)
    assert found.shape == (3, size, size, channels)
    for i, image in enumerate(images):
        Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(tmp_path / "x.png")
        read = decode_file(tmp_path / "x.png", size, channels, by=by)
        np.testing.assert_array_equal(found[i].reshape(read.shape), read)


def test_no_faces_and_oblong_ones_have_the_size_too() -> None:
    assert as_stored(COLOUR[:0], 20, 1).shape == (0, 20, 20, 1)
    assert as_stored(COLOUR[:, :40], 20, 1).shape == (3, 20, 20, 1)


def test_grey_is_one_thing_in_numpy_pillow_and_torch() -> None:
    torch = pytest.importorskip("torch")
    from mien.pictures import tensors

    assert luma(np.array([[[[255, 255, 255]]]], np.uint8)) == pytest.approx(255)
    x = tensors.images_to_tensor(COLOUR, 1, torch.device("cpu"))
    np.testing.assert_allclose(x[:, 0].numpy() * 255, luma(COLOUR), atol=1e-3)
    np.testing.assert_allclose(as_stored(COLOUR, 60, 1)[..., 0], luma(COLOUR), atol=0.51)


@pytest.mark.parametrize("mean", [(0.5, 0.5, 0.5), (0.4, 0.5, 0.6)])
def test_torch_brings_pictures_to_a_network_as_pillow_does(mean: tuple[float, ...]) -> None:
    torch = pytest.importorskip("torch")
    from mien.pictures import tensors

    std = tuple(0.2 + m / 10 for m in mean)
    x = tensors.images_to_tensor(COLOUR, 3, torch.device("cpu"))
    for size, by in ((40, "bilinear"), (75, "bilinear"), (40, "bicubic")):
        ours = tensors.normalised(tensors.resized(x, (size, size), by), mean, std)
        np.testing.assert_allclose(ours.numpy(), normalised_floats(COLOUR, size, 3, mean, std, by=by), atol=0.02)
