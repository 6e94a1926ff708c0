"""ONNX files against the same arithmetic in numpy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.adapters.loading import load_model
from mien.adapters.onnx import OnnxCard, _Input, onnx_model
from mien.adapters.predictions import predictions_from
from mien.errors import ConfigError, DataError, UsageError, WeightsError
from mien.pictures.pixels import as_stored, normalised_floats
from mien.predict import Predictor

onnx = pytest.importorskip("onnx")
CLASSES = ("anger", "happy", "sad")


def write(path, shape, softmax=False, dtype="FLOAT", weights=None):
    """Flatten, cast, multiply with weights; optionally softmax. Returns the weights."""
    from onnx import TensorProto, helper, numpy_helper

    n_inputs = int(np.prod(shape[1:]))
    weights = (
        np.random.default_rng(0).normal(size=(n_inputs, 3)).astype(np.float32) / 30 if weights is None else weights
    )
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["f"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["logits"]),
        helper.make_node("Softmax" if softmax else "Identity", ["logits"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", getattr(TensorProto, dtype), shape)],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [shape[0], 3]),
            helper.make_tensor_value_info("flat", TensorProto.FLOAT, [shape[0], n_inputs]),
        ],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return weights


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def crops(n=5, side=24, channels=1):
    return np.random.default_rng(1).integers(0, 256, (n, side, side, channels), dtype=np.uint8)


def test_logits_of_a_grey_network_with_a_card(tmp_path):
    weights = write(tmp_path / "m.onnx", ["n", 1, 24, 24])
    card = {"classes": CLASSES, "mean": 0.5, "std": 0.25, "logits": True, "licence": "not read"}
    (tmp_path / "m.json").write_text(json.dumps(card))
    model = load_model(tmp_path / "m.onnx", {"threads": 1})
    images = crops()
    x = (images.astype(np.float32) / 255 - 0.5) / 0.25
    np.testing.assert_allclose(model.probabilities(images), softmax(x.reshape(5, -1) @ weights), rtol=1e-4)
    assert model.classes == CLASSES


def test_numbers_after_the_classes(tmp_path):
    weights = write(tmp_path / "m.onnx", ["n", 1, 24, 24])
    card = {"classes": CLASSES[:1] + CLASSES[2:], "logits": True, "numbers": {"strength": "positive"}}
    (tmp_path / "m.json").write_text(json.dumps(card))
    model = load_model(tmp_path / "m.onnx", {"threads": 1})
    probs, numbers = model.answers(crops())
    outputs = (crops().astype(np.float32) / 255).reshape(5, -1) @ weights
    np.testing.assert_allclose(probs, softmax(outputs[:, :2]), rtol=1e-4)
    np.testing.assert_allclose(numbers[:, 0], np.log1p(np.exp(outputs[:, 2])), rtol=1e-4)
    assert model.numbers == ("strength",)
    (tmp_path / "m.json").write_text(json.dumps(card | {"numbers": {"strength": "positive", "v": "any"}}))
    with pytest.raises(DataError, match=r"returned an array of shape \(5, 3\), expected \(5, 4\)"):
        load_model(tmp_path / "m.onnx").answers(crops())
    (tmp_path / "m.json").write_text(json.dumps(card | {"numbers": {"strength": "square"}}))
    with pytest.raises(WeightsError, match=r"numbers.strength: 'square', expected 'any' or 'positive'"):
        load_model(tmp_path / "m.onnx")


def test_a_slip_in_a_key_of_the_card_is_refused(tmp_path):
    write(tmp_path / "m.onnx", ["n", 1, 24, 24], softmax=True)
    (tmp_path / "m.json").write_text(json.dumps({"classes": CLASSES, "scael": 1}))
    with pytest.raises(WeightsError, match=r"m\.json: scael: unknown key.*Did you mean 'scale'"):
        onnx_model(tmp_path / "m.onnx")


def test_options_go_before_the_card(tmp_path):
    write(tmp_path / "m.onnx", ["n", 1, 24, 24], softmax=True)
    (tmp_path / "m.json").write_text(json.dumps({"classes": CLASSES, "mean": 0.5, "logits": True}))
    plain = onnx_model(tmp_path / "m.onnx", classes="c, b, a", mean=0.0, logits=False, threads=1)
    assert plain.classes == ("c", "b", "a")
    assert not plain.logits
    assert plain.probabilities(crops()).shape == (5, 3)


def test_channels_last_colour_normalised_by_channel(tmp_path):
    weights = write(tmp_path / "m.onnx", ["n", 16, 16, 3], softmax=True)
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
    model = onnx_model(tmp_path / "m.onnx", classes=CLASSES, mean=mean, std=std, threads=1)
    images = crops(side=16, channels=3)
    x = (images / 255 - mean) / std
    np.testing.assert_allclose(model.probabilities(images), softmax(x.reshape(5, -1) @ weights), rtol=1e-3, atol=1e-5)
    grey = crops(side=16)
    same = model.probabilities(np.repeat(grey, 3, axis=3))
    np.testing.assert_allclose(model.probabilities(grey), same, rtol=1e-6)


def test_pixels_as_they_are(tmp_path):
    weights = write(tmp_path / "m.onnx", ["n", 1, 12, 12], dtype="UINT8", weights=np.eye(144, 3, dtype=np.float32) / 99)
    model = onnx_model(tmp_path / "m.onnx", classes=CLASSES, logits=True, threads=1)
    images = crops(side=12)
    expected = softmax(images.reshape(5, -1).astype(float) @ weights)
    np.testing.assert_allclose(model.probabilities(images), expected, rtol=1e-5)
    write(tmp_path / "f.onnx", ["n", 1, 12, 12], weights=weights)
    floats = onnx_model(tmp_path / "f.onnx", classes=CLASSES, logits=True, scale=1, threads=1)
    np.testing.assert_allclose(floats.probabilities(images), expected, rtol=1e-5)


def test_levels_never_wrap_around_where_crops_are_resized():
    given = np.zeros((1, 24, 24, 1), dtype=np.uint8)
    given[:, :, 11:] = 255  # Lanczos goes beyond black and white on both sides of such an edge
    card = OnnxCard(classes=CLASSES, resampling=("lanczos", "lanczos"))
    seen = _Input(card, Path("m.onnx"), ["n", 1, 12, 12], np.uint8)(given)[0, 0]
    assert seen[:, :4].max() < 30  # no bright speck on the dark side
    assert seen[:, -4:].min() > 225
    np.testing.assert_array_equal(seen, as_stored(given, 12, 1, "lanczos")[0, :, :, 0])


@pytest.mark.parametrize("batch", [1, 3])
def test_a_file_with_a_fixed_batch(tmp_path, batch):
    weights = write(tmp_path / "m.onnx", [batch, 1, 24, 24], softmax=True)
    images = crops()
    expected = softmax(images.reshape(5, -1) / 255 @ weights)
    found = onnx_model(tmp_path / "m.onnx", classes=CLASSES, threads=1).probabilities(images)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_free_size_must_be_told(tmp_path):
    weights = np.zeros((24 * 24, 3), np.float32)
    from onnx import TensorProto, helper

    write(tmp_path / "m.onnx", ["n", 1, 24, 24], softmax=True, weights=weights)
    model = onnx.load(tmp_path / "m.onnx")
    del model.graph.input[:]
    model.graph.input.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, "h", "w"]))
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(UsageError, match="a square of known size. Pass size"):
        onnx_model(tmp_path / "m.onnx", classes=CLASSES)
    found = onnx_model(tmp_path / "m.onnx", classes=CLASSES, size=24, threads=1).probabilities(crops(side=30))
    np.testing.assert_allclose(found, 1 / 3)


def test_another_output_is_read_by_name(tmp_path):
    write(tmp_path / "m.onnx", ["n", 1, 1, 3], weights=np.eye(3, dtype=np.float32))
    with pytest.raises(UsageError, match="a square of known size"):
        onnx_model(tmp_path / "m.onnx", classes=CLASSES)
    with pytest.raises(UsageError, match="output: 'z', expected one of y, flat"):
        onnx_model(tmp_path / "m.onnx", classes=CLASSES, output="z")


def test_the_resampling_is_that_of_miens_own_models():
    torch = pytest.importorskip("torch")
    from mien.models.weights import WeightCard, normalise
    from mien.pictures.tensors import images_to_tensor

    for side, channels in ((48, 1), (12, 1), (24, 1), (48, 3)):
        images = crops(side=side, channels=channels)
        card = WeightCard(model="m", options={}, classes=CLASSES, size=24, in_channels=1, mean=(0.5,), std=(0.25,))
        own = normalise(images_to_tensor(images, 1, torch.device("cpu")), card).numpy()
        np.testing.assert_allclose(normalised_floats(images, 24, 1, [0.5], [0.25]), own, atol=2e-5)


def test_steps_on_pictures_are_those_of_miens_own_models(tmp_path):
    torch = pytest.importorskip("torch")
    from mien.models.weights import WeightCard, normalise
    from mien.pictures.tensors import images_to_tensor

    steps, images = ("median", "equalise", "plane"), crops(side=36)
    about = {"classes": CLASSES, "size": 24, "in_channels": 1, "preprocess": steps}
    (tmp_path / "m.json").write_text(json.dumps(about | {"logits": True}))
    weights = write(tmp_path / "m.onnx", ["n", 1, 24, 24])
    card = WeightCard(model="m", options={}, mean=(0.0,), std=(1.0,), **about)
    own = normalise(images_to_tensor(images, 1, torch.device("cpu")), card).numpy()
    expected = softmax(own.reshape(len(own), -1) @ weights)
    np.testing.assert_allclose(onnx_model(tmp_path / "m.onnx", threads=1).probabilities(images), expected, atol=1e-4)
    write(tmp_path / "m.onnx", ["n", 1, 24, 24], dtype="UINT8")
    with pytest.raises(UsageError, match="preprocess: median, equalise, plane, expected none"):
        onnx_model(tmp_path / "m.onnx")


def test_crops_come_to_the_stores_size_first_where_the_card_says_so(tmp_path):
    write(tmp_path / "m.onnx", ["n", 1, 24, 24], softmax=True)
    plain, images = onnx_model(tmp_path / "m.onnx", classes=CLASSES, threads=1), crops(side=60, channels=3)
    (tmp_path / "m.json").write_text(json.dumps({"classes": CLASSES, "store_size": 16}))
    found = onnx_model(tmp_path / "m.onnx", threads=1).probabilities(images)
    np.testing.assert_array_equal(found, plain.probabilities(as_stored(images, 16, 1)))
    Image.fromarray(images[0]).save(tmp_path / "face.png")
    served = Predictor.load(tmp_path / "m.onnx", detector=None).predict([tmp_path / "face.png"])
    np.testing.assert_allclose(list(served[0].probabilities.values()), found[0], rtol=1e-6)
    assert np.abs(found - plain.probabilities(images)).max() > 1e-3
    (tmp_path / "m.json").write_text(json.dumps({"classes": CLASSES, "resampling": ["nearest", "bilinear"]}))
    with pytest.raises(WeightsError, match="resampling"):
        onnx_model(tmp_path / "m.onnx")


def test_on_the_faces_of_a_store(tmp_path, store):
    write(tmp_path / "m.onnx", ["n", 1, 24, 24], softmax=True)
    pred = predictions_from(onnx_model(tmp_path / "m.onnx", classes=CLASSES, threads=1), store, "test")
    assert pred.classes == ("anger", "happiness", "sadness")
    assert len(pred) == 15
    assert pred.source == "m.onnx on store:test"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"classes": ()}, UsageError, r"m\.onnx: has no classes.*write them into m\.json"),
        ({"size": 32}, UsageError, r"m\.onnx size: 32, expected 24"),
        ({"channels": 3}, UsageError, r"m\.onnx in_channels: 3, expected 1"),
        ({"layout": "HWC"}, UsageError, "'NCHW' or 'NHWC'"),
        ({"mean": [0.1, 0.2]}, UsageError, r"mean: \[0\.1, 0\.2\], expected 1 or 1 numbers"),
    ],
)
def test_options_that_do_not_fit_the_file(tmp_path, options, error, message):
    write(tmp_path / "m.onnx", ["n", 1, 24, 24])
    with pytest.raises(error, match=message):
        onnx_model(tmp_path / "m.onnx", **{"classes": CLASSES, **options})


def test_files_that_are_no_model(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        load_model(tmp_path / "m.onnx")
    (tmp_path / "m.onnx").write_bytes(b"not onnx")
    with pytest.raises(WeightsError, match="cannot be read"):
        onnx_model(tmp_path / "m.onnx", classes=CLASSES)
    write(tmp_path / "v.onnx", ["n", 7])
    with pytest.raises(WeightsError, match="one batch of images"):
        onnx_model(tmp_path / "v.onnx", classes=CLASSES)
    (tmp_path / "v.json").write_text("{")
    with pytest.raises(WeightsError, match="the card of the model beside it"):
        onnx_model(tmp_path / "v.onnx")
    with pytest.raises(ConfigError, match="no such option.*'classes'"):
        load_model(tmp_path / "v.onnx", {"clases": "a"})
