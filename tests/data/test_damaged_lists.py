"""Label files that are damaged anywhere are read, or refused in a sentence that names a place in them."""

from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

import corpus_writers as c
from mien.data.corpus import BadRows
from mien.errors import DataError
from mien.prepare import open_corpus
from writers import read_all

PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "mutations.py"
LISTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "raf_db": (c.write_raf_db, "basic/EmoLabel/list_patition_label.txt"),
    "raf_db notes": (c.write_raf_db, "basic/Annotation/manual/train_00001_manu_attri.txt"),
    "raf_db kaggle": (c.write_raf_kaggle, "train_labels.csv"),
    "raf_ml": (c.write_raf_ml, "EmoLabel/distribution.txt"),
    "raf_ml parts": (c.write_raf_ml, "EmoLabel/partition_label.txt"),
    "ck_plus": (c.write_ck_plus, "Emotion/S005/001/S005_001_00000006_emotion.txt"),
    "ck_plus landmarks": (c.write_ck_plus, "Landmarks/S005/001/S005_001_00000006_landmarks.txt"),
    "ck_plus units": (c.write_ck_plus, "FACS/S005/001/S005_001_00000006_facs.txt"),
    "affectnet": (c.write_affectnet, "Manually_Annotated/Manually_Annotated_file_lists/training.csv"),
    "affectnet sets": (c.write_affectnet_sets, "train_set/annotations/0_lnd.npy"),
    "celeba": (c.write_celeba, "Anno/list_attr_celeba.txt"),
    "celeba splits": (c.write_celeba, "Eval/list_eval_partition.txt"),
    "celeba landmarks": (c.write_celeba, "Anno/list_landmarks_align_celeba.txt"),
    "expw": (c.write_expw, "label/label.lst"),
}
TIMES = 12  # damages a list


@pytest.fixture(scope="module")
def damage() -> Callable[[bytes, random.Random], bytes]:
    spec = importlib.util.spec_from_file_location("mutations_of_lists", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutations_of_lists"] = module
    spec.loader.exec_module(module)
    return module.damage


@pytest.mark.parametrize("layout", LISTS)
def test_damage_ends_in_a_sentence_and_in_nothing_else(layout: str, tmp_path: Path, damage) -> None:
    write, name = LISTS[layout]
    root = write(tmp_path)
    honest = (root / name).read_bytes()
    reader = layout.split()[0]
    told = 0
    for seed in range(TIMES):
        (root / name).write_bytes(damage(honest, random.Random(seed)))
        bad = BadRows("drop")
        refused = True
        with suppress(DataError):
            read_all(open_corpus(root, reader), bad)
            refused = False
        told += refused or bool(bad.errors)
    assert told > 0
