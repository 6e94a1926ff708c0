"""The pages: self-contained, well-formed, escaped, and whole where parts of a run are missing."""

import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from page_reader import read
from report_simulation import make_predictions, make_run, make_store

from mien.audit import audit
from mien.errors import UsageError
from mien.records import RunRecord
from mien.report import render_audit, render_report
from mien.runs import RECORD
from mien.stats.settings import Settings

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def page(run):
    path = render_report(run)
    assert path == run.path / "report.html"
    return read(path)


def test_verdict_stands_first_in_plain_words(page):
    start = page.text.index("In short", page.text.index("Notice"))
    lead = page.text[start : start + 1500]
    assert "The model names the annotated expression for" in lead
    assert "7 faces are copies of training faces; without them the accuracy is" in lead
    assert "Worst served" in lead


def test_all_parts_are_there(page):
    for part in (
        "Key figures",
        "Learning curves",
        "Class by class",
        "Confidence",
        "By perceived gender",
        "By age",
        "perceived, with a mean confidence of 0.90",
        "Chance alone",
        "Who is served worst",
        "What this sample could have shown",
        "What was not tested",
        "Recall by age and class",
        "Faces right and wrong",
        "Run record",
        "3,092,664 parameters",
        "1 h 2 min",
        "22 November 2026, 01:25 UTC",
        "after epoch 1",
        "train: tied votes: 100",
        "blank pictures: 100",
        "epochs: 3",
        "Method",
        "Art. 5(1)(f)",
        "Art. 50(3)",
        "Terms of the data",
    ):
        assert part in page.text, part


def test_names_and_terms_are_escaped(page, run):
    text = (run.path / "report.html").read_text()
    assert "<b>" not in text
    assert "<script" not in text
    assert "<quick>" not in text
    assert "tiny & <quick>" in page.text
    assert "<script>alert(1)</script> research use" in page.text


def test_undefined_is_a_word(page):
    assert "undefined" in page.text
    assert "nobody annotated with it" in page.text


def test_every_estimate_has_its_interval_or_a_note(page, run):
    stored = run.record.estimates["test"]["all"]
    for name, e in stored.items():
        if e["value"] is None:
            continue
        shown = f"{e['value']:.3f} "
        shown += e["note"] if e["low"] is None else f"{e['low']:.3f} to {e['high']:.3f}"
        assert shown in page.text, name


def test_faces_are_pictures_with_captions(page, run):
    text = (run.path / "report.html").read_text()
    assert text.count('src="data:image/png') > 20
    assert re.search(r"labelled angry, predicted angry \d\.\d\d", page.text)
    assert "This file holds pictures of people" in page.text


@pytest.mark.drawn
def test_faces_can_be_left_out(run, tmp_path):
    page = read(render_report(run, out=tmp_path / "r.html", faces=False))
    assert "Pictures were left out on request" in page.text
    assert "data:image/png" not in (tmp_path / "r.html").read_text()
    assert "This file holds pictures" not in page.text


def test_store_given_by_hand_and_wrong_store(store, tmp_path, pred):
    run = make_run(tmp_path / "run", pred, store, audited=False)
    assert "<img" in render_report(run, store=store, out=tmp_path / "a.html").read_text()
    other = make_store(tmp_path / "corpus", n=10)
    page = read(render_report(run, store=other, out=tmp_path / "b.html"))
    assert "is not the one of these predictions" in page.text


@pytest.mark.drawn
def test_same_input_gives_the_same_page(small_audit, tmp_path):
    first, second = (render_audit(small_audit, tmp_path / f"{i}.html").read_bytes() for i in range(2))
    assert first == second


def test_bare_run(tmp_path):
    run = make_run(tmp_path / "run", epochs=0, status="stopped", best={}, model={}, resumed=[], started="", data={})
    page = read(render_report(run))
    for sentence in (
        "Training was stopped before its end",
        "has not been evaluated",
        "the run stopped before an epoch ended",
        "never",
        "not stated",
    ):
        assert sentence in page.text


def test_no_audit_no_store_no_probabilities(tmp_path, pred):
    bare = replace(pred, probs=None, cluster=None)
    run = make_run(tmp_path / "run", bare, audited=False, n_copies=0)
    page = read(render_report(run))
    for sentence in (
        "No copy of a training face was found among them",
        "None was made of these predictions",
        "The predictions hold no probabilities",
        "The image store is not here",
        "needs probabilities",
    ):
        assert sentence in page.text


def test_predictions_that_the_record_does_not_know(tmp_path, pred):
    run = make_run(tmp_path / "run", pred, audited=False)
    record = run.record
    record.estimates = {}
    record.save(run.path / RECORD)
    page = read(render_report(run))
    assert "was not looked for" in page.text
    assert "The model names the annotated expression" in page.text


def test_estimates_without_predictions(tmp_path, pred):
    run = make_run(tmp_path / "run", pred, audited=False)
    run.predictions["test"].unlink()
    page = read(render_report(run))
    assert "The predictions of test are not in the run folder" in page.text


def test_audit_of_other_predictions_is_called_out(tmp_path, pred):
    run = make_run(tmp_path / "run", pred, audited=False)
    audit(pred.select(np.arange(500)), ["age"], settings=Settings(n_boot=20, n_perm=20)).save(
        run.path / "audit" / "test"
    )
    page = read(render_report(run))
    assert "This audit is of 500 faces, but the predictions now hold 600" in page.text


def test_several_evaluations(tmp_path, pred, store):
    names = ("validation", "test", "other")
    run = make_run(tmp_path / "run", pred, store, names=names, n_copies=len(pred), audited=False)
    for name in names[:2]:
        audit(pred, ["age"], settings=Settings(n_boot=20, n_perm=20)).save(run.path / "audit" / name)
    page = read(render_report(run, faces=False))
    assert "Audit on test" in page.text
    order = [page.ids.index(f"e{i}") for i in (1, 2, 3)]
    titles = re.findall(r"Results on (\w+)", page.text)[:3]
    assert titles == ["test", "other", "validation"]
    assert order == sorted(order)
    assert f"chosen by their results on {len(pred)} of these faces" in page.text
    assert "All of these faces are training faces or copies of them" in page.text


def test_colour_faces_and_many_classes_stay_small(tmp_path):
    pred = make_predictions(400, tuple(f"class {i}" for i in range(30)), absent=False)
    run = make_run(tmp_path / "run", pred, make_store(tmp_path / "corpus", 400, channels=3), audited=False)
    record = RunRecord.load(run.path / RECORD)
    record.model = {}
    record.save(run.path / RECORD)
    page = read(render_report(run))
    assert "class 29" in page.text


def test_audit_page(small_audit, tmp_path):
    path = render_audit(small_audit, tmp_path)
    assert path == tmp_path / "audit.html"
    page = read(path)
    assert small_audit.verdict in page.text
    assert "By perceived gender * age" in page.text
    assert "Art. 50(3)" in page.text
    for note in small_audit.method_notes:
        assert note in page.text
    assert [p.name for p in tmp_path.iterdir()] == ["audit.html"]


def test_audit_page_shows_every_group_and_gap(small_audit, tmp_path):
    page = read(render_audit(small_audit, tmp_path / "x.html"))
    for result in small_audit.attributes:
        for group in result.groups:
            assert group.name in page.text
            e = group.metrics["accuracy"]
            assert e.value != e.value or f"{e.value:.3f} {e.low:.3f} to {e.high:.3f}" in page.text
        for gap in result.gaps:
            if gap.p == gap.p:
                assert f"{gap.value.value:.3f} {gap.value.low:.3f} to {gap.value.high:.3f}" in page.text
                side = "above" if gap.kind == "ratio" else "below"
                assert f"{gap.expected:.3f} 95 % {side} {gap.expected_high:.3f}" in page.text


def test_nowhere_to_write(small_audit, run, tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        render_audit(small_audit, tmp_path / "no" / "audit.html")
    with pytest.raises(UsageError, match="is a folder"):
        render_report(run, out=tmp_path)


def test_report_never_imports_torch_or_pyplot():
    code = "import sys, mien.report; sys.exit(('torch' in sys.modules) + 2 * ('matplotlib.pyplot' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
