"""Which finer groups the faces of a corpus have, as far as an annotator's errors let tell.

How a merged group is mistaken depends on which of its parts are there: White faces of ``race4`` that
include many Middle Eastern ones are perceived otherwise than those that include none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.audit.inferred.annotator_error import MAX_CONDITION, PRIOR_FACES
from mien.demographics import Merge
from mien.stats.mixture import inverted_counts, most_likely_counts

_DRAWS = 100
_SIGMAS = 3  # so far below nothing lies a share by chance in one of 700 groups that are not there


@dataclass(frozen=True)
class Mix:
    """Shares of the G groups of a finer attribute among some faces.

    Attributes:
        shares: ``(G,)`` the most likely ones.
        draws: ``(D, G)`` others that the counts of faces and of the annotator's errors allow; none where it
            cannot be told.
        told: Whether the annotator tells the groups apart, and the faces could have been perceived so
            with some mix; else which groups are there cannot be told.
    """

    shares: NDArray[np.float64]
    draws: NDArray[np.float64]
    told: bool

    def within(self, merge: Merge, prior: NDArray[np.float64]) -> NDArray[np.float64]:
        """How much more or less often each finer group stands in its merged group than among held-out faces.

        Args:
            merge: The coarser attribute.
            prior: ``(G,)`` shares among the held-out faces.

        Returns:
            ``(1 + D, G)`` ratios: of the shares, then of the draws. Where the mix cannot be told, each mix
            of a merged group's parts is as likely as any other, and the first row is their mean. A merged
            group that is not there keeps its parts as held out.
        """
        to = np.array([merge.head.groups.index(merge.to[g]) for g in merge.of.groups])
        mixes = np.vstack([self.shares, self.draws]) if self.told else _any_mix(to)
        ratio = np.divide(mixes, prior, out=np.zeros_like(mixes), where=prior > 0)
        for g in range(len(merge.head.groups)):
            absent = ~ratio[:, to == g].any(axis=1)
            ratio[np.ix_(absent, to == g)] = 1.0
        return ratio


def _any_mix(to: NDArray[np.int64]) -> NDArray[np.float64]:
    """``(1 + D, G)`` shares: equal parts, then mixes drawn evenly from all there are within each merged group."""
    drawn = np.random.default_rng(0).standard_exponential((_DRAWS, len(to)))
    for g in np.unique(to):
        drawn[:, to == g] /= drawn[:, to == g].sum(1, keepdims=True)
    return np.vstack([np.ones(len(to)), drawn])


def mix_of(perceived: NDArray[Any], confusion: NDArray[Any], seed: int = 0) -> Mix:
    """The mix behind counts of perceived groups.

    Args:
        perceived: ``(G,)`` faces by perceived group.
        confusion: ``(G, G)`` held-out faces by annotated (rows) and perceived group.
        seed: Of the draws: faces drawn again, and an annotator's confusion as the held-out faces leave it
            open. Where a group's share is negative beyond their spread, no mix explains the counts: the
            annotator errs otherwise on these faces. Where it hardly tells the groups apart, many do.

    Returns:
        The mix; not told without faces or where a group has no held-out face.
    """
    n, size, likely = float(perceived.sum()), len(perceived), group_mix(perceived, confusion)
    unknown = Mix(likely, np.zeros((0, size)), False)
    total = confusion.sum(1, keepdims=True)
    if n == 0 or (total == 0).any() or np.linalg.cond(confusion / total) > MAX_CONDITION:
        return unknown
    rng = np.random.default_rng(seed)
    parts = rng.standard_gamma(confusion + PRIOR_FACES / size, size=(_DRAWS, size, size))
    rates = parts / parts.sum(2, keepdims=True)
    again = rng.multinomial(int(n), perceived / n, size=_DRAWS).astype(np.float64)
    free = inverted_counts(again[..., None], rates)[..., 0]
    if (free.mean(0) + _SIGMAS * free.std(0) < 0).any():
        return unknown
    return Mix(likely, _most_likely(again / n, rates), True)


def group_mix(perceived: NDArray[Any], confusion: NDArray[Any]) -> NDArray[np.float64]:
    """The shares of true groups that are most likely behind counts of perceived ones, by expectation maximisation.

    It needs no matrix to be inverted, so that neighbouring ages, which are often confused, have shares too.

    Args:
        perceived: ``(G,)`` faces by perceived group.
        confusion: ``(G, G)`` held-out faces by annotated (rows) and perceived group.

    Returns:
        ``(G,)``; shares as perceived where a group has no held-out face.
    """
    total = confusion.sum(1, keepdims=True)
    seen = np.asarray(perceived / max(float(perceived.sum()), 1.0), dtype=np.float64)
    if (total == 0).any() or not perceived.sum():
        return seen
    return np.asarray(_most_likely(seen[None], (confusion / total)[None])[0])


def _most_likely(seen: NDArray[np.float64], rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(b, G)`` shares behind ``(b, G)`` shares as perceived, with ``(b, G, G)`` rates."""
    even = np.full(seen.shape, 1 / seen.shape[1])
    found = most_likely_counts(seen[..., None], even[..., None], rates, steps=2000, stop=1e-7)[..., 0]
    return np.asarray(found / found.sum(1, keepdims=True))
