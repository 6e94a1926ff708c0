"""Whether answers tell anything: Cohen's kappa by hand, and where accuracy would have said the wrong thing."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from mien.metrics.learnt import beyond_chance, learnt_nothing, nothing_learnt_by, nothing_of


def test_kappa_is_that_of_sklearn() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        counts = rng.integers(0, 30, (4, 4))
        labels, said = (np.repeat(side.ravel(), counts.ravel()) for side in np.indices((4, 4)))
        found = beyond_chance(np.diagonal(counts), counts.sum(1), counts.sum(0))
        assert found == pytest.approx(cohen_kappa_score(labels, said))


@pytest.mark.parametrize(
    ("counts", "nothing"),
    [
        ([[90, 0], [10, 0]], True),  # one answer for all faces is right on nine in ten
        ([[60, 30], [2, 8]], False),  # told to find the rare ones, right on fewer: it has learnt
        ([[33, 33], [33, 33]], True),
        ([[5, 95], [95, 5]], True),  # worse than chance
        ([[364, 3], [630, 3]], True),
        ([[0, 0], [0, 0]], False),
        ([[39, 1], [0, 0]], False),  # all of one class: nobody can tell
        ([[1, 0], [0, 1]], False),
    ],
)
def test_what_has_learnt(counts: list[list[int]], nothing: bool) -> None:
    assert nothing_of(np.array(counts)) is nothing


def test_the_border_itself_has_learnt() -> None:
    # Of two classes of 50 each, 55 right: kappa is 2 * .55 - 1.
    assert beyond_chance([30, 25], [50, 50], [55, 45]) == pytest.approx(0.1)
    assert not learnt_nothing([31, 25], [50, 50], [56, 44])
    assert learnt_nothing([29, 25], [50, 50], [54, 46])
    assert nothing_learnt_by(2, "3 seeds") == "2 of 3 seeds learnt next to nothing (Cohen's kappa below 0.1)"
