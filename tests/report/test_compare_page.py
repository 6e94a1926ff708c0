"""Pages that compare models, and seeds of one model."""

import re
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
from page_reader import read

from mien.audit import compare, compare_many, seed_audit
from mien.audit.compare import Change, Comparison
from mien.audit.compare.results import GAINED, GREW
from mien.audit.plain_results import from_plain
from mien.audit.seeds import SeedAudit
from mien.audit.seeds.results import REAL
from mien.errors import UsageError
from mien.records import Estimate, Predictions, plain
from mien.report import render_comparison, render_seeds
from mien.report.compare_plots import MAX_ROWS, ChangeRow, both_plot, difference_plot, seed_share
from mien.stats.settings import Settings
from mien.wording import p_value

pytestmark = pytest.mark.usefixtures("undrawn")

CLASSES = ("angry", "<i>happy</i>", "sad")
NAN = float("nan")


def model(recalls, seed, n=500, flips=0.0, **columns):
    """Predictions on the same faces for every call: two genders of the given recalls, and a rare third one."""
    rng = np.random.default_rng(0)
    group = np.where(np.arange(2 * n) % 100 == 0, 2, np.arange(2 * n) % 2)
    labels = rng.integers(0, 3, 2 * n)
    ease = rng.random(2 * n)
    noise = np.random.default_rng(seed).normal(0, flips, 2 * n) if flips else 0.0
    wrong = ease + noise > np.array([*recalls, 0.5])[group]
    predicted = np.where(wrong, (labels + 1) % 3, labels)
    groups = pd.DataFrame({"gender": np.array(["female", "male & co", "<rare>"])[group], **columns})
    ids = np.array([f"s{i}" for i in range(2 * n)], dtype=object)
    return Predictions(
        sample_id=ids,
        classes=CLASSES,
        labels=labels,
        predicted=predicted,
        probs=None,
        soft_targets=None,
        votes=None,
        groups=groups,
        cluster=None,
        image=None,
        source=f"{seed}.csv",
    )


@pytest.fixture(scope="module")
def comparisons():
    """A second model that is better for men alone, and a third one that is worse for everybody."""
    runs = [model((0.7, 0.75), 1), model((0.7, 0.9), 2), model((0.6, 0.6), 3)]
    return compare_many(runs, ["base", "new <1>", "small"], ["gender"], settings=Settings(n_boot=200))


@pytest.fixture(scope="module")
def seeds():
    runs = [model((0.6, 0.85), seed, flips=0.15) for seed in range(1, 5)]
    return seed_audit(runs, ["gender"], settings=Settings(n_boot=200))


@pytest.fixture(scope="module")
def one(comparisons, tmp_path_factory):
    return read(render_comparison(comparisons[0], tmp_path_factory.mktemp("pages") / "c.html"))


@pytest.fixture(scope="module")
def seed_page(seeds, tmp_path_factory):
    return read(render_seeds(seeds, tmp_path_factory.mktemp("pages") / "s.html"))


def body(page):
    return page.text[page.text.index("Notice") :]


# Models


def test_verdict_first_then_attributes_then_method(one, comparisons):
    text = body(one)
    parts = [
        "In short",
        comparisons[0].verdict,
        "By gender",
        "Change",
        "All faces together",
        "Method",
        "What this is not",
    ]
    places = [text.index(p) for p in parts]
    assert places == sorted(places)
    assert one.titles[0] == ("h1", "new <1> against base")


def test_groups_have_their_paired_difference_and_test(one, comparisons):
    attribute = comparisons[0].attributes[0]
    assert attribute.group("male & co").verdict == GAINED
    values, changes, gaps, gap_changes = one.pictures
    for group in attribute.groups:
        change = group.metrics["accuracy"]
        assert f"{group.name}: {change.a.value:.3f} and {change.b.value:.3f}" in values
        assert f"{group.name}: {change.difference.value:+.3f} ({change.difference.low:+.3f} to" in changes
        if group.n >= 30:
            assert p_value(group.p_adjusted) in one.text
    assert re.search(r"male & co: \+0\.\d+ \([^)]*\), better", changes)
    assert re.search(r"<rare>: [^;]*, too few faces", changes)
    gap = attribute.gap("accuracy")
    assert f"accuracy: {gap.gap.a.value:.3f} and {gap.gap.b.value:.3f}" in gaps
    assert gap.verdict == GREW
    assert re.search(r"accuracy: \+0\.\d+ \([^)]*\), worse", gap_changes)
    assert gap.sentence in one.text


def test_the_group_served_worst_stands_beside_each_gap(one, comparisons):
    gap = comparisons[0].attributes[0].gap("accuracy")
    assert "Lowest value, base" in one.text
    assert f"{gap.worst.a.value:.3f} {gap.worst.a.low:.3f} to {gap.worst.a.high:.3f} {gap.worst_a}" in one.text


def test_several_models_have_a_block_each(comparisons, tmp_path):
    page = read(render_comparison(comparisons, tmp_path))
    titles = [title for level, title in page.titles if level == "h2"]
    assert [t for t in titles if "against" in t] == ["new <1> against base", "small against base"]
    assert all(c.verdict in page.text for c in comparisons)
    assert len(page.pictures) == 8
    assert (tmp_path / "comparison.html").is_file()


@pytest.mark.drawn
def test_comparisons_that_went_through_json_look_the_same(comparisons, tmp_path):
    again = from_plain(Comparison, plain(asdict(comparisons[0])))
    paths = [render_comparison(c, tmp_path / f"{i}.html") for i, c in enumerate((comparisons[0], again))]
    assert paths[0].read_text() == paths[1].read_text()
    assert paths[0].stat().st_size < 200_000


def test_faces_that_are_not_shared_are_counted(tmp_path):
    a, b = model((0.7, 0.8), 1), model((0.7, 0.8), 2)
    page = read(
        render_comparison(
            compare(a, b.select(np.arange(900)), ["gender"], settings=Settings(n_boot=50)), tmp_path / "c.html"
        )
    )
    assert "A: 1.csv, 100 faces left out, since not shared." in page.text
    assert "B: 2.csv." in page.text
    assert "900 shared faces, 3 classes." in page.text


def test_equal_models_and_classes_that_are_missing(tmp_path):
    a = model((0.7, 0.8), 1)
    a = a.select(a.labels != 2)
    page = read(render_comparison(compare(a, a, ["gender"], settings=Settings(n_boot=50)), tmp_path / "c.html"))
    assert "undefined" in page.text
    assert "better" not in " ".join(page.pictures)


def test_too_few_faces_in_all_groups(tmp_path):
    few = [model((0.7, 0.8), seed).select(np.arange(40)) for seed in (1, 2)]
    page = read(render_comparison(compare(*few, ["gender"], settings=Settings(n_boot=50)), tmp_path / "c.html"))
    assert "fewer than two groups with enough faces" in page.text
    assert "Too few faces to be judged: " in page.text


def test_many_groups_are_cut_and_said(tmp_path):
    runs = [model((0.7, 0.8), s, place=np.array([f"place {i % 30}" for i in range(1000)])) for s in (1, 2)]
    page = read(render_comparison(compare(*runs, ["place"], settings=Settings(n_boot=50)), tmp_path / "c.html"))
    assert f"The {30 - MAX_ROWS + 1} smallest groups stand in the table only." in page.text
    assert page.pictures[0].count("place") == MAX_ROWS - 1


@pytest.mark.parametrize("render", [render_comparison, render_seeds])
def test_a_folder_that_does_not_exist_is_refused(render, comparisons, seeds, tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        render(comparisons[0] if render is render_comparison else seeds, tmp_path / "no" / "page.html")


def test_the_first_model_is_hollow_and_the_second_filled():
    change = Change(Estimate(0.6), Estimate(0.8), Estimate(0.2, 0.1, 0.3))
    none = Change(*[Estimate(NAN, note="no faces")] * 3)
    rows = [ChangeRow("x", change, "better"), ChangeRow("y", none, few=True)]
    ax = both_plot(rows, ["a", "b"], "accuracy").axes[0]
    marks = {float(line.get_xdata()[0]): line.get_markerfacecolor() for line in ax.lines if line.get_marker() == "o"}
    assert set(marks) == {0.6, 0.8}
    assert marks[0.6] != marks[0.8]
    assert [t.get_text() for t in ax.texts] == ["undefined"]
    figure = difference_plot(rows, "change")
    assert figure.get_label() == "change. x: +0.200 (+0.100 to +0.300), better; y: undefined, too few faces"


# Seeds


def test_seed_verdict_first_and_every_run_shown(seed_page, seeds):
    text = body(seed_page)
    places = [text.index(p) for p in ("In short", seeds.verdict, "By gender", "All faces together", "Method")]
    assert places == sorted(places)
    attribute = seeds.attributes[0]
    values, gaps, noise = seed_page.pictures
    for group in attribute.groups:
        runs = ", ".join(f"{r:.3f}" for r in group.metrics["accuracy"].runs)
        assert f"{group.name}: mean {group.metrics['accuracy'].mean.value:.3f}" in values
        assert f"runs {runs}" in values
        assert f"{group.name}: {seed_share(group, 4):.0%} seeds" in noise
    gap = attribute.gap("accuracy")
    assert gap.verdict == REAL
    assert f"accuracy: {gap.value.value:.3f}" in gaps
    assert f"equal groups {gap.expected:.3f}" in gaps
    assert f"95 % below {gap.seed_gap_high:.3f}" in seed_page.text
    assert f"last in {gap.worst_by_run.count(gap.worst)} of 4 runs" in seed_page.text


def test_share_of_the_seeds_is_their_variance_over_all(seeds):
    group = seeds.attributes[0].group("female")
    value = replace(group.metrics["accuracy"], sampling_error=0.02, run_spread=0.04)
    known = replace(group, metrics={"accuracy": value})
    assert seed_share(known, 4) == pytest.approx(0.5)
    assert seed_share(known, 1) == pytest.approx(0.8)
    assert np.isnan(seed_share(replace(group, metrics={"accuracy": replace(value, run_spread=NAN)}), 4))


@pytest.mark.drawn
def test_seed_audits_that_went_through_json_look_the_same(seeds, tmp_path):
    again = from_plain(SeedAudit, plain(asdict(seeds)))
    paths = [render_seeds(s, tmp_path / f"{i}.html") for i, s in enumerate((seeds, again))]
    assert paths[0].read_text() == paths[1].read_text()
    assert render_seeds(seeds, tmp_path) == tmp_path / "seeds.html"


def test_seeds_with_too_few_faces_and_classes_that_are_missing(tmp_path):
    runs = [model((0.6, 0.8), seed, flips=0.1) for seed in (1, 2)]
    runs = [r.select(np.flatnonzero(r.labels != 2)[:45]) for r in runs]
    page = read(render_seeds(seed_audit(runs, ["gender"], settings=Settings(n_boot=50)), tmp_path / "s.html"))
    assert "fewer than two groups with enough faces" in page.text
    assert "too few" in page.text
    assert "undefined" in page.text


def test_runs_that_are_the_same_have_no_noise_to_share(tmp_path):
    run = model((1.0, 1.0), 1)
    run = replace(run, predicted=run.labels)
    page = read(render_seeds(seed_audit([run, run], ["gender"], settings=Settings(n_boot=50)), tmp_path / "s.html"))
    assert "predict the same for every face" in page.text
