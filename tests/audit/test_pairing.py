"""Which row of one table is which row of another: by names, never by places that disagree."""

from __future__ import annotations

import zlib

import numpy as np
import pandas as pd
import pytest

from mien.audit import compare, seed_audit
from mien.audit.compare.pairing import paired, row_numbers
from mien.errors import DataError
from mien.records import Predictions
from mien.stats.settings import Settings
from whole_tables import CLASSES, drawn

N = 700
LABELS, PREDICTED, GENDER = drawn(N)
BETTER = np.where(np.arange(N) % 8 == 0, LABELS, PREDICTED)  # the second model's: no face gets worse
GAINED = int((BETTER != PREDICTED).sum())
PATHS = np.array([f"test/{CLASSES[k]}/im_{i:04d}.png" for i, k in enumerate(LABELS)])
ORDER = np.random.default_rng(2).permutation(N)


def first(**columns):
    return pd.DataFrame({"label": CLASSES[LABELS], "pred": CLASSES[PREDICTED], "gender": GENDER, **columns})


def second(**columns):
    """The second model's table, in another order."""
    return first(**columns).assign(pred=CLASSES[BETTER]).iloc[ORDER].reset_index(drop=True)


def found(a, b, **options):
    a, b = (Predictions.from_frame(t) for t in (a, b))
    return compare(a, b, ["gender"], names=["one", "two"], settings=Settings(**{"n_boot": 50} | options))


# --- By a name -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ({"path": PATHS}, {"path": PATHS}, "by the column 'path'"),
        ({"image": PATHS}, {"image": PATHS}, "by the column 'image'"),
        ({"stimulus": PATHS}, {"stimulus": PATHS}, "by the column 'stimulus'"),
        ({"image": np.arange(N) * 2}, {"image": np.arange(N) * 2}, "by the column 'image'"),
        ({"filename": PATHS}, {"path": PATHS}, "by 'filename' of one, 'path' of two"),
        ({"sample_id": PATHS}, {"path": PATHS}, "by 'sample_id' of one, 'path' of two"),
        ({"path": PATHS}, {"path": [p.replace("test/", "/data/x/") for p in PATHS]}, "'path', without folders"),
        ({"path": PATHS}, {"path": [p.replace("/", "\\") for p in PATHS]}, "'path', without folders"),
        ({"path": PATHS}, {"path": [f"C:\\faces\\{p.split('/')[-1]}" for p in PATHS]}, "'path', without folders"),
        ({"sample_id": PATHS}, {"sample_id": [p.split("/")[-1] for p in PATHS]}, "'sample_id', without folders"),
        ({"sample_id": PATHS}, {"sample_id": PATHS}, ""),
        ({"path": PATHS}, {"path": [p.replace(".png", ".jpg") for p in PATHS]}, "without folders and endings"),
        ({"path": PATHS}, {"path": [p.split("/")[-1][:-4] for p in PATHS]}, "without folders and endings"),
        ({"sample_id": PATHS}, {"sample_id": [p.replace(".png", ".JPEG") for p in PATHS]}, "without folders and end"),
        ({"path": PATHS}, {"path": [p.replace(".png", "_aligned.png") for p in PATHS]}, "words such as '_aligned'"),
        ({"filename": PATHS}, {"path": [p.upper().replace(".PNG", "-crop.bmp") for p in PATHS]}, "such as '_aligned'"),
        ({"id": range(1, N + 1), "path": PATHS}, {"id": range(N), "path": PATHS}, "by the column 'path'"),
    ],
)
def test_rows_are_matched_by_what_names_a_picture(a, b, said):
    c = found(first(**a), second(**b))
    assert (c.n, c.overall.only_a, c.overall.only_b) == (N, 0, GAINED)
    notes = [n for n in c.method_notes if "matched" in n]
    assert len(notes) == bool(said)
    assert all(said in n for n in notes)


def test_a_part_of_the_faces_is_matched_too():
    c = found(first(path=PATHS), second(path=PATHS).iloc[:400])
    assert (c.n, c.overall.only_a) == (400, 0)
    assert c.n_left_out == [300, 0]


def test_two_spellings_of_the_classes_are_one_list():
    other = second(path=PATHS).replace({"anger": "Angry", "sadness": "sad"})
    c = found(first(path=PATHS), other)
    assert (c.overall.only_a, c.overall.only_b) == (0, GAINED)


def test_faces_that_were_not_found_are_counted_whatever_the_rows_are_matched_by():
    lost = second(path=PATHS).assign(detected=np.arange(N) >= 20)
    c = found(first(path=PATHS), lost)
    assert c.n == N - 20
    assert any("two did not find 20 faces" in n for n in c.method_notes)


def test_seeds_are_matched_alike():
    runs = [Predictions.from_frame(t) for t in (first(path=PATHS), second(path=PATHS))]
    audit = seed_audit(runs, ["gender"], settings=Settings(n_boot=50))
    assert audit.n == N
    assert audit.overall.metrics["accuracy"].runs == pytest.approx(
        [np.mean(LABELS == PREDICTED), np.mean(LABELS == BETTER)]
    )


# --- By place --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["by class", "any"])
def test_places_that_disagree_are_refused(order):
    a, b = first(), second()
    if order == "by class":  # then the labels of all places agree, and only the groups tell
        a, b = (t.sort_values("label", kind="stable").reset_index(drop=True) for t in (a, b))
        assert (a["label"] == b["label"]).all()
    n = int((a["gender"] != b["gender"]).sum())
    with pytest.raises(DataError, match=rf"{n} of 700 rows have another 'gender'.*different orders.*\('path'\)"):
        found(a, b)


@pytest.mark.parametrize(("slips", "refused"), [(0, False), (7, False), (8, True)])
def test_one_slip_in_a_hundred_is_none_of_order(slips, refused):
    flipped = np.where(np.arange(N) < slips, np.where(GENDER == "male", "female", "male"), GENDER)
    a, b = first(), first(gender=flipped).assign(pred=CLASSES[BETTER])
    if refused:
        with pytest.raises(DataError, match="8 of 700 rows have another 'gender'"):
            found(a, b)
        return
    c = found(a, b)
    assert (c.overall.only_a, c.overall.only_b) == (0, GAINED)
    assert len(c.warnings) == 1
    assert c.verdict.startswith("one and two: Nothing names the faces in all tables: the rows were matched by")
    assert not any("matched" in n for n in c.method_notes)


@pytest.mark.parametrize("other", [None, "column", "ids"])
def test_one_table_without_names_is_matched_by_place_and_that_is_said_first(other):
    b = {None: {}, "column": {"comment": ["x"] * N}, "ids": {"sample_id": np.arange(N) + 1}}[other]
    a = {"path": PATHS, **({"sample_id": np.arange(N) + 1} if other == "ids" else {})}
    c = found(first(**a), first(**b).assign(pred=CLASSES[BETTER]))
    assert [w[:44] for w in c.warnings] == ["one and two: Nothing names the faces in all "]


def test_file_names_that_stand_twice_match_nothing():
    twice = [f"{i % 2}/{i // 2}.png" for i in range(N)]
    with pytest.raises(DataError, match="name other pictures"):
        found(first(path=twice), second(path=[f"x{p}" for p in twice]))
    c = found(first(path=twice), first(path=[f"x{p}" for p in twice]))  # in one order, as their names say
    assert c.warnings == []
    assert any("the file names in 'path' of one and 'path' of two agree there" in n for n in c.method_notes)


@pytest.mark.parametrize(
    "names",
    [
        [f"other_{i}.png" for i in range(N)],
        [f"{zlib.crc32(str(i).encode()):08x}.jpg" for i in range(N)],
        [p if i < 20 else f"new/{i}.png" for i, p in enumerate(PATHS)],  # a few pictures are in both
        [f"/data/b/{9000 + i}.png" for i in range(N)],
        [f"https://host/{i}?size=4" for i in range(N)],
    ],
)
@pytest.mark.parametrize("ids", [{}, {"sample_id": np.arange(N)}])
def test_tables_that_name_other_pictures_are_refused_with_what_stands_there(names, ids):
    with pytest.raises(DataError, match=r"one and two: name other pictures: in \d+ of 700.*'test/.*' of one"):
        found(first(path=PATHS, **ids), first(path=names, **ids).assign(pred=CLASSES[BETTER]))


@pytest.mark.parametrize("start", [100, 5000])
def test_ids_that_number_rows_and_are_contradicted_by_paths_do_not_count(start):
    numbers = np.arange(N) + start
    b = second(path=PATHS).assign(label=CLASSES[LABELS[ORDER]], sample_id=numbers)
    c = found(first(path=PATHS, sample_id=numbers), b)
    assert (c.n, c.overall.only_a, c.overall.only_b) == (N, 0, GAINED)
    moved = int((np.arange(N) != ORDER).sum())
    assert f"'sample_id' puts other pictures together than their names do, for {moved} of 700" in c.warnings[0]


@pytest.mark.parametrize("other", [PATHS, [f"crop/{i}.png" for i in range(N)], ["face.png"] * N])
def test_ids_of_their_own_count_whatever_the_pictures_are_called(other):
    ids = np.arange(N) * 3 + 17
    b = first(path=other, sample_id=ids).assign(pred=CLASSES[BETTER]).iloc[ORDER]
    c = found(first(path=PATHS, sample_id=ids), b)
    assert (c.n, c.overall.only_a, c.overall.only_b, c.warnings) == (N, 0, GAINED, [])


def test_groups_that_differ_by_spelling_are_alike():
    c = found(first(), first(gender=np.char.upper(GENDER.astype(str))).assign(pred=CLASSES[BETTER]))
    assert not any("another gender" in n for n in c.method_notes)


# --- The parts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ids", "numbers"),
    [
        (["0", "1", "2"], True),
        (["1", "2", "3"], True),
        (["2", "0", "1"], True),
        (["0", "2", "4"], False),
        (["000", "001", "002"], False),
        (["a", "b", "1"], False),
    ],
)
def test_row_numbers(ids, numbers):
    assert row_numbers(Predictions.from_frame(first().iloc[:3].assign(sample_id=ids))) == numbers


def test_faces_that_were_not_found_leave_no_holes_in_row_numbers():
    assert row_numbers(Predictions.from_frame(first(detected=np.arange(N) % 5 > 0)))


def test_columns_of_other_names_match_only_where_most_is_shared():
    few = [p if i < 50 else f"other/{i}.png" for i, p in enumerate(PATHS)]
    runs = [Predictions.from_frame(t) for t in (first(path=PATHS), first(site=few))]
    pairing = paired(runs, ["one", "two"], 2)
    assert pairing.by_place
