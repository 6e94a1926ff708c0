"""FairFace's network, with weights made at random: torch and ONNX against its authors' own steps."""

from __future__ import annotations

import numpy as np
import pytest

from mien.annotators import ANNOTATORS
from mien.demographics import AGE, AGE_GROUP, GENDER, RACE, RACE4
from mien.errors import UsageError, WeightsError

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def authors_tensor(images):
    """The transform of the authors' predict.py."""
    transforms = torchvision.transforms
    steps = [
        transforms.ToPILImage(),
        transforms.Resize((224, 224)),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    return torch.stack([transforms.Compose(steps)(image) for image in images])


@pytest.fixture(scope="module")
def network():
    """ResNet-34 as the authors build it; its last layer spread out, so that outputs differ between faces."""
    torch.manual_seed(0)
    made = torchvision.models.resnet34(weights=None)
    made.fc = torch.nn.Linear(made.fc.in_features, 18)
    torch.nn.init.normal_(made.fc.weight, std=0.3)
    return made.eval()


@pytest.fixture(scope="module")
def weights(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("fairface") / "res34_fair_align_multi_7_20190809.pt"
    torch.save(network.state_dict(), path)
    return path


def check(found, logits, atol):
    """The outputs are read as the authors' predict.py reads them: 7 races, 2 genders, 9 ages."""
    race, gender, age = (softmax(logits[:, part]) for part in (slice(0, 7), slice(7, 9), slice(9, 18)))
    np.testing.assert_allclose(found.probs["race"], race, atol=atol)
    np.testing.assert_allclose(found.probs["gender"], gender, atol=atol)
    np.testing.assert_allclose(found.probs["age"], age, atol=atol)
    np.testing.assert_allclose(found.probs["race4"][:, 2], race[:, 3] + race[:, 4], atol=atol)
    np.testing.assert_allclose(found.probs["age_group"][:, 0], age[:, :3].sum(1), atol=atol)
    middles = [1.5, 6.5, 15, 25, 35, 45, 55, 65, 75]
    np.testing.assert_allclose(found.years, age @ middles, atol=100 * atol)


def test_torch_weights(network, weights, crops):
    done = []
    annotator = ANNOTATORS.get("fairface")(weights, batch_size=2)
    images = crops(3, side=96)
    found = annotator.annotate(images, lambda i, n: done.append((i, n)))
    with torch.inference_mode():
        logits = network(authors_tensor(images)).numpy()
    assert np.ptp(logits, axis=0).max() > 0.05
    check(found, logits, 5e-3)  # the authors resample in whole pixel values
    assert done == [(2, 3), (3, 3)]
    assert found.undetected is None
    assert annotator.heads[0] == RACE
    assert {h.name for h in annotator.heads} == set(found.probs)
    assert {GENDER, AGE, RACE4.head, AGE_GROUP.head} < set(annotator.heads)
    assert annotator.version.startswith("res34_fair_align_multi_7_20190809 ")


def test_version_tells_weights_apart(weights, network, tmp_path):
    other = tmp_path / weights.name
    torch.save({**network.state_dict(), "fc.bias": torch.ones(18)}, other)
    found = [ANNOTATORS.get("fairface")(path).version for path in (weights, other)]
    assert found[0] != found[1]


def write_onnx(path, n_outputs=18):
    """Means of the colours of each crop, times a matrix. Returns the matrix."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    matrix = np.random.default_rng(0).normal(size=(3, n_outputs)).astype(np.float32) * 3
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 224, 224])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", n_outputs])],
        [numpy_helper.from_array(matrix, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return matrix


@pytest.mark.parametrize("channels", [1, 3])
def test_an_onnx_export(tmp_path, crops, channels):
    matrix = write_onnx(tmp_path / "fairface.onnx")
    images = crops(5, side=224, channels=channels)
    found = ANNOTATORS.get("fairface")(tmp_path / "fairface.onnx", batch_size=3).annotate(images)
    colour = np.repeat(images, 3, axis=3) if channels == 1 else images
    means = ((colour / 255 - MEAN) / STD).mean((1, 2))
    check(found, means @ matrix, 1e-5)


def test_an_export_with_other_outputs_is_refused(tmp_path, crops):
    write_onnx(tmp_path / "fairface.onnx", n_outputs=7)
    with pytest.raises(WeightsError, match=r"output has the shape \(1, 7\), expected 18 logits a face"):
        ANNOTATORS.get("fairface")(tmp_path / "fairface.onnx").annotate(crops(1))


def test_the_network_of_four_races_is_refused_by_its_name(tmp_path):
    path = tmp_path / "res34_fair_align_multi_4_20190809.pt"
    path.write_bytes(b"")
    with pytest.raises(WeightsError, match="is FairFace's network of four races, expected that of seven"):
        ANNOTATORS.get("fairface")(path)


def test_files_that_are_not_its_weights_are_refused(tmp_path, network):
    load = ANNOTATORS.get("fairface")
    with pytest.raises(WeightsError, match="no such file"):
        load(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("not weights")
    with pytest.raises(WeightsError, match=r"text\.pt: cannot be loaded"):
        load(tmp_path / "text.pt")
    torch.save({"fc.bias": torch.zeros(18)}, tmp_path / "part.pt")
    with pytest.raises(WeightsError, match=r"part\.pt: cannot be loaded .* expected the state of a ResNet-34 with 18"):
        load(tmp_path / "part.pt")


class Code:
    """What a pickle may hide."""

    def __reduce__(self):
        return print, ("code was run",)


def test_nothing_in_the_file_is_run(tmp_path, capsys):
    torch.save({"fc.bias": Code()}, tmp_path / "evil.pt")
    with pytest.raises(WeightsError, match="cannot be loaded"):
        ANNOTATORS.get("fairface")(tmp_path / "evil.pt")
    assert "code was run" not in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_not_there_is_named(weights):
    with pytest.raises(UsageError, match="there is no CUDA device here"):
        ANNOTATORS.get("fairface")(weights, device="cuda")
