"""Markdown with the names of others: no HTML, no link, no picture, no code, and every table keeps its cells."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt

from mien.audit import Audit, audit, check_gates, compare_many, junit_xml, render_brief, render_text, seed_audit
from mien.audit.brief import comparison_brief, seed_brief
from mien.audit.compare.markdown import comparison_text
from mien.audit.markdown import document, plain, table
from mien.audit.seeds.markdown import seed_text
from mien.records import Predictions
from mien.stats.settings import Settings

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!-- a",
    "</td></table>",
    "[x](javascript:alert(1))",
    "![x](http://example.org/p.png)",
    "[x][y]",
    "[y]: http://example.org",
    "\\<b>x</b>",
    "\\[x](http://example.org)",
    "`code",
    "\\``` a",
    "~~~",
    "a|b",
    "a\\|b",
    "a\\\\|b",
    "a\n\n# b",
    "a\r\n- b",
    "a\u2028b",
    "<http://example.org>",
    "a\x1b[31m",
]
# What CommonMark and GitHub's tables would make of a name.
LIVE = {"html_inline", "html_block", "link_open", "image", "code_inline", "fence", "code_block"}


def kinds(text: str) -> set[str]:
    reader = MarkdownIt("commonmark").enable("table")
    found = reader.parse(text)
    return {t.type for t in found} | {c.type for t in found for c in t.children or ()}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_text_in_a_line(name: str) -> None:
    for line in (name, f"By {name}.", f"- {name}: {name}.", f"## {name}", f"- {name}"):
        text = document(["Before.", "", line, "", "[y] and [x], after."])
        assert not kinds(text) & LIVE, text
        assert len(text.split("\n")) == 5
        assert plain(plain(line)) == plain(line)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_one_cell_of_a_table(name: str) -> None:
    text = document(table([name, "b"], [[name, "c"], ["d", name]]))
    found = MarkdownIt("commonmark").enable("table").parse(text)
    assert not kinds(text) & LIVE
    cells = [t.type for t in found if t.type in ("th_open", "td_open", "tr_open")]
    assert cells == ["tr_open", "th_open", "th_open", "tr_open", "td_open", "td_open", "tr_open", "td_open", "td_open"]


@pytest.mark.parametrize(
    "name", ["<b>x</b>", "[x](javascript:alert(1))", "![x](y)", "`code", "~~~", "<!-- a", "[a][b]"]
)
def test_whoever_reads_the_page_sees_the_name(name: str) -> None:
    found = MarkdownIt("commonmark").parse(document([f"x {name} y"]))
    assert "".join(c.content for t in found for c in t.children or ()) == f"x {name} y"


def test_what_mien_writes_itself_stays() -> None:
    for line in (
        "p <0.001",
        "0.712 [0.690, 0.733] (few faces)",
        "gender*age",
        "a_b_c",
        "x < y",
        "'mien train'",
        "- [a]",
    ):
        assert plain(line) == line
    assert table(["a|b"], [["c"]])[0] == "| a\\|b |"


@pytest.fixture(scope="module")
def hostile() -> Predictions:
    rng = np.random.default_rng(0)
    label = rng.choice(["<b>a", "c|d"], 400)
    frame = pd.DataFrame({"label": label, "pred": np.where(rng.random(400) < 0.8, label, "c|d")})
    frame["[by](http://example.org)"] = rng.choice(["<img src=x>", "![x](http://example.org)"], 400)
    frame["`sex\n# x"] = rng.choice(["a|b\n", "~~~"], 400)
    return Predictions.from_frame(frame, source="<i>p</i>\n# q")


@pytest.fixture(scope="module")
def found(hostile: Predictions) -> Audit:
    return audit(hostile, list(hostile.groups.columns), settings=Settings(n_boot=200, n_perm=200))


def test_an_audit_in_markdown_has_nothing_live(found: Audit) -> None:
    assert not kinds(render_brief(found)) & LIVE
    text = render_text(found)
    assert not kinds(text) & LIVE
    headings = [line for line in text.split("\n") if line.startswith("#")]
    assert len(headings) == 5, headings


def test_comparisons_and_seeds_in_markdown_have_nothing_live(hostile: Predictions) -> None:
    by = list(hostile.groups.columns)
    names = ["<b>m</b>", "[n](http://example.org)\n# x"]
    settings = Settings(n_boot=200)
    compared = compare_many([hostile, hostile], names, by, settings=settings)
    seeds = seed_audit([hostile, hostile], by, names=names, settings=settings)
    for text in (comparison_text(compared), comparison_brief(compared), seed_text(seeds), seed_brief(seeds)):
        assert not kinds(text) & LIVE
        assert "\n# x" not in text


def test_junit_is_xml_whatever_the_names_are(found: Audit) -> None:
    names = [*HOSTILE, "]]>", "&#0;", "\x00\x0b\ufffe\ud800", "a\u202eb"]
    gates = [f"group(accuracy, by='{found.attributes[0].name}', is='<img src=x>') < 0.1"]
    results = check_gates(found, gates)
    text = junit_xml(results, " ".join(names))
    root = ElementTree.fromstring(text.encode())
    assert "]]>" in root.get("name", "")
    assert "\u202e" not in text
    assert root.find(".//testcase").get("name") == gates[0]  # type: ignore[union-attr]
