from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mien.data.corpus import BadRows
from mien.data.datasets.ferplus import detect, ferplus, read_votes
from mien.errors import DataError
from mien.labels import FERPLUS_VOCABULARY
from writers import (
    faces,
    random_votes,
    read_all,
    replace_line,
    usages,
    write_challenge,
    write_ferplus_folders,
    write_votes,
)

N = 20
IMAGES = faces(N)
USAGE = usages(N)
COUNTS = random_votes(N)
SEEN = np.flatnonzero(COUNTS[:, 9] < 10)
VOTES = [f"votes_{v}" for v in FERPLUS_VOCABULARY]
VOTES_FILE = "fer2013new.csv"


@pytest.fixture
def beside_csv(tmp_path):
    write_challenge(tmp_path / "fer2013.csv", IMAGES, np.arange(N) % 7, USAGE)
    write_votes(tmp_path / VOTES_FILE, COUNTS, USAGE)
    return tmp_path


@pytest.fixture
def beside_folders(tmp_path):
    write_ferplus_folders(tmp_path, IMAGES, COUNTS, USAGE)
    return tmp_path


def dropped(root):
    """What is read under ``drop``, and what was left out."""
    bad = BadRows("drop")
    corpus = ferplus(root)
    images, frame = read_all(corpus, bad)
    return images, frame, bad.errors, corpus.detail


def test_the_fixture_has_rows_that_nobody_took_for_a_face():
    assert 0 < len(SEEN) < N


def test_votes_beside_the_challenges_csv(beside_csv):
    corpus = ferplus(beside_csv)
    images, frame = read_all(corpus)
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(frame[VOTES], COUNTS)
    assert frame["split"].tolist() == USAGE
    assert frame["sample_id"].tolist() == [f"fer{i:07d}" for i in range(N)]
    assert corpus.vocabulary == FERPLUS_VOCABULARY
    assert corpus.detail == {}


def test_votes_beside_folders_give_the_same_faces_under_the_same_ids(beside_folders):
    corpus = ferplus(beside_folders)
    images, frame = read_all(corpus)
    np.testing.assert_array_equal(images, IMAGES[SEEN])
    np.testing.assert_array_equal(frame[VOTES], COUNTS[SEEN])
    assert frame["split"].tolist() == [USAGE[i] for i in SEEN]
    assert frame["sample_id"].tolist() == [f"fer{i:07d}" for i in SEEN]
    assert corpus.detail == {"rows without a picture: nobody saw a face": N - len(SEEN)}
    assert corpus.n_rows == len(SEEN)


# --- A split that many copies lack ------------------------------------------------------------------


def test_a_whole_split_may_be_absent_from_the_csv_and_is_recorded(beside_csv):
    n = USAGE.index("PrivateTest")
    write_challenge(beside_csv / "fer2013.csv", IMAGES[:n], np.arange(n) % 7, USAGE[:n])
    corpus = ferplus(beside_csv)
    images, frame = read_all(corpus)
    np.testing.assert_array_equal(images, IMAGES[:n])
    np.testing.assert_array_equal(frame[VOTES], COUNTS[:n])
    assert corpus.detail == {"rows without pictures, split PrivateTest absent": N - n}


def test_a_whole_split_may_be_absent_from_the_folders_and_is_recorded(beside_folders):
    for path in (beside_folders / "FER2013Valid").iterdir():
        path.unlink()
    (beside_folders / "FER2013Valid").rmdir()
    corpus = ferplus(beside_folders)
    images, _ = read_all(corpus)
    kept = [i for i in SEEN if USAGE[i] != "PublicTest"]
    np.testing.assert_array_equal(images, IMAGES[kept])
    assert corpus.detail["rows without pictures, split PublicTest absent"] == len(SEEN) - len(kept)


# --- Files that do not fit each other ------------------------------------------------------------------


def refused_whatever_the_policy(root):
    """The error under both policies for bad rows, which must be one: leaving rows out cannot mend an order."""
    errors = []
    for policy in ("error", "drop"):
        with pytest.raises(DataError, match="the two files are not row for row.*Restore the published file") as caught:
            read_all(ferplus(root), BadRows(policy))
        errors.append(str(caught.value))
    assert errors[0] == errors[1]
    return errors[0]


def test_a_pixel_file_that_ends_within_a_split_is_refused(beside_csv):
    write_challenge(beside_csv / "fer2013.csv", IMAGES[:-2], np.arange(N - 2) % 7, USAGE[:-2])
    error = refused_whatever_the_policy(beside_csv)
    assert error.startswith(f"fer2013.csv: ends after {N - 2} rows, expected a row for fer2013new.csv line {N}")


def test_a_votes_file_that_is_shorter_is_refused(beside_csv):
    write_votes(beside_csv / VOTES_FILE, COUNTS[:-2], USAGE[:-2])
    error = refused_whatever_the_policy(beside_csv)
    assert error.startswith(f"fer2013new.csv: has {N - 2} rows, expected one for row {N - 1} of fer2013.csv too")


def test_votes_without_a_whole_split_leave_its_pictures_out_as_bad_rows(beside_csv):
    n = USAGE.index("PrivateTest")
    write_votes(beside_csv / VOTES_FILE, COUNTS[:n], USAGE[:n])
    images, frame, errors, _ = dropped(beside_csv)
    np.testing.assert_array_equal(images, IMAGES[:n])
    np.testing.assert_array_equal(frame[VOTES], COUNTS[:n])
    assert [e.found for e in errors] == ["has no votes for the split PrivateTest"] * (N - n)


def test_another_split_on_the_same_line_is_refused(beside_csv):
    replace_line(beside_csv / VOTES_FILE, 4, lambda s: s.replace("Training", "PublicTest"))
    error = refused_whatever_the_policy(beside_csv)
    assert error.startswith("fer2013new.csv line 4: 'Usage' is 'PublicTest', expected 'Training' as in fer2013.csv")


def test_a_first_line_that_was_taken_out_is_told_by_the_picture_names(beside_csv):
    # Without its first line the votes of each face are those of the next one.
    replace_line(beside_csv / VOTES_FILE, 2, lambda _: None)
    error = refused_whatever_the_policy(beside_csv)
    assert error.startswith("fer2013new.csv line 2: names the picture fer0000001.png, expected fer0000000.png by the")


def test_votes_sorted_by_the_picture_names_are_refused(beside_csv):
    # As a spreadsheet does: inside each split, the rows without a name first.
    header, *lines = (beside_csv / VOTES_FILE).read_text().splitlines()
    lines.sort(key=lambda s: (["Training", "PublicTest", "PrivateTest"].index(s.split(",")[0]), s.split(",")[1]))
    (beside_csv / VOTES_FILE).write_text("\n".join([header, *lines]) + "\n")
    assert "names the picture" in refused_whatever_the_policy(beside_csv)


def test_votes_without_the_rows_that_have_no_name_are_refused(beside_csv):
    header, *lines = (beside_csv / VOTES_FILE).read_text().splitlines()
    named = [line for line in lines if line.split(",")[1]]
    (beside_csv / VOTES_FILE).write_text("\n".join([header, *named]) + "\n")
    assert "fer2013new.csv line 8: names the picture fer0000007.png" in refused_whatever_the_policy(beside_csv)


@pytest.mark.parametrize("line", [2, 9, N + 1])
def test_a_bad_row_of_pixels_is_one_bad_row_wherever_it_stands(beside_csv, line):
    replace_line(beside_csv / "fer2013.csv", line, lambda s: s.replace(" ", " x", 1))
    images, frame, errors, detail = dropped(beside_csv)
    others = np.delete(np.arange(N), line - 2)
    assert [e.where for e in errors] == [f"fer2013.csv line {line}"]
    np.testing.assert_array_equal(images, IMAGES[others])
    np.testing.assert_array_equal(frame[VOTES], COUNTS[others])
    assert detail == {}


def test_an_empty_line_among_the_pixels_does_not_shift_the_votes(beside_csv):
    replace_line(beside_csv / "fer2013.csv", 4, lambda s: "\n" + s)
    images, frame = read_all(ferplus(beside_csv))
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(frame[VOTES], COUNTS)


# --- Pictures ------------------------------------------------------------------------------------------


def spoil_missing(path):
    path.unlink()
    return r"no such file, expected a picture"


def spoil_truncated(path):
    path.write_bytes(path.read_bytes()[:400])
    return r"cannot be decoded \(.*expected a whole picture"


def spoil_size(path):
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(path)
    return r"is 64x64 pixels, expected 48x48"


def spoil_text(path):
    path.write_text("not a picture")
    return r"cannot be decoded \(cannot identify.*expected a whole picture"


@pytest.mark.parametrize("spoil", [spoil_missing, spoil_truncated, spoil_size, spoil_text])
def test_a_bad_picture_is_reported_with_line_and_name(beside_folders, spoil):
    row = int(SEEN[3])
    message = spoil(beside_folders / "FER2013Train" / f"fer{row:07d}.png")
    with pytest.raises(DataError, match=rf"^fer2013new\.csv line {row + 2}: .*fer{row:07d}\.png: {message}"):
        read_all(ferplus(beside_folders))
    images, frame, errors, _ = dropped(beside_folders)
    others = [i for i in SEEN if i != row]
    assert len(errors) == 1
    np.testing.assert_array_equal(images, IMAGES[others])
    np.testing.assert_array_equal(frame[VOTES], COUNTS[others])


def test_an_unknown_usage_beside_folders_is_a_bad_row(beside_folders):
    row = int(SEEN[2])
    replace_line(beside_folders / VOTES_FILE, row + 2, lambda s: s.replace("Training", "Test"))
    _, frame, errors, _ = dropped(beside_folders)
    assert str(errors[0]) == (
        f"fer2013new.csv line {row + 2}: 'Usage' is 'Test', expected Training or PublicTest or PrivateTest."
    )
    assert len(frame) == len(SEEN) - 1


# --- The votes file ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["x", "1.5", "-1", "", "300", "nan"])
def test_a_vote_that_is_no_count_is_refused_with_line_and_column(tmp_path, value):
    write_votes(tmp_path / VOTES_FILE, COUNTS, USAGE)

    def edit(line):
        fields = line.split(",")
        fields[5] = value
        return ",".join(fields)

    replace_line(tmp_path / VOTES_FILE, 7, edit)
    with pytest.raises(DataError, match=rf"^fer2013new\.csv line 7: 'sadness' is '{value}', expected a count of votes"):
        read_votes(tmp_path / VOTES_FILE)


def test_a_line_of_votes_that_ends_early_is_refused(tmp_path):
    write_votes(tmp_path / VOTES_FILE, COUNTS, USAGE)
    replace_line(tmp_path / VOTES_FILE, 7, lambda s: s.rsplit(",", 1)[0])
    with pytest.raises(DataError, match=r"^fer2013new\.csv line 7: 'nf' is "):
        read_votes(tmp_path / VOTES_FILE)


def test_a_line_of_votes_that_is_too_long_is_refused(tmp_path):
    write_votes(tmp_path / VOTES_FILE, COUNTS, USAGE)
    replace_line(tmp_path / VOTES_FILE, 7, lambda s: s + ",1")
    with pytest.raises(DataError, match="line 7: 13 cells, expected 12"):
        read_votes(tmp_path / VOTES_FILE)


def test_another_header_is_refused(tmp_path):
    write_votes(tmp_path / VOTES_FILE, COUNTS, USAGE)
    replace_line(tmp_path / VOTES_FILE, 1, lambda s: s.replace("sadness,anger", "anger,sadness"))
    with pytest.raises(
        DataError, match=r"line 1: columns Usage,Image name.*anger,sadness.*expected Usage,Image name,neut"
    ):
        read_votes(tmp_path / VOTES_FILE)


def test_layouts_are_told_from_others(tmp_path):
    write_votes(tmp_path / VOTES_FILE, COUNTS, USAGE)
    assert detect(tmp_path) == 0
    with pytest.raises(
        DataError, match=r"is not FERPlus, expected fer2013new\.csv beside fer2013\.csv or beside FER2013"
    ):
        ferplus(tmp_path)
    (tmp_path / "FER2013Test").mkdir()
    assert detect(tmp_path) == 3
    assert detect(tmp_path / VOTES_FILE) == 0


@pytest.mark.real_data
def test_the_real_votes_are_read_whole(real_data):
    frame = read_votes(real_data / VOTES_FILE)
    counts = frame[VOTES].to_numpy(int)
    assert len(frame) == 35_887
    assert (frame["image_name"] == "").sum() == 173
    assert (counts[(frame["image_name"] == "").to_numpy(), 9] == 10).all()
    assert frame["usage"].value_counts().to_dict() == {"Training": 28_709, "PublicTest": 3_589, "PrivateTest": 3_589}
    sums, n = np.unique(counts.sum(1), return_counts=True)
    assert dict(zip(sums.tolist(), n.tolist(), strict=True)) == {9: 1, 10: 35_886}


def test_one_picture_named_by_two_rows_is_two_samples(beside_folders):
    # The published votes file does this: line 6970 names the picture of line 5276.
    votes = read_votes(beside_folders / VOTES_FILE)
    first, second = SEEN[:2]
    name = votes["image_name"][first]
    line = f"{USAGE[first]},{name}," + ",".join(map(str, COUNTS[first]))
    replace_line(beside_folders / VOTES_FILE, second + 2, lambda _: line)
    images, frame = read_all(ferplus(beside_folders))
    assert len(frame) == len(SEEN)
    assert frame["sample_id"].is_unique
    assert list(frame["image_name"][:2]) == [name, name]
    np.testing.assert_array_equal(images[0], images[1])


@pytest.mark.real_data
def test_both_layouts_of_the_real_corpus_agree(real_data, tmp_path):
    table = pd.read_parquet(real_data / "fer2013.parquet").iloc[:7200]
    votes = read_votes(real_data / VOTES_FILE)
    (tmp_path / "FER2013Train").mkdir()
    lines = (real_data / VOTES_FILE).read_text().splitlines()[:7201]
    (tmp_path / VOTES_FILE).write_text("\n".join(lines) + "\n")
    challenge = ["emotion,pixels,Usage"]
    for row, png, usage, emotion in zip(table["row"], table["png"], table["usage"], table["emotion"], strict=True):
        pixels = np.asarray(Image.open(io.BytesIO(png)))
        challenge.append(f"{emotion},{' '.join(map(str, pixels.ravel()))},{usage}")
        if votes["image_name"][row]:
            (tmp_path / "FER2013Train" / votes["image_name"][row]).write_bytes(png)
    _, in_folders = read_all(ferplus(tmp_path))
    (tmp_path / "fer2013.csv").write_text("\n".join(challenge) + "\n")
    images, beside = read_all(ferplus(tmp_path))
    assert len(images) == 7200
    seen = beside[beside["image_name"] != ""]
    assert in_folders["image_name"].duplicated().sum() == 1
    pd.testing.assert_frame_equal(in_folders.reset_index(drop=True), seen.reset_index(drop=True))
