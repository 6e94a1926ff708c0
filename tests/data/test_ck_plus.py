from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from corpus_writers import CK_FRAMES, ck_points, save, text, write_ck48, write_ck_csv, write_ck_plus
from mien.data.corpus import BadRows
from mien.data.datasets import fer2013 as fer2013_reader
from mien.data.datasets.ck_plus import CLASSES, CSV_CODES, ck_plus, detect, lacks
from mien.errors import ConfigError, DataError
from mien.prepare import open_corpus, prepare
from mien.spellings import canonical
from writers import faces, read_all, replace_line

FRAMES = "cohn-kanade-images/S005/001"


@pytest.fixture
def root(tmp_path):
    return write_ck_plus(tmp_path)


def classes_of(frame, classes=CLASSES):
    return [classes[k] for k in frame[[f"votes_{c}" for c in classes]].to_numpy().argmax(1)]


def test_first_frames_are_neutral_and_the_last_three_show_the_emotion(root):
    """Sequences: S005/001 disgust (3), S005/002 none, S010/001 anger (1), S010/004 surprise (7)."""
    corpus = ck_plus(root)
    images, frame = read_all(corpus)
    assert corpus.vocabulary == CLASSES
    assert CLASSES == ("neutral", "anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
    expected = [c for emotion in ("disgust", "anger", "surprise") for c in ("neutral", *[emotion] * 3)]
    assert classes_of(frame) == expected
    assert frame["identity"].tolist() == ["S005"] * 4 + ["S010"] * 8
    assert frame["sample_id"].tolist()[:4] == [f"S005_001_0000000{k}.png" for k in (1, 4, 5, 6)]
    assert set(frame["split"]) == {""}
    assert images.shape == (12, 128, 128)
    assert corpus.detail["sequences without an emotion, left out"] == 1
    assert corpus.detail["faces listed of those published"] == {"all": "12 of 1308"}  # 327 sequences, 4 frames each


@pytest.mark.parametrize(("peak", "neutral", "n"), [(1, "first", 6), (5, "first", 18), (3, "none", 9), (6, "none", 18)])
def test_how_many_frames_is_asked(root, peak, neutral, n):
    corpus = ck_plus(root, peak=peak, neutral=neutral)
    _, frame = read_all(corpus)
    assert len(frame) == n
    assert corpus.vocabulary == (CLASSES if neutral == "first" else CLASSES[1:])
    assert ("votes_neutral" in frame) == (neutral == "first")
    assert frame[[f"votes_{c}" for c in corpus.vocabulary]].to_numpy().sum(1).tolist() == [1] * n


def test_a_sequence_too_short_is_a_bad_row(root):
    with pytest.raises(DataError, match=f"S005/001: {CK_FRAMES} frames, expected 7 or more"):
        read_all(ck_plus(root, peak=6))


def test_faces_are_cut_around_their_landmarks(root):
    """The points go from column 40 to 140 and row 20 to 120: with a margin of 0.1 the square begins at (30, 10)."""
    points = ck_points()
    assert points.min(0).tolist() == [40, pytest.approx(20, abs=0.2)]
    images, frame = read_all(ck_plus(root, margin=0.1, size=120, channels=1))
    whole = np.asarray(Image.open(root / FRAMES / "S005_001_00000001.png").convert("L"))
    np.testing.assert_array_equal(images[0][:, :100], whole[10:130, 30:130])
    x, y = frame["landmark_0_x"][0], frame["landmark_0_y"][0]
    assert (x, y) == (pytest.approx(70 - 30), pytest.approx(50 - 10))
    assert frame["landmark_4_x"][0] == pytest.approx(105 - 30)


def test_action_units_stand_at_the_last_frame(root):
    _, frame = read_all(ck_plus(root))
    assert frame["action_units"].notna().tolist() == [False, False, False, True] * 3
    assert frame["action_units"][3] == "1:3 25"
    without = write_ck_plus(root.parent / f"{root.name}b", facs=False)
    assert "action_units" not in read_all(ck_plus(without))[1]


def test_without_landmarks_the_middle_square_is_taken(tmp_path):
    root = write_ck_plus(tmp_path, landmarks=False)
    corpus = ck_plus(root, size=140, channels=1)
    images, frame = read_all(corpus)
    whole = np.asarray(Image.open(root / FRAMES / "S005_001_00000001.png").convert("L"))
    np.testing.assert_array_equal(images[0], whole[:, 20:160])
    assert "landmark_0_x" not in frame
    assert "middle square" in corpus.detail["the face in a frame"]


def test_a_frame_without_its_landmarks_is_a_bad_row(root):
    (root / "Landmarks/S005/001/S005_001_00000006_landmarks.txt").unlink()
    replace_line(root / "Landmarks/S005/001/S005_001_00000005_landmarks.txt", 1, lambda line: None)
    with pytest.raises(DataError, match=r"S005_001_00000005_landmarks.txt: 134 numbers, expected 68 landmarks"):
        read_all(ck_plus(root))
    bad = BadRows("drop")
    assert len(read_all(ck_plus(root), bad)[0]) == 10
    assert len(bad.errors) == 2


@pytest.mark.parametrize("word", ["0.0", "8", "happy", ""])
def test_an_emotion_that_is_none_is_a_bad_row_and_no_unlabelled_sequence(root, word):
    text(root / f"Emotion/S005/001/S005_001_0000000{CK_FRAMES}_emotion.txt", f"  {word}\n")
    corpus = ck_plus(root)
    with pytest.raises(DataError, match="_emotion.txt: holds .* expected a number from 1 to 7"):
        read_all(corpus)
    assert corpus.detail["sequences without an emotion, left out"] == 1


def test_archives_that_were_unpacked_into_folders_of_their_names(root):
    (root / "Emotion").rename(root / "inner")
    (root / "Emotion_labels").mkdir()
    (root / "inner").rename(root / "Emotion_labels/Emotion")
    assert detect(root) == 3
    assert len(read_all(ck_plus(root))[0]) == 12


def test_half_a_download_says_what_is_missing(root):
    for path in sorted((root / "Emotion").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (root / "Emotion").rmdir()
    assert (detect(root), lacks(root)) == (0, (4, "CK+, but there is no folder Emotion"))
    with pytest.raises(DataError, match="is not CK.*there is no folder Emotion"):
        ck_plus(root)


def test_the_folder_copy_has_persons_from_its_names_and_the_classes_it_has(tmp_path):
    root = write_ck48(tmp_path)
    corpus = ck_plus(root)
    images, frame = read_all(corpus)
    assert images.shape == (14, 48, 48)
    assert corpus.vocabulary == CLASSES[1:]
    assert classes_of(frame, CLASSES[1:]) == [c for c in CLASSES[1:] for _ in range(2)]
    assert frame["identity"].tolist()[:4] == ["S010", "S011", "S011", "S012"]
    assert frame["sample_id"][0] == "anger/S010_001_00000010.png"
    save(root / "anger/other.png", faces(1)[0])
    with pytest.raises(DataError, match="other.png: is no frame of CK"):
        read_all(ck_plus(root))


def test_the_folder_copy_under_splits_keeps_its_persons_and_tells_whom_they_tear(tmp_path):
    root = write_ck48(tmp_path / "flat")
    for folder in sorted(root.iterdir()):
        for j, picture in enumerate(sorted(folder.iterdir())):
            target = tmp_path / "parted" / ("train" if j % 2 else "test") / folder.name / picture.name
            target.parent.mkdir(parents=True, exist_ok=True)
            picture.rename(target)
    parted = tmp_path / "parted"
    assert detect(parted) == 3
    corpus = ck_plus(parted)
    _, frame = read_all(corpus)
    assert corpus.vocabulary == CLASSES[1:]
    assert sorted(frame["split"].unique()) == ["test", "train"]
    assert frame["identity"].ne("").all()
    torn = frame.groupby("identity")["split"].nunique().gt(1).sum()
    assert torn
    assert corpus.detail["persons in more than one of its splits"] == torn
    for picture in (parted / "test" / "fear").iterdir():
        picture.unlink()  # as tools that split leave them
    assert detect(parted) == 3
    assert "fear" in ck_plus(parted).vocabulary
    save(parted / "train" / "more" / "fear" / "S999_001_00000001.png", faces(1)[0])
    assert detect(parted) == 0  # what lies deeper is not passed over
    shutil.rmtree(parted / "train" / "more")
    save(parted / "train" / "anger" / "mine.png", faces(1)[0])
    (parted / "extra" / "anger").mkdir(parents=True)
    assert detect(parted) == 0


def test_action_units_that_cannot_be_read_cost_no_face(root):
    note = next((root / "FACS").rglob("*.txt"))
    note.write_text("one two three\n")
    corpus = ck_plus(root)
    images, frame = read_all(corpus)
    assert len(images) == 12
    assert frame["action_units"].notna().sum() == 2
    assert corpus.detail["sequences whose action units cannot be read"] == 1


def test_folders_of_other_pictures_are_not_ck_plus(tmp_path):
    for i, name in enumerate(("anger", "happy")):
        save(tmp_path / name / f"{i}.png", faces(1, seed=i)[0])
    assert detect(tmp_path) == 0


def test_the_csv_copy_counts_otherwise_and_comes_in_the_same_order(tmp_path):
    root = write_ck_csv(tmp_path)
    corpus = ck_plus(root)
    images, frame = read_all(corpus)
    assert corpus.vocabulary == CLASSES
    said = [canonical(c) for c in classes_of(frame)]
    assert said == [canonical(c) for c in (*CSV_CODES, *CSV_CODES)]
    assert CSV_CODES == ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral", "contempt")
    np.testing.assert_array_equal(images, faces(16))
    assert frame["split"].tolist() == ["Training"] * 12 + ["PublicTest"] * 2 + ["PrivateTest"] * 2
    assert "tear persons" in corpus.detail["persons"]
    with pytest.raises(ConfigError, match="48x48 and grey"):
        open_corpus(root, size=64)


def test_the_csv_copy_is_told_from_fer2013_by_its_name(tmp_path):
    root = write_ck_csv(tmp_path)
    assert (detect(root), fer2013_reader.detect(root)) == (4, 2)
    (root / "ckextended.csv").rename(root / "faces.csv")
    assert (detect(root), fer2013_reader.detect(root)) == (0, 2)
    with pytest.raises(DataError, match="line 9: 'emotion' is '7', expected a number from 0 to 6"):
        read_all(open_corpus(root))
    assert len(read_all(open_corpus(root / "faces.csv", "ck_plus"))[0]) == 16
    (root / "faces.csv").rename(root / "CK+48.csv")
    replace_line(root / "CK+48.csv", 3, lambda line: "8" + line[1:])
    with pytest.raises(DataError, match="line 3: 'emotion' is '8', expected a number from 0 to 7"):
        read_all(open_corpus(root))


def test_options_have_bounds(root):
    for options in ({"peak": 0}, {"neutral": "last"}, {"margin": -1}):
        with pytest.raises(ConfigError):
            open_corpus(root, **options)


def test_a_store_keeps_persons_and_points(root, tmp_path_factory):
    store = prepare(root, tmp_path_factory.mktemp("out") / "store")
    assert store.table.frame["identity"].nunique() == 2
    assert store.table.frame["landmark_2_y"].notna().all()
    assert store.info["classes"]["neutral"] == 3
