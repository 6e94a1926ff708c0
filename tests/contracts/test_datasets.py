"""What every reader of a corpus must do: know its own layout and no other, and give what it promises."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import corpus_writers as c
import writers as w
from mien.data.corpus import BadRows
from mien.data.datasets import DATASETS
from mien.errors import DataError, MienError
from mien.prepare import find_dataset, open_corpus

N = 15


def _fer2013(root: Path) -> Path:
    w.write_challenge(root / "fer2013.csv", w.faces(N), np.arange(N) % 7, w.usages(N))
    return root


def _ferplus(root: Path) -> Path:
    w.write_ferplus_folders(root, w.faces(N), w.random_votes(N), w.usages(N))
    return root


def _fairface(root: Path) -> Path:
    w.write_fairface(root, w.faces(N, side=64, channels=3))
    return root


def _folder(root: Path) -> Path:
    for i, image in enumerate(w.faces(N, side=32)):
        (root / ("happy", "sad")[i % 2]).mkdir(exist_ok=True)
        Image.fromarray(image).save(root / ("happy", "sad")[i % 2] / f"{i}.png")
    return root


def _manifest(root: Path) -> Path:
    rows = [{"path": f"{i}.png", "label": ("happy", "sad")[i % 2], "team": "ab"[i % 2]} for i in range(N)]
    w.write_manifest(root / "faces.csv", rows, w.faces(N, side=32))
    return root / "faces.csv"


def _ferplus_own(root: Path) -> Path:
    w.write_ferplus_labels(root, w.faces(N), w.random_votes(N), w.usages(N))
    return root


def _fer2013_folders(root: Path) -> Path:
    w.write_fer2013_folders(root, w.faces(N), np.arange(N) % 7, w.usages(N))
    return root


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "fer2013": _fer2013,
    "ferplus": _ferplus,
    "fairface": _fairface,
    "folder": _folder,
    "manifest": _manifest,
    "raf_db": c.write_raf_db,
    "raf_ml": c.write_raf_ml,
    "ck_plus": c.write_ck_plus,
    "affectnet": c.write_affectnet,
    "celeba": c.write_celeba,
    "expw": c.write_expw,
    "sfew": c.write_sfew,
}
#: Further layouts of the same corpora: name of the layout -> reader and writer.
VARIANTS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "fer2013 folders": ("fer2013", _fer2013_folders),
    "ferplus's own copy": ("ferplus", _ferplus_own),
    "raf_db compound": ("raf_db", lambda root: c.write_raf_db(root, 22, "compound", 11)),
    "raf_db kaggle": ("raf_db", c.write_raf_kaggle),
    "raf_db one label set": ("raf_db", lambda root: c.write_raf_db(root) / "basic"),
    "ck_plus 48 pixels": ("ck_plus", c.write_ck48),
    "ck_plus csv": ("ck_plus", c.write_ck_csv),
    "ck_plus csv alone": ("ck_plus", lambda root: c.write_ck_csv(root) / "ckextended.csv"),
    "affectnet sets": ("affectnet", c.write_affectnet_sets),
    "celeba csv": ("celeba", lambda root: c.write_celeba(root, csv=True)),
    "sfew frames": ("sfew", lambda root: c.write_sfew(root, aligned=False)),
}
EVERY = {name: (name, write) for name, write in LAYOUTS.items()} | VARIANTS
DRAWN = "synthetic"  # reads nothing


def reader(name: str):
    return sys.modules[DATASETS.get(name).__module__]


def test_every_reader_has_a_layout_here() -> None:
    assert {*LAYOUTS, DRAWN} == set(DATASETS)


@pytest.mark.parametrize("name", DATASETS.names())
def test_an_empty_place_is_no_corpus(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.md").write_text("words")
    for place in (tmp_path / "empty", tmp_path / "text.md", tmp_path / "absent"):
        assert reader(name).detect(place) == 0
    if hasattr(reader(name), "lacks"):
        near, what = reader(name).lacks(tmp_path / "empty")
        assert (near, what) == (0, "")
    if name != DRAWN:
        with pytest.raises(DataError):
            open_corpus(tmp_path / "empty", name)


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Where a layout lies; written once, as nobody changes it."""
    return cache(lambda layout: EVERY[layout][1](tmp_path_factory.mktemp("corpus")))


@pytest.mark.parametrize("layout", EVERY)
def test_a_layout_is_known_and_its_own_readers_first(layout: str, at: Callable[[str], Path]) -> None:
    name, place = EVERY[layout][0], at(layout)
    scores = {other: reader(other).detect(place) for other in DATASETS}
    assert scores[name] > max(score for other, score in scores.items() if other != name)
    assert find_dataset(place) == name
    images, frame = w.read_all(open_corpus(place, compound=True) if "compound" in layout else open_corpus(place))
    assert len(images) == len(frame) > 0


@pytest.mark.parametrize("layout", EVERY)
def test_no_other_layout_is_nearly_a_corpus_with_lists(layout: str, at: Callable[[str], Path]) -> None:
    """Half a corpus is told what it lacks of its own files, and not of another corpus's."""
    name, place = EVERY[layout][0], at(layout)
    for other in LAYOUTS.keys() - {name, "folder", "manifest", "fer2013", "ferplus", "fairface"}:
        assert reader(other).lacks(place) == (0, ""), other


#: What says what the pictures show, in the layouts of whole corpora.
LABELS = {
    "raf_db": ["basic/EmoLabel/list_patition_label.txt"],
    "raf_ml": ["EmoLabel/partition_label.txt"],
    "ck_plus": ["Emotion"],
    "affectnet": [f"Manually_Annotated/Manually_Annotated_file_lists/{n}.csv" for n in ("training", "validation")],
    "celeba": ["Anno/list_attr_celeba.txt"],
    "expw": ["label/label.lst"],
    "sfew": ["Train", "Val"],
}
CALLED = {
    "raf_db": "RAF-DB",
    "raf_ml": "RAF-ML",
    "ck_plus": r"CK\+",
    "affectnet": "AffectNet",
    "celeba": "CelebA",
    "expw": "ExpW",
    "sfew": "SFEW",
}


@pytest.mark.parametrize("name", LABELS)
def test_pictures_without_their_labels_are_no_folder_of_pictures(name: str, tmp_path: Path) -> None:
    place = LAYOUTS[name](tmp_path)
    for path in (place / label for label in LABELS[name]):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(DataError, match=f"nearest to {CALLED[name]}, but there is"):
        open_corpus(place)


@pytest.mark.parametrize("layout", [n for n in EVERY if n.split()[0] in LABELS and "alone" not in n])
def test_what_a_mac_leaves_beside_each_file_changes_nothing(layout: str, tmp_path: Path) -> None:
    name, write = EVERY[layout]
    place = write(tmp_path)
    options = {"compound": True} if "compound" in layout else {}
    honest = w.read_all(open_corpus(place, **options))
    for path in [p for p in tmp_path.rglob("*") if p.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"\x00\x05\x16\x07")
    again = w.read_all(open_corpus(place, name, **options))
    np.testing.assert_array_equal(honest[0], again[0])
    assert honest[1].equals(again[1])


@pytest.mark.parametrize("name", sorted(LAYOUTS.keys() - {"folder", "manifest", "fairface"}))
def test_each_corpus_declares_its_classes_and_where_to_get_it(name: str) -> None:
    module = reader(name)
    assert len(set(module.CLASSES)) == len(module.CLASSES) > 1
    assert module.TERMS
    assert module.SOURCE.startswith("http")


@pytest.mark.parametrize("name", DATASETS.names())
def test_a_corpus_gives_what_it_promises(name: str, at: Callable[[str], Path]) -> None:
    drawn = name == DRAWN
    corpus = DATASETS.get(name)(**DATASETS.tiny(name)) if drawn else open_corpus(at(name), name)
    images, frame = w.read_all(corpus, BadRows())
    assert images.dtype == np.uint8
    assert images.shape[3:] in ((), (3,))  # grey or colour
    assert images.shape[1] == images.shape[2]
    assert len(images) == len(frame) > 0
    assert frame["sample_id"].is_unique
    assert corpus.terms
    for word in corpus.vocabulary:
        votes = frame[f"votes_{word}"].to_numpy()
        assert (votes >= 0).all()
    for attribute in corpus.attributes:
        assert frame[attribute].notna().any()
        if f"{attribute}_source" in frame:
            assert set(frame[f"{attribute}_source"].dropna()) <= {"annotated", "perceived", ""}
    again, same = w.read_all(corpus, BadRows())  # a corpus can be read twice
    np.testing.assert_array_equal(images, again)
    assert same.equals(frame)


@pytest.mark.parametrize("name", LAYOUTS)
def test_an_option_that_it_does_not_take_is_refused(name: str, at: Callable[[str], Path]) -> None:
    with pytest.raises(MienError, match="no such option"):
        open_corpus(at(name), name, surely_no_option=1)
