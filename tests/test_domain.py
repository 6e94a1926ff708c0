"""Crops unlike the faces that a model knows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from mien.domain import OUTSIDE, Domain, domain_of_faces, domain_of_model
from mien.errors import WeightsError
from mien.pictures.quality import QUALITIES, image_quality
from mien.predict import Predictor
from photographs import photograph


def faces(n: int, seed: int = 0) -> np.ndarray:
    """Smooth noise, of as many qualities."""
    rng = np.random.default_rng(seed)
    rough = rng.normal(0, 1, (n, 24, 24))
    smooth = rough + np.roll(rough, 1, 1) + np.roll(rough, 1, 2)
    level, spread = rng.uniform(80, 170, (n, 1, 1)), rng.uniform(8, 25, (n, 1, 1))
    return np.clip(level + spread * smooth, 0, 255).astype(np.uint8)[..., None]


def test_of_known_faces_about_one_in_a_hundred_is_flagged() -> None:
    known = faces(4000)
    domain = domain_of_faces([known[:1500], known[1500:]], "drawn")
    fresh = np.mean([bool(doubt) for doubt in domain.doubts(faces(4000, seed=1))])
    assert OUTSIDE < fresh < 6 * OUTSIDE + 0.008  # three qualities with two ends, and chance
    assert (domain.faces, domain.measured_on) == (4000, "drawn")
    for name, values in image_quality(known).items():
        low, high = domain.ranges[name]
        assert np.mean(values < low) == pytest.approx(OUTSIDE, abs=1 / 4000)
        assert np.mean(values > high) == pytest.approx(OUTSIDE, abs=1 / 4000)


def test_of_too_few_faces_nothing_is_said() -> None:
    assert domain_of_faces([faces(999)], "few") == Domain()
    assert domain_of_faces([], "none") == Domain()
    assert domain_of_faces([np.full((2000, 24, 24, 1), 7, dtype=np.uint8)], "flat") == Domain()
    assert Domain().doubts(faces(3)) == ["", "", ""]
    assert domain_of_faces([faces(1000)], "enough").doubts(faces(0)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda crop: crop // 12, "too dark"),
        (lambda crop: 255 - (255 - crop.astype(int)) // 12, "too bright"),
        (lambda crop: 110 + (crop.astype(int) - 110) // 12, "too little contrast"),
        (lambda crop: np.where(crop > np.median(crop), 255, 0), "too much contrast"),
        (lambda crop: np.random.default_rng(0).integers(60, 160, crop.shape), "too grainy"),
        (lambda crop: np.full_like(crop, 120), "too little contrast"),
    ],
)
def test_what_is_wrong_is_said_in_words(change, said: str) -> None:
    crop = Predictor.load(detector="mtcnn").look(_photograph("plain")).crops
    domain = Predictor.load(detector=None).domain
    assert domain.doubts(crop) == [""]
    (doubt,) = domain.doubts(change(crop).astype(np.uint8))
    assert doubt.startswith(f"{said}: ")
    assert "of the faces that the model knows" in doubt


def test_a_flat_crop_has_no_sharpness() -> None:
    domain = Domain({"sharpness": (0.5, 1.0)}, "some", 1000)
    assert domain.doubts(np.full((1, 48, 48, 1), 9, dtype=np.uint8)) == ["nothing can be seen: all pixels are alike"]


def _photograph(kind: str):
    from mien.pictures.whole import WholePicture

    image = Image.fromarray(photograph())
    if kind == "blurred":
        image = image.filter(ImageFilter.GaussianBlur(9))
    if kind == "dark":
        image = image.point(lambda v: v // 9)
    return WholePicture(kind, np.asarray(image))


def test_a_blurred_and_a_dark_face_are_found_and_abstained_from() -> None:
    from mien.pictures.whole import WholePicture

    predictor = Predictor.load()
    rows = predictor.predict([_photograph(kind) for kind in ("plain", "blurred", "dark")])
    assert [row.abstained for row in rows] == [False, True, True]
    assert [row.reason.split(":")[0] for row in rows] == ["", "blurred", "too dark"]
    assert [row.out_of_domain for row in rows] == [False, True, True]
    assert all(row.probabilities and row.top for row in rows)  # what it would have said is told
    # A face that is too small as well has that for a reason, and the flag beside it.
    small = Image.fromarray(_photograph("blurred").pixels).resize((46, 54))
    (tiny,) = Predictor.load(options={"smallest": 12}).predict(WholePicture("small", np.asarray(small)))
    assert (tiny.reason.split(":")[0], tiny.out_of_domain) == ("too small", True)
    nobody = predictor.predict(WholePicture("nobody", np.full((90, 90, 3), 120, np.uint8)))[0]
    assert nobody.out_of_domain is None
    assert replace(predictor, domain=Domain()).predict(_photograph("dark"))[0].out_of_domain is None


def test_a_card_is_checked(tmp_path: Path) -> None:
    model, beside = tmp_path / "m.onnx", tmp_path / "m.json"
    assert domain_of_model(model) == Domain()
    beside.write_text("{}", encoding="utf-8")
    assert domain_of_model(model) == Domain()
    beside.write_text(json.dumps({"domain": {"ranges": {"sharpnes": [0, 1]}}}), encoding="utf-8")
    with pytest.raises(WeightsError, match="names sharpnes"):
        domain_of_model(model)
    beside.write_text(json.dumps({"domain": {"ranges": {"sharpness": [0]}}}), encoding="utf-8")
    with pytest.raises(WeightsError, match="domain"):
        domain_of_model(model)


def test_the_model_in_the_box_says_what_it_knows() -> None:
    domain = Predictor.load().domain
    assert tuple(domain.ranges) == QUALITIES
    assert domain.measured_on == "3,199 faces of ferplus:PublicTest"
