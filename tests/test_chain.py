"""The chain as users run it: train, evaluate, audit, report, predict, on a store that a tiny network learns."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from commands import mien
from mien.audit import Audit
from mien.config import parse_config
from mien.data.images import Store, StoreWriter
from mien.data.labelled import parse_on
from mien.errors import ConfigError, DataError, LabelError, RunError
from mien.evaluate import evaluate
from mien.experiment import run_experiment
from mien.predict import Predictor
from mien.prepare import prepare
from mien.records import Predictions
from mien.report import render_report
from mien.runs import AUDITS, COPY_COLUMN, Run
from mien.stats.settings import Settings
from mien.train.targets import load_training_data

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def finished(easy_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run through the whole chain, audited by gender."""
    settings = {
        "data": {"store": str(easy_store)},
        "model": {"name": "mienet", "options": {"widths": [8, 16], "depths": [1, 1], "stem": 8}},
        "train": {
            "epochs": 8,
            "batch_size": 30,
            "optimizer": {"lr": 0.05},
            "ema": 0.9,
            "precision": "fp32",
            "threads": 1,
        },
        "audit": {"by": ["gender"], "min_n": 10, "n_boot": 200, "n_perm": 200},
    }
    folder = tmp_path_factory.mktemp("chain")
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return run_experiment(parse_config(settings), folder / "run")


def test_the_chain_leaves_everything_in_the_run_folder(finished: Run) -> None:
    names = {p.relative_to(finished.path).as_posix() for p in finished.path.rglob("*") if p.is_file()}
    assert {
        "config.yaml",
        "record.json",
        "splits.parquet",
        "history.csv",
        "model.safetensors",
        "model.json",
        "checkpoints/last.ckpt",
        "predictions/test.parquet",
        "audit/test/audit.json",
        "audit/test/gaps.csv",
        "report.html",
        "train.log",
    } <= names
    assert not [n for n in names if n.endswith(".partial")]


def test_predictions_are_those_of_the_test_faces(finished: Run, easy_store: Path) -> None:
    predictions = Predictions.load(finished.predictions["test"])
    store = Store.open(easy_store)
    faces = store.table.frame[store.table.frame["split"] == "test"]
    assert list(predictions.sample_id) == list(faces["sample_id"])
    truth = faces[[f"votes_{c}" for c in predictions.classes]].to_numpy().argmax(1)
    np.testing.assert_array_equal(predictions.labels, truth)
    assert list(predictions.groups["gender"]) == list(faces["gender"])
    accuracy = finished.record.estimates["test"]["all"]["accuracy"]
    assert accuracy["value"] == pytest.approx((predictions.predicted == truth).mean())
    assert accuracy["value"] > 0.9
    assert accuracy["low"] < accuracy["value"] <= accuracy["high"]


def test_the_audit_reads_the_run(finished: Run) -> None:
    found = Audit.load(finished.path / AUDITS / "test")
    assert {g.name for g in found.attribute("gender").groups} == {"female", "male"}
    assert found.n == 45


def test_copies_of_training_faces_are_counted(finished: Run, easy_store: Path, tmp_path: Path) -> None:
    store = Store.open(easy_store)
    frame = store.table.frame
    picked = [*frame.index[frame["split"] == "train"][:5], *frame.index[frame["split"] == "test"][:7]]
    lines = ["path,label"]
    for i in picked:
        Image.fromarray(store.images[frame["image"][i], :, :, 0]).save(tmp_path / f"{i}.png")
        label = store.table.vocabulary[int(store.table.votes[i].argmax())]
        lines.append(f"{i}.png,{label}")
    (tmp_path / "new.csv").write_text("\n".join(lines))
    prepare(tmp_path / "new.csv", tmp_path / "store")
    result = evaluate(finished, str(tmp_path / "store"), settings=Settings(n_boot=100))
    assert result.copies.tolist() == [True] * 5 + [False] * 7
    assert result.without_copies["accuracy"].n == 7
    assert (result.predictions.groups[COPY_COLUMN] == "yes").sum() == 5
    entry = finished.record.estimates["store-all"]
    assert (entry["n"], entry["n_copies"]) == (12, 5)


def test_classes_in_another_order_are_brought_into_the_models(finished: Run, easy_store: Path, tmp_path: Path) -> None:
    store, own = Store.open(easy_store), Predictions.load(finished.predictions["test"])
    lines = ["path,label"]
    for i in range(9):
        Image.fromarray(store.images[own.image[i], :, :, 0]).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{own.classes[own.labels[i]]}")
    (tmp_path / "new.csv").write_text("\n".join(lines))
    prepare(tmp_path / "new.csv", tmp_path / "turned", vocabulary=["split", "bright", "dark"])
    result = evaluate(finished, str(tmp_path / "turned"), settings=Settings(n_boot=100))
    assert result.predictions.classes == own.classes
    np.testing.assert_array_equal(result.predictions.labels, own.labels[:9])
    np.testing.assert_array_equal(result.predictions.votes.argmax(1), own.labels[:9])
    assert not result.near_copies_known
    prepare(tmp_path / "new.csv", tmp_path / "more", vocabulary=["split", "bright", "dark", "grey"])
    with pytest.raises(LabelError, match="those of the model: bright, dark, split"):
        evaluate(finished, str(tmp_path / "more"))


def _stores_of_one_name(easy_store: Path, folder: Path) -> tuple[Path, Path]:
    """Two stores ``faces`` in two folders, of the first 20 test faces and of the others."""
    store = Store.open(easy_store)
    frame = store.table.frame
    test = frame.index[frame["split"] == "test"]
    for place, rows in (("x", test[:20]), ("y", test[20:])):
        (folder / place).mkdir()
        lines = ["path,label,split,gender"]
        for i in rows:
            Image.fromarray(store.images[frame["image"][i], :, :, 0]).save(folder / place / f"{i}.png")
            label = store.table.vocabulary[int(store.table.votes[i].argmax())]
            lines.append(f"{i}.png,{label},test,{frame['gender'][i]}")
        (folder / place / "new.csv").write_text("\n".join(lines))
        prepare(folder / place / "new.csv", folder / place / "faces")
    return folder / "x" / "faces", folder / "y" / "faces"


def test_a_store_of_the_same_folder_name_replaces_nothing(finished: Run, easy_store: Path, tmp_path: Path) -> None:
    x, y = _stores_of_one_name(easy_store, tmp_path)
    run = Run.open(shutil.copytree(finished.path, tmp_path / "run"))
    first = evaluate(run, f"{x}:test", settings=Settings(n_boot=50))
    assert (first.name, first.taken, first.renamed) == ("faces-test", "", "")
    before = run.predictions["faces-test"].read_bytes()
    second = evaluate(run, f"{y}:test", settings=Settings(n_boot=50))
    name = f"faces-test-{Store.open(y).fingerprint[:6]}"
    assert (second.name, second.taken) == (name, "faces-test")
    assert second.renamed == f"faces-test is an evaluation on another store already: this one is called {name}"
    assert run.predictions["faces-test"].read_bytes() == before
    assert [run.record.estimates[n]["n"] for n in ("faces-test", name)] == [20, 25]
    # Either is replaced by itself, wherever its folder lies.
    y.rename(tmp_path / "faces")
    assert evaluate(run, f"{tmp_path / 'faces'}:test", settings=Settings(n_boot=50)).name == name
    assert evaluate(run, f"{x}:test", settings=Settings(n_boot=50)).name == "faces-test"
    assert {n for n in run.predictions if n.startswith("faces")} == {"faces-test", name}


def test_a_chain_follows_the_name_of_its_evaluation(finished: Run, easy_store: Path, tmp_path: Path) -> None:
    x, y = _stores_of_one_name(easy_store, tmp_path)
    run, config = shutil.copytree(finished.path, tmp_path / "run"), finished.config
    said: list[str] = []
    audits: list[Audit] = []
    for on in (f"{x}:test", f"{y}:test", f"{x}:test"):
        run_experiment(config, run, on=on, say=said.append, audited=audits.append)
    name = f"faces-test-{Store.open(y).fingerprint[:6]}"
    assert [a.n for a in audits] == [20, 25, 20]
    assert (Run.open(run).audit("faces-test").n, Run.open(run).audit(name).n) == (20, 25)
    assert Run.open(run).estimate(name, "accuracy", "gender=female").n == audits[1].attribute("gender").groups[0].n
    assert sum(line.endswith(f"this one is called {name}") for line in said) == 1
    page = (run / "report.html").read_text()
    assert "Results on faces-test<" in page
    assert f"Results on {name}<" in page
    done = Run.open(run).record.done
    assert {done[f"evaluate {x}:test"]["name"], done[f"evaluate {y}:test"]["name"]} == {"faces-test", name}


def test_faces_that_chose_the_weights_are_named(finished: Run) -> None:
    on = f"{finished.record.data['store']}:valid"
    assert evaluate(finished, on, settings=Settings(n_boot=100)).n_validation == 45
    page = render_report(finished).read_text()
    assert "chosen by their results on 45 of these faces" in page


def test_faces_of_one_person_are_one_unit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["path,label,split,identity"]
    for i in range(60):
        Image.fromarray(rng.integers(0, 256, (24, 24), dtype=np.uint8)).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{'ab'[i % 2]},{('train', 'valid', 'test')[i // 20]},person{i // 5}")
    (tmp_path / "f.csv").write_text("\n".join(lines))
    prepare(tmp_path / "f.csv", tmp_path / "store")
    config = {
        "data": {"store": str(tmp_path / "store")},
        "model": {"name": "mienet", "options": {"widths": [8], "depths": [1], "stem": 8}},
        "train": {"epochs": 1, "batch_size": 10, "threads": 1},
    }
    run = run_experiment(parse_config(config), tmp_path / "run")
    accuracy = run.record.estimates["test"]["all"]["accuracy"]
    assert (accuracy["n"], accuracy["clusters"]) == (20, 4)


def _times(run: Run) -> dict[str, int]:
    names = ["model.safetensors", "predictions/test.parquet", "audit/test/audit.json", "report.html"]
    return {name: (run.path / name).stat().st_mtime_ns for name in names}


# What somebody deleted, and the file of _times that is written again with it.
BESIDE = {
    "audit/test/audit.html": "audit/test/audit.json",
    "audit/test/gaps.csv": "audit/test/audit.json",
    "curves.png": "report.html",
    "report.html": "report.html",
}


def test_what_is_done_is_not_done_again_and_what_changed_is(finished: Run, tmp_path: Path) -> None:
    run = Run(Path(shutil.copytree(finished.path, tmp_path / "run")))
    config = run.config
    before = _times(run)

    def made() -> list[str]:
        """What another call makes anew."""
        nonlocal before
        run_experiment(config, run.path)
        after = _times(run)
        changed = [name for name in after if after[name] != before[name]]
        before = after
        return changed

    made()  # other tests evaluated and reported this run
    assert made() == []
    (run.path / "report.html").write_text("gone")
    assert made() == ["report.html"]
    for name, again in BESIDE.items():
        (run.path / name).unlink()
        assert again in made(), name
        assert (run.path / name).is_file(), name
    assert made() == []
    audit = config.audit.model_copy(update={"level": 0.9})
    config = config.model_copy(update={"audit": audit})
    assert made() == ["audit/test/audit.json", "report.html"]
    assert run.config.audit.level == 0.9
    predictions = Predictions.load(run.predictions["test"])
    predictions.select(np.arange(len(predictions)) > 0).save(run.predictions["test"])  # somebody leaves out a face
    assert made() == ["predictions/test.parquet"]  # which gives the predictions that the audit was made of
    assert len(Predictions.load(run.predictions["test"])) == len(predictions)
    config = config.model_copy(update={"audit": audit.model_copy(update={"leakage": True})})
    assert made() == ["predictions/test.parquet", "audit/test/audit.json", "report.html"]
    assert run.features
    with pytest.raises(RunError, match="seed"):
        run_experiment(config.model_copy(update={"seed": 5}), run.path)


def test_other_groups_of_the_same_faces_are_evaluated_and_audited_anew(finished: Run, tmp_path: Path) -> None:
    run = Run(Path(shutil.copytree(finished.path, tmp_path / "run")))
    store = Path(shutil.copytree(run.trained_on[0], tmp_path / "store"))
    config = run.config.model_copy(update={"data": run.config.data.model_copy(update={"store": str(store)})})
    record = run.record
    record.config, record.data["store"] = config.model_dump(mode="json"), str(store)
    run.save_record(record)
    run_experiment(config, run.path)
    before = run.estimate("test", "accuracy", by="gender=female").n
    opened = Store.open(store)
    frame = opened.table.frame.assign(gender=np.where(np.arange(len(opened.table)) % 9, "male", "female"))
    images, table, info = np.array(opened.images), opened.table.derive("turn", frame), opened.info
    with StoreWriter(store, force=True) as writer:
        writer.append(images)
        writer.commit(table, info)
    run_experiment(config, run.path)
    assert run.estimate("test", "accuracy", by="gender=male").n > before
    assert finished.config.audit.by == ("gender",)


def test_a_run_whose_gate_fails_says_so(finished: Run, tmp_path: Path) -> None:
    run = Path(shutil.copytree(finished.path, tmp_path / "run"))
    content = yaml.safe_load((run / "config.yaml").read_text())
    content["audit"]["fail_if"] = ["accuracy > 0"]
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(content))
    assert "GATE FAILED" in mien("run", tmp_path / "c.yaml", "--out", run, code=3).stderr
    nowhere = mien("run", tmp_path / "c.yaml", "--out", tmp_path / "new", "--on", "nowhere:test", code=1).stderr
    assert "nowhere" in nowhere
    assert not (tmp_path / "new").exists()


def test_a_slip_in_the_audit_is_told_before_the_training(finished: Run, tmp_path: Path) -> None:
    content = finished.config.model_dump()
    content["audit"]["by"] = ("gendr",)
    with pytest.raises(ConfigError, match="Did you mean 'gender'"):
        run_experiment(parse_config(content), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    content["audit"]["by"] = ("brightness:3",)  # no attribute of the store's, but one that every evaluation adds
    load_training_data(parse_config(content))


def test_numbers_of_a_run_are_typed(finished: Run) -> None:
    overall = finished.estimate("test", "accuracy")
    assert overall.low <= overall.value <= overall.high
    assert overall.n == len(Predictions.load(finished.predictions["test"]))
    female, male = (finished.estimate("test", "accuracy", by=f"gender={g}") for g in ("female", "male"))
    assert finished.estimate("test", "accuracy", by="gender").value == pytest.approx(abs(female.value - male.value))
    for asked, message in (
        (("tset", "accuracy", None), "no evaluation 'tset'. Did you mean 'test'"),
        (("test", "acuracy", None), "no metric of 'test' 'acuracy'. Did you mean 'accuracy'"),
        (("test", "accuracy", "gendr"), "no attribute in the audit of 'test' 'gendr'. Did you mean 'gender'"),
        (("test", "accuracy", "gender=femal"), "no group of 'gender' 'femal'. Did you mean 'female'"),
        (("test", "f1", "gender"), "no gap 'f1'"),
    ):
        with pytest.raises(RunError, match=re.escape(message)):
            finished.estimate(*asked)


def test_on_reads_a_store_and_a_split(tmp_path: Path) -> None:
    assert parse_on("stores/ferplus:PublicTest") == (Path("stores/ferplus"), "PublicTest")
    assert parse_on("stores/ferplus") == (Path("stores/ferplus"), None)
    (tmp_path / "odd:name").mkdir()
    assert parse_on(str(tmp_path / "odd:name")) == (tmp_path / "odd:name", None)


def test_a_missing_split_lists_those_there_are(finished: Run, easy_store: Path) -> None:
    with pytest.raises(DataError, match=r"'PublicTest'.*one of \['test', 'train', 'valid'\]"):
        evaluate(finished, f"{easy_store}:PublicTest")


def test_predict_says_the_same_as_evaluate_and_survives_bad_pictures(
    finished: Run, easy_store: Path, tmp_path: Path
) -> None:
    store, predictions = Store.open(easy_store), Predictions.load(finished.predictions["test"])
    paths = []
    for i in range(3):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(store.images[predictions.image[i], :, :, 0]).save(paths[-1])
    (tmp_path / "broken.png").write_bytes(b"no picture")
    faces = Predictor.load(finished.path, detector=None).predict(
        [paths[0], tmp_path / "broken.png", paths[1], paths[2]]
    )
    assert "cannot be decoded" in faces[1].reason
    assert faces[1].probabilities == {}
    for face, row in zip([faces[0], *faces[2:]], predictions.probs[:3], strict=True):
        np.testing.assert_allclose(list(face.probabilities.values()), row, rtol=1e-3, atol=1e-4)
        assert face.top == predictions.classes[int(row.argmax())]
    shown = json.loads(mien("predict", *paths, "--crops", "--model", finished.path, "--json").stdout)
    assert [f["top"] for f in shown] == [faces[0].top, faces[2].top, faces[3].top]
    assert "broken.png" in mien("predict", tmp_path / "broken.png", "--crops", "--model", finished.path, code=1).stdout


def test_the_command_evaluates_audits_and_reports(finished: Run) -> None:
    shown = mien("evaluate", finished.path, "--on", f"{finished.record.data['store']}:validation").stdout
    assert "accuracy" in shown
    assert "0 of 45 faces are copies of training faces; 45 remain without them" in shown
    several = mien("audit", finished.path, "--by", "gender", code=2).stderr
    assert "--on" in several
    text = mien("audit", finished.path, "--on", "test", "--by", "gender", "--min-n", 10, "--n-boot", 100).stdout
    assert "gender" in text
    assert (finished.path / AUDITS / "test" / "audit.html").is_file()
    page = mien("report", finished.path, "--no-faces").stdout.strip()
    assert Path(page).read_text().lower().startswith("<!doctype html>")


def test_the_command_audits_any_csv(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n = 800
    label = rng.choice(["happy", "sad"], n)
    group = rng.choice(["a", "b"], n)
    wrong = rng.random(n) < np.where(group == "a", 0.1, 0.4)
    pred = np.where(wrong, np.where(label == "sad", "happy", "sad"), label)
    pd.DataFrame({"label": label, "pred": pred, "team": group}).to_csv(tmp_path / "p.csv", index=False)
    result = json.loads(mien("audit", tmp_path / "p.csv", "--by", "team", "--json", "--out", tmp_path / "out").stdout)
    gap = result["attributes"][0]["gaps"][0]
    assert gap["worst"] == "b"
    assert gap["verdict"] == "disparity"
    assert gap["value"]["low"] < 0.3 < gap["value"]["high"]
    written = {p.name for p in (tmp_path / "out").iterdir()}
    assert written == {
        "audit.json",
        "audit.md",
        "groups.csv",
        "gaps.csv",
        "groups.parquet",
        "gaps.parquet",
        "audit.html",
    }
    assert "--n-boot: 50" in mien("audit", tmp_path / "p.csv", "--by", "team", "--n-boot", 50, code=2).stderr
    missing = mien("audit", tmp_path / "p.csv", "--by", "gendr", code=2).stderr
    assert missing.startswith("UsageError: ")
    assert "Traceback" not in missing


def test_the_command_prepares_and_trains(tmp_path: Path) -> None:
    out = tmp_path / "store"
    shown = mien("prepare", "synthetic", "--out", out, "--size", 32, "--option", "n=60").stdout
    assert "train: " in shown
    assert "Pass --force to replace" in mien("prepare", "synthetic", "--out", out, code=2).stderr
    wrong = mien("prepare", "synthetic", "--out", out, "--force", "--option", "sise=1", code=2).stderr
    assert "Did you mean 'size'" in wrong
    assert "is not YAML" in mien("prepare", "synthetic", "--out", out, "--force", "--option", "n=[", code=2).stderr
    config: dict[str, Any] = {
        "data": {"store": str(out)},
        "model": {"name": "mienet", "options": {"widths": [8], "depths": [1], "stem": 8}},
        "train": {"epochs": 1, "batch_size": 16, "threads": 1},
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    done = mien("train", tmp_path / "c.yaml", "--out", tmp_path / "run", "--set", "train.epochs=2")
    assert "best epoch" in done.stdout
    assert len(Run.open(tmp_path / "run").history) == 2
    assert (tmp_path / "run" / "curves.png").is_file()


def test_lists_and_usage_errors() -> None:
    shown = mien("list").stdout
    for name in ("ferplus", "mienet", "reweighting", "accuracy", "edu_code"):
        assert name in shown
    assert "early_stopping: null" in mien("list", "config").stdout
    mien("frobnicate", code=2)
    mien("train", code=2)
    assert "expected a run or a store" in mien("report", "nowhere", code=2).stderr


def test_the_demo_finds_what_was_injected(tmp_path: Path) -> None:
    from mien.demo import INJECTED, demo

    result = demo(tmp_path / "demo", n=2000, epochs=2)
    assert [row[0] for row in result.rows] == list(INJECTED)
    history = Store.open(tmp_path / "demo" / "store").table.history[0]
    assert {b["attribute"] for b in history.detail["bias"]} == {"skin", "gender"}
    assert (result.run.path / "report.html").is_file()
    # A fifth of dark skin was asked for: the audit must see that many.
    groups = {g.name: g.n for g in result.audit.attribute("skin").groups}
    assert groups["dark"] / sum(groups.values()) == pytest.approx(0.2, abs=0.07)
