"""What every adapter and annotator must do."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import numpy as np
import pytest

from mien.adapters import ADAPTERS
from mien.adapters.loading import load_model
from mien.annotators import ANNOTATORS
from mien.annotators.loading import load_annotator
from mien.errors import ConfigError, MienError, MissingTool, WeightsError
from mien.inference import FaceModel

TOOLS = {"deepface": "deepface", "fer": "fer", "pyfeat": "feat"}  # adapter -> the package that it imports
OWN = {"onnx", "python"}
SOURCE = "import numpy as np\ndef model(images):\n    n = len(images)\n    x = images.reshape(n, -1)[:, :2] + 1.0\n"
SOURCE += "    return x / x.sum(1, keepdims=True)\nmodel.classes = ('happy', 'sad')\n"


def crops(n: int = 5, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 48, 48, channels), dtype=np.uint8)


def test_every_adapter_is_here() -> None:
    assert {*TOOLS, *OWN} == set(ADAPTERS)


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_that_is_not_installed_is_named_with_its_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [m for m in sys.modules if m.split(".")[0] == TOOLS[name]]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, TOOLS[name], None)  # type: ignore[arg-type]
    with pytest.raises(MissingTool, match="pip install"):
        load_model(name)


@pytest.mark.parametrize("name", TOOLS)
def test_an_option_is_refused_before_the_tool_is_loaded(name: str) -> None:
    with pytest.raises(ConfigError, match="no such option"):
        load_model(name, {"surely_no_option": 1})
    with pytest.raises(ConfigError, match="detect"):
        load_model(name, {"detect": "perhaps"})


def test_a_function_gives_rows_of_probabilities(tmp_path: Path) -> None:
    (tmp_path / "guess.py").write_text(SOURCE)
    model = load_model(f"{tmp_path / 'guess.py'}:model")
    assert isinstance(model, FaceModel)
    probs = model.probabilities(crops())
    assert probs.shape == (5, len(model.classes))
    np.testing.assert_allclose(probs.sum(1), 1)
    order = np.array([3, 1, 0, 4, 2])
    np.testing.assert_allclose(model.probabilities(crops()[order]), probs[order])
    with pytest.raises(ConfigError, match="no such option"):
        load_model(f"{tmp_path / 'guess.py'}:model", {"target": "x"})


def test_an_onnx_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no network")
    with pytest.raises(MienError):
        load_model(tmp_path / "m.onnx", {"classes": "a,b"})


@pytest.mark.parametrize("name", ANNOTATORS.names())
def test_an_annotator_takes_known_options_and_says_what_it_needs(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such option"):
        load_annotator(name, {"surely_no_option": 1})
    if "weights" in inspect.signature(ANNOTATORS.get(name)).parameters:
        with pytest.raises(WeightsError):
            load_annotator(name, {"weights": str(tmp_path / "absent")})
    else:
        with pytest.raises(MissingTool, match="pip install"):
            load_annotator(name)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_annotator_in_the_box_gives_what_it_promises(channels: int) -> None:
    pytest.importorskip("torch")
    annotator = load_annotator("mien")
    assert annotator.name == "mien"
    assert annotator.version
    assert annotator.source
    assert annotator.terms
    faces = crops(4, channels)
    perceived = annotator.annotate(faces)
    assert set(perceived.probs) == {h.name for h in annotator.heads}
    for head in annotator.heads:
        probs = perceived.probs[head.name]
        assert probs.shape == (4, len(head.groups))
        np.testing.assert_allclose(probs.sum(1), 1, atol=1e-4)
        alone = annotator.annotate(faces[2:3]).probs[head.name]
        np.testing.assert_allclose(alone[0], probs[2], atol=1e-4)
