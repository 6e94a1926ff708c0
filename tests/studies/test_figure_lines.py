"""What a study's figures draw beside each other stays apart: lines at one level, titles of panels, labels of rows."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from mien.records import Estimate
from mien.studies import figures
from mien.studies.cells import Plan
from mien.studies.definition import FigureConfig
from mien.studies.estimates import Value
from mien.studies.figures import _aside, draw
from mien.studies.results import Row

LONG = "mirrored and turned, drawn anew each epoch"
PLAN = cast(Plan, SimpleNamespace(study=SimpleNamespace(grid={}), as_published=False, called="small"))
ROWS = [
    Row(
        name=f"row{i}",
        label=f"{LONG}, {i}",
        values={"accuracy": Value(mean=Estimate(0.5, 0.4, 0.6), seeds=(0.5,), theirs=float("nan"))},
        seeds=1,
        wanted=1,
    )
    for i in range(13)
]


@pytest.mark.parametrize("n", [1, 2, 3, 8, 40])
@pytest.mark.parametrize("places", [{"one": 0.0}, {"k3": 0.0, "k5": 1.0, "k7": 2.0}, {"9": 9.0, "1": 1.0, "3": 3.0}])
def test_lines_stand_aside_in_order_about_their_level(places: dict[str, float], n: int) -> None:
    aside = _aside(places, n)
    step = 1.0 if len(places) < 3 or "k3" in places else 2.0
    assert len(np.unique(aside)) == n
    assert np.all(np.diff(aside) > 0)
    assert aside.sum() == pytest.approx(0)
    assert np.ptp(aside) < step / 2


def test_long_names_lie_on_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    history = pd.DataFrame({"val_accuracy": [0.4, 0.5, 0.6]})
    monkeypatch.setattr(figures, "_history", lambda *args: history)
    curves = drawn("curves")
    apart([axes._left_title for axes in curves.axes], curves)  # type: ignore[attr-defined]
    values = drawn("values")
    apart(list(values.axes[0].get_yticklabels()), values)


def drawn(kind: Any) -> Figure:
    found = draw(PLAN, ROWS, FigureConfig(kind=kind))
    assert found is not None
    return found


def apart(texts: list[Text], figure: Figure) -> None:
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    boxes = {text.get_text(): text.get_window_extent() for text in texts if text.get_text()}
    assert len(boxes) == len(ROWS)
    for (one, a), (other, b) in combinations(boxes.items(), 2):
        assert not a.overlaps(b), (one, other)
