"""The page of an audit: what stands first, what each topic says, and that nothing hides what was not tested."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from page_reader import read
from report_simulation import make_predictions
from section_parts import figures, notes, sentences, tables, texts

from mien.audit import DISPARITY, NOT_SHOWN, TOO_FEW, audit, vocabulary
from mien.records import Estimate
from mien.report import render_audit, words
from mien.report.audit_calibration import calibration_section, extreme_groups
from mien.report.audit_calibration_plots import abstention_plot, group_reliability
from mien.report.audit_overview_plot import overview_plot
from mien.report.audit_plots import group_plot, plotted_groups, ranked_groups, shows_pooled
from mien.report.audit_sections import (
    SHOWN,
    gaps_section,
    groups_section,
    overview,
    power_section,
    recall_section,
    untested_section,
)
from mien.report.figures import MAX_LINES
from mien.stats.settings import Settings

pytestmark = pytest.mark.usefixtures("undrawn")

NAN = float("nan")


@pytest.fixture(scope="module")
def wide():
    """Two genders by seven regions, eight classes, one group served much worse, some too small."""
    pred = make_predictions(2600, tuple(f"class {i}" for i in range(8)), seed=3, absent=False)
    rng = np.random.default_rng(4)
    shares = [0.2, 0.2, 0.2, 0.2, 0.15, 0.04, 0.01]
    regions = rng.choice([f"region {i}" for i in range(7)], len(pred), p=shares)
    groups = pred.groups[["gender"]].assign(region=regions)
    worse = (regions == "region 2") & (groups["gender"] == "female") & (rng.random(len(pred)) < 0.6)
    predicted = np.where(worse, (pred.labels + 1) % 8, pred.predicted)
    pred = replace(pred, groups=groups, predicted=predicted, cluster=None)
    return audit(pred, ["gender", "region", "gender*region"], settings=Settings(n_boot=60, n_perm=200))


@pytest.fixture(scope="module")
def path(wide, tmp_path_factory):
    return render_audit(wide, tmp_path_factory.mktemp("pages") / "audit.html")


@pytest.fixture(scope="module")
def page(path):
    assert path.stat().st_size < 1_500_000
    return read(path)


def test_verdict_and_overview_come_first(page, wide):
    parts = [
        wide.verdict,
        "How to read this",
        "The words on this page",
        "Attribute by attribute",
        "All faces together",
        "What was not tested",
        "Method",
        "What this is not for",
    ]
    text = page.text[page.text.index("Notice") :]
    places = [text.index(p) for p in parts]
    assert places == sorted(places)
    assert page.pictures[0].startswith("Gaps between the groups of each attribute")


def test_facts_in_one_line(page):
    assert "2,600 faces, 23 groups of 3 attributes, 8 classes. Source: run on corpus:test." in page.text


def test_topics_of_every_attribute_stand_in_order(page):
    titles = [
        "Who is served worst",
        "Gaps between groups",
        "Class by class",
        "Is the model as sure as it is right?",
        "What this sample could have shown",
    ]
    assert [t for _, t in page.titles if t in titles] == titles * 3


def test_contents_lead_to_every_attribute(page):
    assert {f"audit-a{i}" for i in (1, 2, 3)} <= set(page.links)
    assert page.links.count("contents") == 3


def artists(figure, marker):
    return [line for line in figure.axes[0].get_lines() if line.get_marker() == marker and len(line.get_xdata()) == 1]


def in_overview(audit):
    """Accuracy and macro F1 always, and the two clearest others of an attribute that are more than chance."""
    found = []
    for a in audit.attributes:
        found += [g for g in a.gaps if g.metric in ("accuracy", "macro_f1")]
        others = [g for g in a.gaps if g.family == "headline" and g.verdict == DISPARITY]
        others = [g for g in others if g.metric not in ("accuracy", "macro_f1")]
        found += sorted(others, key=lambda g: g.value.value - g.expected)[-2:]
    return found


@pytest.mark.parametrize("narrow", [False, True])
def test_overview_tells_verdicts_by_shape(wide, narrow):
    gaps = in_overview(wide)
    assert any(g.class_name for g in gaps)
    verdicts = [g.verdict for g in gaps]
    assert DISPARITY in verdicts
    figure = overview_plot(wide, narrow=narrow)
    drawn = {DISPARITY: artists(figure, "D"), NOT_SHOWN: artists(figure, "o"), TOO_FEW: artists(figure, "x")}
    assert {v: len(a) for v, a in drawn.items()} == {v: verdicts.count(v) for v in drawn}
    values = sorted(float(line.get_xdata()[0]) for line in drawn[DISPARITY])
    assert values == pytest.approx(sorted(g.value.value for g in gaps if g.verdict == DISPARITY))
    assert len({line.get_color() for lines in drawn.values() for line in lines}) == sum(bool(a) for a in drawn.values())


def test_overview_draws_the_band_and_the_power_of_each_gap(wide):
    gaps = in_overview(wide)
    ax = overview_plot(wide).axes[0]
    widths = {round(p.get_width(), 9) for p in ax.patches}
    assert widths == {round(v, 9) for g in gaps for v in (g.expected, g.expected_high)}
    upright = [line.get_xdata()[0] for line in ax.get_lines() if len(set(line.get_xdata())) < len(line.get_xdata())]
    known = [g.detectable_high for g in gaps if not np.isnan(g.detectable_high)]  # no loss of recall may be enough
    own = [x for x in upright if np.isclose(x, known).any()]
    assert sorted(own) == pytest.approx(sorted(known))


def test_overview_says_in_words_what_it_shows(wide):
    label = overview_plot(wide).get_label()
    for result in wide.attributes:
        gap = result.gap("accuracy")
        said = {DISPARITY: "more than chance", NOT_SHOWN: "could be chance"}[gap.verdict]
        chance = f"chance alone shows up to {gap.expected_high:.3f}"
        assert f"{result.label}, accuracy: {gap.value.value:.3f}, {said}, {chance}" in label


def test_gap_that_cannot_be_judged_is_no_gap_of_nought(small_audit):
    few = audit(make_predictions(60), ["gender"], settings=Settings(n_boot=20, n_perm=20, min_n=50))
    figure = overview_plot(few)
    assert len(artists(figure, "x")) == 2
    assert not artists(figure, "o")
    assert "accuracy: too few faces" in figure.get_label()
    assert "0.000" not in figure.get_label()


def test_intersections_are_ranked_by_pooled_accuracy(wide):
    result = wide.attribute("gender*region")
    (section,) = groups_section(wide, result, "x")
    worst, others, _ = tables(section)
    names = [row[1].text for row in (*worst.rows, *others.rows)]
    assert names == [g.name for g in ranked_groups(result)]
    ranked = [g for g in map(result.group, names) if not g.verdict]
    pooled = [g.pooled.value for g in ranked]
    assert pooled == sorted(pooled)
    assert ranked[0].name == "female*region 2"
    ranks = [row[0] for row in (*worst.rows, *others.rows)]
    assert ranks[: len(ranked)] == [str(i) for i in range(1, len(ranked) + 1)]
    assert len(worst.rows) == SHOWN == 10  # the caption says "ten"
    few = [g.name for g in result.groups if g.verdict]
    assert few
    assert names[-len(few) :] == few
    assert set(ranks[-len(few) :]) == {"–"}
    assert sorted(others.few) == list(range(len(others.rows)))[-len(few) :]


def test_few_groups_are_ranked_by_their_own_accuracy(wide):
    result = wide.attribute("gender")
    assert not shows_pooled(result)
    assert [g.name for g in ranked_groups(result)] == sorted(
        ("female", "male"), key=lambda n: result.group(n).metrics["accuracy"].value
    )


def test_ordered_groups_keep_their_order_in_plots(small_audit, wide):
    assert [g.name for g in plotted_groups(small_audit.attribute("age"))] == ["0-19", "20-39", "40-59", "60+"]
    assert [g.name for g in plotted_groups(wide.attribute("region"))] == [f"region {i}" for i in range(7)]
    assert plotted_groups(wide.attribute("gender*region")) == ranked_groups(wide.attribute("gender*region"))


def test_plot_of_many_groups_shows_raw_and_pooled(wide):
    result = wide.attribute("gender*region")
    figure = group_plot(result, wide.overall, ["accuracy"])
    pooled = [float(line.get_xdata()[0]) for line in artists(figure, "D")]
    raw = [float(line.get_xdata()[0]) for line in artists(figure, "o")]
    groups = [g for g in plotted_groups(result) if g.n]
    assert pooled == [g.pooled.value for g in groups]
    assert raw == [g.metrics["accuracy"].value for g in groups]
    assert not artists(group_plot(result, wide.overall, ["macro_f1"]), "D")


def test_ranking_beyond_ten_opens_on_a_click(page, wide):
    rest = len(wide.attribute("gender*region").groups) - SHOWN
    assert f"The other {rest} groups" in page.text


def test_standing_is_told(page, wide, path):
    below = [g for a in wide.attributes for g in a.groups if g.standing == vocabulary.BELOW]
    assert below
    for group in below:
        assert f"{group.expected:.3f} below expectation" in page.text
    standings = [g.standing for a in wide.attributes for g in a.groups if g.standing]
    marked = re.findall(r'class="(found )?standing">(\w+) expectation', path.read_text())
    assert sorted(f"{word} expectation" for _, word in marked) == sorted(standings)
    assert all((word == "below") == bool(found) for found, word in marked)


def test_every_measure_has_a_title_and_an_explanation(wide):
    names = {g.metric for a in wide.attributes for g in a.gaps} | {
        m for a in wide.attributes for m in a.groups[0].metrics
    }
    for name in {*names, *wide.overall, *vocabulary._TITLES}:
        title, about = words.metric_words(name)
        assert about, name
        assert title == vocabulary.metric_title(name)[:1].upper() + vocabulary.metric_title(name)[1:]


def test_further_measures_stand_apart(page, wide):
    result = wide.attribute("gender")
    (section,) = gaps_section(wide, result, "x")
    headline, further = tables(section)
    by_title = {words.capital(g.title): g for g in result.gaps}
    shown = [by_title[row[0].text] for row in further.rows]
    assert {by_title[row[0].text].family for row in headline.rows} == {"headline"}
    assert {g.metric for g in shown} >= {"equalized_odds_ratio", "demographic_parity_difference", "kl", "f1"}
    assert len(headline.rows) + len(further.rows) == len(result.gaps)
    classes = [bool(g.class_name) for g in shown]
    assert classes == sorted(classes)
    assert further.summary == f"Further measures: {words.gap_share(shown, 'further')}"
    assert further.summary in page.text
    assert "Equal-odds fairness F recalls of all classes summed, worst over best group: 1 is equal" in page.text


def test_share_of_gaps_in_words(wide):
    gap = wide.attributes[0].gaps[0]
    found, not_found, few = (replace(gap, verdict=v) for v in (DISPARITY, NOT_SHOWN, TOO_FEW))
    assert words.gap_share([found, not_found, few], "headline").startswith("1 of 2 headline gaps is larger")
    assert words.gap_share([found, found], "further").startswith("2 of 2 further gaps are larger")
    assert words.gap_share([few], "further") == "None of the further gaps could be judged: too few faces."


def test_attribute_sentences(wide):
    result = wide.attribute("gender*region")
    accuracy = result.gap("accuracy")
    said = words.attribute_sentence(result)
    assert said.startswith("Served worst: female*region 2. The model is right for ")
    assert f"against {100 * accuracy.best_value.value:.1f}\u00a0% for {accuracy.best}." in said
    nothing = replace(result, gaps=[replace(g, verdict=NOT_SHOWN) for g in result.gaps])
    assert "female*region 2" in words.attribute_sentence(nothing)
    assert "served worse than expected" in words.attribute_sentence(nothing)
    few = replace(result, gaps=[replace(g, verdict=TOO_FEW) for g in result.gaps])
    assert words.attribute_sentence(few) == "Too few faces: no gap could be judged."
    one = [replace(g, verdict=DISPARITY if g.class_name == "class 1" else NOT_SHOWN) for g in result.gaps]
    recall = result.gap("recall", "class 1")
    assert f"recall of class 1 ({100 * recall.value.value:.1f} percentage points lower for {recall.worst}" in (
        words.attribute_sentence(replace(result, gaps=one))
    )


def test_words_for_lists_and_points():
    assert words.listed(["a"]) == "a"
    assert words.listed(["a", "b", "c"]) == "a, b and c"
    assert words.listed(["a", "b", "c"], 2) == "a, b and 1 more"
    assert words.points(-0.01) == "1.0 percentage point"
    assert words.points(0.065) == "6.5 percentage points"


def test_notes_of_many_groups_are_said_once(page):
    assert page.text.count("Calibration error: biased upwards for few faces.") == 3
    one, other = Estimate(0.5, 0.4, 0.6, note="odd"), Estimate(0.5, 0.4, 0.6)
    assert words.shared_notes([{"ece": one}, {"ece": other}]) == (set(), [])


def with_confidence(result, **values):
    """The attribute with other overconfidence of some groups."""

    def of(group):
        value = values[group.name]
        return group.metrics | {"overconfidence": Estimate(value, value - 0.01, value + 0.01)}

    return replace(result, groups=[replace(g, metrics=of(g)) for g in result.groups])


def calibration_text(found, result):
    (section,) = calibration_section(found, result, "x")
    return sentences(section)[0]


def test_calibration_in_words(wide):
    result = with_confidence(wide.attribute("gender"), female=0.061, male=0.004)
    said = calibration_text(wide, result)
    assert said.startswith(
        "For female the model is too sure by 6.1 percentage points (95\u00a0% interval 5.1 to 7.1); for male, where it "
        "comes closest, it is about as sure as it is right."
    )
    other = with_confidence(wide.attribute("gender"), female=-0.05, male=-0.2)
    assert calibration_text(wide, other).startswith(
        "For male the model is not sure enough by 20.0 percentage points (95\u00a0% interval 19.0 to 21.0);"
    )
    coverage = wide.attribute("gender").gap("coverage")
    assert f"{100 * coverage.worst_value.value:.0f}\u00a0% for {coverage.worst}" in said


def test_groups_of_the_calibration_plots_are_the_extremes(wide):
    result = wide.attribute("gender*region")
    known = [g for g in result.groups if not g.verdict]
    chosen = [g.metrics["ece"].value for g in extreme_groups(known)]
    every = sorted((g.metrics["ece"].value for g in known), reverse=True)
    assert chosen == [*every[:3], *every[-3:]]
    assert extreme_groups(known[:4]) == known[:4]
    assert (
        f"{len(known) - MAX_LINES} more stand in the table" in sentences(calibration_section(wide, result, "x")[0])[-1]
    )


def test_abstention_lines_differ_without_their_colours(wide):
    result = wide.attribute("gender*region")
    groups = [c for c in result.calibration if not result.group(c.group).verdict][:MAX_LINES]
    ax = abstention_plot(groups).axes[0]
    lines = [line for line in ax.get_lines() if not str(line.get_label()).startswith("_")]
    assert len({line.get_marker() for line in lines}) == len({line.get_color() for line in lines}) == MAX_LINES
    assert len({str(line._unscaled_dash_pattern) for line in lines}) == MAX_LINES
    point = groups[0].abstention[0]
    drawn = {tuple(np.round(xy, 6)) for xy in lines[0].get_xydata()}
    assert (round(point.coverage, 6), round(point.risk, 6)) in drawn


def test_reliability_leaves_out_bins_of_few_faces(wide):
    groups = wide.attribute("gender").calibration
    figure = group_reliability(groups, {"female": "too sure: 6 points"})
    drawn = [len(ax.get_lines()[1].get_xdata()) for ax in figure.axes]
    assert drawn == [sum(b.n >= 10 for b in g.bins) for g in groups]
    assert any(0 < b.n < 10 for g in groups for b in g.bins)
    assert "too sure: 6 points" in [t.get_text() for t in figure.axes[0].texts]


def test_without_probabilities_there_is_no_calibration(pred, tmp_path):
    bare = audit(replace(pred, probs=None), ["gender"], settings=Settings(n_boot=20, n_perm=20))
    assert calibration_section(bare, bare.attributes[0], "x") == []
    page = read(render_audit(bare, tmp_path))
    assert "Is the model as sure" not in page.text
    assert "no probabilities" in page.text[page.text.index("What was not tested") :]


def test_power_in_points(wide):
    result = wide.attribute("gender*region")
    gap = result.gap("accuracy")
    (section,) = power_section(wide, result, "x")
    (said,) = sentences(section)
    hardest = max((g for g in result.groups if not g.verdict), key=lambda g: g.detectable)
    assert f"{100 * gap.detectable:.1f} percentage points or more" in said
    assert f"{100 * gap.detectable_high:.1f} percentage points or more with {hardest.name}." in said
    known = [g for g in result.gaps if g.family == "headline" and not np.isnan(g.detectable)]
    wanted = [[words.capital(g.title), *map(words.number, (g.detectable, g.detectable_high))] for g in known]
    assert [texts(row)[:3] for row in tables(section)[0].rows] == wanted
    alike = replace(result, gaps=[replace(g, detectable=0.051, detectable_high=0.052) for g in result.gaps])
    first = sentences(power_section(wide, alike, "x")[0])[0]
    assert first.startswith(
        "This sample would have shown a gap of 5.2 percentage points in accuracy four times in five."
    )
    few = replace(result, gaps=[replace(g, detectable=NAN, detectable_high=NAN) for g in result.gaps])
    assert [b.text for b in power_section(wide, few, "x")[0].blocks] == [
        "Too few faces: no gap of any size could have been shown."
    ]


def test_what_was_not_tested(wide, page):
    items = notes(untested_section(wide, "x"))
    assert items[: len(wide.not_tested)] == wide.not_tested
    rare = next(i for i in items if i.startswith("Classes too rare"))
    assert "by gender * region: " in rare
    assert not any(i.startswith("Combinations") for i in items)
    alone = replace(wide, attributes=wide.attributes[:2])
    assert any(
        i.startswith("Combinations of attributes, such as gender * region") for i in notes(untested_section(alone, "x"))
    )
    for item in items:
        assert item in page.text


def test_rare_classes_by_hand(wide):
    result = wide.attribute("gender")
    group = result.groups[0]
    rare = replace(group, recall=group.recall | {"class 5": replace(group.recall["class 5"], note=TOO_FEW)})
    changed = replace(wide, attributes=[replace(result, groups=[rare, *result.groups[1:]])])
    assert any("by gender: class 5 in female" in i for i in notes(untested_section(changed, "x")))
    assert not any("class 5" in i for i in notes(untested_section(replace(wide, attributes=[result]), "x")))


def test_sources_in_plain_words(wide):
    result = wide.attributes[0]
    perceived = words.provenance(replace(result, source="perceived", confidence=0.9))
    assert perceived == (
        "Source of the groups: perceived, with a mean confidence of 0.90 "
        "(someone or something judged them from the picture)."
    )
    assert words.provenance(replace(result, source="not stated")) == "Source of the groups: not stated."


def test_page_of_parts_of_a_column_of_numbers(pred, tmp_path):
    numbers = pred.groups.assign(brightness=np.random.default_rng(0).random(len(pred)))
    found = audit(replace(pred, groups=numbers), ["brightness:3"], settings=Settings(n_boot=20, n_perm=20))
    page = read(render_audit(found, tmp_path))
    assert f"By {found.attributes[0].label}" in page.text
    assert "a column of numbers, cut into parts" in page.text


def test_figures_follow_the_schemes_of_the_page(path):
    text = path.read_text()
    style = text[text.index("<style>") : text.index("</style>")]
    for name in ("ink", "muted", "grid", "page", "blue"):
        assert f"var(--{name}, #" in text
        assert style.count(f"--{name}: #") == 3, name
    assert not re.search(r": #(0072b2|1c2127|fffffe)\b", text[text.index("<main") :])


def test_printing_opens_what_is_folded(path):
    text = path.read_text()
    printed = text[text.index("@media print") :]
    assert "details::details-content { content-visibility: visible" in printed
    assert text.count("<details>") == text.count("<summary>")
    assert "@media screen and (max-width" in text


def test_unknown_groups_are_counted(pred, tmp_path):
    groups = pred.groups.assign(age=pd.Series(pred.groups["age"]).where(np.arange(len(pred)) % 10 > 0))
    found = audit(replace(pred, groups=groups), ["age"], settings=Settings(n_boot=20, n_perm=20))
    page = read(render_audit(found, tmp_path))
    assert f"540 faces of known group; {len(pred) - 540} of unknown group are left out" in page.text


@pytest.mark.drawn
def test_anchors_of_several_audits_differ(small_audit):
    one = replace(small_audit, attributes=small_audit.attributes[:1])
    ids = []
    for anchor in ("e1", "e2"):
        (drawing,) = overview(one, anchor)[0].drawings
        (recall,) = recall_section(one, one.attributes[0], f"{anchor}-a1")
        drawn = drawing.svg + drawing.narrow + figures(recall)[0].svg
        ids.append(set(re.findall(r'\bid="([^"]+)"', drawn)))
    assert ids[0]
    assert not ids[0] & ids[1]
