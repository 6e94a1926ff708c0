"""What every model must do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mien.errors import ConfigError, WeightsError
from mien.models import MODELS
from mien.models.weights import CARD, WEIGHTS, Classifier, WeightCard, save_weights
from mien.pictures.tensors import images_to_tensor

SIZE = 32
CLASSES = ("a", "b", "c")

# Parameters at full size, with grey input; those of the networks from papers as the sources give them.
PARAMETERS = {
    ("ferplus_vgg13", 8, 64): 8_757_704,
    ("angioni_cnn", 4, 48): 37_844_420,
    ("olate_cnn", 7, 48): 355_847,
    ("mienet", 8, 48): 3_044_408,
    ("education_cnn", 4, 48): 82_055_572,
    ("b16_n4_fc1_k3_ap20", 4, 48): 41_008_660,
    ("b32_n4_fc1_k3_ap20", 4, 48): 163_969_572,
    ("b16_n8_fc2_k3_ap20", 4, 48): 81_993_876,
    ("b32_n8_fc2_k3_ap20", 4, 48): 327_896_868,
    ("b16_n8_fc2_k5_ap20", 4, 48): 82_055_572,
    ("b32_n8_fc2_k7_ap20", 4, 48): 328_512_548,
    ("olate_resnet50", 7, 224): 24_032_199,
    ("ran", 8, 224): 11_179_978,
    ("fer_vt", 8, 224): 26_821_709,
    ("latent_mbconv", 7, 128): 1_428_503,
    ("dan", 7, 224): 19_721_045,  # 19,723,733 as published with colour: 6,272 fewer in the stem, 7 centres more
}


@pytest.fixture(params=MODELS.names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_gradients(name: str, channels: int) -> None:
    torch.manual_seed(0)
    model = MODELS.get(name)(3, channels, **MODELS.tiny(name))
    x = torch.rand(4, channels, SIZE, SIZE)
    assert model.features(x).shape == (4, model.feature_dim)
    outputs = model.forward_train(x)
    assert outputs.logits.shape == (4, 3)
    assert outputs.features.shape == (4, model.feature_dim)
    own = model.auxiliary(outputs, torch.eye(3)[[0, 1, 2, 0]])
    assert own is None or own.shape in ((), (4,))
    # Terms of its own may have parameters that the logits know nothing of.
    (outputs.logits.square().sum() + (0 if own is None else own.sum())).backward()
    dead = [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert not dead


def test_evaluation_ignores_the_rest_of_the_batch(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS.get(name)(3, 1, **MODELS.tiny(name)).eval()
    x = torch.rand(5, 1, SIZE, SIZE)
    with torch.no_grad():
        torch.testing.assert_close(model(x)[:2], model(x[:2]), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's older exporter, which needs no further package
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # a file is for pictures of one size
def test_onnx_says_the_same(name: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    torch.manual_seed(0)
    model = MODELS.get(name)(3, 1, **MODELS.tiny(name)).eval()
    x, path = torch.rand(3, 1, SIZE, SIZE), tmp_path / "model.onnx"
    names: dict[str, Any] = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": {"x": {0: "n"}}}
    torch.onnx.export(model, (x,), path, dynamo=False, **names)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        wanted = model(x[:2]).numpy()
    np.testing.assert_allclose(session.run(None, {"x": x[:2].numpy()})[0], wanted, rtol=1e-4, atol=1e-5)


def test_parts_are_of_the_body_and_freeze(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS.get(name)(3, 1, **MODELS.tiny(name)).train()
    parts = model.parts()
    assert parts
    model.freeze(tuple(parts))
    moving = {n for n, p in model.named_parameters() if p.requires_grad}
    assert moving == {n for n, _ in model.named_parameters() if n.startswith("head.")}
    x = torch.rand(4, 1, SIZE, SIZE)
    assert torch.equal(model.features(x), model.features(x))  # nothing is dropped, no statistics are of the batch
    model.freeze(())
    assert all(p.requires_grad for p in model.parameters())


def test_seed_decides_the_weights(name: str) -> None:
    def first() -> torch.Tensor:
        torch.manual_seed(7)
        return next(MODELS.get(name)(3, 1, **MODELS.tiny(name)).parameters())

    assert torch.equal(first(), first())


@pytest.mark.parametrize(("name", "classes", "size"), PARAMETERS)
def test_parameters_at_full_size(name: str, classes: int, size: int) -> None:
    with torch.device("meta"):
        model = MODELS.get(name)(classes, 1)
        assert model(torch.empty(2, 1, size, size)).shape == (2, classes)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name, classes, size]


def test_pooling_after_each_convolution_is_the_small_reading() -> None:
    with torch.device("meta"):
        model = MODELS.get("angioni_cnn")(4, 1, pool_each=True)
    assert sum(p.numel() for p in model.parameters()) == 2_454_980


def _saved(name: str, folder: Path) -> WeightCard:
    torch.manual_seed(1)
    options = MODELS.tiny(name)
    model = MODELS.get(name)(3, 1, **options)
    return save_weights(
        model,
        WeightCard(model=name, options=options, classes=CLASSES, size=SIZE, in_channels=1, mean=(0.5,), std=(0.25,)),
        folder,
    )


def test_weights_come_back(name: str, tmp_path: Path) -> None:
    _saved(name, tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (7, SIZE, SIZE, 1), dtype=np.uint8)
    one = Classifier.load(tmp_path).face_model().probabilities(images)
    two = Classifier.load(tmp_path).face_model().probabilities(images, np.array([6, 0]), batch_size=1)
    np.testing.assert_allclose(one.sum(1), 1, atol=1e-12)
    np.testing.assert_allclose(one[[6, 0]], two, rtol=1e-3)
    assert (one[0] != one[1]).any()  # however near: untrained networks of many layers tell faces hardly apart


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    _saved("mienet", tmp_path)
    content = bytearray((tmp_path / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (tmp_path / WEIGHTS).write_bytes(content)
    with pytest.raises(WeightsError, match="checksum"):
        Classifier.load(tmp_path)


def test_missing_card_and_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=CARD):
        Classifier.load(tmp_path)
    _saved("mienet", tmp_path)
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(WeightsError, match=WEIGHTS):
        Classifier.load(tmp_path)


def test_grey_and_colour_convert() -> None:
    colour = np.zeros((1, 2, 2, 3), np.uint8)
    colour[..., 1] = 255
    cpu = torch.device("cpu")
    assert images_to_tensor(colour, 1, cpu)[0, 0, 0, 0].item() == pytest.approx(0.587)
    grey = np.full((1, 2, 2, 1), 51, np.uint8)
    assert images_to_tensor(grey, 3, cpu).unique().tolist() == pytest.approx([0.2])


def test_other_sizes_are_resampled(tmp_path: Path) -> None:
    _saved("mienet", tmp_path)
    small = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 1), dtype=np.uint8)
    large = small.repeat(2, axis=1).repeat(2, axis=2)
    model = Classifier.load(tmp_path).face_model()
    np.testing.assert_allclose(model.probabilities(small), model.probabilities(large), atol=0.05)


def test_unknown_model_offers_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'mienet'"):
        MODELS.get("meinet")
