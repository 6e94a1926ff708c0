"""Make predictions.csv: drawn faces with a known bias, as a small classifier sees them. See README.md.

Run it from the repository: python examples/make_predictions.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

from mien.data.corpus import BadRows
from mien.data.datasets.synthetic import synthetic
from mien.labels import FER2013_CLASSES

SEED = 11
N = 8000
N_TEST = 500
ATTRIBUTES = ["gender", "age", "skin"]
# What is done to the faces: dark skin has less contrast and shows less, labels of female faces are partly replaced;
# nothing is done to age.
BIAS = [
    {"attribute": "skin", "group": "dark", "share": 0.25, "contrast": 0.7, "cues": 0.75},
    {"attribute": "gender", "group": "female", "label_noise": 0.12},
]


def predictions() -> pd.DataFrame:
    """The table: one row a test face, with the votes of ten drawn annotators and the classifier's probabilities."""
    corpus = synthetic(n=N, size=24, seed=SEED, bias=BIAS, nuisance=0.15)
    chunks = list(corpus.chunks(BadRows()))
    images = np.concatenate([c.images for c in chunks])
    faces = pd.concat([c.frame for c in chunks], ignore_index=True)
    votes = faces[[f"votes_{c}" for c in FER2013_CLASSES]].to_numpy()
    ranked = np.sort(votes, axis=1)
    clear = ranked[:, -1] > ranked[:, -2]  # a tie has no label
    x, label = images.reshape(N, -1) / 255.0, np.array(FER2013_CLASSES)[votes.argmax(1)]
    train, test = clear & (faces["split"] == "train"), np.flatnonzero(clear & (faces["split"] != "train"))[:N_TEST]
    network = MLPClassifier((64,), alpha=0.03, max_iter=200, early_stopping=True, random_state=SEED)
    model = make_pipeline(PCA(80, random_state=SEED), network)
    model.fit(x[train], label[train])
    probs = model.predict_proba(x[test])
    out = faces.loc[test, ["sample_id", *ATTRIBUTES, *(f"{a}_source" for a in ATTRIBUTES)]]
    out.insert(1, "label", label[test])
    out["brightness"] = np.round(255 * x[test].mean(1), 1)
    for k, name in enumerate(FER2013_CLASSES):
        out[f"votes_{name}"] = votes[test, k]
    for name in FER2013_CLASSES:
        out[f"prob_{name}"] = np.round(probs[:, list(model.classes_).index(name)], 4)
    return out


if __name__ == "__main__":
    predictions().to_csv(Path(__file__).with_name("predictions.csv"), index=False)
