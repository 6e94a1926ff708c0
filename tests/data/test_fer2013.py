from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mien.data.corpus import BadRows
from mien.data.datasets.fer2013 import _CHUNK, challenge_csv, detect, fer2013, lacks
from mien.errors import DataError
from mien.labels import FER2013_CLASSES
from writers import faces, read_all, replace_line, usages, write_challenge, write_fer2013_folders

N = 10
IMAGES = faces(N)
EMOTIONS = [0, 1, 2, 3, 4, 5, 6, 3, 3, 0]
USAGE = usages(N)
VOTES = [f"votes_{c}" for c in FER2013_CLASSES]


@pytest.fixture
def challenge(tmp_path):
    write_challenge(tmp_path / "fer2013.csv", IMAGES, EMOTIONS, USAGE)
    return tmp_path / "fer2013.csv"


def expect_one_bad_row(path, line, found, expected=""):
    """Exactly this row is refused, alone, and the others are read."""
    bad = BadRows("drop")
    images, frame = read_all(fer2013(path), bad)
    assert [str(e.where) for e in bad.errors] == [f"fer2013.csv line {line}"]
    assert bad.errors[0].found == found
    assert expected in bad.errors[0].expected
    others = np.delete(np.arange(N), line - 2)
    np.testing.assert_array_equal(images, IMAGES[others])
    assert frame["sample_id"].tolist() == [f"fer{i:07d}" for i in others]
    with pytest.raises(DataError, match=r'Restore the file, or pass on_bad_row="drop" \(--on-bad-row drop\)\.$'):
        read_all(fer2013(path))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_challenges_csv_is_read_exactly(tmp_path, newline):
    write_challenge(tmp_path / "fer2013.csv", IMAGES, EMOTIONS, USAGE, newline)
    for source in (tmp_path, tmp_path / "fer2013.csv"):
        corpus = fer2013(source)
        images, frame = read_all(corpus)
        np.testing.assert_array_equal(images, IMAGES)
        assert images.dtype == np.uint8
        np.testing.assert_array_equal(frame[VOTES], np.eye(7)[EMOTIONS])
        assert frame["split"].tolist() == USAGE
        assert frame["sample_id"].tolist() == [f"fer{i:07d}" for i in range(N)]
        assert (corpus.name, corpus.vocabulary, corpus.attributes) == ("fer2013", FER2013_CLASSES, ())
        assert "research use" in corpus.terms


@pytest.mark.parametrize("quote", ["", '"'])
def test_the_columns_may_stand_in_the_order_of_the_later_download(tmp_path, quote):
    path = tmp_path / "icml_face_data.csv"
    rows = [
        ",".join(f"{quote}{v}{quote}" for v in (e, u, " ".join(map(str, image.ravel()))))
        for image, e, u in zip(IMAGES, EMOTIONS, USAGE, strict=True)
    ]
    path.write_text("\n".join(["emotion, Usage, pixels", *rows]))
    images, frame = read_all(fer2013(path))
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(frame[VOTES], np.eye(7)[EMOTIONS])
    assert frame["split"].tolist() == USAGE


SPREADSHEETS = {
    "a byte-order mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "semicolons": lambda text: text.replace(",", ";").encode(),
    "tabs": lambda text: text.replace(",", "\t").encode(),
    "sep= and semicolons": lambda text: b"sep=;\r\n" + text.replace(",", ";").encode(),
    "Windows' line ends": lambda text: text.replace("\n", "\r\n").encode(),
    "blanks": lambda text: text.replace("emotion,pixels,Usage", "emotion, pixels , Usage").replace(",", " ,").encode(),
}


@pytest.mark.parametrize("name", SPREADSHEETS)
def test_the_csv_as_spreadsheets_save_it(tmp_path, name):
    write_challenge(tmp_path / "plain.csv", IMAGES, EMOTIONS, USAGE)
    text = (tmp_path / "plain.csv").read_text()
    (tmp_path / "plain.csv").unlink()
    (tmp_path / "FER2013.CSV").write_bytes(SPREADSHEETS[name](text))
    for source in (tmp_path, tmp_path / "FER2013.CSV"):
        assert detect(source) == 2
        images, frame = read_all(fer2013(source))
        np.testing.assert_array_equal(images, IMAGES)
        assert frame["split"].tolist() == USAGE


@pytest.mark.parametrize("place", ["icml_face_data.csv", "fer2013/fer2013.csv", "FER2013/icml_face_data.csv"])
def test_the_csv_where_archives_put_it(tmp_path, place):
    (tmp_path / place).parent.mkdir(exist_ok=True)
    write_challenge(tmp_path / place, IMAGES, EMOTIONS, USAGE)
    np.testing.assert_array_equal(read_all(fer2013(tmp_path))[0], IMAGES)


def test_a_csv_in_utf16_is_refused_in_one_sentence(tmp_path):
    write_challenge(tmp_path / "plain.csv", IMAGES[:2], EMOTIONS[:2], USAGE[:2])
    (tmp_path / "fer2013.csv").write_bytes((tmp_path / "plain.csv").read_text().encode("utf-16"))
    with pytest.raises(DataError, match=r"fer2013\.csv: is written in UTF-16, expected UTF-8"):
        read_all(fer2013(tmp_path / "fer2013.csv"))


def test_the_column_that_is_missing_is_named(tmp_path):
    (tmp_path / "train.csv").write_text("emotion,pixels\n0,1 2 3\n")
    with pytest.raises(DataError, match=r"is not FER2013.*nearest to FER2013, but train\.csv has no column Usage"):
        fer2013(tmp_path)
    assert lacks(tmp_path / "train.csv")[0] == 2
    (tmp_path / "other").mkdir()
    assert lacks(tmp_path / "other") == (0, "")


def test_the_number_of_rows_is_estimated_for_the_progress_bar(challenge):
    assert abs(fer2013(challenge).n_rows - N) <= 1


def test_the_image_folders_are_read_exactly(tmp_path):
    paths = write_fer2013_folders(tmp_path, IMAGES, EMOTIONS, USAGE)
    images, frame = read_all(fer2013(tmp_path))
    assert frame["sample_id"].tolist() == sorted(str(p.relative_to(tmp_path)) for p in paths)
    order = [[str(p.relative_to(tmp_path)) for p in paths].index(i) for i in frame["sample_id"]]
    np.testing.assert_array_equal(images, IMAGES[order])
    np.testing.assert_array_equal(frame[VOTES], np.eye(7)[EMOTIONS][order])
    assert frame["split"].tolist() == ["train" if USAGE[i] == "Training" else "test" for i in order]


def pixels(edit):
    """An edit of a line's pixels."""

    def change(line):
        emotion, values, usage = line.split(",")
        return f"{emotion},{' '.join(edit(values.split()))},{usage}"

    return change


BAD_PIXELS = {
    "one too few": (lambda v: v[:-1], "'pixels' has 2303 values", "2304 (48x48)"),
    "one too many": (lambda v: [*v, "0"], "'pixels' has 2305 values", "2304 (48x48)"),
    "256": (lambda v: ["256", *v[1:]], "'pixels' holds 256", "numbers from 0 to 255"),
    "-1": (lambda v: [*v[:-1], "-1"], "'pixels' holds -1", "numbers from 0 to 255"),
    "a word": (lambda v: [*v[:7], "x1", *v[8:]], "'pixels' holds 'x1'", "numbers from 0 to 255"),
    "a fraction": (lambda v: [*v[:7], "1.5", *v[8:]], "'pixels' holds '1.5'", "numbers from 0 to 255"),
    "beyond 32 bits": (lambda v: [str(2**32 + 5), *v[1:]], f"'pixels' holds {2**32 + 5}", "numbers from 0 to 255"),
}


@pytest.mark.parametrize("name", BAD_PIXELS)
def test_bad_pixels_are_reported_with_their_line(challenge, name):
    edit, found, expected = BAD_PIXELS[name]
    replace_line(challenge, 5, pixels(edit))
    expect_one_bad_row(challenge, 5, found, expected)


BAD_FIELDS = {
    "label 7": (lambda s: "7" + s[1:], "'emotion' is '7'", "a number from 0 to 6"),
    "label -1": (lambda s: "-1" + s[1:], "'emotion' is '-1'", "a number from 0 to 6"),
    "no label": (lambda s: s[1:], "'emotion' is ''", "a number from 0 to 6"),
    "unknown usage": (lambda s: s.rsplit(",", 1)[0] + ",Test", "'Usage' is 'Test'", "Training or PublicTest or"),
    "short line": (lambda s: s.rsplit(",", 1)[0], "2 fields", "3 as in the header"),
    "long line": (lambda s: s + ",1", "4 fields", "3 as in the header"),
}


@pytest.mark.parametrize("name", BAD_FIELDS)
@pytest.mark.parametrize("line", [2, N + 1])
def test_bad_fields_are_reported_with_their_line(challenge, name, line):
    edit, found, expected = BAD_FIELDS[name]
    replace_line(challenge, line, edit)
    expect_one_bad_row(challenge, line, found, expected)


def test_a_line_cut_off_at_the_end_of_the_file_is_reported(challenge):
    challenge.write_bytes(challenge.read_bytes()[:-2000])
    with pytest.raises(DataError, match=rf"^fer2013\.csv line {N + 1}: 2 fields"):
        read_all(fer2013(challenge))


def test_empty_lines_are_no_rows_but_count_as_lines(challenge):
    replace_line(challenge, 4, lambda s: "\n" + s)
    replace_line(challenge, 8, lambda s: "7" + s[1:])
    bad = BadRows("drop")
    images, frame = read_all(fer2013(challenge), bad)
    assert [e.where for e in bad.errors] == ["fer2013.csv line 8"]
    others = np.delete(np.arange(N), 5)
    np.testing.assert_array_equal(images, IMAGES[others])
    assert frame["sample_id"].tolist() == [f"fer{i:07d}" for i in others]


def test_lines_are_numbered_through_all_chunks(tmp_path):
    n = _CHUNK + 3
    line = "3," + " ".join(["9"] * 2304) + ",Training"
    rows = [line] * n
    rows[_CHUNK + 1] = rows[_CHUNK + 1].replace("Training", "Trainin")
    (tmp_path / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]))
    bad = BadRows("drop")
    images, frame = read_all(fer2013(tmp_path), bad)
    assert [e.where for e in bad.errors] == [f"fer2013.csv line {_CHUNK + 3}"]
    assert len(images) == n - 1
    assert frame["sample_id"].iloc[-1] == f"fer{n - 1:07d}"


def test_several_bad_rows_stand_in_one_error(challenge):
    for line in (3, 6, 9):
        replace_line(challenge, line, lambda s: "7" + s[1:])
    with pytest.raises(DataError) as caught:
        read_all(fer2013(challenge))
    text = str(caught.value)
    assert text.startswith("fer2013.csv line 3: 'emotion' is '7', expected a number from 0 to 6.")
    assert "3 bad rows in all" in text
    assert "fer2013.csv line 6: 'emotion' is '7'" in text
    assert "fer2013.csv line 9: 'emotion' is '7'" in text


def test_a_hundred_bad_rows_stop_the_reading(tmp_path):
    lines = ["emotion,pixels,Usage", *["9,1 2 3,Training"] * 5000]
    (tmp_path / "fer2013.csv").write_text("\n".join(lines))
    bad = BadRows()
    with pytest.raises(DataError, match=r"(?s)line 2: .*At least 100 bad rows, reading stopped.*and 90 more"):
        read_all(fer2013(tmp_path), bad)
    assert len(bad.errors) == 100
    bad = BadRows("drop")
    assert len(read_all(fer2013(tmp_path), bad)[0]) == 0
    assert len(bad.errors) == 5000


def test_a_truncated_picture_in_a_folder_is_reported_with_its_name(tmp_path):
    paths = write_fer2013_folders(tmp_path, IMAGES, EMOTIONS, USAGE)
    paths[2].write_bytes(paths[2].read_bytes()[:300])
    with pytest.raises(DataError, match=rf"{paths[2].name}: cannot be decoded .*expected a whole picture"):
        read_all(fer2013(tmp_path))


def test_layouts_are_told_from_others(tmp_path):
    assert detect(tmp_path) == 0
    (tmp_path / "fer2013.csv").write_text("path,label\n")
    assert challenge_csv(tmp_path) is None
    assert detect(tmp_path) == 0
    for name in FER2013_CLASSES:
        assert detect(tmp_path) == 0  # some of its classes are anybody's
        (tmp_path / "train" / name).mkdir(parents=True)
    assert detect(tmp_path) == 2
    Image.new("RGB", (48, 48)).save(tmp_path / "train" / "happy" / "1.png")
    assert detect(tmp_path) == 0  # and coloured faces are not its own
    (tmp_path / "train" / "happy" / "1.png").unlink()
    (tmp_path / "test" / "boredom").mkdir(parents=True)
    assert detect(tmp_path) == 0
    with pytest.raises(DataError, match=r"is not FER2013, expected fer2013\.csv, or folders train\|test/<expression>"):
        fer2013(tmp_path)


def test_colour_files_of_grey_pictures_are_read_as_grey(tmp_path):
    path = write_fer2013_folders(tmp_path, IMAGES[:1], [0], ["Training"])[0]
    Image.fromarray(np.stack([IMAGES[0]] * 3, axis=2)).save(path)
    np.testing.assert_array_equal(read_all(fer2013(tmp_path))[0], IMAGES[:1])


@pytest.mark.real_data
def test_real_rows_come_back_as_the_parquet_has_them(real_data, tmp_path):
    import io

    import pyarrow.parquet as pq

    batch = next(pq.ParquetFile(real_data / "fer2013.parquet").iter_batches(30)).to_pandas()
    images = np.stack([np.asarray(Image.open(io.BytesIO(b))) for b in batch["png"]])
    write_challenge(tmp_path / "fer2013.csv", images, batch["emotion"], batch["usage"])
    read, frame = read_all(fer2013(tmp_path))
    np.testing.assert_array_equal(read, images)
    np.testing.assert_array_equal(frame[VOTES].to_numpy().argmax(1), batch["emotion"])


@pytest.mark.parametrize("policy", ["error", "drop"])
@pytest.mark.parametrize("form", ["{}", "{}.0"])
def test_expressions_that_count_from_one_are_refused_as_a_whole(tmp_path, policy, form):
    write_challenge(tmp_path / "fer2013.csv", IMAGES, [form.format(e + 1) for e in EMOTIONS], USAGE)
    with pytest.raises(DataError, match=r"'emotion' counts from 1: 1 rows have a 7 and none has a 0.*would shift"):
        read_all(fer2013(tmp_path), BadRows(policy))


def test_a_seven_beside_zeros_is_a_bad_row(tmp_path):
    path = tmp_path / "fer2013.csv"
    write_challenge(path, IMAGES, [7, *EMOTIONS[1:]], USAGE)  # the only 0 is in the last row
    expect_one_bad_row(path, 2, "'emotion' is '7'", "0 to 6")


@pytest.mark.parametrize("emotions", [[f"{e}.0" for e in EMOTIONS], [f"{e}.00" for e in EMOTIONS]])
def test_whole_numbers_with_a_point_are_read(tmp_path, emotions):
    write_challenge(tmp_path / "fer2013.csv", IMAGES, emotions, USAGE)
    np.testing.assert_array_equal(read_all(fer2013(tmp_path))[1][VOTES], np.eye(7)[EMOTIONS])


def test_a_part_without_zeros_and_sevens_is_read(tmp_path):
    write_challenge(tmp_path / "fer2013.csv", IMAGES, [max(e, 1) for e in EMOTIONS], USAGE)
    assert len(read_all(fer2013(tmp_path))[0]) == N
