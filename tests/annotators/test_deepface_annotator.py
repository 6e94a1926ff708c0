"""deepface as an annotator, against a stand-in of its interface (0.0.103)."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mien.annotators import ANNOTATORS
from mien.errors import DataError, MissingTool

RACES = ("asian", "indian", "black", "white", "middle eastern", "latino hispanic")  # the tool's order
FROM_TOOL = [3, 2, 5, 0, 1, 4]  # race6: White, Black, Latino_Hispanic, Asian, Indian, Middle Eastern


def values_of(picture):
    """Six scores, two scores and an age from the pixels."""
    pixels = np.asarray(picture, dtype=float).reshape(-1)[::31]
    return pixels[:6] + 1, pixels[6:8] + 1, int(pixels[8] % 101)


def face_of(picture, side):
    races, genders, age = values_of(picture)
    return {
        "age": age,
        "gender": dict(zip(("Woman", "Man"), np.float32(100 * genders / genders.sum()), strict=True)),
        "dominant_gender": "Man",
        "race": dict(zip(RACES, np.float32(100 * races / races.sum()), strict=True)),
        "dominant_race": "white",
        "region": {"x": 0, "y": 0, "w": side, "h": side},
        "face_confidence": 0,
    }


class FaceNotDetected(ValueError):
    pass


def stand_in(calls, found=lambda image: True):
    def analyze(img_path, actions, enforce_detection, detector_backend, silent):
        assert img_path.dtype == np.uint8
        assert img_path.shape == (224, 224, 3)
        assert actions == ["age", "gender", "race"]
        assert silent
        calls.append((img_path, detector_backend))
        if detector_backend == "skip":
            return [face_of(img_path, 224)]
        assert enforce_detection, "the whole picture would pass for a face"
        if not found(img_path):
            raise FaceNotDetected("Face could not be detected in numpy array. Please confirm that ...")
        return [face_of(np.zeros((224, 224, 3)), 3), face_of(img_path, 90)]

    return SimpleNamespace(analyze=analyze)


def test_the_whole_crop_goes_in_and_every_head_comes_out(install, crops):
    calls, done = [], []
    install(deepface=ModuleType("deepface"), deepface__DeepFace=stand_in(calls))
    annotator = ANNOTATORS.get("deepface")()
    images = crops(4)
    found = annotator.annotate(images, lambda i, n: done.append((i, n)))
    assert {backend for _, backend in calls} == {"skip"}
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [head.name for head in annotator.heads] == ["race6", "race4", "gender", "age", "age_group"]
    assert set(found.probs) == {head.name for head in annotator.heads}
    for head in annotator.heads:
        assert found.probs[head.name].shape == (4, len(head.groups))
        np.testing.assert_allclose(found.probs[head.name].sum(1), 1, atol=1e-6)
    for i, (image, (given, _)) in enumerate(zip(images, calls, strict=True)):
        resized = np.asarray(Image.fromarray(image).resize((224, 224), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(given, resized[..., ::-1])  # the tool wants BGR
        races, genders, age = values_of(given)
        np.testing.assert_allclose(found.probs["race6"][i], (races / races.sum())[FROM_TOOL], atol=1e-6)
        np.testing.assert_allclose(found.probs["gender"][i], (genders / genders.sum())[::-1], atol=1e-6)
        assert found.years[i] == age
    assert found.undetected is None


@pytest.mark.parametrize(("age", "group", "child"), [(0, "0-2", 1), (19, "10-19", 1), (20, "20-29", 0), (90, "70+", 0)])
def test_the_age_is_one_group_with_certainty(install, crops, age, group, child):
    face = {**face_of(np.zeros((224, 224, 3)), 224), "age": age}
    module = SimpleNamespace(analyze=lambda **options: [face])
    install(deepface=ModuleType("deepface"), deepface__DeepFace=module)
    annotator = ANNOTATORS.get("deepface")()
    found = annotator.annotate(crops(1, channels=1))
    groups = next(head.groups for head in annotator.heads if head.name == "age")
    assert found.probs["age"][0].tolist() == [float(g == group) for g in groups]
    assert found.probs["age_group"][0].tolist() == [child, 1 - child]


def test_faces_that_it_does_not_find_have_no_groups(install, crops):
    calls, images = [], crops(20)
    module = stand_in(calls, found=lambda image: image[0, 0, 0] >= 100)
    install(deepface=ModuleType("deepface"), deepface__DeepFace=module)
    annotator = ANNOTATORS.get("deepface")(detect=True, detector="yunet")
    found = annotator.annotate(images)
    assert {backend for _, backend in calls} == {"yunet"}
    lost = np.array([given[0, 0, 0] < 100 for given, _ in calls])
    assert 0 < lost.sum() < 20
    np.testing.assert_array_equal(found.undetected, lost)
    for probs in found.probs.values():
        np.testing.assert_array_equal(np.isnan(probs).all(1), lost)
        assert not np.isnan(probs[~lost]).any()
    np.testing.assert_array_equal(np.isnan(found.years), lost)
    # Of two faces the larger one counts.
    assert [found.years[i] for i in np.flatnonzero(~lost)] == [
        values_of(given)[2] for (given, _), gone in zip(calls, lost, strict=True) if not gone
    ]
    assert "yunet detector" in annotator.version


def test_errors_of_another_kind_are_not_swallowed(install, crops):
    def analyze(**options):
        raise ValueError("weights are missing")

    install(deepface=ModuleType("deepface"), deepface__DeepFace=SimpleNamespace(analyze=analyze))
    with pytest.raises(ValueError, match="weights are missing"):
        ANNOTATORS.get("deepface")(detect=True).annotate(crops(1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"race": {"latino": 60.0, "white": 40.0}}, "returned the classes latino, white, expected white, black, lat"),
        ({"gender": {"M": 60.0, "F": 40.0}}, "returned the classes M, F, expected Man, Woman"),
        ({"age": float("nan")}, "returned the age nan, expected years"),
    ],
)
def test_answers_of_another_version_are_refused(install, crops, change, message):
    face = {**face_of(np.zeros((224, 224, 3)), 224), **change}
    install(deepface=ModuleType("deepface"), deepface__DeepFace=SimpleNamespace(analyze=lambda **options: [face]))
    with pytest.raises(DataError, match=message):
        ANNOTATORS.get("deepface")().annotate(crops(1))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "deepface", None)
    with pytest.raises(MissingTool, match=r"'deepface': cannot import 'deepface\.DeepFace' .* pip install deepface"):
        ANNOTATORS.get("deepface")()


def test_no_face_is_no_error(install, crops):
    install(deepface=ModuleType("deepface"), deepface__DeepFace=stand_in([]))
    found = ANNOTATORS.get("deepface")().annotate(crops(0))
    assert {name: values.shape for name, values in found.probs.items()}["race6"] == (0, 6)
