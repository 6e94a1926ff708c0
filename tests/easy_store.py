"""A store of 240 faces that a tiny network learns in seconds, and its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mien.prepare import prepare

CLASSES = ("bright", "dark", "split")


@pytest.fixture(scope="session")
def easy_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes told by brightness, noise on top, in a manifest with a gender column."""
    folder = tmp_path_factory.mktemp("easy")
    rng = np.random.default_rng(0)
    lines = ["path,label,split,gender"]
    for i in range(240):
        label = i % 3
        image = rng.normal(128, 25, (24, 24))
        image += {0: 60, 1: -60, 2: 0}[label]
        if label == 2:
            image[:, :12] += 60
            image[:, 12:] -= 60
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / f"{i}.png")
        split = "train" if i < 150 else "valid" if i < 195 else "test"
        lines.append(f"{i}.png,{CLASSES[label]},{split},{'female' if i % 2 else 'male'}")
    (folder / "faces.csv").write_text("\n".join(lines) + "\n")
    prepare(folder / "faces.csv", folder / "store", size=24)
    return folder / "store"


@pytest.fixture
def settings(easy_store: Path) -> dict[str, Any]:
    """A configuration as a plain mapping."""
    return {
        "data": {"store": str(easy_store)},
        "model": {"name": "mienet", "options": {"widths": [8, 16], "depths": [1, 1], "stem": 8}},
        "augment": {"rotation": 5, "erasing": 0.1},
        "train": {
            "epochs": 4,
            "batch_size": 30,
            "optimizer": {"lr": 0.05},
            "ema": 0.9,
            "precision": "fp32",
            "threads": 1,
        },
    }
