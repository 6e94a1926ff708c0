import numpy as np
import pytest
from scipy.ndimage import convolve, gaussian_filter, laplace

from mien.data.corpus import BadRows
from mien.data.datasets.synthetic import synthetic
from mien.errors import DataError, UsageError
from mien.pictures import quality
from mien.pictures.quality import QUALITIES, image_quality


@pytest.fixture(scope="module")
def faces():
    """Drawn faces, ``(n, 48, 48)`` floats."""
    corpus = synthetic(n=96, size=48, nuisance=0.7)
    return np.concatenate([chunk.images for chunk in corpus.chunks(BadRows())]).reshape(-1, 48, 48).astype(float)


def as_images(values):
    return np.clip(np.round(values), 0, 255).astype(np.uint8)[..., None]


def sharpness(values):
    return image_quality(as_images(values))["sharpness"]


def blurred(faces, sigma):
    return np.stack([gaussian_filter(face, sigma) for face in faces])


def test_values_by_hand():
    half = np.zeros((1, 8, 8, 1), np.uint8)
    half[:, 4:] = 255
    measured = image_quality(half)
    assert tuple(measured) == QUALITIES
    assert measured["brightness"] == pytest.approx(0.5)
    assert measured["contrast"] == pytest.approx(0.5)
    colours = np.zeros((3, 6, 6, 3), np.uint8)
    for c in range(3):
        colours[c, ..., c] = 255
    np.testing.assert_allclose(image_quality(colours)["brightness"], [0.299, 0.587, 0.114], atol=1e-6)


def test_grey_as_colour_is_the_same(faces):
    grey = as_images(faces[:10])
    for name, values in image_quality(np.repeat(grey, 3, axis=3)).items():
        np.testing.assert_allclose(values, image_quality(grey)[name], rtol=1e-4)


def test_sharpness_against_scipy(faces):
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    for face, measured in zip(as_images(faces)[:5, ..., 0].astype(float), sharpness(faces[:5]), strict=True):
        smooth = convolve(face, kernel)[1:-1, 1:-1]
        energy = (laplace(smooth)[1:-1, 1:-1] ** 2).mean()
        gradient = (np.diff(smooth, axis=0) ** 2).mean() + (np.diff(smooth, axis=1) ** 2).mean()
        assert measured == pytest.approx(energy / gradient, rel=1e-3)


def test_blur_lowers_sharpness_of_every_face(faces):
    steps = [sharpness(faces if s == 0 else blurred(faces, s)) for s in (0, 0.5, 0.8, 1.2, 1.6, 2)]
    assert (np.diff(steps, axis=0) < 0).all()
    assert np.median(steps[3] / steps[0]) < 0.5


def test_sharpness_stays_when_light_and_contrast_change(faces):
    mean = faces.mean((1, 2), keepdims=True)
    for picture in (faces, blurred(faces, 1.0)):
        for changed in (0.5 * picture, 90 + 0.3 * (picture - mean), 0.4 * picture + 120):
            assert np.abs(np.log(sharpness(changed) / sharpness(picture))).max() < 0.1
    noisy = blurred(faces, 1.0) + np.random.default_rng(0).normal(0, 5, faces.shape)
    # What noise of 5 grey levels adds is well below what the blur took.
    added = np.log(sharpness(noisy) / sharpness(blurred(faces, 1.0))).mean()
    assert 0 < added < 0.35 * np.log(sharpness(faces) / sharpness(blurred(faces, 1.0))).mean()


@pytest.mark.parametrize("shape", [(2, 20, 20, 1), (2, 20, 20, 3)])
def test_flat_pictures_have_no_sharpness(shape):
    images = np.broadcast_to(np.array([10, 200, 77], np.uint8)[: shape[3]], shape)
    measured = image_quality(np.ascontiguousarray(images))
    assert np.isnan(measured["sharpness"]).all()
    assert (measured["contrast"] == 0).all()
    assert np.isnan(image_quality(np.random.default_rng(0).integers(0, 9, (1, 4, 9, 1), np.uint8))["sharpness"]).all()
    assert image_quality(np.zeros((0, 8, 8, 1), np.uint8))["brightness"].shape == (0,)


def test_pieces_and_memory_maps_give_the_same(faces, tmp_path, monkeypatch):
    images = as_images(faces)
    whole = image_quality(images)
    stored = np.memmap(tmp_path / "images.u8", np.uint8, "w+", shape=images.shape)
    stored[:] = images
    monkeypatch.setattr(quality, "_PIXELS", 5 * 48 * 48)
    for name, values in image_quality(stored, chunk=7).items():
        np.testing.assert_allclose(values, whole[name], rtol=1e-6)


def test_refusals():
    with pytest.raises(DataError, match=r"float64 of shape \(2, 8, 8, 1\), expected uint8"):
        image_quality(np.zeros((2, 8, 8, 1)))
    for shape in [(2, 8, 8), (2, 8, 8, 2), (2, 0, 8, 1)]:
        with pytest.raises(DataError, match="expected uint8"):
            image_quality(np.zeros(shape, np.uint8))
    with pytest.raises(UsageError, match="chunk"):
        image_quality(np.zeros((2, 8, 8, 1), np.uint8), chunk=0)
