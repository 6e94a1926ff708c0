from __future__ import annotations

import inspect

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mien.data.splits import SPLITS, assign_units, split_units
from mien.data.splits.corpus import corpus_split
from mien.data.splits.fold import fold_split
from mien.data.splits.hashes import hash_split
from mien.data.splits.ratio import ratio_split
from mien.errors import DataError
from mien.samples import SampleTable


def table(n, cluster=None, identity=None, split="all"):
    frame = pd.DataFrame(
        {
            "sample_id": [f"f{i}" for i in range(n)],
            "image": range(n),
            "split": split,
            "identity": "" if identity is None else identity,
            "cluster": range(n) if cluster is None else cluster,
            "votes_sad": 1.0,
        }
    )
    return SampleTable(frame, "toy", ("sad",))


def parts(result):
    return result.frame["split"].to_numpy(dtype=object)


def assert_nothing_is_cut(result):
    """No cluster and no known identity stands in two parts."""
    frame = result.frame
    assert (frame.groupby("cluster")["split"].nunique() == 1).all()
    known = frame[frame["identity"].fillna("") != ""]
    assert (known.groupby("identity")["split"].nunique() <= 1).all()


# --- Units -------------------------------------------------------------------------------------


def test_units_join_copies_and_persons_transitively():
    units = split_units(table(7, cluster=[0, 0, 1, 2, 3, 4, 5], identity=["", "a", "a", "b", "b", "", ""]))
    # 0-1 by cluster, 1-2 by person, 3-4 by person; the last two are alone though both lack an identity
    assert len({units[0], units[1], units[2]}) == 1
    assert units[3] == units[4]
    assert len(set(units.tolist())) == 4


def test_a_missing_identity_joins_nobody():
    frame = table(4, identity=[None, np.nan, "", "x"])
    assert len(set(split_units(frame).tolist())) == 4


@st.composite
def faces_with_units(draw):
    n = draw(st.integers(5, 60))
    cluster = draw(st.lists(st.integers(0, n), min_size=n, max_size=n))
    identity = draw(st.lists(st.sampled_from(["", "", "a", "b", "c", "d", "e"]), min_size=n, max_size=n))
    strata = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    # Clusters are numbered by first appearance, as the store numbers them.
    return table(n, pd.factorize(np.array(cluster))[0], identity), np.array(strata)


@given(faces_with_units(), st.integers(0, 5))
@settings(max_examples=80, deadline=None)
def test_no_split_ever_cuts_a_cluster_or_a_person(drawn, seed):
    faces, strata = drawn
    splits = (
        lambda: ratio_split(faces, strata, train=0.6, validation=0.2, test=0.2, seed=seed),
        lambda: fold_split(faces, strata, k=3, fold=seed % 3, seed=seed),
    )
    for split in splits:
        if len(set(split_units(faces).tolist())) < 3:
            with pytest.raises(DataError, match="no face for"):
                split()
            continue
        result = split()
        assert len(result) == len(faces)
        assert set(parts(result)) == {"train", "validation", "test"}  # however few the units of a class are
        assert_nothing_is_cut(result)
        assert result.frame["sample_id"].tolist() == faces.frame["sample_id"].tolist()


@given(faces_with_units(), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_the_corpus_split_never_leaves_a_copy_of_another_split_in_training(drawn, seed):
    faces, strata = drawn
    own = np.array(["Training", "PrivateTest"])[np.random.default_rng(seed).integers(0, 2, len(faces))]
    own[0] = "Training"
    faces = faces.derive("own", faces.frame.assign(split=own))
    units = split_units(faces)
    free = ~np.isin(units, units[own == "PrivateTest"])
    if not free.any():
        with pytest.raises(DataError, match="every training face has a copy"):
            corpus_split(faces, strata, validation=0.3, seed=seed)
        return
    try:
        result = corpus_split(faces, strata, validation=0.3, seed=seed)
    except DataError:
        # Only where no class has enough units for a share: a single one goes to training.
        assume(False)
    assert (result.frame["split"] != "test").sum() == free.sum()
    assert (parts(result) == "test").sum() == (own == "PrivateTest").sum()
    train = result.frame["split"] == "train"
    unit = dict(zip(faces.frame["sample_id"], units, strict=True))
    mine = {unit[i] for i in result.frame["sample_id"][train]}
    others = {unit[i] for i in result.frame["sample_id"][~train]}
    assert not mine & others


# --- Shares -----------------------------------------------------------------------------------


def realistic(n=1500, seed=0):
    """Seven unequal classes, some clusters of up to four faces."""
    rng = np.random.default_rng(seed)
    cluster = np.sort(rng.integers(0, int(n * 0.8), n))
    strata = rng.choice(7, n, p=[0.3, 0.2, 0.2, 0.15, 0.1, 0.04, 0.01])
    strata = strata[np.unique(cluster, return_inverse=True)[1]]  # copies share a class
    return table(n, pd.factorize(cluster)[0]), strata


def test_shares_hold_in_all_and_in_every_class():
    faces, strata = realistic()
    result = ratio_split(faces, strata, train=0.7, validation=0.1, test=0.2, seed=1)
    shares = pd.Series(parts(result)).value_counts(normalize=True)
    assert shares.to_dict() == pytest.approx({"train": 0.7, "validation": 0.1, "test": 0.2}, abs=0.01)
    counts = pd.crosstab(strata, parts(result))
    wanted = np.outer(np.bincount(strata), [0.2, 0.7, 0.1])  # test, train, validation
    assert (np.abs(counts.to_numpy() - wanted) <= 2).all()
    assert_nothing_is_cut(result)
    record = result.history[-1]
    assert (record.name, record.n_before, record.n_after) == ("ratio split", 1500, 1500)
    assert record.options == {"train": 0.7, "validation": 0.1, "test": 0.2, "seed": 1}


def test_a_part_of_share_nought_stays_empty():
    faces, strata = realistic(300)
    result = ratio_split(faces, strata, train=0.9, validation=0.1, test=0.0)
    assert set(parts(result)) == {"train", "validation"}


def test_a_big_unit_is_placed_first_and_the_rest_makes_up_for_it():
    units = np.array([0] * 40 + list(range(1, 61)))
    part = assign_units(units, np.zeros(100, dtype=int), [0.5, 0.5], seed=0)
    assert len(set(part[:40].tolist())) == 1
    assert np.bincount(part).tolist() == [50, 50]


def test_a_unit_counts_under_its_commonest_class():
    # Two units of three faces, each mostly of its own class: one of each class to each part would need cutting them.
    units = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3])
    strata = np.array([0, 0, 1, 0, 0, 1, 1, 1, 0, 1, 1, 0])
    part = assign_units(units, strata, [0.5, 0.5], seed=3)
    assert part[0] != part[3]
    assert part[6] != part[9]


@pytest.mark.parametrize("split", [ratio_split, fold_split])
def test_one_seed_gives_one_split_and_another_seed_another(split):
    faces, strata = realistic(300)
    first, again, other = (parts(split(faces, strata, seed=s)) for s in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.1


def test_the_set_aside_share_is_seeded_too():
    faces, strata = realistic(300)
    faces = faces.derive("own", faces.frame.assign(split="train"))
    first, again, other = (parts(corpus_split(faces, strata, validation=0.2, seed=s)) for s in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.05


# --- Folds --------------------------------------------------------------------------------------


def test_each_face_is_tested_once_and_validates_once():
    faces, strata = realistic(400)
    results = [fold_split(faces, strata, k=4, fold=f, seed=2) for f in range(4)]
    tested = sum((parts(r) == "test").astype(int) for r in results)
    validated = sum((parts(r) == "validation").astype(int) for r in results)
    trained = sum((parts(r) == "train").astype(int) for r in results)
    assert (tested == 1).all()
    assert (validated == 1).all()
    assert (trained == 2).all()
    for fold, result in enumerate(results):
        np.testing.assert_array_equal(result.frame["fold"] == fold, parts(result) == "test")
        assert 95 <= (parts(result) == "test").sum() <= 107
        assert_nothing_is_cut(result)


# --- The corpus's own -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("Training", "PublicTest", "PrivateTest"),
        ("train", "val", "test"),
        ("train", "valid", "test"),
        ("train", "validation", "test"),
        ("FER2013Train", "FER2013Valid", "FER2013Test"),
    ],
)
def test_the_usual_names_are_found(names):
    faces = table(6, split=[names[0]] * 3 + [names[1], names[2], "other"])
    result = corpus_split(faces, np.zeros(6, dtype=int))
    assert parts(result).tolist() == ["train"] * 3 + ["validation", "test", "other"]
    assert result.history[-1].options["train"] == names[0]
    assert result.history[-1].options["validation"] == names[1]


def test_names_can_be_given():
    faces = table(4, split=["a", "b", "c", "train"])
    result = corpus_split(faces, np.zeros(4, dtype=int), train="a", validation="c", test="b")
    assert parts(result).tolist()[:3] == ["train", "test", "validation"]


def test_a_share_of_training_validates_and_the_own_validation_split_keeps_its_name():
    faces, strata = realistic(600)
    own = np.array(["Training"] * 500 + ["PublicTest"] * 50 + ["PrivateTest"] * 50)
    faces = faces.derive("own", faces.frame.assign(split=own, cluster=range(600)))
    result = corpus_split(faces, strata, validation=0.1, seed=1)
    counts = result.splits
    assert counts["PublicTest"] == 50
    assert counts["test"] == 50
    assert counts["validation"] == pytest.approx(50, abs=4)
    assert counts["train"] + counts["validation"] == 500
    wanted = np.bincount(strata[:500], minlength=7) * 0.1
    found = np.bincount(strata[parts(result) == "validation"], minlength=7)
    assert (np.abs(found - wanted) <= 1.5).all()


def copies():
    """Six faces: 0 has a copy in test, 1 in validation, 2 a person in an unused split, 3 a copy in training."""
    return table(
        8,
        cluster=[0, 1, 2, 3, 3, 0, 1, 4],
        identity=["", "", "p", "", "", "", "", "p"],
        split=["Training"] * 5 + ["PrivateTest", "PublicTest", "extra"],
    )


def test_training_faces_with_a_copy_elsewhere_are_dropped_and_counted():
    result = corpus_split(copies(), np.zeros(8, dtype=int))
    assert result.frame["sample_id"].tolist() == ["f3", "f4", "f5", "f6", "f7"]
    assert parts(result).tolist() == ["train", "train", "test", "validation", "extra"]
    record = result.history[-1]
    assert record.detail == {
        "train faces with a copy or person elsewhere": 3,
        "validation faces with a copy or person elsewhere": 0,
    }
    assert (record.n_before, record.n_after, record.options["duplicates"]) == (8, 5, "drop")


def test_or_they_are_kept_as_published_protocols_do():
    result = corpus_split(copies(), np.zeros(8, dtype=int), duplicates="keep")
    assert parts(result).tolist() == ["train"] * 5 + ["test", "validation", "extra"]
    assert result.history[-1].detail == {
        "train faces with a copy or person elsewhere": 0,
        "validation faces with a copy or person elsewhere": 0,
    }


# --- Errors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("split", "options", "message"),
    [
        (
            ratio_split,
            {"train": 0.8, "validation": 0.3, "test": 0.1},
            "shares .*expected numbers of 0 or more that sum to 1",
        ),
        (ratio_split, {"train": 1.2, "validation": -0.2, "test": 0.0}, "shares"),
        (ratio_split, {"train": 0.0, "validation": 0.5, "test": 0.5}, "with some train"),
        (fold_split, {"k": 2}, "fold 0 of k=2, expected k of 3 or more"),
        (fold_split, {"k": 5, "fold": 5}, "fold 5 of k=5"),
        (fold_split, {"k": 5, "fold": -1}, "fold -1 of k=5"),
        (corpus_split, {"duplicates": "remove"}, r"duplicates: 'remove', expected 'drop' or 'keep'"),
        (corpus_split, {"train": "a"}, r"the corpus has no split 'a', expected one of \['PublicTest', 'Training'\]"),
        (corpus_split, {"test": "PrivateTest"}, "the corpus has no split 'PrivateTest'"),
        (corpus_split, {"validation": 0.0}, r"validation: 0\.0, expected a share between 0 and 1"),
        (corpus_split, {"validation": 1.0}, r"validation: 1\.0"),
        (corpus_split, {"validation": 1.5}, r"validation: 1\.5"),
    ],
)
def test_impossible_options_are_refused(split, options, message):
    faces = table(10, split=["Training"] * 8 + ["PublicTest"] * 2)
    with pytest.raises(DataError, match=message):
        split(faces, np.zeros(10, dtype=int), **options)


def test_a_corpus_without_training_or_validation_faces_is_refused():
    with pytest.raises(
        DataError, match=r"no training split among \['a'\], expected one of Training, train.*Name it: train"
    ):
        corpus_split(table(3, split="a"), np.zeros(3, dtype=int))
    with pytest.raises(DataError, match=r"no validation faces among \['train'\].*Pass validation: 0\.1"):
        corpus_split(table(3, split="train"), np.zeros(3, dtype=int))


def test_a_training_split_of_nothing_but_copies_is_refused():
    faces = table(4, cluster=[0, 0, 0, 0], split=["train", "train", "val", "test"])
    with pytest.raises(DataError, match="every training face has a copy in another split.*duplicates: keep"):
        corpus_split(faces, np.zeros(4, dtype=int))
    assert corpus_split(faces, np.zeros(4, dtype=int), duplicates="keep").splits["train"] == 2


def test_every_split_takes_its_options_by_name():
    assert set(SPLITS) == {"corpus", "ratio", "fold", "hash", "held_out", "stratified", "complex"}
    for split in map(SPLITS.get, SPLITS):
        kinds = [p.kind for p in inspect.signature(split).parameters.values()]
        assert kinds[:2] == [inspect.Parameter.POSITIONAL_OR_KEYWORD] * 2
        assert set(kinds[2:]) == {inspect.Parameter.KEYWORD_ONLY}
        assert "seed" in split.__kwdefaults__


def test_who_is_held_out_by_hash_depends_on_no_order():
    frame_of = lambda n: table(n).frame.assign(hash=[f"picture {i}" for i in range(n)])  # noqa: E731
    faces = table(400)
    faces = faces.derive("hash", frame_of(400))
    held = hash_split(faces, np.zeros(400, dtype=int), validation=100, test=50)
    assert held.splits == {"train": 250, "validation": 100, "test": 50}
    order = np.random.default_rng(0).permutation(400)
    shuffled = hash_split(
        faces.derive("shuffle", faces.frame.iloc[order]), np.zeros(400, dtype=int), validation=100, test=50
    )
    same = held.frame.set_index("sample_id")["split"]
    assert (shuffled.frame.set_index("sample_id")["split"].loc[same.index] == same).all()
    other = hash_split(faces, np.zeros(400, dtype=int), validation=100, test=50, seed=1)
    assert not (other.frame["split"] == held.frame["split"]).all()


def test_copies_are_held_out_together_by_hash():
    faces = table(60, cluster=[i // 6 for i in range(60)])
    faces = faces.derive("hash", faces.frame.assign(hash=[f"picture {i}" for i in range(60)]))
    held = hash_split(faces, np.zeros(60, dtype=int), validation=20)
    assert (held.frame.groupby("cluster")["split"].nunique() == 1).all()
    assert 20 <= held.splits["validation"] < 26
    with pytest.raises(DataError, match="60 and 0 of 60 faces held out"):
        hash_split(faces, np.zeros(60, dtype=int), validation=60)
    with pytest.raises(DataError, match="whole numbers of faces"):
        hash_split(faces, np.zeros(60, dtype=int), validation=0.1)
