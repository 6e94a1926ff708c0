"""Names of others in every page: text wherever they stand, and a policy under which nothing could run or load."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from page_reader import Page
from report_simulation import make_run

from mien.audit import audit, compare_many, seed_audit
from mien.data.images import StoreWriter
from mien.records import Predictions
from mien.report import render_audit, render_comparison, render_report, render_seeds
from mien.report.figures import figure_svg, new_figure, styled
from mien.report.store_page import render_store
from mien.samples import SampleTable
from mien.shown import visible
from mien.stats.settings import Settings

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
ATTACKS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "</style><script>alert(1)</script>",
    "</title><svg onload=alert(1)>",
    "</text></svg><script>alert(1)</script>",
    "{{ 7 * 7 }}{% include 'x' %}",
    "}body{background:url(http://example.org)}",
    'url(#x) href="#y" id="z" : #1c2127 \'DejaVu Sans\', x',
    "a\u202egnp\x00.exe\x1b[31m",
    "--><script>alert(1)</script><!--",
]
N = 60 * len(ATTACKS)


class Tags(HTMLParser):
    """Every tag with its attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def check(path):
    """Nothing runs, nothing is loaded, tags balance; returns what is read there."""
    text = path.read_text(encoding="utf-8")
    page, tags = Page(text), Tags(text).found
    assert page.loads == []
    assert len(page.ids) == len(set(page.ids))
    assert set(page.links) <= set(page.ids)
    assert not {tag for tag, _ in tags} & {
        "script",
        "iframe",
        "object",
        "embed",
        "base",
        "link",
        "form",
        "foreignobject",
    }
    for tag, attributes in tags:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert not re.search(r"url\((?!#)|expression|javascript", attributes.get("style") or "")
        assert (attributes.get("href") or "#").startswith("#")
    assert text.count("<style>") == 1
    policies = [a["content"] for t, a in tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == [POLICY]
    assert text.index("Content-Security-Policy") < text.index("<title>")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", text)
    assert "{{ 7 * 7 }}" not in text or "49" not in text[text.index("{{ 7 * 7 }}") :][:12]
    return page


def hostile(seed=0):
    """Predictions whose classes, groups, attributes and source are attacks."""
    rng = np.random.default_rng(seed)
    classes = tuple(ATTACKS[:4])
    labels = np.random.default_rng(9).integers(0, 4, N)
    predicted = np.where(rng.random(N) < 0.7, labels, (labels + 1) % 4)
    probs = np.full((N, 4), 0.1)
    probs[np.arange(N), predicted] = 0.7
    groups = pd.DataFrame({ATTACKS[6]: np.array(ATTACKS)[np.arange(N) % len(ATTACKS)], ATTACKS[9]: "x"})
    groups["gender"] = np.array(ATTACKS[4:7])[np.arange(N) % 3]
    groups["age"] = np.array(ATTACKS[7:11])[np.arange(N) % 4]
    ids = np.array([f"{a}{i}" for i in range(N // len(ATTACKS)) for a in ATTACKS], dtype=object)
    return Predictions(
        sample_id=ids,
        classes=classes,
        labels=labels,
        predicted=predicted,
        probs=probs,
        soft_targets=None,
        votes=None,
        groups=groups,
        source=ATTACKS[0],
        warnings=(ATTACKS[1],),
        notes=("x",),
    )


@pytest.fixture(scope="module")
def predictions():
    return hostile()


def test_the_page_of_an_audit(predictions, tmp_path):
    found = audit(predictions, [ATTACKS[6], "gender*age"], settings=Settings(n_boot=60, n_perm=60))
    page = check(render_audit(found, tmp_path / "a.html"))
    for attack in ATTACKS[:10]:
        assert " ".join(attack.split()) in page.text, attack
    assert r"a\u202egnp\x00.exe\x1b[31m" in page.text


def test_pages_of_comparisons_and_seeds(predictions, tmp_path):
    runs, names = [predictions, hostile(1), hostile(2)], ATTACKS[:3]
    page = check(
        render_comparison(compare_many(runs, names, [ATTACKS[6]], settings=Settings(n_boot=60)), tmp_path / "c.html")
    )
    assert ATTACKS[1] in page.text
    page = check(
        render_seeds(seed_audit(runs, [ATTACKS[6]], names=names, settings=Settings(n_boot=60)), tmp_path / "s.html")
    )
    assert ATTACKS[0] in page.text


def test_the_page_of_a_run(predictions, tmp_path):
    config = {"name": ATTACKS[0], ATTACKS[1]: {"x": ATTACKS[5], "y": ATTACKS[10]}}
    model = {"name": ATTACKS[3], "parameters": 1, "input": [1, 48, 48], "classes": ATTACKS[:4]}
    fields = {"name": ATTACKS[5], "config": config, "device": {"processor": ATTACKS[2]}, "model": model}
    run = make_run(tmp_path / "run", predictions, audited=False, **fields)
    page = check(render_report(run))
    for attack in (*ATTACKS[:3], ATTACKS[5]):
        assert attack in page.text, attack


def test_the_page_of_a_corpus(tmp_path):
    n = 240
    frame = pd.DataFrame(
        {
            "sample_id": [f"s{i}" for i in range(n)],
            "image": np.arange(n),
            "split": np.array(["train", ATTACKS[1]])[np.arange(n) % 2],
            "identity": "",
            "cluster": np.arange(n),
            **{f"votes_{c}": (np.arange(n) % 3 == k).astype(int) for k, c in enumerate(ATTACKS[:3])},
            ATTACKS[6]: np.array(ATTACKS[4:8])[np.arange(n) // 3 % 4],
        }
    )
    with StoreWriter(tmp_path / "store") as writer:
        writer.append(np.random.default_rng(0).integers(0, 256, (n, 12, 12, 1), dtype=np.uint8))
        table = SampleTable(frame, ATTACKS[5], tuple(ATTACKS[:3]), attributes=(ATTACKS[6],))
        store = writer.commit(table, {"terms": ATTACKS[0]})
    page = check(render_store([store], tmp_path / "s.html", settings=Settings(n_boot=30, n_perm=49)))
    for attack in (*ATTACKS[:3], ATTACKS[6]):
        assert attack in page.text, attack


@pytest.mark.parametrize("name", ATTACKS)
def test_names_in_figures_are_text_and_stay_as_they_are(name):
    @styled
    def draw() -> Figure:
        figure = new_figure(6, 3, name)
        axes = figure.subplots()
        axes.plot([0, 1], label=name)
        axes.set_title(name)
        axes.set_xticks([0], [name])
        axes.legend()
        return figure

    svg = figure_svg(draw(), prefix="p")
    tags = Tags(svg).found
    assert {t for t, _ in tags} <= {"svg", "g", "path", "text", "defs", "style", "clippath", "rect", "use", "tspan"}
    assert not [a for _, a in tags for key in a if key.startswith("on")]
    page = Page(svg)
    assert page.words.count(visible(name)) == 3


def test_the_labelling_page_has_its_policy_too():
    from importlib import resources

    text = resources.files("mien.labelling").joinpath("page", "index.html").read_text(encoding="utf-8")
    policy = [a["content"] for t, a in Tags(text).found if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'self'; img-src 'self' blob:; style-src 'self'; script-src 'self'"]
