"""Predictions whose truth is known."""

import numpy as np
import pandas as pd

from mien.records import Predictions


def predictions(labels, predicted, groups, cluster=None, n_classes=None, probs=None, votes=None, source="sim"):
    k = n_classes or int(max(np.max(labels), np.max(predicted))) + 1
    labels, predicted = np.asarray(labels, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
    return Predictions(
        sample_id=np.arange(len(labels)).astype(str),
        classes=tuple(f"c{i}" for i in range(k)),
        labels=labels,
        predicted=predicted,
        probs=probs,
        soft_targets=np.eye(k)[labels],
        votes=votes,
        groups=pd.DataFrame(groups),
        cluster=None if cluster is None else np.asarray(cluster, dtype=np.int64),
        image=None,
        source=source,
    )


def noisy(rng, labels, recall, k):
    """Keep a label with probability ``recall``, else draw another class."""
    other = (labels + rng.integers(1, k, len(labels))) % k
    return np.where(rng.random(len(labels)) < recall, labels, other)


def two_groups(rng, n=400, k=3, recalls=(0.7, 0.7), mixes=None, attribute="gender"):
    """Two groups with a recall and a class mix each."""
    group = rng.integers(0, 2, n)
    mixes = np.full((2, k), 1 / k) if mixes is None else np.asarray(mixes)
    labels = (mixes[group].cumsum(1) > rng.random((n, 1))).argmax(1)
    predicted = noisy(rng, labels, np.asarray(recalls)[group], k)
    return predictions(labels, predicted, {attribute: np.array(["f", "m"])[group]}, n_classes=k)
