"""Every command that reads a store, a run or an annotator finds out that a file is not what was written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from mien.cli import app
from mien.config import parse_config
from mien.data.images import Store
from mien.errors import DataError, MienError, WeightsError
from mien.evaluate import evaluate
from mien.samples import SampleTable
from mien.stats.settings import Settings
from mien.train import train

pytestmark = pytest.mark.usefixtures("undrawn")


def command(*words: str | Path) -> None:
    app([str(w) for w in words], exit_on_error=False, print_error=False)


@pytest.fixture(scope="module")
def made(easy_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store and a run of one epoch, evaluated."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(easy_store, folder / "store")
    settings: dict[str, Any] = {
        "data": {"store": str(folder / "store")},
        "model": {"name": "mienet", "options": {"widths": [8, 16], "depths": [1, 1], "stem": 8}},
        "train": {"epochs": 1, "batch_size": 30, "precision": "fp32", "threads": 1},
    }
    (folder / "train.yaml").write_text(yaml.safe_dump(settings))
    evaluate(train(parse_config(settings), folder / "run"), settings=Settings(n_boot=100))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy that may be spoilt."""
    copy = Path(shutil.copytree(made, tmp_path / "copy"))
    for path in (copy / "train.yaml", copy / "run" / "record.json", copy / "run" / "config.yaml"):
        path.write_text(path.read_text().replace(str(made), str(copy)))
    return copy


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def paint(folder: Path) -> None:
    flip(folder / "store" / "images.u8")


def turn_image_column(folder: Path) -> None:
    table = SampleTable.load(folder / "store" / "samples.parquet")
    turned = table.frame.assign(image=table.frame["image"].to_numpy()[::-1])
    table.derive("turn", turned).save(folder / "store" / "samples.parquet")


def swap_groups(folder: Path) -> None:
    table = SampleTable.load(folder / "store" / "samples.parquet")
    swapped = table.frame.assign(gender=table.frame["gender"].map({"female": "male", "male": "female"}))
    table.derive("swap", swapped).save(folder / "store" / "samples.parquet")


def change_terms(folder: Path) -> None:
    info = json.loads((folder / "store" / "store.json").read_text())
    (folder / "store" / "store.json").write_text(json.dumps(info | {"terms": "do as you like"}))


READERS = {
    "train": ["train", "{0}/train.yaml", "--out", "{0}/new"],
    "run": ["run", "{0}/train.yaml", "--out", "{0}/new"],
    "evaluate": ["evaluate", "{0}/run"],
    "evaluate elsewhere": ["evaluate", "{0}/run", "--on", "{0}/store:test"],
    "report of a run": ["report", "{0}/run"],
    "report of a store": ["report", "{0}/store", "--out", "{0}/page.html"],
    "annotate": ["annotate", "{0}/store", "--out", "{0}/new"],
    "label": ["label", "{0}/store", "--database", "{0}/labels.sqlite", "--port", "0"],
}


@pytest.mark.parametrize("spoil", [paint, turn_image_column, swap_groups, change_terms])
@pytest.mark.parametrize("reader", READERS)
def test_a_store_that_was_changed_is_found_by_every_command_that_reads_it(
    folder: Path, reader: str, spoil: Any
) -> None:
    spoil(folder)
    with pytest.raises(DataError, match=r"store/\S+: is not what was written .*Restore the file, or prepare") as caught:
        command(*(word.format(folder) for word in READERS[reader]))
    assert "\n" not in str(caught.value)
    assert not (folder / "new").exists()


def test_a_table_alone_can_be_read_without_its_pictures(folder: Path) -> None:
    paint(folder)
    assert len(Store.open(folder / "store").table) == 240


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_changed_weights_are_found(folder: Path, name: str) -> None:
    flip(folder / "run" / name)
    for words in (["evaluate", folder / "run"], ["predict", folder / "face.png", "--model", folder / "run"]):
        with pytest.raises(WeightsError, match=r"model\."):
            command(*words)


@pytest.mark.parametrize("name", ["record.json", "splits.parquet", "history.csv", "config.yaml"])
@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe\x00", b"{" * 5000, b"PAR1"])
def test_files_of_a_run_that_are_none_are_one_sentence(folder: Path, name: str, content: bytes) -> None:
    (folder / "run" / name).write_bytes(content)
    for words in (["report", folder / "run"], ["evaluate", folder / "run"], ["audit", folder / "run"]):
        try:
            command(*words)
        except MienError as error:
            said = str(error)
        except SystemExit:
            continue
        else:
            continue
        assert "\n" not in said
