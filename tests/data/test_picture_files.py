from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image, features

from mien.data.corpus import BadRows
from mien.data.datasets.folder import image_folder
from mien.data.picture_files import holds_picture, list_pictures
from mien.errors import DataError
from mien.pictures.opening import plain_name
from mien.prepare import find_dataset, prepare
from writers import close_folders, faces, read_all

CLASSES = ("anger", "happy", "sad")
SEVEN = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")


def put(path, image=None, kind=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(faces(1, 48)[0] if image is None else image).save(path, format=kind)
    return path


@pytest.fixture
def root(tmp_path):
    """Three classes of two pictures."""
    for image, (c, i) in zip(faces(6, 48), [(c, i) for c in CLASSES for i in range(2)], strict=True):
        put(tmp_path / "faces" / c / f"{i}.png", image)
    return tmp_path / "faces"


def names(listing):
    return [p.relative_to(listing.root).as_posix() for p in listing.pictures]


ALL = [f"{c}/{i}.png" for c in CLASSES for i in range(2)]


def classes_of(root, **options):
    """Class -> pictures, and what was said, as the reader of folders gives them."""
    corpus = image_folder(root, **options)
    _, frame = read_all(corpus)
    return {c: int(frame[f"votes_{c}"].sum()) for c in corpus.vocabulary}, corpus.detail


# --- Litter -----------------------------------------------------------------------------------------


LITTER = {
    "a notebook's copies": ("sad/.ipynb_checkpoints/0-checkpoint.png", ".ipynb_checkpoints"),
    "a notebook's copies among the classes": (".ipynb_checkpoints/0-checkpoint.png", ".ipynb_checkpoints"),
    "a file server's thumbnails": ("@eaDir/0.png", "@eaDir"),
    "a file server's thumbnails in a class": ("anger/@eaDir/0.png/SYNOPHOTO_THUMB_M.jpg", "@eaDir"),
    "a Mac's archive": ("__MACOSX/anger/._0.png", "__MACOSX"),
    "a Mac's resource fork": ("anger/._0.png", "._ files"),
    "a Mac's folder settings": (".DS_Store", ".DS_Store"),
    "Windows' thumbnails": ("anger/Thumbs.db", "Thumbs.db"),
    "Windows' settings in capitals": ("DESKTOP.INI", "DESKTOP.INI"),
    "a hidden folder": (".thumbnails/anger/0.png", "hidden"),
    "a hidden picture": ("anger/.0.png", "hidden"),
    "a version control": (".git/objects/0.png", ".git"),
}


@pytest.mark.parametrize("name", LITTER)
def test_litter_is_left_out_and_counted(root, name):
    path, kind = LITTER[name]
    put(root / path, kind="PNG")
    listing = list_pictures(root)
    assert names(listing) == ALL
    assert listing.litter == {kind: 1}
    assert classes_of(root) == (dict.fromkeys(CLASSES, 2), {"litter of programs and systems, left out": {kind: 1}})


def test_an_empty_folder_of_litter_counts_one_and_a_full_one_its_files(root):
    (root / "sad" / ".ipynb_checkpoints").mkdir()
    for i in range(3):
        put(root / "@eaDir" / f"{i}.jpg")
    assert list_pictures(root).litter == {".ipynb_checkpoints": 1, "@eaDir": 3}


def test_a_corpus_may_lie_in_a_hidden_folder(tmp_path):
    put(tmp_path / ".cache" / "faces" / "sad" / "0.png")
    assert names(list_pictures(tmp_path / ".cache" / "faces")) == ["sad/0.png"]


def test_litter_does_not_hide_that_a_folder_is_fer2013(tmp_path):
    for i, c in enumerate(SEVEN):
        put(tmp_path / "Train" / c.capitalize() / "0.jpg", faces(7, 48)[i])
        put(tmp_path / "TEST" / c.capitalize() / "0.jpg", faces(7, 48, seed=1)[i])
    (tmp_path / "Train" / ".ipynb_checkpoints").mkdir()
    assert find_dataset(tmp_path) == "fer2013"


def test_large_colour_pictures_under_the_same_seven_names_are_not_called_fer2013(tmp_path):
    for c, image in zip(SEVEN, faces(7, 96, 3), strict=True):
        put(tmp_path / "train" / c / "0.png", image)
    assert find_dataset(tmp_path) == "folder"
    assert prepare(tmp_path, tmp_path.parent / f"{tmp_path.name}-store").images.shape == (7, 96, 96, 3)


# --- Formats ----------------------------------------------------------------------------------------


FORMATS = {
    "a.jfif": "JPEG",
    "a.jpe": "JPEG",
    "A.JPG": "JPEG",
    "a.gif": "GIF",
    "a.pgm": "PPM",
    "a.ppm": "PPM",
    "a.bmp": "BMP",
    "a.TIF": "TIFF",
    "a.webp": "WEBP",
    "without_ending": "JPEG",
    "url.jpg?w=200": "JPEG",
    "picture.0001": "PNG",
    "no ending.": "GIF",
} | ({"a.avif": "AVIF"} if features.check("avif") else {})


@pytest.mark.parametrize("name", FORMATS)
def test_whatever_pillow_reads_is_read(root, name):
    put(root / "sad" / name, kind=FORMATS[name])
    counts, detail = classes_of(root)
    assert counts == {"anger": 2, "happy": 2, "sad": 3}
    assert "files that are no pictures, not read" not in detail


def test_avif_is_read_where_pillow_can_and_counted_elsewhere(root, monkeypatch):
    from mien.data import picture_files

    (root / "sad" / "a.avif").write_bytes(b"no picture")
    monkeypatch.delitem(Image.OPEN, "AVIF", raising=False)
    monkeypatch.setattr(Image, "init", lambda: None)
    caches = (picture_files.readable_formats, picture_files._readable_endings)
    for cache in caches:
        cache.cache_clear()
    try:
        assert list_pictures(root).unread == {".avif": 1}
    finally:
        monkeypatch.undo()
        for cache in caches:
            cache.cache_clear()


def test_the_first_frame_of_a_moving_picture_is_read_and_that_is_said(root):
    first, second = faces(2, 48)
    (root / "fear").mkdir()
    Image.fromarray(first).save(
        root / "fear" / "a.gif", save_all=True, append_images=[Image.fromarray(second)], duration=50
    )
    corpus = image_folder(root)
    images, frame = read_all(corpus)
    np.testing.assert_array_equal(images[frame["votes_fear"].to_numpy() == 1][0], first)
    assert corpus.detail == {"first frame or page of several": 1}


def test_what_was_not_read_is_counted_by_ending(root):
    for name in ("a.zip", "b.ZIP", "notes.txt", "sad/0.png.part", "anger/README", "happy/clip.mp4"):
        (root / name).write_bytes(b"\xff\xd8\xff but not by its name")
    (root / "anger" / "README").write_text("nothing to see")
    counts, detail = classes_of(root)
    assert counts == dict.fromkeys(CLASSES, 2)
    assert detail == {
        "files that are no pictures, not read": {".zip": 2, ".mp4": 1, ".part": 1, ".txt": 1, "without an ending": 1}
    }


def test_a_pipe_is_not_opened(root):
    os.mkfifo(root / "sad" / "pipe")
    assert list_pictures(root).unread == {"without an ending": 1}


def test_a_class_folder_that_gave_nothing_is_named(root):
    (root / "disgust").mkdir()
    (root / "fear" / "deep" / "deeper").mkdir(parents=True)
    (root / "fear" / "a.dng").write_bytes(b"x")
    counts, detail = classes_of(root)
    assert counts == dict.fromkeys(CLASSES, 2)
    assert detail["folders without a picture"] == ["disgust", "fear"]
    assert detail["files that are no pictures, not read"] == {".dng": 1}


def test_an_empty_class_of_one_split_is_named_with_its_split(tmp_path):
    put(tmp_path / "train" / "sad" / "0.png")
    put(tmp_path / "test" / "sad" / "0.png")
    (tmp_path / "test" / "happy").mkdir()
    assert list_pictures(tmp_path).empty == ("test/happy",)


# --- Links ------------------------------------------------------------------------------------------


def test_links_to_folders_are_followed(root, tmp_path):
    (root / "happy").rename(tmp_path / "elsewhere")
    (root / "happy").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    counts, detail = classes_of(root)
    assert counts == dict.fromkeys(CLASSES, 2)
    assert detail == {"links to folders, followed": 1}


def test_a_corpus_of_nothing_but_links_is_read(root, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    for c in CLASSES:
        (linked / c).symlink_to(root / c)
    assert find_dataset(linked) == "folder"
    assert classes_of(linked)[0] == dict.fromkeys(CLASSES, 2)


@pytest.mark.parametrize("target", [".", "..", "../..", "anger"])
def test_links_that_lead_back_are_not_followed(root, target):
    (root / "anger" / "loop").symlink_to(os.path.join("..", target) if target == "anger" else target)
    listing = list_pictures(root)
    assert names(listing) == ALL
    assert (listing.loops, listing.links) == (1, 0)


def test_two_folders_that_lead_to_each_other_end(tmp_path):
    put(tmp_path / "a" / "0.png")
    put(tmp_path / "b" / "0.png")
    (tmp_path / "a" / "to_b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "to_a").symlink_to(tmp_path / "a")
    assert names(list_pictures(tmp_path)) == ["a/0.png", "a/to_b/0.png", "b/0.png", "b/to_a/0.png"]


def test_a_link_to_itself_is_a_bad_row(root):
    (root / "sad" / "x.png").symlink_to(root / "sad" / "x.png")
    bad = BadRows("drop")
    assert len(read_all(image_folder(root), bad)[0]) == 6
    assert len(bad.errors) == 1


def test_dead_links_are_bad_rows(root):
    (root / "sad" / "gone.png").symlink_to("/nowhere/gone.png")
    (root / "fear").symlink_to("/nowhere/fear")
    with pytest.raises(DataError, match=r"fear: is a link to /nowhere/fear, which is not there.*2 bad rows in all"):
        read_all(image_folder(root))
    bad = BadRows("drop")
    images, _ = read_all(image_folder(root), bad)
    assert len(images) == 6
    assert [e.found for e in bad.errors] == [
        "is a link to /nowhere/fear, which is not there",
        "is a link to /nowhere/gone.png, which is not there",
    ]


# --- Names ------------------------------------------------------------------------------------------


def test_names_of_any_bytes_reach_the_store(tmp_path):
    put(tmp_path / "faces" / "sad" / "0.png")
    os.rename(os.fsencode(tmp_path / "faces/sad/0.png"), os.fsencode(tmp_path / "faces/sad") + b"/caf\xe9.png")
    put(tmp_path / "faces" / "sad" / "caf\u00e9 #1?.png", faces(1, 48, seed=1)[0])
    store = prepare(tmp_path / "faces", tmp_path / "store")
    assert store.table.frame["sample_id"].tolist() == ["sad/caf\u00e9 #1?.png", "sad/caf\\xe9.png"]


def test_a_plain_name_stays_as_it_is(tmp_path):
    assert plain_name(tmp_path / "a" / "b.png") == f"{tmp_path}/a/b.png"


# --- Whether there is anything ----------------------------------------------------------------------


def test_whether_a_folder_holds_pictures(root, tmp_path):
    assert holds_picture(root)
    assert not holds_picture(tmp_path / "nothing")
    (tmp_path / "litter" / ".ipynb_checkpoints").mkdir(parents=True)
    put(tmp_path / "litter" / ".ipynb_checkpoints" / "0.png")
    assert not holds_picture(tmp_path / "litter")
    put(tmp_path / "deep" / "a" / "b" / "c" / "0.png")
    assert not holds_picture(tmp_path / "deep")
    assert holds_picture(tmp_path / "deep" / "a")


def test_a_folder_that_must_not_be_read_is_named(root, monkeypatch):
    close_folders(monkeypatch, "sad")
    with pytest.raises(DataError, match=r"sad: cannot be opened \(Permission denied\), expected a folder that you may"):
        list_pictures(root)
