"""Splits of the sources: two tests of one training set, groups alike in all parts, caps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from mien.data.datasets.ferplus import read_votes
from mien.data.splits.capping import within_cap
from mien.data.splits.complex import complex_split
from mien.data.splits.corpus import corpus_split
from mien.data.splits.fold import fold_split
from mien.data.splits.hashes import hash_split
from mien.data.splits.held_out import held_out_split
from mien.data.splits.ratio import ratio_split
from mien.data.splits.stratified import stratified_split
from mien.data.splits.units import deal_in_order
from mien.errors import DataError
from mien.labels import FER2013_CLASSES, FERPLUS_VOCABULARY, label_scheme
from mien.labels.complexity import complexity
from mien.samples import SampleTable


def table_of(votes, vocabulary, cluster=None, split="all", **attributes):
    n = len(votes)
    frame = pd.DataFrame(
        {
            "sample_id": [f"f{i}" for i in range(n)],
            "image": range(n),
            "split": split,
            "identity": "",
            "cluster": range(n) if cluster is None else cluster,
            **attributes,
            **{f"votes_{w}": np.asarray(votes)[:, k] for k, w in enumerate(vocabulary)},
        }
    )
    return SampleTable(frame, "toy", tuple(vocabulary), tuple(attributes))


def scattered(n=2000, seed=0):
    """Ten votes a face; a fifth of the faces have a copy."""
    rng = np.random.default_rng(seed)
    votes = np.array([rng.multinomial(10, p) for p in rng.dirichlet(np.full(10, 0.2), n)], dtype=float)
    cluster = np.arange(n)
    twins = rng.permutation(n)[: n // 5].reshape(2, -1)
    cluster[twins[1]] = cluster[twins[0]]
    votes[twins[1]] = votes[twins[0]]
    return table_of(votes, FERPLUS_VOCABULARY, cluster)


def strata_of(table, name, **options):
    scheme = label_scheme(name, table.vocabulary, options)
    found = scheme.targets(table.votes, table.vocabulary, table.faces)
    return np.where(found.keep, found.probs.argmax(1), len(scheme.classes))


def units_in_one_part(result):
    return bool((result.frame.groupby("cluster")["split"].nunique() == 1).all())


# --- Complex faces --------------------------------------------------------------------------------------


def test_the_complex_test_holds_complex_faces_only_and_nothing_is_cut():
    table = scattered()
    result = complex_split(table, np.zeros(len(table), dtype=np.int64), seed=3)
    x = complexity(result.votes, result.vocabulary)
    split = result.frame["split"].to_numpy(dtype=object)
    assert (x[split == "test_complex"] > 3).all()
    assert 0.5 * (x > 3).mean() < (x[split == "test"] > 3).mean() < 1.5 * (x > 3).mean()
    n = len(result)
    for part, share in {"test": 0.1, "test_complex": 0.1, "validation": 0.1, "train": 0.7}.items():
        assert (split == part).sum() == pytest.approx(share * n, abs=0.01 * n), part
    assert units_in_one_part(result)
    np.testing.assert_array_equal(result.frame["complexity"], x)
    assert result.history[-1].detail["complex faces in the complex test"] == (split == "test_complex").sum()


def test_the_parts_are_the_same_whatever_labels_are_learnt():
    table = scattered()
    parts = [complex_split(table, strata_of(table, "n_hot", n=n), seed=1).frame["split"].tolist() for n in range(1, 9)]
    parts.append(complex_split(table, strata_of(table, "ferplus_majority"), seed=1).frame["split"].tolist())
    assert all(part == parts[0] for part in parts)
    assert complex_split(table, strata_of(table, "n_hot"), seed=2).frame["split"].tolist() != parts[0]


def test_either_test_may_be_called_test():
    table, strata = scattered(), np.zeros(2000, dtype=np.int64)
    one, other = (complex_split(table, strata, test=which) for which in ("ordinary", "complex"))
    swapped = one.frame["split"].replace({"test": "test_ordinary", "test_complex": "test"})
    assert swapped.tolist() == other.frame["split"].tolist()


def test_a_cap_leaves_out_faces_to_learn_from_and_no_others():
    table = scattered(2000)
    strata = np.zeros(len(table), dtype=np.int64)
    whole, capped = complex_split(table, strata), complex_split(table, strata, cap=25)
    for part in ("test", "test_complex", "validation"):
        ids = [set(t.frame.loc[t.frame["split"] == part, "sample_id"]) for t in (whole, capped)]
        assert ids[0] == ids[1]
    modes = capped.votes[(capped.frame["split"] == "train").to_numpy()].argmax(1)
    assert np.bincount(modes).max() <= 25
    left_out = len(whole) - len(capped)
    assert left_out > 0
    assert capped.history[-1].detail["faces above the cap"] == left_out
    trains = (capped.frame["split"] == "train").to_numpy()
    complex_ones = (complexity(capped.votes, capped.vocabulary) > 3) & trains
    assert capped.history[-1].detail["complex faces in train"] == complex_ones.sum()
    assert "cap" not in whole.history[-1].options


def test_without_complex_faces_or_any_left_to_train_the_split_is_refused():
    table = table_of(np.eye(7).repeat(5, axis=0), FER2013_CLASSES)
    with pytest.raises(DataError, match=r"no face has more than 3 expressions with a vote.*Lower above"):
        complex_split(table, np.zeros(35, dtype=np.int64))
    with pytest.raises(DataError, match="remain beside both tests"):
        complex_split(scattered(400), np.zeros(400, dtype=np.int64), ordinary=0.6, validation=0.5)


# --- Groups ---------------------------------------------------------------------------------------------


def grouped(n=3000, seed=0):
    rng = np.random.default_rng(seed)
    gender = rng.choice(["female", "male"], n, p=[0.3, 0.7])
    age = rng.choice(["child", "adult", None], n, p=[0.05, 0.85, 0.1])
    cluster = np.arange(n)
    cluster[1 : n // 3 : 7] = cluster[0 : n // 3 - 1 : 7]
    strata = rng.choice(5, n, p=[0.4, 0.3, 0.2, 0.08, 0.02])
    for values in (gender, age, strata):  # copies are alike
        values[1 : n // 3 : 7] = values[0 : n // 3 - 1 : 7]
    return table_of(np.ones((n, 1)), ("sad",), cluster, gender=gender, age=age), strata.astype(np.int64)


def test_shares_hold_in_every_class_and_group_and_small_cells_do_not_all_train():
    table, strata = grouped()
    result = stratified_split(table, strata, by=["gender", "age"], seed=5)
    split = result.frame["split"]
    shares = split.value_counts(normalize=True).to_dict()
    assert shares == pytest.approx({"train": 0.7, "validation": 0.15, "test": 0.15}, abs=0.002)
    cells = pd.DataFrame({"class": strata, "gender": table.frame["gender"], "age": table.frame["age"].fillna("?")})
    for by in (["class"], ["class", "gender"], ["class", "gender", "age"]):
        counts = pd.crosstab([cells[c] for c in by], split)
        wanted = counts.to_numpy().sum(1)[:, None] * np.array([0.15, 0.7, 0.15])
        # A stretch begins and ends within a unit of two faces.
        assert (np.abs(counts.to_numpy() - wanted) <= 3.5).all(), by
    assert units_in_one_part(result)


def test_cells_of_one_face_are_dealt_in_proportion_too():
    cells = np.stack([np.zeros(400, dtype=np.int64), np.arange(400)], axis=1)
    part = deal_in_order(np.arange(400), cells, [0.7, 0.15, 0.15, 0.0], seed=0)
    np.testing.assert_allclose(np.bincount(part, minlength=4), [280, 60, 60, 0], atol=1)


def test_folds_by_group_hold_as_many_of_each_and_test_each_face_once():
    table, strata = grouped(1200)
    results = [fold_split(table, strata, k=4, fold=f, by=["gender"], seed=2) for f in range(4)]
    tested = sum((r.frame["split"] == "test").to_numpy().astype(int) for r in results)
    assert (tested == 1).all()
    counts = pd.crosstab(results[0].frame["fold"], [strata, table.frame["gender"]])
    assert (counts.max() - counts.min()).max() <= 6
    assert all(map(units_in_one_part, results))
    assert results[0].history[-1].options == {"k": 4, "fold": 0, "seed": 2, "by": ["gender"]}


def test_a_misspelt_attribute_is_answered_with_the_nearest():
    table, strata = grouped(60)
    with pytest.raises(DataError, match=r"no attribute 'gendr'\. Did you mean 'gender'\?"):
        stratified_split(table, strata, by=["gendr"])


# --- Caps -----------------------------------------------------------------------------------------------


def test_a_cap_is_reached_in_each_class_that_has_enough_and_cuts_no_unit():
    strata = np.repeat([0, 1, 2], [50, 12, 5])
    units = np.arange(67)
    units[1:30:2] = units[0:29:2]
    kept = within_cap(units, strata, 10, seed=0)
    assert np.bincount(strata[kept]).tolist() == [10, 10, 5]
    assert not set(units[kept]) & set(units[~kept])
    assert (within_cap(units, strata, 10, seed=1) != kept).any()


def test_a_cap_keeps_classes_that_are_below_it_whatever_units_they_share():
    # Ten persons of thirty happy and five disgusted faces each: of disgust there are only fifty.
    units, strata = np.repeat(np.arange(10), 35), np.tile(np.repeat([0, 1], [30, 5]), 10)
    for seed in range(5):
        assert np.bincount(strata[within_cap(units, strata, 100, seed)]).tolist() == [100, 50]
    # Units that are each larger than the cap still give some.
    units, strata = np.repeat(np.arange(6), 10), np.zeros(60, dtype=np.int64)
    assert within_cap(units, strata, 5, 0).sum() == 5


def test_few_persons_are_spread_over_all_folds():
    # JAFFE is like this: ten persons of about twenty faces.
    frame = table_of(np.ones((200, 1)), ("sad",))
    frame = frame.derive("persons", frame.frame.assign(identity=np.repeat([f"p{i}" for i in range(10)], 20)))
    strata = np.random.default_rng(0).integers(0, 6, 200)
    sizes = [fold_split(frame, strata, k=10, fold=k).splits["test"] for k in range(10)]
    assert sizes == [20] * 10
    with pytest.raises(DataError, match=r"no face for .*10 pictures or persons"):
        [fold_split(frame, strata, k=11, fold=k) for k in range(11)]


def test_a_part_of_another_name_is_not_mixed_with_the_corpus_s_own():
    frame = table_of(np.ones((200, 1)), ("sad",))
    own = np.repeat(["train", "extra", "validation", "test", "test_hard"], [60, 60, 30, 20, 30])
    frame, z = frame.derive("own", frame.frame.assign(split=own)), np.zeros(200, dtype=np.int64)
    assert corpus_split(frame, z).splits == {"train": 60, "extra": 60, "validation": 30, "test": 20, "test_hard": 30}
    found = corpus_split(frame, z, train="extra", test="test_hard").splits
    assert found == {"corpus_train": 60, "train": 60, "validation": 30, "corpus_test": 20, "test": 30}
    found = corpus_split(frame, z, validation=0.1).splits
    assert found == {"train": 54, "validation": 6, "extra": 60, "corpus_validation": 30, "test": 20, "test_hard": 30}
    with pytest.raises(DataError, match="train named for two parts"):
        corpus_split(frame, z, validation="train")


def test_groups_that_are_numbers_are_held_out_by_their_text():
    frame = table_of(np.ones((40, 1)), ("sad",))
    frame = frame.derive("sites", frame.frame.assign(site=np.repeat([1, 2, 3, 4], 10)))
    result = held_out_split(frame, np.zeros(40, dtype=np.int64), test=("3",), by="site")
    assert set(result.frame.loc[result.frame["site"] == 3, "split"]) == {"test"}
    assert set(result.frame.loc[result.frame["site"] != 3, "split"]) == {"train", "validation"}


def test_a_unit_that_overshoots_validation_takes_nothing_from_test():
    frame = table_of(np.ones((150, 1)), ("sad",))
    persons = frame.frame.assign(identity=np.repeat(["a", "b", "c"], 50), hash=[f"{i:016x}" for i in range(150)])
    found = hash_split(frame.derive("persons", persons), np.zeros(150, dtype=np.int64), validation=10, test=20).splits
    assert found == {"validation": 50, "test": 50, "train": 50}


def test_a_cap_before_the_parts_or_in_training_only():
    table = table_of(np.ones((300, 1)), ("sad",))
    strata = np.repeat([0, 1], [200, 100])
    pool = ratio_split(table, strata, cap=120)
    assert len(pool) == 220
    assert pool.splits["train"] == 176
    train = ratio_split(table, strata, cap=120, capped="train")
    # 160 and 80 of 200 and 100 train: 40 are too many.
    assert train.splits == {"train": 200, "validation": 30, "test": 30}
    assert train.history[-1].detail == {"faces above the cap": 40}


def test_several_splits_of_a_corpus_test_together():
    own = np.array(["Training"] * 8 + ["PublicTest"] * 2 + ["PrivateTest"] * 3)
    table = table_of(np.ones((13, 1)), ("sad",), split=own)
    strata = np.zeros(13, dtype=np.int64)
    result = corpus_split(table, strata, test=["PublicTest", "PrivateTest"], validation=0.25, cap=6, capped="train")
    assert result.splits == {"train": 6, "validation": 2, "test": 5}
    assert result.history[-1].options["test"] == ["PublicTest", "PrivateTest"]
    assert corpus_split(table, strata, test="PrivateTest", validation=0.25, cap=4).splits == {
        "train": 3, "validation": 1, "PublicTest": 2, "test": 3
    }  # fmt: skip


# --- The sources' counts ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def votes_table(real_data: Path):
    frame = read_votes(real_data / "fer2013new.csv")
    votes = frame[[f"votes_{v}" for v in FERPLUS_VOCABULARY]].to_numpy(float)
    return table_of(votes, FERPLUS_VOCABULARY, split=frame["usage"].to_numpy())


@pytest.mark.real_data
def test_source_1s_tests_of_ferplus(votes_table):
    result = complex_split(votes_table, np.zeros(len(votes_table), dtype=np.int64))
    assert len(result) == 35_393
    assert result.splits == {"train": 24_776, "validation": 3_539, "test": 3_538, "test_complex": 3_540}
    # 4,455 in all; the source's 916 that remain to learn from are fewer by those in validation and the random test.
    assert result.history[-1].detail == {
        "complex faces in train": 421,
        "complex faces in validation": 65,
        "complex faces in the random test": 429,
        "complex faces in the complex test": 3_540,
    }


@pytest.mark.real_data
def test_educations_shares_of_its_16256_faces(votes_table):
    strata = strata_of(votes_table, "edu_code")
    result = ratio_split(votes_table, strata, train=0.7, validation=0.15, test=0.15)
    labelled = result.frame["split"][strata < 4].value_counts().to_dict()
    assert labelled == {"train": 11_379, "validation": 2_439, "test": 2_438}


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("scheme", "train", "validation", "test"),
    [("four_class", 12_796, 3_199, 5_003), ("binary_happy_sad", 6_400, 1_600, 3_021)],
)
def test_source_2s_caps_of_fer2013(real_data, scheme, train, validation, test):
    frame = pq.read_table(real_data / "fer2013.parquet", columns=["usage", "emotion"]).to_pandas()
    table = table_of(np.eye(7)[frame["emotion"]], FER2013_CLASSES, split=frame["usage"].to_numpy())
    strata = strata_of(table, scheme)
    tests = sorted(set(frame["usage"]) - {"Training"})
    result = corpus_split(table, strata, test=tests, validation=0.2, cap=4_000, duplicates="keep")
    labelled = strata_of(result, scheme) < strata.max()
    found = result.frame["split"][labelled].value_counts().to_dict()
    if "PrivateTest" not in tests:
        assert (found["train"], found["validation"]) == (train, validation)
    else:
        assert found == {"train": train, "validation": validation, "test": test}
