"""When a classifier had better say nothing: confidences from which the share of wrong answers is bounded."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv  # scipy.stats would take most of the time of a short command

STEPS = 20  # shares of the faces that are tried: the surest twentieth, the surest tenth, ...


@dataclass(frozen=True)
class Step:
    """The surest faces down to some confidence.

    Attributes:
        confidence: Of the least sure of them.
        faces: How many they are.
        wrong: How many of them are answered wrongly.
    """

    confidence: float
    faces: int
    wrong: int


def surest_steps(confidence: NDArray[np.float64], right: NDArray[np.bool_], steps: int = STEPS) -> tuple[Step, ...]:
    """What becomes of the surest faces, more and more of them.

    Faces of equal confidence come all or none, so that a threshold lets through exactly those that were counted.

    Args:
        confidence: ``(n,)``, the largest probability of each face.
        right: ``(n,)``.
        steps: How many shares of the faces; the last has all.

    >>> surest_steps(np.array([0.9, 0.5, 0.8, 0.7]), np.array([True, False, True, False]), 2)
    (Step(confidence=0.8, faces=2, wrong=0), Step(confidence=0.5, faces=4, wrong=2))
    """
    order = np.argsort(-confidence, kind="stable")
    sure, wrong = confidence[order], np.cumsum(~right[order])
    found: list[Step] = []
    for i in range(1, steps + 1):
        n = round(len(sure) * i / steps)
        if not n:
            continue
        last = int(np.searchsorted(-sure, -sure[n - 1], side="right"))
        if not found or last > found[-1].faces:
            found.append(Step(float(sure[last - 1]), last, int(wrong[last - 1])))
    return tuple(found)


def risk_threshold(steps: tuple[Step, ...], risk: float, error: float = 0.05) -> float:
    """The confidence from which answers are wrong with a share of at most ``risk``.

    Steps are tested from the surest, each by the exact binomial upper limit at ``error``, as long as all pass: with a
    fixed order of tests no correction for their number is due (fixed-sequence testing, Angelopoulos et al. 2021,
    "Learn then test", section 2.3). Which step comes first depends on numbers of faces alone: the first that could
    pass with no mistake.

    Args:
        steps: Of :func:`surest_steps`, counted on faces that chose nothing of the classifier.
        risk: Largest share of wrong answers among those that are given.
        error: How often, over such sets of faces, the share may be larger all the same.

    Returns:
        0 where all faces may be answered; infinity where no step passes, for then no answer keeps the promise.
    """
    if risk >= 1:
        return 0.0
    least = math.log(error) / math.log1p(-risk) if risk > 0 else math.inf
    found = math.inf
    for step in steps:
        if step.faces < least:
            continue
        if upper_limit(step.wrong, step.faces, error) > risk:
            break
        found = step.confidence
    return 0.0 if steps and found == steps[-1].confidence else found


def upper_limit(k: int, n: int, error: float = 0.05) -> float:
    """The one-sided upper limit of a share by Clopper and Pearson (1934).

    >>> round(upper_limit(0, 59), 3)
    0.05
    """
    return 1.0 if k >= n else float(betaincinv(k + 1, n - k, 1 - error))
