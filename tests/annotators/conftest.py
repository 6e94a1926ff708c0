"""A place for stand-ins of other people's packages, and some crops."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch):
    """Put modules where ``import`` finds them."""

    def put(**modules: ModuleType) -> None:
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name.replace("__", "."), module)

    return put


@pytest.fixture
def crops():
    """``n`` crops, colour or grey, no two alike."""

    def draw(n=5, side=48, channels=3):
        return np.random.default_rng(1).integers(0, 256, (n, side, side, channels), dtype=np.uint8)

    return draw
