"""Tables of faces whose truth is known."""

import numpy as np
import pandas as pd

from mien.samples import SampleTable

CLASSES = ("angry", "happy", "neutral")


def draw_cells(rng, probs, n, copies=False):
    """Codes of rows and columns drawn from a table of probabilities; ``copies``: half the units have three faces."""
    r, c = probs.shape
    m = n // 2 if copies else n
    cell = rng.choice(r * c, m, p=probs.ravel())
    unit = None
    if copies:
        unit = np.repeat(np.arange(m), rng.choice([1, 3], m))
        cell = cell[unit]
    return cell // c, cell % c, unit


def table_of(label, groups, unit=None, split=None, vocabulary=CLASSES, attributes=None, **columns):
    """A table with one vote a face."""
    n = len(label)
    frame = pd.DataFrame(
        {
            "sample_id": [f"s{i:06d}" for i in range(n)],
            "image": np.arange(n),
            "split": "train" if split is None else split,
            "identity": "",
            "cluster": np.arange(n) if unit is None else unit,
            **{f"votes_{c}": (np.asarray(label) == k).astype(int) for k, c in enumerate(vocabulary)},
            **groups,
            **columns,
        }
    )
    return SampleTable(frame, "sim", tuple(vocabulary), tuple(attributes or groups))


def corpus(n=600, seed=0, lean=0.0, copies=False):
    """Three classes, a gender and an age; ``lean`` sends women to happy."""
    rng = np.random.default_rng(seed)
    female = rng.random(n) < 0.4
    label = rng.choice(3, n, p=[0.3, 0.4, 0.3])
    label = np.where(female & (rng.random(n) < lean), 1, label)
    age = rng.choice(["0-19", "20-59", "60+"], n, p=[0.2, 0.7, 0.1])
    groups = {"gender": np.where(female, "female", "male"), "gender_source": "annotated", "age": age}
    split = np.where(rng.random(n) < 0.7, "train", "test")
    table = table_of(label, groups, np.arange(n) // 2 if copies else None, split, attributes=("gender", "age"))
    if not copies:
        return table
    first = table.frame.iloc[(np.arange(n) // 2) * 2].reset_index(drop=True)
    own = table.frame[["sample_id", "image"]]
    frame = pd.concat([own, first.drop(columns=["sample_id", "image"])], axis=1)
    return SampleTable(frame, "sim", table.vocabulary, table.attributes)
