from __future__ import annotations

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mien.data.corpus import Chunk, Corpus
from mien.data.datasets import DATASETS
from mien.data.images import IMAGES, INFO, TABLE, Store
from mien.errors import ConfigError, DataError, UsageError
from mien.labels import FER2013_CLASSES, FERPLUS_VOCABULARY
from mien.prepare import find_dataset, open_corpus, prepare
from writers import (
    faces,
    random_votes,
    replace_line,
    usages,
    write_challenge,
    write_fer2013_folders,
    write_ferplus_folders,
    write_manifest,
    write_votes,
)

N = 20
PICTURES = faces(N)
EMOTIONS = (np.arange(N) % 7).tolist()
USAGE = usages(N)
COUNTS = random_votes(N)


def make_challenge(root):
    write_challenge(root / "fer2013.csv", PICTURES, EMOTIONS, USAGE)
    return root


def make_challenge_file(root):
    return make_challenge(root) / "fer2013.csv"


def make_fer2013_folders(root):
    write_fer2013_folders(root, PICTURES, EMOTIONS, USAGE)
    return root


def make_ferplus_csv(root):
    write_votes(root / "fer2013new.csv", COUNTS, USAGE)
    return make_challenge(root)


def make_ferplus_folders(root):
    write_ferplus_folders(root, PICTURES, COUNTS, USAGE)
    return root


def make_folder(root):
    for i in range(N):
        (root / ["sad", "bored"][i % 2]).mkdir(exist_ok=True)
        Image.fromarray(PICTURES[i]).save(root / ["sad", "bored"][i % 2] / f"{i:02d}.png")
    return root


def make_manifest(root):
    write_manifest(root / "list.csv", [{"path": f"{i}.png", "label": "sad"} for i in range(N)], PICTURES)
    return root / "list.csv"


LAYOUTS = {
    "challenge": (make_challenge, "fer2013"),
    "challenge file": (make_challenge_file, "fer2013"),
    "fer2013 folders": (make_fer2013_folders, "fer2013"),
    "ferplus csv": (make_ferplus_csv, "ferplus"),
    "ferplus folders": (make_ferplus_folders, "ferplus"),
    "folder": (make_folder, "folder"),
    "manifest": (make_manifest, "manifest"),
}


@pytest.fixture
def source(tmp_path):
    (tmp_path / "corpus").mkdir()
    return tmp_path / "corpus"


def contents(folder):
    return sorted(p.name for p in folder.iterdir())


# --- Layouts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_found_and_prepared(source, tmp_path, layout):
    make, dataset = LAYOUTS[layout]
    made = make(source)
    assert find_dataset(made) == dataset
    store = prepare(made, tmp_path / "store")
    assert store.info["corpus"] == ("list" if dataset == "manifest" else dataset)
    seen = N if layout != "ferplus folders" else int((COUNTS[:, 9] < 10).sum())
    assert len(store.table) == seen
    assert {p.tobytes() for p in store.images} <= {p.tobytes() for p in PICTURES}
    assert len({p.tobytes() for p in store.images}) == seen
    assert store.table.frame["image"].tolist() == list(range(seen))
    store.verify()
    assert contents(tmp_path) == ["corpus", "store"]


def test_an_unknown_layout_lists_the_known_ones(source, tmp_path):
    (source / "notes.txt").write_text("hello")
    for path in (source, source / "notes.txt"):
        with pytest.raises(DataError) as caught:
            prepare(path, tmp_path / "store")
        text = str(caught.value)
        assert "is in no known layout" in text
        assert all(name in text for name in ("fer2013", "ferplus", "folder", "manifest"))
        assert "--dataset" in text
    with pytest.raises(
        DataError, match="does not exist, expected a file, a folder, or the name of an embedded dataset"
    ):
        prepare(tmp_path / "nothing", tmp_path / "store")
    assert contents(tmp_path) == ["corpus"]


def test_a_named_dataset_says_what_is_missing(source, tmp_path):
    make_challenge(source)
    with pytest.raises(DataError, match=r"is not FERPlus, expected fer2013new\.csv beside"):
        prepare(source, tmp_path / "store", dataset="ferplus")
    with pytest.raises(ConfigError, match=r"unknown dataset 'ferpluss'\. Did you mean 'ferplus'\?"):
        prepare(source, tmp_path / "store", dataset="ferpluss")


def test_options_are_checked_and_passed_on(source, tmp_path):
    make_folder(source)
    with pytest.raises(ConfigError, match=r"^option\.sise: dataset 'folder' has no such option.*Did you mean 'size'\?"):
        prepare(source, tmp_path / "store", sise=24)
    with pytest.raises(ConfigError, match=r"^option\.root: dataset 'folder' has no such option"):
        open_corpus(source, root=source)
    assert prepare(source, tmp_path / "store", size=24, channels=3).images.shape == (N, 24, 24, 3)


def test_the_drawn_corpus_needs_no_source(tmp_path):
    store = prepare("synthetic", tmp_path / "store", n=6, size=16, seed=1)
    assert store.images.shape[:3] == (6, 16, 16)
    assert store.info["corpus"] == "synthetic"


# --- What the store says ----------------------------------------------------------------------------


def test_the_store_holds_pixels_votes_splits_and_ids_exactly(source, tmp_path):
    store = prepare(make_ferplus_csv(source), tmp_path / "store")
    np.testing.assert_array_equal(store.images[..., 0], PICTURES)
    np.testing.assert_array_equal(store.table.votes, COUNTS)
    assert store.table.vocabulary == FERPLUS_VOCABULARY
    assert store.table.frame["split"].tolist() == USAGE
    assert store.table.frame["sample_id"].tolist() == [f"fer{i:07d}" for i in range(N)]
    assert set(store.table.frame["identity"]) == {""}
    assert store.info["n"] == N
    assert store.info["n_dropped"] == 0
    assert "MIT" in store.info["terms"]
    (step,) = store.table.history
    assert (step.name, step.n_before, step.n_after, step.detail) == ("prepare", N, N, {"dropped": {}})


def test_copies_are_numbered_and_counted(source, tmp_path):
    pictures = PICTURES.copy()
    pictures[5] = pictures[2]
    pictures[9] = (pictures[2] * 0.95 + 4).astype(np.uint8)
    write_challenge(source / "fer2013.csv", pictures, EMOTIONS, USAGE)
    store = prepare(source, tmp_path / "store")
    cluster = store.table.frame["cluster"].to_numpy()
    assert cluster[5] == cluster[9] == cluster[2] == 2
    assert len(set(cluster.tolist())) == N - 2
    assert (store.info["n_exact_copies"], store.info["n_near_copies"]) == (1, 1)
    assert store.table.frame["hash"][5] == store.table.frame["hash"][2] != store.table.frame["hash"][9]


def test_attributes_and_identities_reach_the_table(source, tmp_path):
    rows = [
        {"path": f"{i}.png", "label": "sad", "identity": f"p{i // 2}", "gender": ["", "female"][i % 2]}
        for i in range(N)
    ]
    write_manifest(source / "list.csv", rows, PICTURES)
    store = prepare(source / "list.csv", tmp_path / "store")
    assert store.table.attributes == ("gender",)
    assert store.info["attributes"] == ["gender"]
    assert store.table.frame["gender"].isna().tolist() == [True, False] * (N // 2)
    assert store.table.frame["identity"].tolist() == [f"p{i // 2}" for i in range(N)]


def test_progress_is_told_after_every_chunk(tmp_path):
    told = []
    prepare("synthetic", tmp_path / "store", n=600, size=16, nuisance=0, progress=lambda n, of: told.append((n, of)))
    assert [n for n, _ in told] == [512, 600]
    assert {of for _, of in told} == {600}


def test_a_split_without_pictures_is_recorded_in_history_and_store(source, tmp_path):
    make_ferplus_csv(source)
    n = USAGE.index("PrivateTest")
    write_challenge(source / "fer2013.csv", PICTURES[:n], EMOTIONS[:n], USAGE[:n])
    store = prepare(source, tmp_path / "store")
    expected = {"rows without pictures, split PrivateTest absent": N - n}
    assert store.info["detail"] == expected
    assert expected.items() <= store.table.history[0].detail.items()
    assert json.loads((store.path / INFO).read_text())["detail"] == expected


# --- Bad rows ------------------------------------------------------------------------------------------


def spoil(source):
    """Three bad rows: lines 3 and 9 with label 7, line 12 short."""
    for line in (3, 9):
        replace_line(source / "fer2013.csv", line, lambda s: "7" + s[1:])
    replace_line(source / "fer2013.csv", 12, lambda s: s.rsplit(",", 1)[0])


def test_by_default_nothing_is_written_and_all_rows_are_named(source, tmp_path):
    make_challenge(source)
    spoil(source)
    with pytest.raises(DataError) as caught:
        prepare(source, tmp_path / "store")
    text = str(caught.value)
    assert text.startswith("fer2013.csv line 3: 'emotion' is '7', expected a number from 0 to 6.")
    assert "--on-bad-row drop" in text
    assert "3 bad rows in all" in text
    assert "fer2013.csv line 9" in text
    assert "fer2013.csv line 12: 2 fields" in text
    assert contents(tmp_path) == ["corpus"]


def test_dropped_rows_are_counted_in_history_and_store(source, tmp_path):
    make_challenge(source)
    spoil(source)
    store = prepare(source, tmp_path / "store", on_bad_row="drop")
    kept = np.delete(np.arange(N), [1, 7, 10])
    np.testing.assert_array_equal(store.images[..., 0], PICTURES[kept])
    np.testing.assert_array_equal(store.table.votes.argmax(1), np.array(EMOTIONS)[kept])
    assert store.table.vocabulary == FER2013_CLASSES
    (step,) = store.table.history
    assert (step.n_before, step.n_after, step.options) == (N, N - 3, {"on_bad_row": "drop"})
    assert step.detail["dropped"] == {"'emotion' is '7'": 2, "2 fields": 1}
    assert store.info["n_dropped"] == 3
    assert [d.split(":")[0] for d in store.info["dropped"]] == [f"fer2013.csv line {i}" for i in (3, 9, 12)]


def test_a_row_with_two_faults_is_dropped_once(source, tmp_path):
    rows = [{"path": f"{i}.png", "label": "sad"} for i in range(N)]
    write_manifest(source / "list.csv", rows, PICTURES)
    replace_line(source / "list.csv", 4, lambda _: "nothing.png,cats")
    store = prepare(source / "list.csv", tmp_path / "store", on_bad_row="drop", vocabulary=("sad", "happy"))
    assert (store.info["n_dropped"], store.info["n"]) == (1, N - 1)
    assert store.table.history[0].n_before == N


def test_a_corpus_of_nothing_but_bad_rows_writes_nothing(source, tmp_path):
    (source / "fer2013.csv").write_text("emotion,pixels,Usage\n" + "7,1 2,Training\n" * 3)
    with pytest.raises(DataError, match="holds no readable face, expected at least one"):
        prepare(source, tmp_path / "store", on_bad_row="drop")
    assert contents(tmp_path) == ["corpus"]


def test_a_chunk_of_nothing_but_bad_rows_is_no_hindrance(source, tmp_path, monkeypatch):
    monkeypatch.setattr("mien.data.datasets.fer2013._CHUNK", 4)
    make_challenge(source)
    for line in range(2, 6):
        replace_line(source / "fer2013.csv", line, lambda s: "7" + s[1:])
    store = prepare(source, tmp_path / "store", on_bad_row="drop")
    np.testing.assert_array_equal(store.images[..., 0], PICTURES[4:])
    assert store.table.frame["votes_sad"].dtype == np.uint8


def test_two_faces_of_one_id_are_refused(source, tmp_path):
    rows = [{"path": f"{i % 5}.png", "label": "sad"} for i in range(N)]
    write_manifest(source / "list.csv", rows, PICTURES)
    with pytest.raises(DataError, match=r"line 7: path '0\.png' occurs twice, first in line 2"):
        prepare(source / "list.csv", tmp_path / "store")
    assert contents(tmp_path) == ["corpus"]


def test_another_policy_for_bad_rows_is_refused(source, tmp_path):
    with pytest.raises(UsageError, match="on_bad_row: 'ignore', expected 'error' or 'drop'"):
        prepare(make_challenge(source), tmp_path / "store", on_bad_row="ignore")


# --- Interrupted -----------------------------------------------------------------------------------------


def test_an_exception_midway_leaves_nothing(tmp_path):
    def stop(done, of):
        assert contents(tmp_path)[0].startswith(".store.partial-")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare("synthetic", tmp_path / "store", n=6, size=16, progress=stop)
    assert contents(tmp_path) == []


def test_a_process_killed_midway_leaves_no_store_and_the_next_one_cleans_up(source, tmp_path):
    make_challenge(source)
    script = (
        "import os, signal, sys\n"
        "from mien.prepare import prepare\n"
        "prepare(sys.argv[1], sys.argv[2], progress=lambda done, of: os.kill(os.getpid(), signal.SIGKILL))\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, str(source), str(tmp_path / "store")], capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    left = contents(tmp_path)
    assert len(left) == 2
    assert left[0].startswith(".store.partial-")
    assert (tmp_path / left[0] / IMAGES).exists()
    with pytest.raises(DataError, match="is not a store"):
        Store.open(tmp_path / "store")
    store = prepare(source, tmp_path / "store")
    np.testing.assert_array_equal(store.images[..., 0], PICTURES)
    assert contents(tmp_path) == ["corpus", "store"]
    assert contents(tmp_path / "store") == sorted([IMAGES, TABLE, INFO])


# --- What stands in the way ----------------------------------------------------------------------------------


def test_an_existing_store_needs_force(source, tmp_path):
    make_challenge(source)
    before = prepare("synthetic", tmp_path / "store", n=6, size=16)
    with pytest.raises(UsageError, match="is not empty.*--force"):
        prepare(source, tmp_path / "store")
    assert Store.open(tmp_path / "store").fingerprint == before.fingerprint
    after = prepare(source, tmp_path / "store", force=True)
    np.testing.assert_array_equal(after.images[..., 0], PICTURES)
    assert contents(tmp_path) == ["corpus", "store"]


def test_a_folder_that_is_no_store_is_never_replaced(source, tmp_path):
    make_challenge(source)
    before = (source / "fer2013.csv").read_bytes()
    for force in (False, True):
        with pytest.raises(UsageError, match="holds fer2013.csv"):
            prepare(source, source, force=force)
    assert (source / "fer2013.csv").read_bytes() == before


# --- A reader that misbehaves ----------------------------------------------------------------------------------


def test_one_size_throughout_is_enforced(tmp_path, monkeypatch):
    def reader(root):
        def chunks(bad):
            import pandas as pd

            for i, side in enumerate((16, 20)):
                frame = pd.DataFrame({"sample_id": [str(i)], "split": "", "votes_sad": 1})
                yield Chunk(np.zeros((1, side, side), np.uint8), frame)

        return Corpus(name="odd", vocabulary=("sad",), attributes=(), terms="", chunks=chunks)

    DATASETS.names()
    monkeypatch.setitem(DATASETS._entries, "odd", reader)
    with pytest.raises(DataError, match="image of shape"):
        prepare(tmp_path, tmp_path / "store", dataset="odd")
    assert contents(tmp_path) == []
