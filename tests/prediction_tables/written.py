"""One small table of predictions, for tests that write it in many ways and must read the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mien.records import Predictions
from mien.spellings import canonical

CLASSES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
PROBS = [f"prob_{c}" for c in CLASSES]


def faces(n: int = 60, seed: int = 0) -> pd.DataFrame:
    """``n`` faces with probabilities, a group with a letter beyond ASCII, and a column of numbers."""
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(len(CLASSES)), n)
    return pd.DataFrame(
        {
            "sample_id": [f"f{i}" for i in range(n)],
            "label": rng.choice(CLASSES, n),
            **dict(zip(PROBS, probs.T, strict=True)),
            "gender": rng.choice(["männlich", "weiblich"], n),
            "brightness": rng.random(n).round(3),
        }
    )


def pictures(n: int) -> list[str]:
    """Names of ``n`` pictures."""
    return [f"imgs/a{i}.jpg" for i in range(n)]


def annotations(path: Path, frame: pd.DataFrame, seed: int = 1) -> Path:
    """The labels and groups of ``frame`` with the pictures' names, in another order."""
    table = frame[["label", "gender", "brightness"]].assign(path=pictures(len(frame)))
    table.sample(frac=1, random_state=seed).to_csv(path, index=False)
    return path


def answers(pred: Predictions) -> list[tuple[str, str, str]]:
    """(label, predicted class, gender) of each face, in any order and under one spelling."""
    names = [canonical(c) for c in pred.classes]
    gender = pred.groups["gender"].astype(str)
    return sorted((names[a], names[b], g) for a, b, g in zip(pred.labels, pred.predicted, gender, strict=True))
