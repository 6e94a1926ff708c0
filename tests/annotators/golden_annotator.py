"""What the annotator in the box says of four fixed pictures: ``python tests/annotators/golden_annotator.py``.

Run it after new weights were packed; the test compares with the file that it writes.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.annotators.loading import load_annotator

GOLDEN = Path(__file__).with_suffix(".json")


def pictures() -> NDArray[np.uint8]:
    """Noise, which shows every change of weights, size, cropping or calibration."""
    return np.random.default_rng(0).integers(0, 256, (4, 48, 48, 1)).astype(np.uint8)


def said() -> dict[str, NDArray[np.float32]]:
    """Attribute -> ``(4, G)`` probabilities."""
    return load_annotator("mien").annotate(pictures()).probs


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({name: np.round(p.astype(float), 4).tolist() for name, p in said().items()}) + "\n")
