"""Outputs that cannot be written, as people meet them: one sentence, before the work, and nothing left behind."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from cyclopts import CycloptsError

from mien.audit import Audit
from mien.audit.results import AUDIT_FOLDER
from mien.cli import app
from mien.config import AuditConfig
from mien.errors import MienError, OutputError, UsageError
from mien.judging import COMPARISON_FOLDER, audit_predictions, compare_predictions
from mien.models import MODELS
from mien.models.weights import Classifier, WeightCard, file_errors, load_card, save_weights
from mien.prepare import prepare
from mien.records import Predictions, write_json
from mien.report import render_audit
from mien.stats.settings import Settings
from mien.train.checkpoints import save_checkpoint

NO_SPACE = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Predictions, a small store, a file where a folder should be, and a link to nothing."""
    folder = tmp_path_factory.mktemp("outputs")
    rng = np.random.default_rng(0)
    label, team = rng.choice(["happy", "sad"], 200), rng.choice(["a", "b"], 200)
    pred = np.where(rng.random(200) < 0.8, label, "happy")
    frame = pd.DataFrame({"sample_id": np.arange(200), "label": label, "pred": pred, "team": team})
    frame.to_csv(folder / "p.csv", index=False)
    frame.to_csv(folder / "q.csv", index=False)
    (folder / "inside").mkdir()
    frame.to_csv(folder / "inside" / "gaps.csv", index=False)
    prepare("synthetic", folder / "store", n=20, size=32)
    (folder / "file").write_text("kept")
    (folder / "nowhere").symlink_to("missing/x")
    return folder


def listing(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.lstat().st_size for p in sorted(folder.rglob("*"))}


def refused(words: str) -> str:
    """Run a command that must fail at once, and return what it says."""
    with pytest.raises((MienError, CycloptsError)) as caught:
        app(words.split(" "), exit_on_error=False, print_error=False)
    if isinstance(caught.value, MienError):
        assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize("out", ["file", "file/x", "nowhere", "nowhere/x", "/proc/x", "n" * 300])
@pytest.mark.parametrize(
    "command",
    [
        "audit p.csv --by team --out",
        "compare p.csv q.csv --by team --out",
        "agreement store --out",
        "prepare synthetic --option n=20 --out",
        "annotate store --out",
        "demo --out",
    ],
)
def test_a_folder_that_cannot_be_made_is_refused_before_the_work(
    folder: Path, command: str, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    before = listing(folder)
    said = refused(f"{command} {out}")
    assert "\n" not in said
    assert "cannot be written" in said or "exists and is not a store" in said
    assert listing(folder) == before


@pytest.mark.parametrize("out", ["file/x.csv", "nowhere", "store", "x" * 300])
@pytest.mark.parametrize(
    "command",
    [
        "audit p.csv --by team --junit",
        "report store --out",
        "label store --database",
        "labels none.db store --ferplus",
        "labels none.db store --raw",
        "labels none.db store --person x --export",
    ],
)
def test_a_file_that_cannot_be_made_is_refused_before_the_work(
    folder: Path, command: str, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if out == "store" and ("report" in command or "--database" in command):
        return  # a folder will do: the file is put into it
    monkeypatch.chdir(folder)
    before = listing(folder)
    said = refused(f"{command} {out}")
    assert "\n" not in said
    assert "cannot be written" in said or "is a folder" in said or "does not exist" in said
    assert listing(folder) == before


@pytest.mark.parametrize(
    "words",
    [
        "audit p.csv --by team --out p.csv",
        "audit p.csv --by team --junit p.csv",
        "audit p.csv --by team --junit ./inside/../p.csv",
        "compare p.csv q.csv --by team --out q.csv",
        "agreement p.csv --out p.csv",
        "prepare p.csv --out p.csv",
        "report store --out store/samples.parquet",
        "evaluate file.onnx --on store:test --out store/samples.parquet",
    ],
)
def test_an_input_is_never_overwritten(folder: Path, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    before = listing(folder)
    said = refused(words)
    assert "is an input, which would be overwritten" in said
    assert listing(folder) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("audit inside/gaps.csv --by team --out inside", "holds inside/gaps.csv, which is an input"),
        ("audit p.csv --by team --out inside", "is not empty: it holds gaps.csv, expected a new"),
        ("audit p.csv --by team --out .", "holds p.csv, which is an input"),
        ("audit p.csv --by team --out inside --force", "holds gaps.csv, which Mien did not write as an audit"),
        ("audit p.csv --by team --out store --force", "holds images.u8, samples.parquet, store.json, which Mien"),
        ("audit p.csv --by team --junit q.csv", "exists already, expected a new file. Pass --force"),
        ("audit p.csv --by team --out kept", "Pass --force to replace an audit that is there"),
        ("compare p.csv q.csv --by team --out kept", "is not empty: it holds audit.html, audit.json, audit.md"),
        ("compare p.csv q.csv --by team --out kept --force", "which Mien did not write as a comparison"),
        ("agreement store --out inside", "is not empty: it holds gaps.csv"),
        ("report store --out q.csv", "exists already"),
        ("evaluate file.onnx --on store:test --out q.csv", "exists already"),
        ("prepare p.csv --out kept --force", "which Mien did not write as a store"),
        ("prepare store/samples.parquet --out store --force", "holds store/samples.parquet, which is an input"),
        ("annotate store --out inside --force", "which Mien did not write as a store"),
    ],
)
def test_what_is_there_stays_unless_mien_wrote_it_and_one_says_so(
    folder: Path, words: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    if not (folder / "kept").exists():
        settings = AuditConfig(by=("team",), n_boot=100, n_perm=100)
        audit_predictions(Predictions.load(folder / "p.csv"), settings, 0, folder / "kept")
    before = listing(folder)
    assert said in refused(words)
    assert listing(folder) == before


def test_two_results_do_not_share_a_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for junit, words in {"o": "is the place of --out too", "o/audit.json": "is the place of --out too"}.items():
        assert words in refused(f"audit p.csv --by team --out o --junit {junit}")


@pytest.mark.parametrize(
    "command",
    [
        "audit p.csv --by team --out",
        "audit p.csv --by team --junit",
        "compare p.csv q.csv --out",
        "prepare synthetic --out",
        "report store --out",
        "demo --out",
        "evaluate x.onnx --on store:test --out",
    ],
)
def test_an_empty_place_is_most_often_an_unset_variable(
    folder: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    before = listing(folder)
    assert "nothing is named" in refused(f"{command} ")
    assert listing(folder) == before


def _full(*_: Any, **__: Any) -> None:
    raise NO_SPACE


def test_a_disk_that_fills_up_leaves_the_older_results(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, settings = Predictions.load(folder / "p.csv"), AuditConfig(by=("team",), n_boot=100, n_perm=100)
    audit_predictions(table, settings, 0, tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted([AUDIT_FOLDER.sign, *AUDIT_FOLDER.names])
    compare_predictions([table, table], ["a", "b"], ["team"], tmp_path / "two", settings=Settings(n_boot=100))
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == sorted(
        [COMPARISON_FOLDER.sign, *COMPARISON_FOLDER.names]
    )
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    # The page comes last: everything before it is written already.
    monkeypatch.setattr("mien.report.render_audit", _full)
    monkeypatch.setattr("mien.report.render_comparison", _full)
    for out in ("out", "new"):
        with pytest.raises(OutputError, match=rf"{out}: could not be written: the disk is full\. Free some space"):
            audit_predictions(table, settings, 1, tmp_path / out, force=True)
    with pytest.raises(OutputError, match="two: could not be written: the disk is full"):
        compare_predictions(
            [table, table], ["a", "b"], ["team"], tmp_path / "two", force=True, settings=Settings(n_boot=100, seed=1)
        )
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert not (tmp_path / "new").exists()


def test_every_writer_leaves_the_older_file_when_the_disk_is_full(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Predictions.load(folder / "p.csv")
    found = audit_predictions(table, AuditConfig(by=("team",), n_boot=100, n_perm=100), 0, tmp_path / "out")
    card = WeightCard(
        model="mienet",
        options=MODELS.tiny("mienet"),
        classes=("a", "b"),
        size=24,
        in_channels=1,
        mean=(0.5,),
        std=(0.25,),
    )
    module = MODELS.get("mienet")(2, 1, **MODELS.tiny("mienet"))
    save_weights(module, card, tmp_path)
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    save_checkpoint(checkpoint, {"epoch": 1})
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    writers = {
        "csv": lambda: table.save(tmp_path / "out" / "gaps.csv"),
        "parquet": lambda: table.save(tmp_path / "new.parquet"),
        "json": lambda: write_json(tmp_path / "model.json", {}),
        "page": lambda: render_audit(found, tmp_path / "out" / "audit.html"),
        "audit": lambda: Audit.save(found, tmp_path / "out", force=True),
        "weights": lambda: save_weights(module, card, tmp_path),
        "checkpoint": lambda: save_checkpoint(checkpoint, {"epoch": 2}),
    }
    monkeypatch.setattr(os, "replace", _full)
    for name, write in writers.items():
        with pytest.raises(OutputError, match="the disk is full"):
            write()
        assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before, name
    assert load_card(tmp_path).sha256


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_what_torch_and_safetensors_say_of_a_full_disk_is_an_error_of_the_disk() -> None:
    from safetensors.torch import save_file

    for write in (
        lambda: torch.save({"x": torch.zeros(1 << 16)}, "/dev/full"),
        lambda: save_file({"x": torch.zeros(9)}, "/dev/full/x"),
    ):
        with pytest.raises(OSError, match="space|directory"), file_errors():
            write()
    with pytest.raises(RuntimeError, match="another"), file_errors():
        raise RuntimeError("another")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_a_full_disk_behind_the_output_is_one_sentence(folder: Path) -> None:
    command = [sys.executable, "-m", "mien.cli", "list", "labels"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "OutputError: output: could not be written: the disk is full. Free some space, or write somewhere else.\n"
    )


def test_functions_refuse_as_the_commands_do(folder: Path) -> None:
    table, settings = Predictions.load(folder / "p.csv"), AuditConfig(by=("team",), n_boot=100, n_perm=100)
    with pytest.raises(UsageError, match="file is a file, not a folder"):
        audit_predictions(table, settings, 0, folder / "file")
    with pytest.raises(UsageError, match="a link that leads nowhere"):
        compare_predictions([table, table], ["a", "b"], ["team"], folder / "nowhere")


def test_weights_and_card_are_one_pair_wherever_their_writer_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = MODELS.get("mienet")(2, 1, **MODELS.tiny("mienet"))
    card = WeightCard(
        model="mienet",
        options=MODELS.tiny("mienet"),
        classes=("a", "b"),
        size=24,
        in_channels=1,
        mean=(0.5,),
        std=(0.25,),
        terms="old",
    )
    save_weights(module, card, tmp_path)
    replaced = os.replace

    def killed(one: str | Path, other: str | Path) -> None:
        if Path(other).name == "model.json":
            os._exit(9)  # nothing is tidied up, as after a kill
        replaced(one, other)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(os, "replace", killed)
        torch.nn.init.constant_(next(module.parameters()), 0.5)
        save_weights(module, WeightCard(**{**card.__dict__, "terms": "new"}), tmp_path)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert load_card(tmp_path).terms == "new"
    assert next(Classifier.load(tmp_path).module.parameters()).detach().flatten()[0] == 0.5
    save_weights(module, card, tmp_path)
    assert load_card(tmp_path).terms == "old"
