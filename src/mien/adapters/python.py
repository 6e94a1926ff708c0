"""Any Python function that classifies crops."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from mien.adapters import ADAPTERS
from mien.errors import UsageError
from mien.inference import FaceModel
from mien.pictures.pixels import Images
from mien.registry import nearest


@ADAPTERS.register("python")
def python_model(
    target: str | Callable[[Images], Any],
    *,
    classes: Sequence[str] = (),
    logits: bool = False,
    detects: bool = False,
) -> FaceModel:
    """Any function from crops to probabilities.

    Args:
        target: The function, ``(B, H, W, C)`` uint8 -> ``(B, K)``; or where it is: ``package.module:name``,
            or ``folder/file.py:name``.
        classes: The classes in the order of its columns; by default its attribute ``classes``.
        logits: It returns logits.
        detects: It looks for the face, and returns a row of NaN where it finds none.

    Raises:
        UsageError: If there is no such function, or its classes are not known.
    """
    name = target if isinstance(target, str) else getattr(target, "__name__", type(target).__name__)
    function = _named(target) if isinstance(target, str) else target
    if not callable(function):
        raise UsageError(str(name), f"is a {type(function).__name__}", "a function from images to probabilities")
    told = classes.split(",") if isinstance(classes, str) else classes or getattr(function, "classes", ())
    known = tuple(str(c).strip() for c in told)
    if not known:
        raise UsageError(
            str(name), "has no classes", "the names of its columns", "Pass classes, or give it an attribute 'classes'."
        )
    return FaceModel(str(name), known, function, logits=logits, detects=detects)


def _named(target: str) -> Any:
    place, _, name = target.rpartition(":")
    if not place or not name:
        raise UsageError(repr(target), "names no function", "package.module:function or file.py:function")
    module = _module(place, target)
    try:
        return getattr(module, name)
    except AttributeError:
        public = [n for n in vars(module) if not n.startswith("_") and callable(vars(module)[n])]
        raise UsageError(target, f"there is no {name!r} in {place}", "", nearest(name, public)) from None


def _module(place: str, target: str) -> ModuleType:
    if not place.endswith(".py"):
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            raise UsageError(
                target, f"cannot import {place!r} ({error})", "an installed module, or a .py file"
            ) from error
    path = Path(place)
    if not path.is_file():
        raise UsageError(target, f"there is no file {place}", "a Python file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UsageError(target, f"cannot import {place}", "a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)  # dataclasses and pickling look the module up
    spec.loader.exec_module(module)
    return module
