"""Tables as a whole: what means missing, what is one class, which rows repeat, who is too large a unit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mien.audit.attributes import candidate_attributes, resolve_attribute
from mien.errors import DataError
from mien.prediction_tables import repeats
from mien.records import Predictions
from whole_tables import CLASSES, drawn, faces, paths, read_as, with_probs

WAYS = ["csv", "parquet", "frame"]


def joined(*frames):
    return pd.concat(frames, ignore_index=True)


# --- Missing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("word", ["unknown", "Unknown", " n.a. ", "-", "?", "NULL", "None", ""])
def test_words_for_missing_are_no_person(tmp_path, way, word):
    persons = [f"p{i // 3}" for i in range(300)]
    table = faces(identity=[word if i < 100 else p for i, p in enumerate(persons)])
    found = read_as(table, way, tmp_path)
    nobody = read_as(table.assign(identity=[None if i < 100 else p for i, p in enumerate(persons)]), "frame", tmp_path)
    same = [c[:, None] == c for c in (found.cluster, nobody.cluster)]
    np.testing.assert_array_equal(*same)
    assert found.warnings == ()
    assert bool(word.strip()) == any("'identity' these words were taken for nobody known" in n for n in found.notes)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [int, float, str])
def test_minus_one_is_nobody_in_cluster(tmp_path, way, kind):
    cluster = [kind(-1 if i < 150 else i // 2) for i in range(300)]
    found = read_as(faces(cluster=cluster), way, tmp_path)
    assert len(set(found.cluster[:150].tolist())) == 150
    assert len(set(found.cluster.tolist())) == 150 + 75
    assert any("'-1' in 150 rows" in n or "'-1.0' in 150 rows" in n for n in found.notes)
    assert found.warnings == ()


@pytest.mark.parametrize("way", WAYS)
def test_none_is_a_group_and_other_words_for_missing_are_not(tmp_path, way):
    eyewear = ["None", "glasses", "unknown", "n/a", "sunglasses", "none"] * 50
    found = resolve_attribute(read_as(faces(eyewear=eyewear), way, tmp_path), "eyewear")
    assert found.groups == ("glasses", "none", "sunglasses")
    assert (found.codes < 0).sum() == 100
    assert "Taken for missing, not for a group: 'n/a' (50), 'unknown' (50)" in found.note
    assert "'none' counts as a group" in found.note
    assert "counts as a group" not in resolve_attribute(read_as(faces(), way, tmp_path), "gender").note


@pytest.mark.parametrize("column", ["label", "pred"])
@pytest.mark.parametrize("word", ["unknown", "None", "-", "N/A", None])
def test_a_missing_class_is_refused_with_its_row(column, word):
    table = faces()
    table[column] = table[column].astype(object)
    table.loc[7, column] = word
    with pytest.raises(DataError, match=rf"row 7: no class in column '{column}'.*1 such rows.*Leave these rows out"):
        Predictions.from_frame(table)


def test_a_word_for_missing_that_is_a_class_of_the_table_is_that_class():
    table = pd.DataFrame({"label": ["unknown", "anger"], "prob_anger": [0.2, 0.9], "prob_unknown": [0.8, 0.1]})
    assert Predictions.from_frame(table).labels.tolist() == [1, 0]


@pytest.mark.parametrize("all_of_them", ["unknown", None])
def test_a_column_of_nothing_but_missing_persons_is_no_unit(all_of_them):
    found = Predictions.from_frame(faces(identity=[all_of_them] * 300))
    assert len(set(found.cluster.tolist())) == 300
    assert found.warnings == ()


@pytest.mark.parametrize("way", WAYS)
def test_numbers_with_words_for_missing_stay_numbers(tmp_path, way):
    values = [f"{100 + i}.5" for i in range(296)] + ["unknown", "-", "n.a.", ""]
    found = read_as(faces(brightness=values), way, tmp_path).groups["brightness"]
    assert pd.api.types.is_numeric_dtype(found)
    assert int(found.isna().sum()) == 4


@pytest.mark.parametrize("way", ["parquet", "frame"])
@pytest.mark.parametrize(
    ("name", "values", "row", "word"),
    [
        ("brightness", [f"{i}.5" for i in range(299)] + ["3,5"], 299, "3,5"),
        ("brightness", [f"{i},5" for i in range(300)], 0, "0,5"),
        ("score", ["55%", *(f"{i}.5" for i in range(299))], 0, "55%"),
        ("face_size", [f"{i}.5" for i in range(299)] + ["n.d."], 299, "n.d."),
        ("yaw", ["3,5", "4,5", "5,5"] * 100, 0, "3,5"),
    ],
)
def test_what_was_meant_as_numbers_and_is_none_is_refused_with_its_row(tmp_path, way, name, values, row, word):
    with pytest.raises(DataError, match=rf"row {row}: column '{name}' holds '{word}', expected a number"):
        read_as(faces(**{name: values}), way, tmp_path)


@pytest.mark.parametrize("values", [["0%", "25%", "50%"], ["dark", "bright", "dark"], ["12", "3,5 stars", "a"]])
def test_words_that_only_look_like_numbers_are_groups(values):
    found = Predictions.from_frame(faces(occlusion=values * 100))
    assert "occlusion" in candidate_attributes(found)


# --- A unit that is too large ------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("column", "name"), [("identity", "stranger"), ("cluster", "0")])
def test_a_unit_with_a_third_of_the_faces_is_named(tmp_path, way, column, name):
    units = [name if i < 100 else str(1000 + i // 2) for i in range(300)]
    found = read_as(faces(**{column: units}), way, tmp_path)
    assert len(found.warnings) == 1
    assert f"The value '{name}' of the column '{column}' stands in 100 of the 300 rows" in found.warnings[0]


@pytest.mark.parametrize(
    "persons",
    [
        [f"p{i // 30}" for i in range(300)],  # ten persons, a tenth each
        [f"p{i // 50}" for i in range(300)],  # six persons
        [f"p{i}" for i in range(300)],
    ],
)
def test_few_persons_of_like_size_are_no_fault(persons):
    assert Predictions.from_frame(faces(identity=persons)).warnings == ()


def test_faces_that_hang_together_through_both_columns_are_named():
    # Each person is small and each picture is, but a chain of them holds a third of the faces.
    chain = range(100)
    cluster = [*(i // 2 for i in chain), *range(1000, 1200)]
    identity = [*(f"a{(i + 1) // 2}" for i in chain), *(f"p{i}" for i in range(200))]
    found = Predictions.from_frame(faces(cluster=cluster, identity=identity))
    assert "100 of the 300 faces hang together" in found.warnings[0]


# --- Spellings of classes ------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_two_vocabularies_are_one(tmp_path, way):
    labels, predicted, gender = drawn()
    other = np.array(["Angry", "disgusted", "FEARFUL", "joy", "natural", "sad", "suprise"])
    table = pd.DataFrame({"label": CLASSES[labels], "pred": other[predicted], "gender": gender})
    found = read_as(table, way, tmp_path)
    assert found.classes == tuple(CLASSES)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(found.predicted, predicted)
    assert "anger (also Angry); disgust (also disgusted)" in found.notes[0]


def test_columns_of_probabilities_may_be_spelt_otherwise_than_labels():
    table = with_probs(faces())
    renamed = table.rename(columns={"prob_anger": "prob_Angry", "prob_sadness": "prob_sad"})
    found, plain = Predictions.from_frame(renamed), Predictions.from_frame(table)
    assert found.classes == ("Angry", "disgust", "fear", "happiness", "neutral", "sad", "surprise")
    np.testing.assert_array_equal(found.labels, plain.labels)
    np.testing.assert_array_equal(found.probs, plain.probs)


@pytest.mark.parametrize("prefix", ["prob_", "target_", "votes_"])
def test_two_columns_of_one_class_are_refused(prefix):
    table = faces().assign(**{f"{prefix}{c}": 0.5 for c in ("happy", "happiness")})
    with pytest.raises(DataError, match=rf"'{prefix}happy' and '{prefix}happiness' are one expression.*their sum"):
        Predictions.from_frame(table)


def test_given_classes_of_one_expression_are_refused():
    with pytest.raises(DataError, match="classes 'anger' and 'angry' are one expression"):
        Predictions.from_frame(faces(), classes=[*CLASSES, "angry"])


@pytest.mark.parametrize(
    ("label", "names", "fix"),
    [("7", [str(k) for k in range(7)], "count from 0 and another from 1"), ("3", CLASSES, "Write the names instead")],
)
def test_a_code_that_is_no_class_says_what_it_may_be(label, names, fix):
    table = pd.DataFrame({"label": [label], **{f"prob_{c}": [1 / len(names)] for c in names}})
    with pytest.raises(DataError, match=f"unknown class '{label}'.*{fix}"):
        Predictions.from_frame(table)


# --- Rows that repeat ------------------------------------------------------------------------------------

SHUFFLED = np.random.default_rng(3).permutation(600)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("table", "n", "first"),
    [
        (joined(*[faces(path=paths())] * 4), 900, 300),
        (joined(*[faces()] * 4), 900, 300),  # no column tells faces apart, but the order does
        (joined(faces().iloc[:120], faces()), 120, 120),  # a run that was stopped, and the whole one
        (joined(faces(), faces().iloc[:120]), 120, 300),
        (joined(faces(path=paths()), faces(path=paths()).iloc[100:120]), 20, 300),
        (joined(*[faces(path=paths())] * 2).iloc[SHUFFLED].reset_index(drop=True), 300, None),
        (joined(*[with_probs(faces())] * 2).iloc[SHUFFLED].reset_index(drop=True), 300, None),
        (joined(*[faces(path=paths())] * 2).assign(id=range(600)), 300, 300),  # ids that only number the rows
    ],
)
def test_rows_that_repeat_are_named_and_count_once(tmp_path, way, table, n, first):
    found = read_as(table, way, tmp_path)
    assert len(found) == len(table) - n == 300
    assert found.warnings[0].startswith(f"{n:,} of the {len(table):,} rows say again what an earlier row says")
    assert found.sample_id.tolist() == [str(i) for i in range(300)]
    if first is not None:
        np.testing.assert_array_equal(found.labels, drawn()[0])
        place = f"table.csv line {first + 2}" if way == "csv" else f"row {first})"
        assert place in found.warnings[0]


@pytest.mark.parametrize(
    "table",
    [
        faces(),  # few columns: many faces are alike
        faces().sort_values(["label", "pred", "gender"]).reset_index(drop=True),
        faces(path=[f"party/{i // 3}.jpg" for i in range(300)]),  # several faces of a picture
        faces(identity=[f"p{i // 10}" for i in range(300)]),
        faces(name=[f"p{i // 4}" for i in range(300)]),
        faces(film=[f"f{k}.mp4" for k in range(300)]).iloc[np.repeat(np.arange(60), 5)].reset_index(drop=True),
        faces(path=[f"f{k}.mp4" for k in range(300)]).iloc[np.repeat(np.arange(60), 5)].reset_index(drop=True),
        faces(2),
        pd.DataFrame({"label": ["anger"], "pred": ["anger"], "path": ["1.jpg"]}),
        pd.DataFrame({"label": ["anger"] * 2, "pred": ["anger"] * 2, "gender": ["female"] * 2}),
        with_probs(faces(), decimals=0),  # a model that is sure, alike for many faces
        pd.DataFrame({"label": CLASSES[np.arange(700) % 7], "pred": CLASSES[np.arange(700) % 7]}),  # drawn in turn
    ],
)
def test_faces_that_are_alike_are_not_taken_for_repeats(table):
    found = Predictions.from_frame(table)
    assert len(found) == len(table)
    assert found.warnings == ()


def test_repeats_are_dropped_with_their_units_and_faces_that_were_not_found():
    table = faces(path=paths(), identity=[f"p{i // 2}" for i in range(300)], detected=[i % 10 > 0 for i in range(300)])
    found, once = Predictions.from_frame(joined(table, table)), Predictions.from_frame(table)
    assert (len(found), len(found.undetected)) == (len(once), len(once.undetected)) == (270, 30)
    np.testing.assert_array_equal(found.cluster, once.cluster)
    np.testing.assert_array_equal(found.predicted, once.predicted)


def test_results_of_two_models_in_one_table_are_named():
    other = faces(path=paths())
    other["pred"] = np.where(np.arange(300) % 4 == 0, np.roll(other["pred"], 1), other["pred"])
    found = Predictions.from_frame(joined(faces(path=paths()), other))
    assert len(found) == 600
    assert "300 of the 600 rows name a picture ('path') that an earlier row names" in found.warnings[0]


def of_models(times, n=300, **columns):
    """One table in which each picture stands once for each model."""
    parts = []
    for k in range(times):
        part = faces(n, path=paths(n), **{c: v[k] for c, v in columns.items()})
        parts.append(part.assign(pred=np.where(np.arange(n) % (4 + k) == 0, np.roll(part["pred"], k), part["pred"])))
    return joined(*parts)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"model": ["resnet", "vgg", "vit", "a", "b"]}, "('model')"),
        ({"Checkpoint": ["last", "best"]}, "('Checkpoint')"),
        ({"epoch": [1, 2, 3]}, "('epoch')"),
        ({"seed": [0, 1]}, "('seed')"),
        ({"model": ["a", "a", "b", "b"], "seed": [0, 1, 0, 1]}, "('model' and 'seed')"),
        ({"run": ["r1", "r2"]}, "('run')"),
    ],
)
def test_results_of_several_models_are_named_with_the_column_that_tells_them_apart(tmp_path, way, columns, said):
    times = len(next(iter(columns.values())))
    found = read_as(of_models(times, **columns).sample(frac=1, random_state=0), way, tmp_path)
    assert len(found) == 300 * times
    assert found.warnings[0].startswith(f"One picture again, predicted by several models {said}: 300 pictures ('path')")
    assert "audit each alone" in found.warnings[0]
    assert len(found.warnings) == 1


@pytest.mark.parametrize(
    "table",
    [
        faces(path=paths(), model=["a", "b"] * 150),  # each picture by one of two models
        faces(path=[f"party/{i // 3}.jpg" for i in range(300)], model=["a"] * 300),
        faces(path=[f"party/{i // 3}.jpg" for i in range(300)], model=["a", "b", "c"] * 100),  # persons in a picture
        faces(model=[f"m{i // 60}" for i in range(300)]),  # persons who were photographed
        faces(path=paths(), seed=range(300)),
        of_models(2, cluster=[None, None]).assign(cluster=[*range(300)] * 2),  # said to be one
    ],
)
def test_other_columns_called_model_are_no_fault(table):
    assert Predictions.from_frame(table).warnings == ()


def test_ids_that_stand_there_once_for_each_model_are_refused_with_the_column():
    table = of_models(2, model=["a", "b"]).assign(sample_id=[*paths()] * 2)
    with pytest.raises(DataError, match=r"a second time.*several models predicted each face \('model'\)"):
        Predictions.from_frame(table)
    with pytest.raises(DataError, match="distributed samplers pad"):
        Predictions.from_frame(table.drop(columns="model"))


def test_equal_hashes_alone_drop_no_row(monkeypatch):
    monkeypatch.setattr(repeats, "_mixed", lambda a, b: np.zeros(len(a), dtype=np.uint64))
    assert len(Predictions.from_frame(faces(path=paths()))) == 300  # a path names every row: nothing is compared


@pytest.mark.parametrize("way", ["parquet", "frame"])
def test_a_header_among_the_rows_is_refused_with_its_row(tmp_path, way):
    table = faces().astype(object)
    columns = [c for c in table.columns if isinstance(table[c].iloc[0], str)]
    table.loc[40, columns] = columns
    with pytest.raises(DataError, match=r"row 40: the header stands there again \(1 such rows\)"):
        read_as(table, way, tmp_path)


@pytest.mark.parametrize("way", ["parquet", "frame", "csv"])
def test_a_group_may_be_called_as_its_column_is(tmp_path, way):
    table = faces().assign(glasses=np.where(np.arange(300) % 3, "none", "glasses"))
    found = read_as(table, way, tmp_path)
    assert found.groups["glasses"].astype(str).value_counts().to_dict() == {"none": 200, "glasses": 100}


# --- Warnings travel -----------------------------------------------------------------------------------


def test_warnings_and_notes_are_kept_by_parquet_and_by_selection(tmp_path):
    found = Predictions.from_frame(joined(*[faces(path=paths())] * 2))
    found.save(tmp_path / "p.parquet")
    again = Predictions.load(tmp_path / "p.parquet")
    assert again.warnings == found.warnings
    assert len(again) == 300
    assert again.select(np.arange(10)).warnings == found.warnings


def test_the_split_is_a_column_that_may_be_asked_for_but_is_offered_to_nobody():
    found = Predictions.from_frame(faces(split=["train", "test"] * 150))
    assert resolve_attribute(found, "split").groups == ("test", "train")
    assert candidate_attributes(found) == ["gender"]
