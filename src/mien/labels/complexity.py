"""How many expressions raters saw in a face."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mien.labels.classes import expressions_of

COMPLEXITY, MODES = "complexity", "n_modes"  # columns that evaluation adds to the predictions


def complexity(votes: NDArray[np.generic], vocabulary: Sequence[str]) -> NDArray[np.int64]:
    """X, the number of expressions with a vote (Duan 2022); unknown and not-a-face do not count.

    Of the 35,393 faces of FERPlus that the source's cleaning keeps, X is 1 to 7 for 9,298, 13,300, 8,340,
    3,459, 874, 118 and 4.

    Args:
        votes: ``(n, V)`` votes.
        vocabulary: The V names of the columns.

    Returns:
        ``(n,)``; 0 without votes.
    """
    return np.asarray((_expressions(votes, vocabulary) > 0).sum(1), dtype=np.int64)


def n_modes(votes: NDArray[np.generic], vocabulary: Sequence[str]) -> NDArray[np.int64]:
    """How many expressions share the most votes: ``(n,)``, 0 without votes."""
    own = _expressions(votes, vocabulary)
    return np.asarray(((own == own.max(1, initial=0)[:, None]) & (own > 0)).sum(1), dtype=np.int64)


def vote_columns(votes: NDArray[np.generic], vocabulary: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """Both of them by name; none where no face has more than one vote, as then both are always 1."""
    if not vocabulary or not len(votes) or _expressions(votes, vocabulary).sum(1).max(initial=0) <= 1:
        return {}
    return {COMPLEXITY: complexity(votes, vocabulary), MODES: n_modes(votes, vocabulary)}


def _expressions(votes: NDArray[np.generic], vocabulary: Sequence[str]) -> NDArray[np.float64]:
    own = expressions_of(vocabulary)
    return np.asarray(votes, dtype=np.float64)[:, [word in own for word in vocabulary]]
