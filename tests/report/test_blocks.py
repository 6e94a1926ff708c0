"""Blocks and pages by themselves: contents, levels, tables, and what opens on a click."""

import re

import pytest
from markupsafe import Markup
from page_reader import read

from mien.errors import UsageError
from mien.records import Estimate
from mien.report.blocks import (
    SMALL,
    Box,
    Cell,
    Code,
    Drawing,
    Face,
    FaceRow,
    Faces,
    Figures,
    Folded,
    Items,
    Page,
    Section,
    Table,
    Text,
    answer,
    faces_cell,
    facts_table,
    folded_table,
    full_cell,
    history_table,
    p_cell,
)
from mien.report.page import check_out, notice, render, write_page

NAN = float("nan")
SVG = Markup('<svg role="img" aria-label="A figure that says in words what it shows"></svg>')


def shown(tmp_path, *blocks):
    path = write_page(tmp_path / "p.html", Page("Title", [], [Section("One", "one", blocks)]))
    return read(path), path.read_text()


def test_contents_name_sections_and_look_into_those_without_an_anchor():
    inner = Section("Inner", "i", [])
    sections = [
        Section("First", "f", [inner]),
        Section("Group", "", [Text("x"), Section("A", "a", []), Section("B", "b", [])]),
        Section("Long heading", "l", [], entry="Short"),
    ]
    assert Page("T", [], sections).contents == [("f", "First"), ("a", "A"), ("b", "B"), ("l", "Short")]


def test_levels_of_headings_follow_the_depth(tmp_path):
    third = Section("Three", "three", [Box("verdict", [Text("x")], "In a box")])
    page, text = shown(tmp_path, Section("Two", "two", [third], back=True))
    assert page.titles == [("h1", "Title"), ("h2", "One"), ("h3", "Two"), ("h4", "Three"), ("h5", "In a box")]
    assert text.count('<a href="#contents">Back to the contents</a>') == 1
    assert '<section class="attribute" aria-labelledby="two">' in text


def test_a_table_has_its_classes_and_says_undefined(tmp_path):
    row = ["1", Cell("name", note="about"), Cell(""), Cell("0.5", "0.4 to 0.6", standing="below", found=True)]
    table = Table(
        caption="Numbers",
        header=["Rank", "Group", "A", "B"],
        rows=[row, ["2", "b", "x", Cell("y", found=True)]],
        style="ranked",
        names=1,
        right=(0,),
        few=(1,),
    )
    page, text = shown(tmp_path, table)
    assert "Numbers Rank Group A B 1 name about undefined 0.5 0.4 to 0.6 below 2 b x y" in page.text
    assert '<table class="ranked">' in text
    assert text.count('<th scope="row">') == 2
    assert '<tr class="few"><td class="n">2</td><th scope="row">b</th>' in text
    assert '<span class="found standing">below</span>' in text
    assert '<span class="found">y</span>' in text


def test_folded_blocks_and_tables_open_on_a_click(tmp_path):
    page, text = shown(tmp_path, Folded("Click", [Text("inside", SMALL)]), folded_table("Many", ["a"], [["x"]]))
    assert re.search(r'<summary>Click</summary>\s*<p class="muted small">inside</p>', text)
    assert "<summary>Many, as a table</summary>" in text
    assert text.count("<details>") == 2


def test_figures_alone_may_be_wide_and_several_stand_beside_each_other(tmp_path):
    wide, plain = Drawing(SVG, "caption", wide=True), Drawing(SVG)
    _, text = shown(tmp_path, Figures([wide]), Figures([wide, plain]), Figures([Drawing(SVG, narrow=SVG)]))
    assert text.count('<div class="figures">') == 1
    assert text.count('<div class="wide"') == 2
    assert text.count('<div class="for-narrow">') == 1
    assert text.count("<figcaption>") == 2


def test_names_are_text_in_every_block(tmp_path):
    bad = "<script>x</script>"
    face = Face("data:image/png;base64,AAAA", bad, bad, wrong=True)
    blocks = [
        Text(bad, strong=bad), Items([bad]), Items([(bad, bad)]), Code(bad), Box("notice", [Text(bad)], bad),
        Faces([FaceRow(bad, bad, [face])]), facts_table(bad, [[bad, Cell(bad, bad, bad, bad)]]), Folded(bad, []),
        answer(bad, "q", [bad], notes=[bad]),
    ]  # fmt: skip
    page, text = shown(tmp_path, *blocks)
    assert "<script" not in text
    assert page.text.count(bad) == 20


def test_cells():
    assert full_cell(None) == full_cell(Estimate(NAN)) == Cell("")
    assert full_cell(Estimate(0.5)) == Cell("0.500", note="no interval")
    noted = Estimate(0.5, 0.4, 0.6, note="odd")
    assert full_cell(noted) == Cell("0.500", "0.400 to 0.600", "odd")
    assert full_cell(noted, {"odd"}) == Cell("0.500", "0.400 to 0.600")
    assert full_cell(Estimate(NAN, note="odd"), {"odd"}) == Cell("", note="odd")
    assert (p_cell(NAN), p_cell(0.0001), p_cell(0.25)) == (Cell(""), Cell("<0.001"), Cell("0.250"))
    assert faces_cell(1200, 1100) == Cell("1,200", "1,100 independent")
    assert faces_cell(1200, 1200) == faces_cell(1200) == Cell("1,200")
    assert history_table([("x", None, 1000, "y")]).rows == [["x", "–", "1,000", "y"]]


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    assert check_out(tmp_path, "p.html") == check_out(tmp_path / "p.html") == tmp_path / "p.html"
    with pytest.raises(UsageError, match="is a folder"):
        check_out(tmp_path)
    with pytest.raises(UsageError, match="does not exist"):
        check_out(tmp_path / "no" / "p.html", "p.html")


def test_the_notice_tells_of_pictures_and_terms_where_there_are_any():
    bare, full = (render(Page("T", [], [n])) for n in (notice(), notice(True, "research")))
    assert "Art. 50(3)" in bare
    assert "holds pictures of people" not in bare
    assert "Terms of the data" not in bare
    assert "holds pictures of people" in full
    assert "Terms of the data: research" in full
