"""Every plot is a figure of its own, and its SVG can stand beside others on one page."""

import re
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mien.audit import class_results
from mien.metrics import calibration_table
from mien.records import Estimate
from mien.report import (
    class_bars,
    confusion_plot,
    figure_svg,
    group_class_heatmap,
    group_plot,
    learning_curves,
    reliability_plot,
    save_png,
)
from mien.report.audit_plots import MAX_GROUPS
from mien.report.figures import SHARES, ink_on, wrap
from mien.stats.settings import Settings

HISTORY = pd.DataFrame(
    {
        "epoch": [0, 1, 2],
        "train_loss": [2.0, 1.0, 0.5],
        "val_loss": [2.1, 1.2, 1.3],
        "train_accuracy": [0.3, 0.6, 0.8],
        "val_accuracy": [0.3, 0.6, 0.5],
    }
)


def every_plot(pred, audit):
    results = class_results(pred, settings=Settings(n_boot=20))
    return {
        "curves": learning_curves(HISTORY),
        "one_epoch": learning_curves(HISTORY.head(1)),
        "confusion": confusion_plot(pred.confusion(), pred.classes),
        "bars": class_bars(pred.classes, [r.recall for r in results], [r.precision for r in results]),
        "reliability": reliability_plot(calibration_table(pred.probs, pred.labels)),
        **{f"groups_{a.name}": group_plot(a, audit.overall) for a in audit.attributes},
        **{f"heat_{a.name}": group_class_heatmap(a, audit.classes) for a in audit.attributes},
    }


@pytest.fixture(scope="module")
def plots(pred, small_audit):
    return every_plot(pred, small_audit)


@pytest.fixture(scope="module")
def svgs(plots):
    return {name: figure_svg(figure) for name, figure in plots.items()}


def texts(svg):
    """The text nodes of an SVG."""
    found = []
    parser = HTMLParser()
    parser.handle_data = found.append
    parser.feed(svg)
    return " ".join(t.strip() for t in found if t.strip())


def test_plots_are_figures_with_words(plots):
    for name, figure in plots.items():
        assert isinstance(figure, Figure), name
        assert len(str(figure.get_label())) > 20, name
        assert "nan" not in str(figure.get_label()), name


def test_plots_leave_the_global_style_alone(pred):
    before = dict(mpl.rcParams)
    figure_svg(confusion_plot(pred.confusion(), pred.classes))
    assert dict(mpl.rcParams) == before


def test_ids_are_unique_over_many_svgs(svgs):
    ids = [i for svg in svgs.values() for i in re.findall(r'\bid="([^"]+)"', svg)]
    assert len(ids) == len(set(ids)) > 0


def test_every_reference_has_its_id(svgs):
    for name, svg in svgs.items():
        ids = set(re.findall(r'\bid="([^"]+)"', svg))
        used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
        assert used <= ids, name


def test_svg_is_accessible_text_that_loads_nothing(svgs):
    for name, svg in svgs.items():
        assert svg.startswith('<svg role="img" aria-label="'), name
        assert svg.endswith("</svg>"), name
        assert "<text" in svg, name
        assert "http" not in svg, name
        assert "DejaVu" not in svg, name
        assert "<metadata" not in svg, name


def test_class_names_are_text_not_markup(svgs):
    assert "&lt;b&gt;bold" in svgs["confusion"]
    assert "<b>" not in svgs["confusion"]
    assert "$x$ & y" in texts(svgs["confusion"])


def test_svg_with_a_prefix_is_the_same_each_time(pred):
    first, second = (figure_svg(confusion_plot(pred.confusion(), pred.classes), prefix="p") for _ in range(2))
    assert first == second


def test_title_replaces_the_label():
    assert 'aria-label="a &lt;title&gt;"' in figure_svg(learning_curves(HISTORY), title="a <title>")


def test_learning_curves_mark_the_best_epoch():
    assert "kept (epoch 2)" in figure_svg(learning_curves(HISTORY))
    assert "kept (epoch 3)" in figure_svg(learning_curves(HISTORY, best=2))


def test_confusion_shows_shares_and_counts():
    text = texts(figure_svg(confusion_plot(np.array([[3, 1], [0, 0]]), ["a", "b"])))
    assert "75%" in text
    assert "25%" in text
    assert "b (0)" in text
    assert "nan" not in text


def test_undefined_bars_say_so(svgs):
    assert "undefined" in svgs["bars"]
    assert "nan" not in texts(svgs["bars"])


def test_too_few_groups_are_marked(small_audit):
    both = small_audit.attribute("gender*age")
    few = [g for g in both.groups if g.verdict]
    assert few
    svg = texts(figure_svg(group_plot(both, small_audit.overall)))
    assert f"{few[0].name} ({few[0].n}, too few)" in svg or f"{few[0].name} (0)" in svg


def test_rare_cells_show_their_number_instead_of_a_value(small_audit):
    attribute = small_audit.attribute("age")
    text = texts(figure_svg(group_class_heatmap(attribute, small_audit.classes)))
    assert "n=0" in text
    assert "nan" not in text


def test_many_groups_are_cut(small_audit):
    attribute = small_audit.attributes[0]
    many = [*attribute.groups] * MAX_GROUPS
    big = type(attribute)(**{**vars(attribute), "groups": many})
    figure = group_plot(big, small_audit.overall, ["accuracy"])
    assert len(figure.axes[0].get_yticklabels()) == MAX_GROUPS


def test_reliability_of_nothing_but_full_confidence():
    table = calibration_table(np.eye(3)[[0, 1, 2]], np.array([0, 1, 1]))
    assert "nan" not in figure_svg(reliability_plot(table))


def test_names_in_other_scripts_raise_no_warning():
    figure = class_bars(["怒り", "радость"], [Estimate(0.5, 0.4, 0.6)] * 2, [Estimate(float("nan"))] * 2)
    assert "怒り" in figure_svg(figure)


def test_text_on_cells_can_be_read():
    assert ink_on(SHARES(0.0)) != ink_on(SHARES(1.0)) == "#ffffff"


def test_png_is_written_whole(tmp_path):
    path = save_png(learning_curves(HISTORY), tmp_path / "curves.png")
    with Image.open(path) as picture:
        assert picture.size[0] > 400
    assert [p.name for p in tmp_path.iterdir()] == ["curves.png"]


def test_wrap_keeps_words():
    assert wrap("share of faces", 8) == "share of\nfaces"


def test_class_results_by_hand(pred):
    results = class_results(pred, settings=Settings(n_boot=50))
    confusion = pred.confusion()
    assert results[0].recall.value == pytest.approx(confusion[0, 0] / confusion[0].sum())
    assert results[0].precision.value == pytest.approx(confusion[0, 0] / confusion[:, 0].sum())
    assert results[0].recall.low < results[0].recall.value < results[0].recall.high
    assert np.isnan(results[-1].recall.value)
    assert results[-1].recall.note == "nobody annotated with it"
    assert results[-1].mistaken_for == ""
