"""A store of 48 faces with eight expressions, and a place for stand-ins of other people's packages."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from mien.data.images import Store
from mien.prepare import prepare

CLASSES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")


def write_store(folder: Path, channels: int) -> Store:
    rng = np.random.default_rng(0)
    lines = ["path,label,split,identity,gender"]
    for i in range(48):
        shape = (24, 24) if channels == 1 else (24, 24, 3)
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / f"{i}.png")
        gender = "female" if i % 3 else "male"
        lines.append(f"{i}.png,{CLASSES[i % 8]},{'test' if i < 40 else 'train'},p{i // 2},{gender}")
    (folder / "faces.csv").write_text("\n".join(lines) + "\n")
    prepare(folder / "faces.csv", folder / "store")
    return Store.open(folder / "store")


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Grey, 24 pixels; test has 40 faces, five of each class."""
    return write_store(tmp_path_factory.mktemp("grey"), 1)


@pytest.fixture(scope="session")
def colour_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The same in colour."""
    return write_store(tmp_path_factory.mktemp("colour"), 3)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch):
    """Put modules where ``import`` finds them."""

    def put(**modules: ModuleType) -> None:
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name.replace("__", "."), module)

    return put
