"""Lines of a study's figure stand aside, but never as far as the next level."""

from __future__ import annotations

import numpy as np
import pytest

from mien.studies.figures import _aside


@pytest.mark.parametrize("n", [1, 2, 3, 8, 40])
@pytest.mark.parametrize("places", [{"one": 0.0}, {"k3": 0.0, "k5": 1.0, "k7": 2.0}, {"9": 9.0, "1": 1.0, "3": 3.0}])
def test_lines_stand_aside_in_order_about_their_level(places: dict[str, float], n: int) -> None:
    aside = _aside(places, n)
    step = 1.0 if len(places) < 3 or "k3" in places else 2.0
    assert len(np.unique(aside)) == n
    assert np.all(np.diff(aside) > 0)
    assert aside.sum() == pytest.approx(0)
    assert np.ptp(aside) < step / 2
