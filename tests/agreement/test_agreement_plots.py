import numpy as np
import pytest
from matplotlib.figure import Figure
from voting import CLASSES, team_votes

from mien.agreement import Votes, dawid_skene, find_outliers, vote_sufficiency
from mien.errors import UsageError
from mien.report.agreement_plots import MAX_ANNOTATORS, annotator_confusion_plot, outlier_plot, sufficiency_plot
from mien.report.figures import figure_svg
from mien.stats.settings import Settings

FEW = Settings(n_boot=20)


@pytest.fixture(scope="module")
def votes():
    return team_votes(np.random.default_rng(0), 120, [0.8] * 7 + [0.2], m=4, unknown=0.05, seconds=True)[0]


def check(figure):
    assert isinstance(figure, Figure)
    label = str(figure.get_label())
    assert len(label) > 20
    assert "nan" not in label
    svg = figure_svg(figure)
    assert "nan" not in svg.replace("dominant", "")
    return label, svg


@pytest.mark.parametrize("m", [2, 5, 10])
def test_sufficiency(m):
    counts = np.random.default_rng(1).multinomial(m, [0.6, 0.2, 0.1, 0.1], 40)
    label, svg = check(sufficiency_plot(vote_sufficiency(Votes.from_counts(counts, CLASSES), settings=FEW)))
    assert f"all {m} votes, these among them" in svg
    assert f"{m}: all 1.00" in label
    assert ("1 other vote<" in svg) == (m == 2)


def test_confusion(votes):
    model = dawid_skene(votes, settings=Settings(n_boot=5))
    _, svg = check(annotator_confusion_plot(model, "a7"))
    assert "Votes of a7" in svg
    share = model.annotators[7].confusion[0][0]
    assert f"{share:.0%}" in svg
    with pytest.raises(UsageError, match="Did you mean"):
        annotator_confusion_plot(model, "a77")


def test_outliers(votes):
    result = find_outliers(votes, settings=FEW, n_fits=0)
    label, svg = check(outlier_plot(result))
    assert label.startswith("Outlying annotators: a7 (agreement).")
    assert svg.index("a7 (") < svg.index("a0 (")
    assert "too few" not in svg
    _, few = check(outlier_plot(find_outliers(votes, min_faces=500, settings=FEW, n_fits=0)))
    assert "too few to test" in few
    panels = [a for a in outlier_plot(result).axes if a.get_xlabel()]
    assert len(panels) == 3


def test_many_annotators_are_cut():
    rng = np.random.default_rng(2)
    names = np.tile([f"a{i:02d}" for i in range(60)], 3)
    rows = Votes.from_rows(np.repeat(np.arange(3), 60), names, np.eye(4)[rng.integers(0, 4, 180)], CLASSES)
    label, svg = check(outlier_plot(find_outliers(rows, settings=FEW, n_fits=0)))
    assert f"{60 - MAX_ANNOTATORS} more not shown" in label
    assert len(outlier_plot(find_outliers(rows, settings=FEW, n_fits=0)).axes) == 1
