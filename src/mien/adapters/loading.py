"""From what a user writes to a model: a run, an ONNX file, a Python function, or a tool's name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mien.adapters import ADAPTERS
from mien.errors import UsageError
from mien.inference import FaceModel
from mien.models.card import CARD
from mien.registry import nearest


def load_model(spec: str | Path, options: Mapping[str, Any] | None = None, *, device: str = "cpu") -> FaceModel:
    """Resolve a model.

    Args:
        spec: A run or weights folder, a file ``*.onnx``, ``package.module:function`` or
            ``file.py:function``, or the name of an adapter.
        options: Options of the adapter, as its docstring has them.
        device: Where a run's model computes.

    Raises:
        UsageError: If it is none of these.
        ConfigError: If the adapter has no such option.
        MissingTool: If the tool is not installed.
        WeightsError: If the file or the weights cannot be read.
    """
    text, options = str(spec), dict(options or {})
    folder = Path(spec)
    if folder.is_dir():
        if not (folder / CARD).is_file():
            raise UsageError(text, f"holds no {CARD}", "a run or weights folder")
        if options:
            raise UsageError(text, f"takes no option ({', '.join(options)})", "none: its card says all")
        return run_model(folder, device=device)
    if text.endswith(".onnx"):
        options = ADAPTERS.check_options("onnx", options)
        return _made("onnx", {"path": text, **options})
    if ":" in text:
        options = ADAPTERS.check_options("python", options)
        return _made("python", {"target": text, **options})
    tools = [n for n in ADAPTERS if n not in ("onnx", "python")]
    if text not in tools:
        raise UsageError(
            f"model {text!r}",
            "is no folder and no adapter",
            "a run, a file *.onnx, module:function, or an adapter's name",
            nearest(text, tools),
        )
    options = ADAPTERS.check_options(text, options)
    return _made(text, options)


def _made(name: str, options: dict[str, Any]) -> FaceModel:
    model = ADAPTERS.get(name)(**options)
    assert isinstance(model, FaceModel)
    return model


def run_model(folder: Path, *, device: str = "cpu") -> FaceModel:
    """The model of expressions of a run or weights folder, called as its folder.

    Raises:
        WeightsError: If a file is missing, or does not match its card.
        UsageError: If it learnt attributes, or the device is not there.
    """
    from mien.models.weights import Classifier, refuse_attributes  # torch: other models do without

    classifier = Classifier.load(folder, device)
    refuse_attributes(classifier, folder)
    return classifier.face_model(folder.name)
