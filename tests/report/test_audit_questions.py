"""Sections beyond the gaps: sentence first, figures that say what they show, nothing undefined as a number."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from page_reader import read
from section_parts import figures, notes, sentences, tables

from mien.audit import AnnotatorError, Audit, audit, infer_gaps, leakage_probe
from mien.audit.attributes import resolve_attribute
from mien.audit.inferred.quotes import quotable
from mien.audit.inferred.results import CORRECTED, WEIGHTED
from mien.audit.inferred.sensitivity import percent
from mien.audit.leakage import ProbeSettings
from mien.records import Estimate, Predictions
from mien.report import audit_question_plots as question_plots
from mien.report import render_audit
from mien.report.audit_confounders import MAX_PANELS, confounders_section
from mien.report.audit_disagreement import disagreement_section
from mien.report.audit_inferred import inferred_section
from mien.report.audit_leakage import leakage_section
from mien.report.audit_page import questions
from mien.report.blocks import LONG_TABLE, Cell, Page, Section, cell, table
from mien.report.dot_plot import spoken
from mien.report.figures import LINES, MAX_LINES
from mien.report.page import render
from mien.stats.settings import Settings
from mien.stats.strata import AdjustedGap

CLASSES = ("angry", "fear", "<b>happy</b>", "sad")
QUICK = Settings(n_boot=50, n_perm=40)
MATRIX = AnnotatorError(["female", "male"], [[180, 20], [30, 170]], "validation")
QUESTIONS = {
    "disagreement": "Was the model wrong, or was the face ambiguous?",
    "confounders": "Is it the pictures?",
    "inferred": "What if the perceived groups are wrong?",
    "leakage": "Can the attribute be read from the model?",
}


def simulate(n=900, seed=0, n_regions=3):
    """Faces with ten votes each; dark pictures are hard, and one region's are darker."""
    rng = np.random.default_rng(seed)
    k = len(CLASSES)
    truth, gender, region = rng.integers(0, k, n), rng.integers(0, 2, n), rng.integers(0, n_regions, n)
    blur = rng.beta(2, 4, n)
    chosen = np.where(rng.random((n, 10)) < blur[:, None], rng.integers(0, k, (n, 10)), truth[:, None])
    votes = (chosen[:, :, None] == np.arange(k)).sum(1).astype(float)
    labels = votes.argmax(1)
    brightness = np.clip(rng.normal(0.6 - 0.1 * region, 0.12), 0, 1)
    right = rng.random(n) < np.clip(1.0 - 0.5 * blur + brightness - 0.6 - 0.12 * (gender == 0), 0, 1)
    predicted = np.where(right, labels, (labels + rng.integers(1, k, n)) % k)
    named = np.where(rng.random(n) < 0.1, 1 - gender, gender)
    groups = pd.DataFrame(
        {
            "perceived_gender": np.array(["female", "male"])[named],
            "perceived_gender_confidence": rng.uniform(0.7, 1.0, n),
            "region": np.array([f"region <{i}>" for i in range(n_regions)])[region],
            "brightness": brightness,
            "sharpness": np.where(np.arange(n) % 40 == 0, np.nan, rng.lognormal(size=n)),
        }
    )
    ids = np.array([f"s{i}" for i in range(n)], dtype=object)
    pred = Predictions(
        sample_id=ids,
        classes=CLASSES,
        labels=labels,
        predicted=predicted,
        probs=None,
        soft_targets=None,
        votes=votes,
        groups=groups,
        cluster=None,
        image=None,
        source="sim.csv",
    )
    features = rng.normal(size=(n, 6)) + 0.8 * gender[:, None] * (np.arange(6) == 0)
    return pred, features


def leakage(pred, features, name="perceived_gender", labels=True, **options):
    settings = ProbeSettings(**{"probes": ("linear",), "n_perm": 39, "n_boot": 100} | options)
    who = resolve_attribute(pred, name)
    return leakage_probe({"features": features}, who, None, labels=pred.labels if labels else None, settings=settings)


@pytest.fixture(scope="module")
def faces():
    return simulate()


@pytest.fixture(scope="module")
def full(faces):
    """An audit that was asked everything."""
    pred, features = faces
    found = audit(pred, ["perceived_gender", "region"], annotator_errors={"perceived_gender": MATRIX}, settings=QUICK)
    gender = replace(found.attributes[0], leakage=leakage(pred, features))
    return replace(found, attributes=[gender, *found.attributes[1:]])


@pytest.fixture(scope="module")
def gender(full):
    return dict(zip(QUESTIONS, questions(full, full.attributes[0], "a1"), strict=True))


@pytest.fixture(scope="module")
def path(full, tmp_path_factory):
    return render_audit(full, tmp_path_factory.mktemp("pages") / "audit.html")


def shown(section, path):
    """A page with nothing but a section."""
    around = Section("Around", "contents-of-it", [section])
    (path / "page.html").write_text(render(Page("Section", [], [around])))
    return read(path / "page.html")


def labels(section):
    return [re.search(r'aria-label="([^"]*)"', d.svg)[1] for d in figures(section)]


def test_every_question_is_asked_and_answered_first(gender):
    assert {kind: s.title for kind, s in gender.items()} == QUESTIONS
    assert all(sentences(s) and figures(s) and tables(s) and notes(s) for s in gender.values())
    assert [len(figures(s)) for s in gender.values()] == [3, 2, 3, 1]


def test_the_finding_stands_before_the_figure_on_the_page(gender, path):
    page, text = read(path), path.read_text()
    for section in gender.values():
        own = text[text.index(section.title, text.index("</nav>")) :]
        assert own.index("<p>") < own.index("<figure>") < own.index("<table>") < own.index("<li>")
        places = [page.text.index(" ".join(w.split())) for w in (sentences(section)[0], figures(section)[0].caption)]
        assert places == sorted(places)


def test_the_page_is_whole(path):
    page = read(path)
    titles = [title for _, title in page.titles]
    assert titles.count(QUESTIONS["disagreement"]) == titles.count(QUESTIONS["confounders"]) == 2
    assert titles.count(QUESTIONS["inferred"]) == titles.count(QUESTIONS["leakage"]) == 1
    assert "region <1>" in page.text
    assert "<b>happy</b>" in page.text


def test_figures_are_small_and_speak(gender):
    for section in gender.values():
        for drawing, words in zip(figures(section), labels(section), strict=True):
            assert len(drawing.svg) < 40_000
            assert drawing.caption.endswith(".")
            assert not re.search(r"\bnan\b", words + drawing.caption, re.IGNORECASE)
            assert len(words) > 60


def test_nothing_is_asked_nothing_is_shown(full):
    bare = replace(full.attributes[0], disagreement=None, confounders=None, inferred=None, leakage=None)
    assert questions(full, bare, "a") == []


def test_audits_that_went_through_json_look_the_same(full, gender):
    again = Audit.from_dict(json.loads(json.dumps(full.to_dict())))
    assert again is not full
    assert questions(again, again.attributes[0], "a1") == list(gender.values())


# Disagreement


def test_shares_and_ceiling_are_the_result_s(full, gender):
    result = full.attributes[0].disagreement
    words = labels(gender["disagreement"])
    for group in result.groups:
        shares = f"{group.name}: right {group.right.value:.0%}, ambiguous {group.ambiguous.value:.0%}"
        assert shares in words[0]
        assert f"one annotator {group.ceiling.value:.0%}" in words[0]
    assert "triangle" in figures(gender["disagreement"])[0].caption
    gap = result.gap
    for estimate in (gap.compared, *gap.parts.values(), gap.remaining):
        assert spoken(estimate) in words[2]


def test_a_gap_that_may_be_nothing_is_not_split(full):
    result = full.attributes[0].disagreement
    unclear = replace(result.gap, compared=replace(result.gap.compared, low=0.0))
    section = disagreement_section(replace(result, gap=unclear), "d")
    assert len(figures(section)) == 2
    assert len(figures(disagreement_section(replace(result, gap=None), "d"))) == 2


def test_at_most_six_lines_and_the_others_are_named():
    pred, _ = simulate(1500, n_regions=9)
    result = audit(pred, ["region"], settings=QUICK, confounders=[]).attributes[0].disagreement
    section = disagreement_section(result, "d")
    lines = labels(section)[1]
    drawn = [g.name for g in result.groups if f"{g.name}: " in lines.replace("&lt;", "<").replace("&gt;", ">")]
    assert len(drawn) == MAX_LINES
    ranked = [g.name for g in sorted(result.groups, key=lambda g: g.right.value)]
    assert set(drawn) == {*ranked[:3], *ranked[-3:]}
    caption = figures(section)[1].caption
    assert all(name in caption for name in ranked[3:-3])
    assert not any(name in caption for name in drawn)


def test_looks_differ_without_colour():
    looks = LINES
    assert len({str(dash) for _, dash, _ in looks}) == len({marker for *_, marker in looks}) == MAX_LINES


def test_groups_with_too_few_faces_are_in_the_bars_but_in_no_line(faces, tmp_path):
    pred, _ = faces
    region = np.where(np.arange(len(pred)) < 12, "rare", "common")
    region[:300] = np.where(region[:300] == "common", "other", "rare")
    result = (
        audit(replace(pred, groups=pred.groups.assign(region=region)), ["region"], settings=QUICK)
        .attributes[0]
        .disagreement
    )
    section = disagreement_section(result, "d")
    bars, lines, *_ = labels(section)
    assert "rare" in bars
    assert "rare" not in lines
    assert "Too few faces to draw: rare." in figures(section)[1].caption
    shown(section, tmp_path)


@pytest.mark.parametrize("kind", ["one vote", "shares", "few"])
def test_votes_that_say_little(kind, faces, tmp_path):
    pred, _ = faces
    votes = {"one vote": np.eye(len(CLASSES))[pred.labels], "shares": pred.votes / 10, "few": pred.votes}[kind]
    pred = replace(pred, votes=votes)
    pred = pred.select(np.arange(40)) if kind == "few" else pred
    result = audit(pred, ["perceived_gender"], settings=QUICK).attributes[0].disagreement
    section = disagreement_section(result, "d")
    assert sentences(section)
    assert len(figures(section)) == {"one vote": 0, "shares": 3, "few": 1}[kind]
    if kind == "one vote":
        assert "900 with one vote only" in notes(section)[0]
    if kind == "shares":
        assert "one annotator" not in labels(section)[0]
        assert "triangle" not in figures(section)[0].caption
    shown(section, tmp_path)


# Confounders


def test_the_gap_before_and_after_each_confounder(full):
    result = full.attributes[1].confounders
    section = confounders_section(result, "c")
    words = labels(section)[0]
    assert spoken(result.by_class.raw) in words
    gaps = [result.by_class, *(c.gap for c in result.confounders), result.joint.gap]
    for gap in gaps:
        assert f"from {spoken(gap.compared)} to {spoken(gap.adjusted)}" in words
    assert [row[0] for row in tables(section)[1].rows][-1] == "expressions and all of these"
    assert all("brightness: " in w and "sharpness: " in w for w in labels(section)[1:])
    # The darker the region, the lower its mean.
    means = [float(row[1].text) for row in tables(section)[0].rows]
    assert means == sorted(means, reverse=True)
    missing = next(n for n in notes(section) if "without a value" in n)
    assert "sharpness (23)" in missing


def test_pictures_that_nothing_is_like(faces, tmp_path):
    pred, _ = faces
    apart = np.where(pred.groups["perceived_gender"] == "male", 0.9, 0.1) + np.arange(len(pred)) * 1e-6
    pred = replace(pred, groups=pred.groups.assign(brightness=apart).drop(columns="sharpness"))
    result = audit(pred, ["perceived_gender"], settings=QUICK).attributes[0].confounders
    section = confounders_section(result, "c")
    assert "to undefined" in labels(section)[0]
    assert "too few pictures alike" in figures(section)[0].svg
    assert tables(section)[0].rows[0][-1].text == ""
    shown(section, tmp_path)


def test_few_faces_leave_means_and_no_gap(faces, tmp_path):
    pred, _ = faces
    result = audit(pred.select(np.arange(40)), ["perceived_gender"], settings=QUICK).attributes[0].confounders
    section = confounders_section(result, "c")
    assert figures(section) == []
    assert [len(t.rows) for t in tables(section)] == [2]
    assert "Too few faces to take part: female and male." in notes(section)
    shown(section, tmp_path)


def test_only_the_strongest_of_many_confounders_are_drawn(full):
    result = full.attributes[0].confounders
    strengths = [0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.4, 0.6]
    many = [
        replace(result.confounders[0], title=f"number {i}", strength=Estimate(value))
        for i, value in enumerate(strengths)
    ]
    section = confounders_section(replace(result, confounders=many), "c")
    assert MAX_PANELS == 6
    assert "number 0" not in labels(section)[1]
    assert "number 1" in labels(section)[1]
    assert "changes least along them: number 0 and number 2." in figures(section)[1].caption


# Perceived groups


def test_three_methods_beside_each_other(full, gender):
    result = full.attributes[0].inferred
    section = gender["inferred"]
    for estimate in result.side_by_side("accuracy").values():
        assert str(estimate) in sentences(section)[0]
        assert spoken(estimate) in labels(section)[0]
    assert "(female below male)" in sentences(section)[0]
    curve = next(c for c in result.erasure if c.metric == "accuracy")
    assert sentences(section)[1] == quotable(result)
    assert sentences(section)[2].startswith(curve.sentence)
    assert not any(note.startswith(curve.sentence) for note in notes(section))
    assert f"no gap at {percent(curve.erased_at.value)}" in figures(section)[2].svg
    assert "this annotator on average" in figures(section)[1].svg


def test_methods_that_need_more_say_what(faces, tmp_path):
    pred, _ = faces
    pred = replace(pred, groups=pred.groups.drop(columns="perceived_gender_confidence"))
    result = infer_gaps(pred, "perceived_gender", settings=Settings(n_boot=50))
    assert {m.name for m in result.methods} & {WEIGHTED, CORRECTED} == set()
    section = inferred_section(result, "i")
    assert "needs the annotator" in labels(section)[0]
    assert "needs its confusion matrix" in figures(section)[0].svg
    assert "nothing could be corrected" in sentences(section)[0]
    assert "this annotator on average" not in figures(section)[1].svg
    shown(section, tmp_path)


def test_a_matrix_that_cannot_be_used_is_not_called_unknown(faces, tmp_path):
    pred, _ = faces
    content = {"groups": ["female", "male"], "counts": [[52, 48], [50, 50]], "note": "female holds all"}
    pred = replace(pred, annotator_errors={"perceived_gender": content})
    section = inferred_section(infer_gaps(pred, "perceived_gender", settings=Settings(n_boot=50)), "i")
    assert "How often the annotator errs is known, but cannot be used" in sentences(section)[0]
    assert "cannot be used" in figures(section)[0].svg
    page = shown(section, tmp_path)
    assert "condition number 50" in page.text
    assert "female holds all" in page.text


@pytest.mark.parametrize(("last", "ticks"), [(0.0143, "0.0% 0.5% 1.0%"), (0.18, "0% 5% 10% 15%"), (1.0, "0% 20% 40%")])
def test_shares_stand_on_steps_that_their_labels_tell_apart(full, last, ticks):
    result = full.attributes[0].inferred
    curve = next(c for c in result.even_errors if c.metric == "accuracy")
    points = [replace(p, error=last * i / 4) for i, p in enumerate(curve.points[:5])]
    figure = question_plots.even_error_plot(replace(curve, points=points))
    figure.draw_without_rendering()
    ax = figure.axes[0]
    shown_ticks = [t.get_text() for t in ax.get_xticklabels() if 0 <= t.get_position()[0] <= last * 1.001]
    assert " ".join(shown_ticks).startswith(ticks)
    assert ax.get_xlim() == (0, last)


def test_a_curve_of_one_point_is_not_drawn(full):
    result = full.attributes[0].inferred
    short = [replace(c, points=c.points[:1], note="ends at 0.0%: odd") for c in result.even_errors]
    section = inferred_section(replace(result, even_errors=short), "i")
    assert len(figures(section)) == 2
    assert any("ends at 0.0%: odd" in note for note in notes(section))


def test_a_gap_that_no_share_of_mistakes_erases(full):
    result = full.attributes[0].inferred
    never = [replace(c, erased_at=replace(c.erased_at, value=float("nan"))) for c in result.erasure]
    section = inferred_section(replace(result, erasure=never), "i")
    assert "it vanishes never" in labels(section)[2]
    assert "No share of them is enough." in figures(section)[2].caption
    assert "no gap at" not in figures(section)[2].svg


def test_a_threshold_shows_what_it_leaves(faces, tmp_path):
    pred, _ = faces
    result = infer_gaps(pred, "perceived_gender", MATRIX, settings=Settings(n_boot=50), threshold=0.8)
    section = inferred_section(result, "i")
    assert "0.8 or more" in tables(section)[-1].caption
    assert len(tables(section)[-1].rows) == 1 + 2 + len(CLASSES)
    shown(section, tmp_path)


def test_perceived_groups_that_are_too_small(faces, tmp_path):
    pred, _ = faces
    result = infer_gaps(pred.select(np.arange(40)), "perceived_gender", MATRIX, settings=Settings(n_boot=50))
    section = inferred_section(result, "i")
    assert figures(section) == []
    assert sentences(section) == ["Too few faces: the accuracy gap cannot be estimated by any method."]
    shown(section, tmp_path)


# Leakage


def test_the_yardstick_and_the_band_are_drawn(full, gender):
    result = full.attributes[0].leakage
    section, words = gender["leakage"], labels(gender["leakage"])[0]
    assert sentences(section) == [result.sentence]
    for probe in result.probes:
        assert spoken(probe.balanced_accuracy, ".2f") in words
        assert f"without leakage {probe.expected:.2f} to {probe.expected_high:.2f}" in words
    assert "guessing gives 0.50" in words
    assert "yardstick" in figures(section)[0].caption
    assert tables(section)[0].rows[0][2].text.startswith("+")
    assert tables(section)[0].rows[-1][2].text == "–"


def test_leakage_without_expressions_has_no_yardstick(faces, tmp_path):
    result = leakage(*faces, labels=False)
    section = leakage_section(result, "l")
    assert "yardstick" not in figures(section)[0].caption
    assert "More than expression" not in tables(section)[0].header
    shown(section, tmp_path)


def test_leakage_of_groups_that_are_too_small(faces, tmp_path):
    result = leakage(*faces, min_n=5000)
    section = leakage_section(result, "l")
    assert figures(section) == tables(section) == []
    assert any("fewer than 5000" in n for n in notes(section))
    assert shown(section, tmp_path)


# Cells and tables


def test_cells_never_show_undefined_numbers():
    assert cell(Estimate(0.5, 0.25, 0.75)) == Cell("0.500", "0.250 to 0.750")
    assert cell(Estimate(0.5)) == Cell("0.500")
    assert cell(Estimate(float("nan"), note="no faces")) == Cell("", "", "no faces")
    assert cell(Estimate(-0.5, note="few"), "+.1f", note=False) == Cell("-0.5")


def test_long_tables_open_on_a_click():
    rows = [[str(i), "x"] for i in range(LONG_TABLE + 1)]
    assert table("Many", ["a", "b"], rows).summary == "Many"
    assert table("Many", ["a", "b"], rows[1:]).summary == ""
    assert table("Few", ["a", "b"], rows[:1], "Show").summary == "Show"


def test_a_gap_without_parts_has_a_row(full):
    result = full.attributes[0].confounders
    none = Estimate(float("nan"), note="nothing alike")
    bare = AdjustedGap(
        strata="x",
        n=9,
        n_strata=0,
        left_out=1.0,
        groups=[],
        raw=Estimate(0.1),
        compared=none,
        worst="",
        best="",
        parts={},
        remaining=none,
        shares={},
        adjusted=none,
        adjusted_worst="",
        adjusted_best="",
        note="nothing alike",
    )
    section = confounders_section(
        replace(result, joint=None, confounders=[replace(result.confounders[0], gap=bare)]), "c"
    )
    row = tables(section)[1].rows[-1]
    assert row[1] == Cell("0%", note="nothing alike")
    assert row[3] == "undefined"
