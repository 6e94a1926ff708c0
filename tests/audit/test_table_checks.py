"""Faults of a whole table are said before the finding, and sound tables raise none."""

from __future__ import annotations

import html
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mien.audit import Audit, audit, compare, compare_many, render_text, seed_audit
from mien.audit.compare.markdown import comparison_text
from mien.audit.exchanged_classes import exchanged
from mien.audit.seeds.markdown import seed_text
from mien.audit.table_checks import table_notes, table_warnings
from mien.metrics import measure
from mien.records import Predictions
from mien.stats.settings import Settings
from whole_tables import CLASSES, drawn, faces, paths, read_as, with_probs

QUICK = Settings(n_boot=50, n_perm=99)
EXCHANGED = [0, 1, 6, 3, 4, 5, 2]  # fear and surprise


def table(labels, predicted, **columns):
    gender = drawn(len(labels))[2]
    return Predictions.from_frame(pd.DataFrame({"label": labels, "pred": predicted, "gender": gender, **columns}))


def codes(n=700, **options):
    labels, predicted, _ = drawn(n, **options)
    return labels, predicted


# --- Sound tables -----------------------------------------------------------------------------------

_L, _P = codes()
_BINARY = np.array(["smile", "no smile"])
_RARE = np.where(np.arange(700) % 60 == 0, 1, np.where(_L == 1, 0, _L))


@pytest.mark.parametrize(
    "pred",
    [
        table(CLASSES[_L], CLASSES[_P]),
        table(_L, _P),
        table([f"{v}.0" for v in _L], [str(v) for v in _P]),
        table(CLASSES[_L[:99]], CLASSES[_L[:99]]),  # always right, but of few faces
        Predictions.from_frame(with_probs(faces(700).assign(label=faces(700)["pred"]))),  # or sure to a degree
        table(CLASSES[_RARE], CLASSES[np.where(_P == 1, 0, _P)]),  # a rare class that the model never predicts
        table(CLASSES[_L], np.where(np.arange(700) == 5, "anger", "neutral")),
        table(["anger", "neutral"] * 2, ["neutral"] * 4),
        table(["neutral"] * 700, ["neutral"] * 700),
        table(CLASSES[_L], CLASSES[np.random.default_rng(5).integers(0, 7, 700)]),  # a model that knows nothing
        table(_BINARY[_L % 2], _BINARY[_P % 2]),
        table(CLASSES[_L[:100]], CLASSES[_P[:100]]),
        table(CLASSES[_L[:5]], CLASSES[[*_L[:1], *(_L[1:5] + 1) % 7]]),  # hardly right, but of five faces
        table(CLASSES[_L], CLASSES[np.where(_L == 1, 0, _P)]),  # all disgust is taken for anger, but not anger for it
        Predictions.from_frame(with_probs(faces())),
        Predictions.from_frame(with_probs(faces(), decimals=2)),
    ],
)
def test_sound_tables_have_no_warning(pred):
    assert table_warnings(pred, ["gender"]) == []


# --- Classes that do not fit together ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "predicted", "said"),
    [
        (_L + 1, _P, "numbers 1 to 7, the predicted ones 0 to 6"),
        (_L, _P + 1, "numbers 0 to 6, the predicted ones 1 to 7"),
        (_L + 1.0, _P, "numbers 1 to 7, the predicted ones 0 to 6"),
        ([f"{v:02d}" for v in _L + 1], [f"{v:02d}" for v in _P], "numbers 1 to 7, the predicted ones 0 to 6"),
        (_L % 2 + 1, _L % 2, "numbers 1 to 2, the predicted ones 0 to 1"),
        (np.minimum(_L, 5) + 1, _P, "numbers 1 to 6, the predicted ones 0 to 6"),
    ],
)
def test_codes_of_two_bases_are_named(labels, predicted, said):
    warnings = table_warnings(table(labels, predicted))
    assert len(warnings) == 1
    assert said in warnings[0]
    assert "one side counts from 0, the other from 1" in warnings[0]


def test_the_share_that_would_agree_is_counted():
    right = 100 * np.mean(_L == _P)
    assert f"counted alike, {right:.0f} % would" in table_warnings(table(_L + 1, _P))[0]


@pytest.mark.parametrize("other", ["contempt", "ekel", "class 8"])
def test_a_class_never_predicted_beside_one_never_annotated_is_named(other):
    warnings = table_warnings(table(CLASSES[_L], np.where(_P == 1, other, CLASSES[_P])))
    assert len(warnings) == 1
    n, m = (_L == 1).sum(), (_P == 1).sum()
    assert f"disgust is annotated ({n} of 700 faces) but never predicted, and {other} is predicted ({m})" in warnings[0]


@pytest.mark.parametrize("order", [[1, 2, 3, 4, 5, 6, 0], EXCHANGED, [6, 5, 4, 3, 2, 1, 0]])
def test_exchanged_names_of_classes_are_named(order):
    warnings = table_warnings(table(CLASSES[_L], CLASSES[np.array(order)[_P]]))
    assert len(warnings) == 1
    moved = sum(k != v for k, v in enumerate(order))
    faces_of_them = int(np.isin(_L, [k for k, v in enumerate(order) if k != v]).sum())
    assert f"in a ring ({CLASSES[next(k for k, v in enumerate(order) if k != v)]} for" in warnings[0]
    assert f"{faces_of_them} of 700 faces" in warnings[0]
    assert moved >= 2


def test_a_binary_task_the_wrong_way_round_is_named():
    assert (
        "in a ring (no smile for smile; smile for no smile)"
        in table_warnings(table(_BINARY[_L % 2], _BINARY[1 - _P % 2]))[0]
    )


@pytest.mark.parametrize("n", [100, 700])
@pytest.mark.parametrize("words", [CLASSES, np.arange(7), _BINARY[np.arange(7) % 2], np.char.upper(CLASSES)])
def test_predictions_that_copy_the_annotation_are_named(n, words):
    warnings = table_warnings(table(CLASSES[_L[:n]] if words[0] == "ANGER" else words[_L[:n]], words[_L[:n]]))
    assert len(warnings) == 1
    assert f"for every one of {n} faces: 'pred' may be a copy of 'label'" in warnings[0]


def test_probabilities_of_nothing_but_0_and_1_may_be_a_copy_too():
    sure = pd.get_dummies(pd.Series(CLASSES[_L])).astype(float).add_prefix("prob_")
    assert "may be a copy" in table_warnings(Predictions.from_frame(sure.assign(label=CLASSES[_L])))[0]


@pytest.mark.parametrize("n", [30, 700])
@pytest.mark.parametrize("word", ["neutral", "happiness", "Joy"])
def test_a_model_that_always_says_the_same_is_named(n, word):
    warnings = table_warnings(table(CLASSES[_L[:n]], [word] * n))
    assert len(warnings) == 1
    name = "neutral" if word == "neutral" else "happiness"
    right = int((CLASSES[_L[:n]] == name).sum())
    assert f"is {name} for all {n} faces, of which {right} are annotated so" in warnings[0]


@pytest.mark.parametrize("n", [100, 700])
def test_an_accuracy_below_chance_is_named(n):
    labels = codes(n)[0]
    wrong = (labels + np.random.default_rng(2).integers(1, 7, n)) % 7
    warnings = table_warnings(table(CLASSES[labels], CLASSES[wrong]))
    assert len(warnings) == 1
    share = 100 * float((np.bincount(labels, minlength=7) * np.bincount(wrong, minlength=7)).sum()) / n**2
    assert f"right for 0.0 % of {n} faces" in warnings[0]
    assert f"would be right for {share:.1f} %" in warnings[0]


def test_below_chance_is_rare_where_there_is_nothing_to_find():
    rng = np.random.default_rng(11)
    alarms = 0
    for _ in range(400):
        labels, guesses = rng.integers(0, 4, 60), rng.integers(0, 4, 60)
        alarms += bool(table_warnings(table(CLASSES[labels], CLASSES[guesses])))
    assert alarms <= 3  # one in two thousand is meant; 400 tables


def test_dependent_faces_count_as_their_units():
    # Eight persons, each with 25 copies of one wrong face: eight mistakes are not below chance.
    labels = np.repeat(np.arange(8) % 4, 25)
    pred = table(CLASSES[labels], CLASSES[(labels + 1 + np.repeat(np.arange(8) // 4, 25)) % 4])
    assert any("would be right for" in w for w in table_warnings(pred))
    persons = replace(pred, cluster=np.repeat(np.arange(8), 25))
    assert not any("would be right for" in w for w in table_warnings(persons))


@pytest.mark.parametrize(
    ("counts", "ring"),
    [
        ([[1, 30, 0], [28, 2, 0], [0, 1, 40]], [0, 1]),
        ([[1, 30, 0], [0, 2, 28], [40, 1, 0]], [0, 1, 2]),
        ([[1, 30, 0], [0, 30, 0], [0, 1, 40]], []),  # one way only
        ([[2, 5, 0], [5, 2, 0], [0, 0, 9]], []),  # too few faces
        ([[14, 16, 0], [16, 14, 0], [0, 0, 9]], []),  # hardly more than half: a coin does that
    ],
)
def test_rings(counts, ring):
    assert exchanged(np.array(counts)) == ring


# --- The predicted class beside the probabilities --------------------------------------------------------


@pytest.mark.parametrize("order", [EXCHANGED, [1, 2, 3, 4, 5, 6, 0]])
def test_columns_of_probabilities_in_another_order_are_named(order):
    frame = with_probs(faces(700), order)
    pred = Predictions.from_frame(frame)
    largest = np.array(order).argsort()[pred.predicted]
    n = int((largest != pred.predicted).sum())
    warnings = table_warnings(pred)
    assert len(warnings) == 1
    assert f"not the one with the largest probability for {n} of 700 faces" in warnings[0]
    right = 100 * np.mean(pred.labels == pred.predicted)
    assert f"By 'pred' the model is right for {right:.0f} %" in warnings[0]
    assert measure("accuracy", pred) == pytest.approx(right / 100)


def test_a_threshold_is_a_note_and_no_warning():
    rng = np.random.default_rng(4)
    share = rng.random(500)
    frame = pd.DataFrame({"label": np.where(rng.random(500) < share, "smile", "none of it")})
    frame = frame.assign(pred=np.where(share > 0.9, "smile", "none of it"), gender=["f", "m"] * 250)
    frame = frame.assign(prob_smile=share, **{"prob_none of it": 1 - share})
    pred = Predictions.from_frame(frame)
    assert table_warnings(pred) == []
    n = int(((share > 0.5) & (share <= 0.9)).sum())
    assert table_notes(pred)[0].startswith(f"For {n} of 500 faces the predicted class is not the one")


# --- Splits, and groups taken for missing ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("split", ["train", "test"], "150 of 300 faces are of the training split (150 train, 150 test)"),
        ("split", ["TRAIN ", "val"], "(150 train, 150 validation)"),
        ("Usage", ["Training", "PublicTest", "PrivateTest"], "(100 train, 100 validation, 100 test)"),
        ("set", ["fit", "dev"], "The column 'set' says that 150 of 300"),
        ("split", ["train"], "Audit faces that are new to it"),
        ("split", ["train", "unknown"], "150 of 300 faces"),
    ],
)
def test_faces_that_a_model_learnt_from_are_named(name, words, said):
    warnings = table_warnings(Predictions.from_frame(faces(**{name: (words * 300)[:300]})))
    assert len(warnings) == 1
    assert said in warnings[0]


@pytest.mark.parametrize("words", [["test"], ["val", "test"], ["front", "side"], ["train", "bus"], [0, 1]])
def test_other_splits_are_no_fault(words):
    assert table_warnings(Predictions.from_frame(faces(split=(words * 300)[:300]))) == []


@pytest.mark.parametrize(("n", "said"), [(15, False), (16, True)])
def test_groups_that_were_taken_for_missing_are_named_from_a_twentieth_on(n, said):
    pred = Predictions.from_frame(faces(ward=["unknown" if i < n else ["A", "B"][i % 2] for i in range(300)]))
    warnings = table_warnings(pred, ["gender*ward"])
    assert bool(warnings) == said
    if said:
        assert f"{n} of 300 faces take no part in what is said of ward: their cells hold 'unknown'" in warnings[0]
    assert table_warnings(pred, ["gender"]) == []


# --- They come first -----------------------------------------------------------------------------------------


def faulty():
    """Probabilities under wrong names, repeated rows, a person who is nobody, faces of the training split."""
    frame = with_probs(faces(path=paths()), [1, 2, 3, 4, 5, 6, 0])
    frame = frame.assign(identity=["nobody" if i < 100 else f"p{i // 4}" for i in range(300)])
    frame = frame.assign(split=["train", "test"] * 150)
    return Predictions.from_frame(pd.concat([frame, frame.iloc[:120]], ignore_index=True), source="faulty.csv")


def test_verdict_text_and_json_begin_with_the_faults(tmp_path):
    found = audit(faulty(), ["gender"], settings=QUICK)
    starts = ["The predicted class ('pred')", "120 of the 420 rows", "The value 'nobody'", "The column 'split'"]
    assert [next(s for s in starts if w.startswith(s)) for w in found.warnings] == starts
    assert found.verdict.startswith(found.warnings[0])
    assert found.verdict == " ".join([*found.warnings, found.finding])
    lines = html.unescape(render_text(found)).splitlines()
    assert lines[2].startswith("**Read this first. 4 things are wrong with the table")
    assert lines[4:8] == [f"- {w}" for w in found.warnings]
    assert lines[9] == found.finding
    found.save(tmp_path)
    assert json.loads((tmp_path / "audit.json").read_text())["warnings"] == found.warnings
    assert Audit.load(tmp_path).finding == found.finding


def test_an_audit_written_before_there_were_warnings_is_read():
    content = audit(Predictions.from_frame(faces()), ["gender"], settings=QUICK).to_dict()
    del content["warnings"]
    assert Audit.from_dict(content).warnings == []


def test_comparisons_and_seeds_begin_with_the_faults_and_name_the_model():
    sound = Predictions.from_frame(faces(path=paths()), source="sound.csv")
    c = compare(sound, faulty(), ["gender"], names=["old", "new"], settings=Settings(n_boot=50))
    assert all(w.startswith("new: ") for w in c.warnings)
    assert len(c.warnings) == 4
    assert c.verdict.startswith(c.warnings[0])
    assert comparison_text([c]).splitlines()[2].startswith("**Read this first. 4 things")
    both = compare_many([faulty(), sound, faulty()], ["a", "b", "c"], ["gender"], settings=Settings(n_boot=50))
    assert both[0].warnings[0].startswith("a: ")
    assert both[1].warnings[0].startswith("a and c: ")
    seeds = seed_audit([sound, faulty()], ["gender"], names=["s0", "s1"], settings=Settings(n_boot=50))
    assert seeds.warnings == [w.replace("new: ", "s1: ", 1) for w in c.warnings]
    assert html.unescape(seed_text(seeds)).splitlines()[4] == f"- {seeds.warnings[0]}"
    assert seeds.verdict.endswith(seeds.finding)


# --- The right numbers ---------------------------------------------------------------------------------------


def numbers(pred, by="gender"):
    """What an audit says, without where the table came from."""
    found = audit(pred, [by], settings=QUICK)
    finding = found.finding.removeprefix("If the table is right all the same: ")
    return finding, [(g.title, str(g.value), g.p) for g in found.attribute(by).gaps], found.overall


@pytest.mark.parametrize("way", ["csv", "parquet", "frame"])
def test_repeats_change_nothing(tmp_path, way):
    once = faces(path=paths())
    found = read_as(pd.concat([once] * 4, ignore_index=True), way, tmp_path)
    assert numbers(found) == numbers(Predictions.from_frame(once))


@pytest.mark.parametrize("way", ["csv", "parquet", "frame"])
@pytest.mark.parametrize("word", ["unknown", "n.a.", "-"])
def test_persons_who_are_unknown_are_as_if_empty(tmp_path, way, word):
    persons = [f"p{i // 3}" for i in range(300)]
    frame = faces(identity=[word if i < 200 else p for i, p in enumerate(persons)])
    empty = frame.assign(identity=[None if i < 200 else p for i, p in enumerate(persons)])
    assert numbers(read_as(frame, way, tmp_path)) == numbers(Predictions.from_frame(empty))


@pytest.mark.parametrize("way", ["csv", "parquet", "frame"])
def test_spellings_of_groups_change_nothing(tmp_path, way):
    frame = faces(600)
    ways = {"male": ["male", "MALE", "male", " Male"], "female": ["female", "FEMALE "] * 2}
    spelt = frame.assign(gender=[ways[g][i % 4] for i, g in enumerate(frame["gender"])])
    assert numbers(read_as(spelt, way, tmp_path)) == numbers(Predictions.from_frame(frame))


def test_spellings_of_classes_change_nothing():
    frame = faces(600)
    spelt = frame.assign(pred=frame["pred"].replace({"anger": "angry", "happiness": "Happy", "neutral": "normal"}))
    assert numbers(Predictions.from_frame(spelt)) == numbers(Predictions.from_frame(frame))
