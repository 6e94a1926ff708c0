"""The page of a corpus: whole, honest about guesses, with the pictures that belong there."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from page_reader import read
from PIL import Image

from mien.composition import CorrectedShares, composition
from mien.composition.faces import corpus_attributes, corpus_faces
from mien.data.images import Store, StoreWriter
from mien.errors import UsageError
from mien.records import Estimate
from mien.report.montage import MAX_FACES, corpus_montage
from mien.report.store_page import STORE_PAGE, render_store
from mien.report.store_plots import Bar, Series, cell_map, group_colours, histogram, share_plot, stacked_plot
from mien.samples import SampleTable, Step
from mien.stats.settings import Settings

pytestmark = pytest.mark.usefixtures("undrawn")

CLASSES = ("angry", "<i>happy</i>", "$x$ & y")
QUICK = Settings(n_boot=30, n_perm=49)
AGES = ("0-19", "20-39", "40-59", "60+")


def make(path, n=240, perceived=True, name="corpus & <b>co</b>", seed=0, **info):
    rng = np.random.default_rng(seed)
    label = rng.choice(3, n, p=[0.5, 0.46, 0.04])
    female = rng.random(n) < np.where(label == 1, 0.8, 0.3)
    probs = np.where(female, 0.9, 0.15) * rng.uniform(0.9, 1.0, n)
    frame = pd.DataFrame(
        {
            "sample_id": [f"s{i:05d}" for i in range(n)],
            "image": np.arange(n),
            "split": np.where(np.arange(n) < 180, "train", "test"),
            "identity": "",
            "cluster": np.arange(n) // 2 * 2 + np.arange(n) % 2 * (np.arange(n) > 40),
            **{f"votes_{c}": (label == k).astype(int) for k, c in enumerate(CLASSES)},
            "age": rng.choice(AGES, n),
        }
    )
    attributes = ["age"]
    if perceived:
        frame = frame.assign(
            perceived_gender=np.where(probs > 0.5, "Female", "Male"),
            perceived_gender_source="perceived",
            perceived_gender_confidence=np.maximum(probs, 1 - probs),
            perceived_gender_prob_Female=probs,
            perceived_gender_prob_Male=1 - probs,
            perceived_age_years=rng.uniform(0, 80, n),
        )
        attributes += ["perceived_gender", "perceived_age_years"]
    errors = {"groups": ["Female", "Male"], "counts": [[90, 10], [15, 85]], "source": "200 faces"}
    table = SampleTable(
        frame,
        name,
        CLASSES,
        tuple(attributes),
        (Step("prepare", n + 3, n, {"on_bad_row": "drop"}, {"dropped": {"blank": 3}}),),
        {"perceived_gender": errors} if perceived else {},
    )
    with StoreWriter(path) as writer:
        # Each picture holds its own number, to be told apart on the page.
        writer.append(np.broadcast_to((np.arange(n) % 250)[:, None, None], (n, 12, 12)).astype(np.uint8))
        return writer.commit(table, {"terms": "research <only>", "n_exact_copies": 20, **info})


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora")
    return make(folder / "one"), make(folder / "two", 200, perceived=False, name="other", seed=1)


@pytest.fixture(scope="module")
def page(stores, tmp_path_factory):
    out = tmp_path_factory.mktemp("pages")
    return read(render_store(stores[0], out, by=["perceived_gender", "age"], settings=QUICK))


def test_the_page_says_what_the_corpus_is(page, stores):
    assert "corpus & <b>co</b> holds 240 faces, 220 of them independent." in page.text
    assert "research <only>" in page.text
    assert "12 x 12 pixels, grey" in page.text
    assert "exact: 20" in page.text
    assert "train: 180; test: 60" in page.text
    assert "blank 3" in page.text
    assert stores[0].fingerprint in page.text


def test_every_topic_stands_on_it(page):
    titles = [t for _, t in page.titles]
    for title in ("In short", "What it is", "Classes", "By perceived gender", "By age", "Method", "Sample faces"):
        assert title in titles
    assert titles.count("Thin cells") == 2
    assert titles.count("How sure the annotator was") == 1
    assert "Perceived age in years" in titles


def test_numbers_of_the_page_are_those_of_the_composition(page, stores):
    c = composition(stores[0].table, ["perceived_gender"], settings=QUICK)
    a = c.attributes[0]
    nmi = a.with_class.nmi
    assert f"{nmi.corrected.value:.4f} {nmi.corrected.low:.4f} to {nmi.corrected.high:.4f}" in page.text
    assert f"{nmi.observed:.4f} {nmi.expected:.4f}" in page.text
    r = a.described.representation
    assert f"{r.effective.value:.2f} {r.effective.low:.2f} to {r.effective.high:.2f}" in page.text
    cell = next(x for x in a.with_class.cells if x.group == "Female" and x.class_name == "<i>happy</i>")
    assert cell.verdict == "more than expected"
    assert f"<i>happy</i> of Female ({cell.n:,}, expected {cell.expected:,.0f}, Z {cell.z.value:+.2f})" in page.text
    thin = a.thin[0]
    assert f"{thin.class_name}, {thin.group} {thin.split} {thin.n} {thin.n_clusters} {thin.need}" in page.text


def test_perceived_groups_are_called_guesses(page):
    assert "what a model or onlookers perceived in the pictures" in page.text
    assert "not a person’s gender, age or race" in page.text
    assert "Share of faces below a confidence, by group" in page.text
    assert "corrected for the annotator's errors" in " ".join(page.pictures)
    assert "(200 faces)" in page.text
    assert not re.search(r"\b(their|the person's) (gender|race|age)\b", page.text)


def test_figures_say_in_words_what_they_show(page):
    words = " ".join(page.pictures)
    assert "Share of each of the classes" in words
    assert re.search(r"Mix of the groups\. all: Female \d+\.\d%", words)
    assert re.search(r"Class by perceived gender: faces of each class.*<i>happy</i> of Female \d+ faces, Z", words)


@pytest.mark.drawn
def test_a_corpus_without_attributes_and_pictures(stores, tmp_path):
    found = read(render_store(stores[1], tmp_path / "p.html", by=[], pictures=False, settings=QUICK))
    assert "It has no attribute, so nothing can be said about groups of people in it." in found.text
    assert "Pictures were left out on request." in found.text
    assert "holds pictures of people" not in found.text
    assert "Perceived groups" not in found.text
    assert "data:image" not in (tmp_path / "p.html").read_text()


def test_several_corpora_stand_beside_each_other(stores, tmp_path):
    out = render_store(
        list(stores), tmp_path, by=["age", "perceived_gender"], labels=["majority"] * 2, pictures=False, settings=QUICK
    )
    assert out.name == STORE_PAGE
    found = read(out)
    titles = [t for _, t in found.titles]
    assert "What corpus & <b>co</b> and other are made of" in titles
    assert titles[titles.index("Side by side") :][1:3] == ["Classes", "Age"]
    assert titles.count("By perceived gender") == 1
    assert titles.count("By age") == 2
    assert "Terms of other: research <only>" in found.text


def test_a_corpus_without_expressions(stores, tmp_path):
    table = stores[0].table
    votes = [f"votes_{c}" for c in CLASSES]
    bare = replace(table, name="bare", vocabulary=(), frame=table.frame.drop(columns=votes))
    with StoreWriter(tmp_path / "bare") as writer:
        writer.append(np.asarray(stores[0].images))
        writer.commit(bare, stores[0].info)
    by = ["perceived_gender", "age"]
    found = read(render_store(Store.open(tmp_path / "bare"), tmp_path / "one.html", by=by, settings=QUICK))
    titles = [t for _, t in found.titles]
    assert {"By perceived gender", "By age", "Thin cells", "Sample faces"} <= set(titles)
    assert not {"Classes", "Which classes go with which groups", "By class"} & set(titles)
    assert "It has no expressions: it is described by its groups alone." in found.text
    assert ", no class" not in (tmp_path / "one.html").read_text()  # below no face, in no description
    both = [stores[0], Store.open(tmp_path / "bare")]
    beside = read(render_store(both, tmp_path / "two.html", by=by, pictures=False, settings=QUICK))
    titles = [t for _, t in beside.titles]
    assert titles[titles.index("Side by side") :][1:3] == ["Perceived gender", "Age"]


def test_given_shares_stand_on_the_page(stores, tmp_path):
    given = {"perceived_gender": CorrectedShares({"Female": Estimate(0.123, 0.1, 0.2)}, "hand-made")}
    found = read(
        render_store(stores[0], tmp_path, by=["perceived_gender"], shares=given, pictures=False, settings=QUICK)
    )
    assert "0.123 0.100 to 0.200" in found.text
    assert "(hand-made)" in found.text


@pytest.mark.drawn
def test_a_refused_correction_is_not_drawn(stores, tmp_path):
    refused = {g: Estimate(v, note="no mix explains them") for g, v in (("Female", 0.987), ("Male", 0.013))}
    given = {"perceived_gender": CorrectedShares(refused, "hand-made")}
    found = read(
        render_store(stores[0], tmp_path, by=["perceived_gender"], shares=given, pictures=False, settings=QUICK)
    )
    assert "corrected for the annotator's errors" not in " ".join(found.pictures)
    assert "0.987" not in found.text
    assert "can be trusted: no mix explains them." in found.text
    known = {"Female": Estimate(0.123, 0.1, 0.2, note="few"), "Male": refused["Male"]}
    given = {"perceived_gender": CorrectedShares(known, "hand-made")}
    found = read(
        render_store(stores[0], tmp_path, by=["perceived_gender"], shares=given, pictures=False, settings=QUICK)
    )
    assert "corrected for the annotator's errors: Female 0.123" in " ".join(found.pictures)
    assert "0.013" not in found.text


@pytest.mark.drawn
def test_the_same_seed_gives_the_same_page(stores, tmp_path):
    pages = [render_store(stores[1], tmp_path / f"{i}.html", by=[], settings=QUICK).read_text() for i in range(2)]
    assert pages[0] == pages[1]


def test_refusals(stores, tmp_path):
    with pytest.raises(UsageError, match="folder"):
        render_store(stores[0], tmp_path / "no" / "page.html")
    with pytest.raises(UsageError, match="no store was given"):
        render_store([], tmp_path)
    with pytest.raises(UsageError, match="3 label schemes for 2 stores"):
        render_store(list(stores), tmp_path, labels=["majority"] * 3)
    with pytest.raises(UsageError, match="to which of 2 stores"):
        render_store(list(stores), tmp_path, shares={})
    with pytest.raises(UsageError, match="no such column"):
        render_store(list(stores), tmp_path, by=["age", "gendre"], settings=QUICK)
    assert list(tmp_path.iterdir()) == []


# Sample faces


def montage(store, by, seed=0):
    faces = corpus_faces(store.table, "majority")
    return faces, corpus_montage(store, faces, corpus_attributes(faces, by), seed)


def number_of(face):
    return int(np.asarray(Image.open(io.BytesIO(base64.b64decode(face.uri.split(",", 1)[1]))))[0, 0])


def test_faces_are_of_their_class_and_group(stores):
    store = stores[0]
    faces, blocks = montage(store, ["perceived_gender", "perceived_gender*age"])
    assert [b.title for b in blocks] == ["By class", "By perceived gender"]
    label, gender = faces.label, store.table.frame["perceived_gender"].to_numpy()
    for row in blocks[0].blocks[0].rows:
        assert row.count == f"{len(row.faces)} of {(label == CLASSES.index(row.name)).sum():,}"
        assert all(CLASSES[label[number_of(f)]] == row.name for f in row.faces)
    for row in blocks[1].blocks[0].rows:
        for f in row.faces:
            assert gender[number_of(f)] == row.name
            assert f.caption == CLASSES[label[number_of(f)]]
            assert f.alt == f"Face, perceived gender: {row.name}, {f.caption}"


def test_a_picture_and_its_copy_never_stand_in_one_row(stores):
    store = stores[0]
    for seed in range(10):
        faces, blocks = montage(store, ["age"], seed)
        for block in blocks:
            for row in block.blocks[0].rows:
                units = [faces.unit[number_of(f)] for f in row.faces]
                assert len(units) == len(set(units)) > 0


def test_faces_follow_the_seed_and_not_the_order(stores):
    store = stores[0]
    order = np.random.default_rng(0).permutation(240)
    table = replace(store.table, frame=store.table.frame.iloc[order].reset_index(drop=True))
    moved = replace(store, table=table)
    first, again, other = (montage(s, ["age"], seed)[1] for s, seed in ((store, 0), (moved, 0), (store, 1)))
    assert first == again
    assert first != other


def test_number_of_faces_is_bounded(stores):
    names = [f"g{i:02d}" for i in range(30)]
    frame = stores[0].table.frame.assign(age=[names[i % 30] for i in range(240)])
    many = replace(stores[0], table=replace(stores[0].table, frame=frame))
    blocks = montage(many, ["age", "perceived_gender"])[1]
    assert sum(len(r.faces) for b in blocks for r in b.blocks[0].rows) <= MAX_FACES


# Figures


def test_plots_of_odd_contents():
    known, unknown = Estimate(0.3, 0.2, 0.4), Estimate(float("nan"))
    label = share_plot({"a": 3, "b": 0}, [Series("x", {"a": known, "b": unknown})], "Shares").get_label()
    assert "b undefined" in label
    bars = [Bar("all", 10, {"a": 0.75, "b": 0.25}), None, Bar("none", 0, {"a": float("nan"), "b": float("nan")})]
    assert "nan" not in stacked_plot(bars, ["a", "b"], "Mix").get_label()
    assert "0 to 1: 4" in histogram([0, 1, 2], [4, 0], "years", "Ages").get_label()


def test_ordered_groups_have_a_scale_of_colours():
    assert group_colours(AGES) != group_colours(["a", "b", "c", "d"])
    for groups in (AGES, list("abcdefghij")):
        assert len(set(group_colours(groups))) == len(groups)


def test_only_shown_cells_are_coloured(stores):
    c = composition(stores[0].table, ["perceived_gender"], settings=QUICK)
    found = c.attributes[0].with_class
    figure = cell_map(found, ["Female", "Male"], c.classes, c.min_n, "Cells")
    texts = [t.get_text() for t in figure.axes[0].texts]
    shown = sum(x.verdict != "not shown" for x in found.cells)
    assert 0 < shown < len(found.cells)
    assert sum(t.startswith("Z ") for t in texts) == shown
    assert len(texts) == shown + len(found.cells)
