"""Simulated annotators: what people who look at a drawn face would call it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.labels import FER2013_CLASSES

_K = len(FER2013_CLASSES)
_NEUTRAL = FER2013_CLASSES.index("neutral")

# Where the votes that miss a face's expression (row) go (column), in the order of FER2013_CLASSES.
# Fear passes for surprise, disgust for anger, sadness and weak smiles for neutral.
_CONFUSION = np.array(
    [
        [0.00, 0.40, 0.08, 0.02, 0.15, 0.03, 0.32],
        [0.52, 0.00, 0.06, 0.05, 0.20, 0.02, 0.15],
        [0.06, 0.06, 0.00, 0.03, 0.20, 0.52, 0.13],
        [0.04, 0.04, 0.03, 0.00, 0.04, 0.20, 0.65],
        [0.14, 0.12, 0.18, 0.02, 0.00, 0.02, 0.52],
        [0.03, 0.03, 0.60, 0.18, 0.03, 0.00, 0.13],
        [0.22, 0.06, 0.05, 0.18, 0.40, 0.09, 0.00],
    ]
)


def opinions(expression: NDArray[np.int64], intensity: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probability that an annotator names each class: ``(n, 7)``; each row sums to 1.

    Args:
        expression: ``(n,)`` index into ``FER2013_CLASSES``.
        intensity: ``(n,)`` intensity of the expression; the weaker, the less agreement.
    """
    agreement = np.clip(0.20 + 0.70 * intensity, 0.30, 0.95)
    agreement = np.where(expression == _NEUTRAL, 0.82, agreement)[:, None]
    return np.asarray(np.eye(_K)[expression] * agreement + _CONFUSION[expression] * (1 - agreement))


def cast_votes(
    expression: NDArray[np.int64], intensity: NDArray[np.float32], annotators: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Votes for the seven classes, ``(n, 7)``; a single annotator names the true expression."""
    n = len(expression)
    if annotators == 1:
        return np.eye(_K, dtype=np.int64)[expression]
    cumulative = np.cumsum(opinions(expression, intensity), axis=1)[:, None, :-1]
    drawn = (rng.random((n, annotators))[:, :, None] >= cumulative).sum(2)
    return np.stack([(drawn == k).sum(1) for k in range(_K)], axis=1).astype(np.int64)


def replace_labels(
    votes: NDArray[np.int64], hit: NDArray[np.bool_], target: int | None, choice: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Label noise, in place: the class with most votes trades its votes with another.

    Args:
        votes: ``(n, 7)``.
        hit: ``(n,)`` rows to change.
        target: The class that takes over; None takes one of the six others.
        choice: ``(n,)`` uniform values that choose among the six.

    Returns:
        ``(n,)`` where a label was replaced: ``hit`` without the rows that had ``target`` already.
    """
    majority = votes.argmax(1)
    if target is None:
        other = (majority + 1 + (choice * (_K - 1)).astype(np.int64)) % _K
    else:
        other = np.full(len(votes), target)
    changed = np.asarray(hit & (other != majority))
    rows = np.flatnonzero(changed)
    kept = votes[rows, other[rows]].copy()
    votes[rows, other[rows]] = votes[rows, majority[rows]]
    votes[rows, majority[rows]] = kept
    return changed
