from __future__ import annotations

import pytest

from corpus_writers import save, write_sfew
from mien.data.datasets.sfew import CLASSES, detect, lacks, sfew
from mien.errors import DataError
from mien.labels import label_scheme
from mien.prepare import open_corpus, prepare
from writers import faces, read_all


@pytest.fixture
def root(tmp_path):
    return write_sfew(tmp_path)


@pytest.mark.parametrize("aligned", [True, False])
def test_expressions_by_folder_and_a_test_without_labels(tmp_path, aligned):
    root = write_sfew(tmp_path, aligned)
    assert set(read_all(sfew(root))[1]["split"]) == {"train", "val"}
    assert sfew(root).detail["pictures without a label, left out"] == 3
    corpus = sfew(root, unlabelled="keep")
    images, frame = read_all(corpus)
    assert corpus.vocabulary == CLASSES
    assert images.shape == (24, 128, 128, 3)
    assert frame["split"].tolist() == ["train"] * 14 + ["val"] * 7 + ["test"] * 3
    votes = frame[[f"votes_{c}" for c in CLASSES]].to_numpy()
    assert votes[:14].argmax(1).tolist() == [k for k in range(7) for _ in range(2)]
    assert votes[14:21].argmax(1).tolist() == list(range(7))
    assert votes[21:].sum() == 0
    assert corpus.detail["pictures without a label"] == 3
    assert corpus.detail["no square crop, squeezed to 128x128 pixels"].startswith("24 ")
    assert frame["sample_id"][0] == "train/Angry/Airheads_000000001_00000000.png"
    targets = label_scheme("majority", CLASSES).targets(votes, CLASSES)
    assert targets.keep.sum() == 21
    assert targets.dropped == {"no votes": 3}


def test_pictures_beside_folders_and_test_pictures_in_folders_are_counted(root):
    names = sorted(p.relative_to(root).as_posix() for p in root.rglob("*.png"))
    train = next(p.parent.parent for p in root.rglob("*.png") if p.parent.name == "Angry" and "rain" in str(p))
    test = next(p.parent for p in root.rglob("*.png") if "est" in p.relative_to(root).parts[0])
    save(train / "loose.png", faces(1)[0])
    (test / "Angry").mkdir()
    for picture in sorted(test.glob("*.png"))[:2]:
        picture.rename(test / "Angry" / picture.name)
    corpus = sfew(root)
    _, frame = read_all(corpus)
    assert len(frame) + corpus.detail["pictures without a label, left out"] == len(names) + 1
    assert frame["split"].value_counts().to_dict() == {"train": 14, "val": 7, "test": 2}


def test_whole_frames_may_be_asked_for_beside_aligned_faces(root):
    save(root / "Train/Angry/Airheads_000000001_00000001.png", faces(1, 64, 3)[0])
    assert read_all(sfew(root))[0].shape[0] == 21
    with pytest.raises(DataError, match="folder 'Train_Aligned_Faces' is no expression"):
        sfew(root, images="frames")
    other = write_sfew(root / "other", aligned=False)
    with pytest.raises(DataError, match="is not SFEW, expected Train_Aligned_Faces"):
        sfew(other, images="aligned")


def test_archives_side_by_side_in_one_folder(root, tmp_path_factory):
    flat = tmp_path_factory.mktemp("flat")
    (root / "Train/Train_Aligned_Faces").rename(flat / "Train_Aligned_Faces")
    (root / "Val/Val_Aligned_Faces").rename(flat / "Val_Aligned_Faces_new")
    assert detect(flat) == 3
    corpus = open_corpus(flat)
    assert len(read_all(corpus)[0]) == 21
    assert corpus.detail["faces listed of those published"] == {"train": "14 of 958", "val": "7 of 436"}


def test_splits_with_the_pictures_of_somebody_else_are_not_sfew(tmp_path):
    for split in ("Train", "Val", "Test"):
        for k, name in enumerate(("Angry", "Happy")):
            save(tmp_path / split / name / f"{k}.png", faces(1, 32, seed=k)[0])
    assert (detect(tmp_path), open_corpus(tmp_path).name) == (0, "folder")


def test_only_the_test_pictures_are_no_corpus(root, tmp_path_factory):
    only = tmp_path_factory.mktemp("only")
    (root / "Test").rename(only / "Test")
    assert lacks(only) == (4, "SFEW, but there is only Test, whose pictures have no labels")
    with pytest.raises(DataError, match="there is only Test"):
        open_corpus(only, "sfew")


def test_a_folder_that_is_no_expression_is_refused(root):
    save(root / "Val/Val_Aligned_Faces/Contempt/Airheads_000000001_00000001.png", faces(1)[0])
    with pytest.raises(DataError, match="folder 'Contempt' is no expression, expected angry, disgust"):
        sfew(root)


def test_it_is_prepared_with_its_unlabelled_faces(root, tmp_path_factory):
    store = prepare(root, tmp_path_factory.mktemp("out") / "store", unlabelled="keep")
    assert store.info["classes"]["angry"] == 3
    assert store.info["classes"]["no single class"] == 3
