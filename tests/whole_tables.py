"""Drawn tables of predictions as people have them, for tests of what no single row shows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mien.records import Predictions

CLASSES = np.array(["anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"])


def drawn(n=300, accuracy=0.75, seed=0, gap=0.0):
    """Annotated and predicted classes as codes, and a gender; women are served better by ``gap``."""
    rng = np.random.default_rng(seed)
    labels, gender = rng.integers(0, 7, n), rng.choice(["female", "male"], n)
    right = rng.random(n) < accuracy + np.where(gender == "female", gap / 2, -gap / 2)
    return labels, np.where(right, labels, (labels + rng.integers(1, 7, n)) % 7), gender


def faces(n=300, **columns):
    """A table of ``n`` faces with further columns."""
    labels, predicted, gender = drawn(n)
    return pd.DataFrame({"label": CLASSES[labels], "pred": CLASSES[predicted], "gender": gender, **columns})


def with_probs(frame, order=range(7), decimals=6):
    """The table with probabilities whose largest is ``pred``; ``order`` says under which names they are written."""
    rng = np.random.default_rng(1)
    predicted = np.array([int(np.flatnonzero(p == CLASSES)[0]) for p in frame["pred"]])
    probs = rng.dirichlet(np.full(7, 0.3), len(frame))
    probs[np.arange(len(frame)), predicted] += 1.5
    probs = (probs / probs.sum(1, keepdims=True)).round(decimals)
    return frame.assign(**{f"prob_{c}": probs[:, k] for c, k in zip(CLASSES, order, strict=True)})


def paths(n=300):
    return [f"test/{i:04d}.jpg" for i in range(n)]


def read_as(frame, way, folder):
    """The same rows as a frame, or by way of a CSV or a Parquet file."""
    if way == "frame":
        return Predictions.from_frame(frame)
    path = folder / f"table.{way}"
    frame.to_csv(path, index=False) if way == "csv" else frame.to_parquet(path)
    return Predictions.load(path)
