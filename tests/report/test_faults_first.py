"""What is wrong with a table stands in the first lines of its page."""

from __future__ import annotations

import re
from html import unescape

import pandas as pd
import pytest

from mien.audit import audit, compare, seed_audit
from mien.records import Predictions
from mien.report import render_audit, render_comparison, render_seeds
from mien.stats.settings import Settings
from whole_tables import faces, paths, with_probs

pytestmark = pytest.mark.usefixtures("undrawn")

HEADLINE = "Read this first. 3 things are wrong with the table, so that everything below may be wrong too:"
STARTS = ("The predicted class ('pred') is not", "120 of the 420 rows say again", "The column 'split' says")


def faulty():
    frame = with_probs(faces(path=paths()), [1, 2, 3, 4, 5, 6, 0]).assign(split=["train", "test"] * 150)
    return Predictions.from_frame(pd.concat([frame, frame.iloc[:120]], ignore_index=True), source="faulty.csv")


def sound():
    return Predictions.from_frame(faces(path=paths()), source="sound.csv")


def lines(page):
    """The visible lines of a page."""
    body = page.read_text().split("<body>")[1]
    plain = unescape(re.sub(r"<[^>]+>", "\n", body))
    return [line.strip() for line in plain.splitlines() if line.strip()]


def write(kind, tables, tmp_path):
    if kind == "audit":
        return render_audit(
            audit(tables[-1], ["gender"], settings=Settings(n_boot=30, n_perm=30)), tmp_path / "page.html"
        )
    if kind == "comparison":
        return render_comparison(
            compare(*tables, ["gender"], names=["old", "new"], settings=Settings(n_boot=30)), tmp_path / "page.html"
        )
    return render_seeds(
        seed_audit(tables, ["gender"], names=["old", "new"], settings=Settings(n_boot=30)), tmp_path / "page.html"
    )


@pytest.mark.parametrize("kind", ["audit", "comparison", "seeds"])
def test_a_page_begins_with_the_faults(tmp_path, kind):
    page = write(kind, [sound(), faulty()], tmp_path)
    found = lines(page)
    at = found.index(HEADLINE)
    assert at <= 2  # after the link that skips to the content, and the title
    assert len(found[at + 1 : at + 4]) == len(STARTS)
    for line, start in zip(found[at + 1 : at + 4], STARTS, strict=True):
        assert line.removeprefix("new: ").startswith(start)
        assert sum(line == other for other in found) == 1  # the finding below does not repeat them
    html = page.read_text()
    assert html.index('class="warnings" role="alert"') < html.index('<nav id="contents"')


@pytest.mark.parametrize("kind", ["audit", "comparison", "seeds"])
def test_the_page_of_a_sound_table_has_no_box(tmp_path, kind):
    assert 'class="warnings"' not in write(kind, [sound(), sound()], tmp_path).read_text()


@pytest.mark.drawn
def test_what_a_table_says_cannot_become_a_part_of_the_page(tmp_path):
    persons = ["<script>alert(1)</script>" if i < 100 else f"p{i // 3}" for i in range(300)]
    table = Predictions.from_frame(faces(identity=persons))
    html = write("audit", [table], tmp_path).read_text()
    assert "<script>" not in html
    assert "&lt;script&gt;alert(1)" in html
