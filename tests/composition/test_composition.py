"""What a table is made of: counts by hand, attributes annotated and perceived, errors, order of the rows."""

from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
from composition_simulation import corpus, table_of

from mien.composition import Composition, CorrectedShares, composition
from mien.composition.text import attribute_sentences, corpus_sentences, finding_sentences, thin_sentence
from mien.errors import DataError, LabelError, UsageError
from mien.records import Estimate
from mien.samples import SampleTable
from mien.stats.settings import Settings

QUICK = Settings(n_boot=40, n_perm=99)


def perceived(n=500, seed=0, errors=None, **extra):
    """A table whose gender a model perceived, with probabilities and confidence."""
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet([3, 2], n)
    names = np.array(["Male", "Female"], dtype=object)
    groups = {
        "perceived_gender": names[probs.argmax(1)],
        "perceived_gender_source": "perceived",
        "perceived_gender_confidence": probs.max(1),
        "perceived_gender_annotator": "mien 1",
        "perceived_gender_prob_Male": probs[:, 0],
        "perceived_gender_prob_Female": probs[:, 1],
        "perceived_age_years": rng.uniform(0, 80, n),
        **extra,
    }
    table = table_of(rng.integers(0, 3, n), groups, attributes=("perceived_gender", "perceived_age_years"))
    return replace(table, annotator_errors=errors or {}), probs


def test_counts_by_hand():
    label = [0, 0, 1, 1, 1, 2]
    gender = ["f", "m", "f", "f", "m", None]
    split = ["train", "train", "train", "test", "test", "test"]
    c = composition(
        table_of(label, {"gender": gender}, unit=[0, 1, 2, 2, 3, 4], split=split), settings=replace(QUICK, min_n=2)
    )
    assert (c.n, c.n_clusters, c.splits) == (6, 5, {"train": 3, "test": 3})
    assert c.by_label.overall.counts == {"angry": 2, "happy": 3, "neutral": 1}
    assert c.by_label.by_split["test"].counts == {"angry": 0, "happy": 2, "neutral": 1}
    a = c.attribute("gender")
    assert (a.n_unknown, a.source, a.described.overall.n, a.described.overall.n_clusters) == (1, "not stated", 5, 4)
    assert a.described.overall.counts == {"f": 3, "m": 2}
    assert a.described.by_split["train"].shares["f"].value == pytest.approx(2 / 3)
    assert a.by_class["happy"].counts == {"f": 2, "m": 1}
    cells = {(x.group, x.class_name): (x.n, x.n_clusters, x.expected) for x in a.with_class.cells}
    assert cells["f", "happy"] == (2, 1, pytest.approx(3 * 3 / 5))
    assert cells["m", "neutral"] == (0, 0, 0)
    assert a.n_cells == 12
    # Two independent faces of a cell are enough here; the copies in train and test are one unit in each.
    thin = {(t.group, t.class_name, t.split): (t.n, t.n_clusters, t.need) for t in a.thin}
    assert len(thin) == 12
    assert thin["f", "happy", "train"] == (1, 1, 1)
    assert thin["m", "angry", "test"] == (0, 0, 2)
    needs = [t.need for t in a.thin]
    assert needs == sorted(needs, reverse=True)
    assert "12 of 12 cells" in thin_sentence(a)


def test_faces_without_a_class_count_for_groups_only():
    table = table_of([0, 1, 2, 0], {"gender": ["f", "m", "f", "m"]})
    frame = table.frame.assign(votes_happy=[1, 1, 0, 0], votes_angry=[1, 0, 0, 1])
    c = composition(SampleTable(frame, "sim", table.vocabulary, table.attributes), settings=QUICK)
    assert c.unlabelled == {"tied votes": 1}
    assert c.by_label.overall.n == 3
    assert c.attributes[0].described.overall.n == 4
    assert c.attributes[0].with_class.n == 3
    assert "1 have no class" in " ".join(corpus_sentences(c))


def test_no_face_with_a_class():
    table = table_of([0, 1, 2, 0], {"gender": ["f", "m", "f", "m"]})
    empty = replace(table, frame=table.frame.assign(votes_happy=0, votes_angry=0, votes_neutral=0))
    c = composition(empty, settings=QUICK)
    assert np.isnan(c.by_label.representation.effective.value)
    assert c.attributes[0].with_class.note
    assert "No face has a known class." in corpus_sentences(c)
    assert all(attribute_sentences(c.attributes[0]))


def test_a_corpus_without_expressions_is_described_by_its_groups(tmp_path):
    table, _ = perceived()
    votes = [c for c in table.frame if c.startswith("votes_")]
    bare = replace(table, vocabulary=(), frame=table.frame.drop(columns=votes))
    c, full = (composition(t, settings=QUICK) for t in (bare, table))
    assert (c.classes, c.labels, c.by_label, c.unlabelled) == ([], "", None, {})
    a = c.attributes[0]
    assert a.with_class is None
    assert a.by_class == {}
    assert repr(asdict(a.described)) == repr(asdict(full.attributes[0].described))
    assert a.n_cells == 2 * len(c.splits)
    counts = bare.frame["perceived_gender"].value_counts()
    raised = composition(bare, settings=replace(QUICK, min_n=int(counts.max()) + 1)).attributes[0]
    assert {(t.group, t.class_name, t.n) for t in raised.thin} == {(g, "", n) for g, n in counts.items()}
    assert f"Most is missing for {counts.idxmin()} in" in thin_sentence(raised)
    words = " ".join([*corpus_sentences(c), *attribute_sentences(a), thin_sentence(a)])
    assert "It has no expressions" in words
    assert "class" not in words
    again = Composition.load(c.save(tmp_path / "c.json"))
    assert repr(asdict(again)) == repr(asdict(c))


def test_by_default_every_column_that_can_be_an_attribute():
    c = composition(corpus(), settings=QUICK)
    assert [a.described.name for a in c.attributes] == ["gender", "age"]
    assert c.attributes[0].source == "annotated"
    assert composition(corpus(), [], settings=QUICK).attributes == []
    crossed = composition(corpus(), ["gender*age"], settings=QUICK).attributes[0]
    assert len(crossed.described.groups) == 6
    assert sum(crossed.described.overall.counts.values()) == 600


def test_a_planted_lean_is_found_and_none_is_not():
    lean = composition(corpus(2000, lean=0.4), ["gender", "age"], settings=Settings(n_boot=40, n_perm=199))
    gender, age = lean.attributes
    assert gender.with_class.nmi.p <= 0.005
    top = max(gender.with_class.cells, key=lambda c: c.z.value)
    assert (top.group, top.class_name) in {("female", "happy"), ("male", "angry"), ("male", "neutral")}
    assert "go together, more than chance" in finding_sentences(gender)[1]
    assert "not shown" in finding_sentences(age)[1]


def test_copies_widen_everything():
    alone, twice = (composition(corpus(800, copies=copies), ["gender"], settings=QUICK) for copies in (False, True))
    assert (alone.n, alone.n_clusters) == (800, 800)
    assert (twice.n, twice.n_clusters) == (800, 400)

    def width(e):
        return e.high - e.low

    for name in ("male", "female"):
        shares = (c.attributes[0].described.overall.shares[name] for c in (alone, twice))
        single, double = map(width, shares)
        assert double > 1.3 * single
    assert twice.attributes[0].with_class.nmi.expected > 1.4 * alone.attributes[0].with_class.nmi.expected


@pytest.mark.parametrize("copies", [False, True])
def test_the_order_of_the_rows_does_not_matter(copies):
    table = corpus(400, copies=copies)
    order = np.random.default_rng(1).permutation(400)
    moved = replace(table, frame=table.frame.iloc[order].reset_index(drop=True))
    first, second = (composition(t, ["gender", "gender*age"], settings=QUICK) for t in (table, moved))
    splits = dict(sorted(first.splits.items()))
    assert splits == dict(sorted(second.splits.items()))
    for a, b in zip(first.attributes, second.attributes, strict=True):
        assert a.with_class.nmi == b.with_class.nmi
        assert a.with_class.cells == b.with_class.cells
        assert a.described.representation == b.described.representation
        assert a.described.overall == b.described.overall


def test_settings_matter():
    table = corpus()
    results = [
        composition(table, ["gender"], settings=Settings(n_boot=40, n_perm=99, seed=s)).attributes[0] for s in (0, 0, 1)
    ]
    assert results[0] == results[1]
    assert results[0].with_class.nmi.expected != results[2].with_class.nmi.expected
    wide = (
        composition(table, ["gender"], settings=replace(QUICK, level=0.99))
        .attributes[0]
        .described.overall.shares["male"]
    )
    assert wide.high > results[0].described.overall.shares["male"].high


def test_perceived_groups():
    table, probs = perceived()
    c = composition(table, settings=QUICK)
    assert [a.described.name for a in c.attributes] == ["perceived_gender"]
    a = c.attributes[0]
    assert (a.label, a.source) == ("perceived gender", "perceived")
    assert a.probable["Male"].value == pytest.approx(probs[:, 0].mean())
    assert a.probable["Male"].low < probs[:, 0].mean() < a.probable["Male"].high
    assert a.corrected is None
    assert sum(a.certainty.counts) == 500
    below = next(b for b in a.certainty.below if b.threshold == 0.7)
    sure = probs.max(1) >= 0.7
    assert below.overall.value == pytest.approx(1 - sure.mean())
    assert below.by_group["Female"].value == pytest.approx(1 - sure[probs.argmax(1) == 1].mean())
    assert below.by_class["happy"].n == int((table.frame["votes_happy"] == 1).sum())
    (years,) = c.numbers
    assert (years.name, years.label) == ("perceived_age_years", "perceived age in years")
    assert years.mean.value == pytest.approx(table.frame["perceived_age_years"].mean())
    assert sum(years.counts) == years.n == 500


def test_groups_nobody_is_perceived_as_are_shown_in_the_annotators_order():
    table, _ = perceived(perceived_gender_prob_Other=0.0)
    a = composition(table, settings=QUICK).attributes[0]
    assert a.described.groups == ["Male", "Female", "Other"]
    assert a.described.overall.counts["Other"] == 0
    assert np.isnan(a.described.representation.imbalance.value)
    assert any(t.group == "Other" and t.n == 0 for t in a.thin)


def test_faces_left_unknown_for_low_confidence_still_have_probabilities():
    table, probs = perceived()
    sure = probs.max(1) >= 0.8
    frame = table.frame.assign(perceived_gender=table.frame["perceived_gender"].where(sure))
    a = composition(replace(table, frame=frame), settings=QUICK).attributes[0]
    assert a.n_unknown == int((~sure).sum())
    assert a.probable["Male"].n == 500
    assert a.certainty.n == int(sure.sum())


def test_shares_are_corrected_with_the_errors_that_came_with_the_table():
    errors = {"groups": ["Female", "Male"], "counts": [[80, 20], [40, 160]], "source": "300 held-out faces"}
    table, _ = perceived(2000, errors={"perceived_gender": errors})
    a = composition(table, settings=Settings(n_boot=400, n_perm=19)).attributes[0]
    counted = a.described.overall.shares["Female"].value
    true = (counted - 0.2) / 0.6  # counted = 0.8 true + 0.2 (1 - true)
    assert a.corrected.shares["Female"].value == pytest.approx(true, abs=1e-6)
    assert a.corrected.shares["Female"].low < true < a.corrected.shares["Female"].high
    assert a.corrected.source == "300 held-out faces"
    assert "Once the annotator's known errors are counted" in finding_sentences(a)[1]


def test_errors_that_cannot_serve_are_said_and_given_shares_come_first():
    errors = {"groups": ["Female", "Man"], "counts": [[80, 20], [40, 160]], "source": "elsewhere"}
    table, _ = perceived(errors={"perceived_gender": errors})
    a = composition(table, settings=QUICK).attributes[0]
    assert a.corrected is None
    assert "not corrected" in a.note
    assert "elsewhere" in a.note
    given = CorrectedShares({"Male": Estimate(0.5, 0.4, 0.6), "Female": Estimate(0.5, 0.4, 0.6)}, "by hand")
    a = composition(table, shares={"perceived_gender": given}, settings=QUICK).attributes[0]
    assert a.corrected == given
    assert a.note == ""
    with pytest.raises(UsageError, match="perceived_race"):
        composition(table, shares={"perceived_race": given}, settings=QUICK)


def test_saved_and_read_again(tmp_path):
    table, _ = perceived()
    c = composition(table, settings=QUICK)
    again = Composition.load(c.save(tmp_path / "c.json"))
    assert repr(asdict(again)) == repr(asdict(c))
    with pytest.raises(DataError, match=r"missing\.json"):
        Composition.load(tmp_path / "missing.json")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(DataError, match="Composition.save"):
        Composition.load(tmp_path / "other.json")


def test_refusals():
    table = corpus()
    with pytest.raises(UsageError, match="no such column"):
        composition(table, ["gendre"])
    with pytest.raises(DataError, match="600 distinct values"):
        composition(replace(table, frame=table.frame.assign(age=[f"a{i}" for i in range(600)])), ["age"])
    with pytest.raises(LabelError, match="unknown label scheme"):
        composition(table, labels="majorty")
    with pytest.raises(UsageError, match="min_n is 0|is 0"):
        composition(table, settings=Settings(min_n=0))
    with pytest.raises(UsageError, match="level"):
        composition(table, settings=Settings(level=1.5))


def test_numbers_are_binned_without_uneven_bins():
    ages = np.tile(np.arange(0, 60), 10)
    table = table_of(np.zeros(600, dtype=int), {"age_years": ages, "half": np.where(ages < 30, np.nan, 1.0)})
    years, half = composition(table, [], settings=QUICK).numbers
    assert len(set(years.counts)) == 1
    assert years.source == "measured"
    assert (half.n, half.n_unknown, half.counts) == (300, 300, [300])


def test_persons_are_units_too():
    table = corpus(300)
    frame = table.frame.assign(identity=[f"p{i // 3}" for i in range(300)])
    assert composition(replace(table, frame=frame), ["gender"], settings=QUICK).n_clusters == 100
    assert pd.Series(frame["cluster"]).nunique() == 300
