"""The tool adapters against stand-ins of the tools' interfaces."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mien.adapters import ADAPTERS
from mien.adapters.predictions import predictions_from
from mien.errors import DataError, MissingTool, UsageError
from mien.pictures.pixels import normalised_floats, resized

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def scores_of(picture):
    """Seven positive numbers from the pixels."""
    return np.asarray(picture, dtype=float).reshape(-1)[::17][:7] + 1


def upscaled(image, size):
    """What Pillow makes of one crop."""
    flat = image[..., 0] if image.shape[2] == 1 else image
    return np.asarray(Image.fromarray(flat).resize((size, size), Image.Resampling.BILINEAR))


# --- deepface ---------------------------------------------------------------------------------------------


class FaceNotDetected(ValueError):
    pass


def fake_deepface(calls, found=lambda image: True):
    def analyze(img_path, actions, enforce_detection, detector_backend, silent):
        assert img_path.dtype == np.uint8
        assert img_path.ndim == 3
        assert actions == ["emotion"]
        calls.append((img_path, detector_backend))
        if detector_backend != "skip" and not found(img_path):
            if enforce_detection:
                raise FaceNotDetected("Face could not be detected in numpy array.Please confirm that ...")
            raise AssertionError("the whole picture would pass for a face")
        values = 100 * scores_of(img_path) / scores_of(img_path).sum()
        face = {"emotion": dict(zip(CLASSES, values, strict=True)), "region": {"x": 0, "y": 0, "w": 9, "h": 9}}
        small = {"emotion": dict.fromkeys(CLASSES, 1.0), "region": {"x": 0, "y": 0, "w": 2, "h": 2}}
        return [small, face] if detector_backend != "skip" else [face]

    return ModuleType("deepface"), SimpleNamespace(analyze=analyze)


def test_deepface_gets_the_whole_crop_in_bgr(install, colour_store):
    calls = []
    package, module = fake_deepface(calls)
    install(deepface=package, deepface__DeepFace=module)
    model = ADAPTERS.get("deepface")()
    images = np.array(colour_store.images[:3])
    probs = model.probabilities(images)
    assert {backend for _, backend in calls} == {"skip"}
    for image, (given, _), row in zip(images, calls, probs, strict=True):
        np.testing.assert_array_equal(given, upscaled(image, 224)[..., ::-1])
        np.testing.assert_allclose(row, scores_of(given) / scores_of(given).sum())


def test_deepface_tells_where_it_found_no_face(install, store):
    calls = []
    package, module = fake_deepface(calls, found=lambda image: image[0, 0, 0] >= 100)
    install(deepface=package, deepface__DeepFace=module)
    pred = predictions_from(ADAPTERS.get("deepface")(detect=True, detector="yunet"), store, "test")
    rows = np.concatenate([pred.image, pred.undetected["image"]])
    assert 0 < len(pred.undetected) < 35
    assert len(rows) == 35
    assert all(store.images[i][0, 0, 0] < 100 for i in pred.undetected["image"])
    assert {backend for _, backend in calls} == {"yunet"}
    # Of two faces the larger one counts.
    given = [np.repeat(upscaled(store.images[i], 224)[..., None], 3, axis=2) for i in pred.image]
    expected = np.array([scores_of(g) / scores_of(g).sum() for g in given])
    np.testing.assert_allclose(pred.probs, expected[:, [0, 1, 2, 3, 6, 4, 5]])
    assert "yunet detector" in pred.source


def test_deepface_errors_of_another_kind_are_not_swallowed(install):
    def analyze(**options):
        raise ValueError("Input image needs to have 3 channels")

    install(deepface=ModuleType("deepface"), deepface__DeepFace=SimpleNamespace(analyze=analyze))
    with pytest.raises(ValueError, match="3 channels"):
        ADAPTERS.get("deepface")(detect=True).probabilities(np.zeros((1, 8, 8, 1), np.uint8))


def test_another_version_with_other_classes_is_refused(install):
    face = {"emotion": {"joy": 60.0, "anger": 40.0}, "region": {}}
    module = SimpleNamespace(analyze=lambda **options: [face])
    install(deepface=ModuleType("deepface"), deepface__DeepFace=module)
    with pytest.raises(DataError, match=r"returned the classes joy, anger, expected angry, .*docs/adapters\.md"):
        ADAPTERS.get("deepface")().probabilities(np.zeros((1, 8, 8, 1), np.uint8))


# --- fer --------------------------------------------------------------------------------------------------


def fake_fer(made, calls):
    class FER:
        def __init__(self, mtcnn=False, use_tflite=True, offsets=(10, 10)):
            made.append((mtcnn, use_tflite, offsets))

        def detect_emotions(self, img, face_rectangles=None):
            calls.append((img, face_rectangles))
            if face_rectangles is None:
                if img[0, 0, 0] < 100:
                    return []
                face_rectangles = [(1, 1, 5, 5), (0, 0, 60, 60)]
            rounded = dict(zip(CLASSES, (scores_of(img) / scores_of(img).sum()).round(2).tolist(), strict=True))
            flat = dict.fromkeys(CLASSES, 0.14)
            faces = [{"box": box, "emotions": rounded} for box in face_rectangles]
            return [{**faces[0], "emotions": flat}, *faces[1:]] if len(faces) > 1 else faces

    module = ModuleType("fer.fer")
    module.FER = FER
    return module


def test_fer_gets_the_whole_crop_without_margins(install, store):
    made, calls = [], []
    install(fer=ModuleType("fer"), fer__fer=fake_fer(made, calls))
    images = np.array(store.images[:5])
    probs = ADAPTERS.get("fer")(tflite=False).probabilities(images)
    assert made == [(False, False, (0, 0))]
    np.testing.assert_allclose(probs.sum(1), 1)  # although the tool rounds
    for image, (given, boxes), row in zip(images, calls, probs, strict=True):
        assert boxes == [(0, 0, 64, 64)]
        np.testing.assert_array_equal(given, np.repeat(upscaled(image, 64)[..., None], 3, axis=2))
        np.testing.assert_allclose(row, scores_of(given) / scores_of(given).sum(), atol=0.02)


def test_fer_looks_for_the_face_where_asked(install, store):
    made, calls = [], []
    install(fer=ModuleType("fer"), fer__fer=fake_fer(made, calls))
    images = np.array(store.images[:20])
    probs = ADAPTERS.get("fer")(detect=True, mtcnn=True).probabilities(images)
    assert made == [(True, True, (10, 10))]
    assert calls[0][0].shape == (224, 224, 3)
    lost = images[:, 0, 0, 0] < 100
    np.testing.assert_array_equal(np.isnan(probs).all(1), lost)
    assert not np.allclose(probs[~lost], 1 / 7)  # the larger face


# --- py-feat ----------------------------------------------------------------------------------------------


def fake_feat(made):
    torch = pytest.importorskip("torch")
    columns = ["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"]

    def logits(faces):
        return faces.reshape(len(faces), -1)[:, :7] * 3

    class Detectorv1:
        def __init__(self, emotion_model, device, au_model="xgb", identity_model="arcface", gaze_model="l2cs"):
            made.append((emotion_model, au_model, identity_model, gaze_model))
            self.device, self.emotion_detector = torch.device(device), logits

        def detect(self, inputs, data_type="image", batch_size=1, progress_bar=True):
            assert inputs.dtype == torch.uint8
            assert data_type == "tensor"
            rows = []
            for i, image in enumerate(inputs):
                if image[0, 0, 0] < 100:  # one row of NaN where nothing was found, as the tool gives
                    rows.append([i, *[np.nan] * 11])
                    continue
                scores = torch.softmax(logits(image[None].float() / 255), 1)[0].tolist()
                rows += [[i, 0, 0, 3, 3, *[1 / 7] * 7], [i, 0, 0, 50, 50, *scores]]
            boxes = ["FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight"]
            return pd.DataFrame(rows, columns=["frame", *boxes, *columns])

    class Multitask:
        emotion_names = ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger")

        def __call__(self, chips):
            assert chips.shape[1:] == (3, 256, 256)
            return SimpleNamespace(emotion=torch.softmax(logits(chips), 1).numpy())

    def detector_v2(device, identity_model):
        made.append(("v2", identity_model))
        return SimpleNamespace(device=torch.device(device), multitask=Multitask())

    module = ModuleType("feat")
    module.Detectorv1, module.Detectorv2 = Detectorv1, detector_v2
    return module, logits


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def test_pyfeat_gets_the_whole_crop(install, store):
    made = []
    module, _ = fake_feat(made)
    install(feat=module)
    images = np.array(store.images[:4])
    probs = ADAPTERS.get("pyfeat")().probabilities(images)
    assert made == [("resmasknet", None, None, None)]
    x = normalised_floats(images, 224, 3, [0], [1])
    np.testing.assert_allclose(probs, softmax(x.reshape(4, -1)[:, :7] * 3.0), atol=1e-6)


def test_pyfeat_multitask_has_its_own_order_of_classes(install, store):
    made = []
    install(feat=fake_feat(made)[0])
    model = ADAPTERS.get("pyfeat")(model="multitask")
    assert made == [("v2", None)]
    pred = predictions_from(model, store, "test")
    x = normalised_floats(np.array(store.images[pred.image]), 256, 3, [0], [1])
    own = softmax(x.reshape(len(x), -1)[:, :7] * 3.0)
    assert pred.classes == ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
    np.testing.assert_allclose(pred.probs, own[:, [6, 5, 4, 1, 0, 2, 3]], atol=1e-6)


def test_pyfeat_looks_for_the_face_where_asked(install, store):
    install(feat=fake_feat([])[0])
    images = np.array(store.images[:20])
    probs = ADAPTERS.get("pyfeat")(detect=True, size=96).probabilities(images)
    lost = images[:, 0, 0, 0] < 100
    np.testing.assert_array_equal(np.isnan(probs).all(1), lost)
    assert not np.allclose(probs[~lost], 1 / 7)  # the larger face


def test_pyfeat_before_2_calls_its_class_detector(install, store):
    made = []
    module, _ = fake_feat(made)
    old = ModuleType("feat")

    class Detector(module.Detectorv1):
        pass

    old.Detector = Detector
    install(feat=old)
    assert ADAPTERS.get("pyfeat")().probabilities(np.array(store.images[:1])).shape == (1, 7)
    with pytest.raises(UsageError, match="'resmasknet' or 'multitask'"):
        ADAPTERS.get("pyfeat")(model="svm")


# --- All of them --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "module", "message"),
    [
        ("deepface", "deepface", "adapter 'deepface': cannot import 'deepface.DeepFace' .* Install it: pip install"),
        ("fer", "fer", "adapter 'fer': cannot import 'fer.fer' .* Install it: pip install fer 'setuptools<81'"),
        ("pyfeat", "feat", "adapter 'pyfeat': cannot import 'feat' .* Install it: pip install py-feat"),
    ],
)  # fmt: skip
def test_a_missing_package_is_named(name, module, message, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingTool, match=message):
        ADAPTERS.get(name)()


def test_the_catalogue_names_the_tools_without_importing_them():
    assert ADAPTERS.names() == ["deepface", "fer", "onnx", "pyfeat", "python"]
    assert all(ADAPTERS.summary(name) for name in ADAPTERS)
    assert not {"deepface", "feat", "tensorflow"} & set(sys.modules)


def test_crops_of_the_right_size_stay_as_they_are(store):
    images = np.array(store.images[:2])
    assert resized(images, 24) is images
    assert resized(images, 30).shape == (2, 30, 30, 1)
