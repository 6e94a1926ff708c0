"""Studies are run, killed, shared, retried and told; with a tiny network on easy faces."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import save_file

from mien import __version__
from mien.cli.studying import choose as study_choose
from mien.cli.studying import claims, retry, show, study_run, study_table
from mien.cli.taking import As
from mien.config import overrides_of
from mien.errors import ConfigError, DataError, RunError, UsageError
from mien.models import MODELS
from mien.own_files import sha256_of
from mien.records import Predictions
from mien.studies import Plan, execute, load_study, plan_study, standing_of
from mien.studies.cells import _written, lineage
from mien.studies.choosing import _faces, choose, choose_row
from mien.studies.claims import judge
from mien.studies.columns import column_of
from mien.studies.definition import ClaimConfig, Scale
from mien.studies.estimates import predictions_of
from mien.studies.features import features_of
from mien.studies.hold import holding
from mien.studies.page import write_page
from mien.studies.results import rows_of
from mien.studies.standing import TRACE, epochs_of
from mien.studies.tables import csv_of, latex_of, markdown_of

STUDY: dict[str, Any] = {
    "name": "easy",
    "title": "Two rates",
    "base": "base.yaml",
    "evaluate": ["test", "valid"],
    "metrics": ["accuracy", "valid.tie_accuracy"],
    "tolerance": 0.02,
    "grid": {"lr": {"train.optimizer.lr": [0.001, 0.05]}},
    "cells": {
        "0.05": {"theirs": {"accuracy": 0.9}, "label": "0.05 & more"},
        "tuned": {"start": "0.05", "set": {"train.epochs": 1}},
    },
    "scales": {"tiny": {"set": {"train.epochs": 1}, "says": "one epoch"}, "small": {"seeds": 2}},
    "figures": [{"kind": "values"}, {"kind": "lines", "also": ["valid.tie_accuracy"]},
                {"kind": "curves", "also": ["train_accuracy"]}, {"kind": "confusion", "cells": ["0.05"]},
                {"kind": "epochs", "title": "Overfits", "metric": "train_loss", "also": ["val_accuracy"],
                 "cells": ["0.05"], "theirs": {"val_accuracy": [0.5, 0.6, 0.7]}}],
    "claims": [{"says": "More learns more.", "better": "0.05", "than": "0.001", "by": 0.2}],
}  # fmt: skip


@pytest.fixture
def file(tmp_path: Path, settings: dict[str, Any]) -> Path:
    settings["train"]["epochs"] = 2
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(settings))
    return written(tmp_path / "study.yaml")


def written(path: Path, **more: Any) -> Path:
    path.write_text(yaml.safe_dump(STUDY | more, sort_keys=False))
    return path


def planned(file: Path, scale: Any = "full", **settings: Any) -> Plan:
    return plan_study(load_study(file), file.parent, file.parent / "out", scale, settings)


def states(plan: Plan) -> dict[str, str]:
    return {f"{cell.row}-{cell.seed}": standing_of(cell).state for cell in plan.cells}


def numbers(file: Path, out: Path) -> list[list[str]]:
    """The table without what depends on the clock."""
    plan = plan_study(load_study(file), file.parent, out)
    return [row[:-2] for row in csv.reader(io.StringIO(csv_of(plan, rows_of(plan))))]


def test_cells_are_told_apart_by_what_changes_results(file: Path, tmp_path: Path) -> None:
    keys = {cell.row: cell.key for cell in planned(file).cells}
    assert len(set(keys.values())) == 3
    assert {c.row: c.key for c in planned(file, **{"train.threads": 2}).cells} == keys
    other = {cell.row: cell.key for cell in planned(file, **{"train.batch_size": 20}).cells}
    assert not set(other.values()) & set(keys.values())
    # What a cell begins with is part of it.
    longer = {
        c.row: c.key
        for c in planned(written(file, cells={**STUDY["cells"], "0.05": {"set": {"train.epochs": 3}}})).cells
    }
    assert longer["0.001"] == keys["0.001"]
    assert longer["tuned"] != keys["tuned"]


def test_rows_that_are_one_experiment_share_one_run(file: Path) -> None:
    plan = planned(written(file, cells={"again": {"set": {"train.optimizer.lr": 0.05}}}))
    folders = {cell.row: cell.folder for cell in plan.cells}
    assert folders["again"] == folders["0.05"] != folders["0.001"]


def test_mistakes_of_all_cells_are_told_before_anything_is_made(file: Path) -> None:
    cells = {"bad": {"set": {"model.name": "minet"}}, "worse": {"set": {"train.epochs": 0}}, "after": {"start": "bad"}}
    with pytest.raises(ConfigError, match=r"2 mistakes[\s\S]*mienet[\s\S]*train\.epochs"):
        planned(written(file, cells=cells))
    assert not (file.parent / "out").exists()


def test_a_study_is_run_shown_and_told(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    study_run(file, out=out, list_cells=True)
    ids = capsys.readouterr().out.split()
    assert len(ids) == 3
    assert study_run(file, out=out, cell=(ids[0],)) == 0
    assert study_run(file, out=out) == 0
    capsys.readouterr()
    began = [p.stat().st_mtime_ns for p in sorted(out.rglob("model.safetensors"))]
    assert study_run(file, out=out) == 0  # nothing is done twice
    assert [p.stat().st_mtime_ns for p in sorted(out.rglob("model.safetensors"))] == began
    study_run(file, out=out, list_cells=True)
    assert "3 of 3 cells done" in capsys.readouterr().out

    show(file, out=out)
    told = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[:4] for line in told[1:]] == [["0.001", "0", "done", "2"], ["0.05", "0", "done", "2"],
                                               ["tuned", "0", "done", "1"]]  # fmt: skip
    study_table(file, out=out)
    text = capsys.readouterr().out
    header, *lines = (line.split("\t") for line in text.splitlines())
    assert header[:4] == ["row", "accuracy", "theirs", "the same?"]
    said = {line[0]: line[1:4] for line in lines}
    assert said["0.05 & more"][1:] == ["0.900", "cannot be told"]  # one seed
    assert said["0.001"][1:] == ["", ""]
    assert "cannot be told\tone seed" in text
    study_table(file, out=out, format="csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(r["row"], r["metric"], r["theirs_at_full_scale"], r["seeds"]) for r in rows][2] == (
        "0.05",
        "accuracy",
        "0.9",
        "1",
    )
    assert {r["scale"] for r in rows} == {"full"}
    claims(file, runs=tmp_path, out=tmp_path / "claims.md")
    told = (tmp_path / "claims.md").read_text()
    assert "| easy | More learns more. |" in told
    assert "1 question of our own (without a place in a text): 1 not run. Written by" in told
    plan = planned(file)
    assert plan.of("tuned")[0].run.record.data["started_from"]["folder"] == str(plan.of("0.05")[0].folder / "run")
    with pytest.raises(UsageError, match="--list-cells"):
        study_run(file, out=out, cell=("nothing",))

    (tmp_path / "page").mkdir()
    mine = {"7_lines.png", "mine_lines.png", "3_mine.png", "1_my_curves.png"}
    for name in mine:
        (tmp_path / "page" / name).write_bytes(b"")
    page = write_page(plan, tmp_path / "page").read_text()
    assert mine <= {path.name for path in (tmp_path / "page").iterdir()}  # no page of a study stood there
    write_page(plan, tmp_path / "page")
    assert {path.name for path in (tmp_path / "page").iterdir()} & mine == mine - {"7_lines.png"}
    assert "## What was claimed" in page
    assert all((tmp_path / "page" / name).stat().st_size > 5000 for name in
               ("1_values.png", "2_lines.png", "3_curves.png", "4_confusion.png"))  # fmt: skip
    for path in (tmp_path / "page").iterdir():
        assert str(tmp_path).encode() not in path.read_bytes(), f"{path.name} names a path of this machine"
    # What training wrote stands epoch by epoch beside what was published.
    assert "Overfits:\n" in page  # one seed is no mean
    history = plan.of("0.05")[0].run.history
    header = "| epoch | val_accuracy, theirs | train_loss, 0.05 & more | val_accuracy, 0.05 & more |"
    first = f"| 1 | 0.5000 | {history['train_loss'][0]:.4f} | {history['val_accuracy'][0]:.4f} |"
    assert f"{header}\n| --- | --- | --- | --- |\n{first}\n" in page
    assert "| 3 | 0.7000 |  |  |" in page
    record = plan.of("0.05")[0].run.record
    threads = "1 thread" if record.device["threads"] == 1 else f"{record.device['threads']} threads"
    assert f"{record.device['processor']}, {record.device['precision']} and {threads}; commit" in page
    n = record.data["history"][0]["after"]
    corpus = record.data["corpus"]
    assert f"validation faces of {corpus} ({n:,} pictures in the store" in page
    # And some rows alone, with the claims about them.
    study_table(file, out=out, cell=("0.05",), page=tmp_path / "some")
    some = (tmp_path / "some" / "README.md").read_text()
    assert not (tmp_path / "some" / "2_lines.png").exists()  # of one point
    assert some.startswith("# Two rates: 0.05 & more\n")
    assert "--scale full --cell 0.05 --page FOLDER`" in some
    assert "| 0.05 & more |" in some
    assert "| 0.001 |" not in some
    assert "More learns more." not in some
    with pytest.raises(UsageError, match="of which 1 are not in"):
        study_table(file, out=out, cell=("0.001",), page=tmp_path / "some")
    assert {row.wanted for row in rows_of(planned(file, "small").only(["0.05-s0-"]))} == {2}  # as the study asks
    best = choose(plan.cells, "accuracy")
    assert best is not None
    assert best.run.record.best["val_accuracy"] == max(c.run.record.best["val_accuracy"] for c in plan.cells)


def test_a_row_is_chosen_by_validation_and_the_oracle_is_named_so(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    written(file, seeds=2, cells={}, figures=[])
    with pytest.raises(RunError, match="no row has all of its seeds"):
        choose_row(planned(file), "accuracy")
    assert study_run(file, out=out) == 0
    plan = planned(file)
    found = choose_row(plan, "accuracy")
    best = {row: np.mean([c.run.record.best["val_accuracy"] for c in plan.of(row)]) for row in ("0.001", "0.05")}
    assert found.merits == pytest.approx(best)
    assert found.chosen == max(best, key=lambda row: best[row])
    losses = {row: np.mean([c.run.record.best["val_loss"] for c in plan.of(row)]) for row in best}
    assert choose_row(plan, "loss").chosen == min(losses, key=lambda row: losses[row])
    with pytest.raises(DataError, match=r"has no val_worst_group .*train.watch"):
        choose_row(plan, "distance")
    capsys.readouterr()
    study_choose(file, out=out)
    assert f"the study chooses {found.chosen}" in " ".join(capsys.readouterr().err.split())
    # The judged faces would have chosen the other one: that is said, and changes nothing.
    other = next(row for row in best if row != found.chosen)
    said = {found.chosen: 0.4, other: 0.9}
    monkeypatch.setattr(
        "mien.studies.choosing.value_of",
        lambda plan, cells, *rest: SimpleNamespace(mean=SimpleNamespace(value=said[cells[0].row])),
    )
    again = choose_row(plan, "accuracy")
    assert (again.chosen, again.oracle) == (found.chosen, other)
    # Between rows that are judged on other faces nothing is chosen; one without a seed takes no part, and is named.
    shutil.rmtree(plan.of(other)[1].folder)
    assert choose_row(planned(file), "accuracy").lacking == (other,)
    cells = [replace(cell, config=cell.config.model_copy(deep=True)) for cell in plan.of(found.chosen)[:1] * 2]
    assert _faces(cells[0]) == _faces(cells[1])
    cells[1].config.split.options["seed"] = 7
    assert _faces(cells[0]) != _faces(cells[1])
    monkeypatch.setattr("mien.studies.choosing._faces", lambda cell: cell.row)
    assert study_run(file, out=out) == 0
    with pytest.raises(UsageError, match=r"0.001 and 0.05 have other faces or labels"):
        choose_row(planned(file), "accuracy")


def test_a_page_answers_for_runs_that_are_gone(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, pages = tmp_path / "out", tmp_path / "pages"
    written(file, seeds=2, cells={}, figures=[])
    assert study_run(file, out=out) == 0
    study_table(file, out=out, page=pages / "easy")
    kept = pages / "easy" / "claims.json"
    before = judge(planned(file), planned(file).study.claims[0])
    assert before.verdict != "not run"
    shutil.rmtree(out)

    def told() -> list[str]:
        capsys.readouterr()
        claims(file, runs=tmp_path / "none", pages=pages)
        return [cell.strip(" *") for cell in capsys.readouterr().out.splitlines()[-1].split("|")]

    assert before.ours is not None
    ours = f"{'+' if before.ours.value > 0 else ''}{before.ours}"
    assert told()[5:9] == [ours, "2", "full", before.verdict]
    claims(file, runs=tmp_path / "none")  # the page was not asked
    assert "not run" in capsys.readouterr().out
    with pytest.raises(UsageError, match=r"of which 4 are not in[\s\S]*no poorer"):
        study_table(file, out=out, page=pages / "easy")

    # Nothing is told of a run that gave all faces one class, though an older version kept a verdict of it.
    records = kept.parent / "records.json"
    whole, verdicts, rows = records.read_text(), kept.read_text(), json.loads(records.read_text())
    kept.write_text(verdicts.replace(f'"verdict": "{before.verdict}"', '"verdict": "holds"'))
    said = [told["per_class"] for row in rows for cell in row["cells"] for told in cell["estimates"].values()]
    for alone, verdict in ((False, "holds"), (True, "cannot be told")):
        for number, classes in enumerate(said):
            for i, each in enumerate(classes):
                one = alone and not number
                each["n_predicted"] = 45 * (i == 0) if one else 15
                each["recall"]["value"] = float(i == 0) if one else 0.8
        records.write_text(json.dumps(rows))
        assert told()[8] == verdict
    assert told()[9] == f"1 of 2 seeds of {rows[0]['name']} learnt next to nothing (Cohen's kappa below 0.1)"
    records.write_text(whole)
    kept.write_text(verdicts)

    written(file, seeds=2, cells={}, figures=[], claims=[STUDY["claims"][0] | {"says": "In other words."}])
    assert told()[2] == "In other words."
    assert told()[8] == before.verdict
    for other in (
        {"seeds": 3},
        {"set": {"train.batch_size": 7}},
        {"evaluate": ["validation"], "metrics": ["accuracy"]},
        {"claims": [STUDY["claims"][0] | {"within": 0.5, "by": None}]},
    ):
        written(file, **({"seeds": 2, "cells": {}, "figures": []} | other))
        assert told()[8] == "not run", other
    scales: list[tuple[dict[str, Any], Scale]] = [({"set": {"train.batch_size": 7}}, "full"), ({}, "tiny")]
    for more, why in scales:
        written(file, **({"seeds": 2, "cells": {}, "figures": []} | more))
        with pytest.raises(UsageError, match=rf"rests on 4 runs \(full\), and .* has 0 \({why}\)"):
            study_table(file, out=out, how=As(scale=why), page=pages / "easy")
    written(file, seeds=2, cells={}, figures=[])
    shorter = As(scale="small", set=("train.epochs=1",))
    assert study_run(file, out=out, how=shorter) == 0  # as many runs, and no full ones
    with pytest.raises(UsageError, match=r"rests on 4 runs \(full\), and .* has 4 \(small, train.epochs=1\)"):
        study_table(file, out=out, how=shorter, page=pages / "easy")
    kept.write_text(kept.read_text().replace('"claims"', '"clams"'))
    with pytest.raises(DataError, match="claims"):
        told()


def test_the_page_names_the_weights_of_others_and_their_terms(file: Path, tmp_path: Path) -> None:
    few = {"grid": {}, "evaluate": ["test"], "metrics": ["accuracy"], "claims": [], "figures": []}
    plan = planned(written(file, cells={"a": {}}, **few), "tiny")
    assert execute.run_cells(plan.cells, execute.Work(n_boot=100))
    assert "begin with" not in write_page(plan, tmp_path / "none").read_text()
    shutil.copy(plan.cells[0].run.path / "model.safetensors", tmp_path / "others.safetensors")
    begun = {"b": {"set": {"model.weights": str(tmp_path / "others.safetensors")}}, "c": {"start": "b"}}
    plan = planned(written(file, cells=begun, **few), "tiny")
    assert execute.run_cells(plan.cells, execute.Work(n_boot=100))
    text, sha256 = write_page(plan, tmp_path / "page").read_text(), sha256_of(tmp_path / "others.safetensors")
    assert text.count(f"others.safetensors (the terms of others.safetensors; sha256 {sha256[:12]})") == 1
    assert sha256 in (tmp_path / "page" / "records.json").read_text()
    assert all(str(tmp_path).encode() not in path.read_bytes() for path in (tmp_path / "page").iterdir())


def test_columns_of_groups_and_of_training(file: Path, tmp_path: Path) -> None:
    both = "accuracy@gender=female|MALE"
    metrics = [
        "accuracy",
        "accuracy@gender=female",
        "accuracy@gender=male",
        both,
        "run.val_accuracy",
        "run.epoch_minutes",
        "run.best_val_accuracy",
        "run.best_val_macro_f1",
        "recall@class=Dark",
    ]
    more = {"says": "x", "better": "0.05", "than": "0.05", "metric": metrics[1], "than_metric": metrics[2]}
    written(file, metrics=metrics, figures=[], claims=[more], cells={}, seeds=2)
    plan = planned(file)
    assert study_run(file, out=plan.out) == 0
    for row in rows_of(plan):
        cells = plan.of(row.name)
        found = [predictions_of(cell, column_of("accuracy", ["test"])) for cell in cells]
        gender = found[0].groups["gender"]
        assert {"female", "male"} <= set(gender.dropna())
        by_hand = [(p.labels == p.predicted)[(gender == "female").to_numpy()].mean() for p in found]
        value = row.values["accuracy@gender=female"]
        assert value.seeds == pytest.approx(by_hand)
        assert value.mean.value == pytest.approx(sum(by_hand) / 2)
        assert value.mean.n == (gender == "female").sum()
        assert value.mean.low < value.mean.value < value.mean.high or value.mean.value in (0, 1)
        known = gender.isin(["female", "male"]).to_numpy()
        assert row.values[both].mean.n == known.sum()
        dark = found[0].labels == found[0].classes.index("dark")
        recall = row.values["recall@class=Dark"]
        assert recall.seeds == pytest.approx([(p.predicted == p.labels)[dark].mean() for p in found])
        assert recall.mean.n == dark.sum()
        best = [cell.run.record.best["val_accuracy"] for cell in cells]
        assert row.values["run.val_accuracy"].seeds == pytest.approx(best)
        # The highest of all epochs, each figure by itself: what sources call their best.
        for name in ("val_accuracy", "val_macro_f1"):
            highest = [cell.run.history[name].max() for cell in cells]
            assert row.values[f"run.best_{name}"].seeds == pytest.approx(highest)
        minutes = [cell.run.history["seconds"].median() / 60 for cell in cells]
        assert row.values["run.epoch_minutes"].seeds == pytest.approx(minutes)
        # No sample of faces is behind it: the interval is Student's with one degree of freedom.
        half = 12.706 * abs(minutes[0] - minutes[1]) / 2
        assert row.values["run.epoch_minutes"].mean.high == pytest.approx(sum(minutes) / 2 + half, rel=1e-3)
    # A run of before has not all columns.
    for cell in plan.of(plan.cells[0].row):
        history = cell.run.path / "history.csv"
        pd.read_csv(history).drop(columns="val_macro_f1").to_csv(history, index=False)
    values = rows_of(plan)[0].values
    assert "run.best_val_macro_f1" not in values
    assert "run.best_val_accuracy" in values
    told = judge(plan, plan.study.claims[0])
    assert told.ours is not None
    assert told.seeds == 2
    with pytest.raises(DataError, match=r"no face of 'test' is 'child', expected one of female, male"):
        rows_of(planned(written(file, metrics=["accuracy@gender=child"], claims=[], figures=[], cells={}, seeds=2)))
    with pytest.raises(DataError, match=r"'grey' is no class of 'test', expected one of bright, dark, split"):
        rows_of(planned(written(file, metrics=["recall@class=grey"], claims=[], figures=[], cells={}, seeds=2)))
    with pytest.raises(DataError, match="have no attribute 'gendre'"):
        rows_of(planned(written(file, metrics=["accuracy@gendre=male"], claims=[], figures=[], cells={}, seeds=2)))


def test_a_part_that_does_not_exist_is_told_before_training(file: Path, easy_store: Path) -> None:
    for part in ("tset", f"{easy_store}:tset"):
        plan = planned(written(file, evaluate=["test", part], metrics=["accuracy"], claims=[], figures=[], cells={}))
        assert study_run(file, out=plan.out) == 1
        assert {standing_of(cell).state for cell in plan.cells} == {"failed"}
        assert "no face in split 'tset'" in standing_of(plan.cells[0]).error
        assert not plan.cells[0].run.path.exists()
        shutil.rmtree(plan.out)


def test_a_start_that_is_not_judged_is_no_row_and_comes_along(file: Path, tmp_path: Path, easy_store: Path) -> None:
    cells = {
        "faces": {"judged": False, "set": {"train.epochs": 1, "data.store": "stores/store"}},
        "after": {"start": "faces"},
    }
    written(
        file, grid={}, cells=cells, claims=[], figures=[], scales={"tiny": {"cells": {"after": {"train.epochs": 1}}}}
    )
    here = (f"store={easy_store}",)
    plan = plan_study(load_study(file), tmp_path, tmp_path / "out", stores={"store": str(easy_store)})
    after = plan.of("after")[0]
    assert study_run(file, out=tmp_path / "out", cell=(after.id[:10],), how=As(store=here)) == 0
    assert states(plan) == {"faces-0": "done", "after-0": "done"}
    assert [row.name for row in rows_of(plan)] == ["after"]
    assert plan.of("faces")[0].run.record.estimates == {}
    # What is asked for later is judged later, without another training.
    trained = (after.folder / "run" / "model.safetensors").stat().st_mtime_ns
    more = written(file, grid={}, cells=cells, claims=[], figures=[], evaluate=["test", "valid", "validation"])
    assert study_run(more, out=tmp_path / "out", how=As(store=here)) == 0
    assert (after.folder / "run" / "model.safetensors").stat().st_mtime_ns == trained
    assert set(after.run.record.estimates) == {"test", "valid", "validation"}


def test_a_smaller_scale_says_so_wherever_it_stands(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert study_run(file, out=out, how=As(scale="tiny")) == 0
    plan = planned(file, "tiny")
    rows = rows_of(plan)
    assert "**Scale: tiny**: one epoch" in markdown_of(plan, rows)
    assert "row (tiny)" in latex_of(plan, rows)
    assert r"0.05 \& more" in latex_of(plan, rows)
    assert ",tiny," in csv_of(plan, rows)
    assert set(states(planned(file)).values()) == {"absent"}  # another scale is another experiment


def test_seeds_that_learnt_nothing_are_told(file: Path, tmp_path: Path) -> None:
    rates = {"lr": {"train.optimizer.lr": [0.001, 0.01, 0.05]}}
    assert study_run(written(file, grid=rates, cells={}, seeds=2), out=tmp_path / "out", how=As(scale="tiny")) == 0
    plan = planned(file, "tiny")
    first = plan.of(plan.cells[0].row)[0]
    for cell in plan.cells:
        path = cell.run.path / "predictions" / "test.parquet"
        said = Predictions.load(path)
        answers = np.zeros(len(said), dtype=np.int64) if cell is first else said.labels
        replace(said, predicted=answers, probs=np.eye(3)[answers]).save(path)
    told = {row.name: row.note for row in rows_of(plan)}
    assert told.pop(first.row) == "1 of 2 seeds learnt next to nothing (Cohen's kappa below 0.1)."
    assert not any(told.values())
    # A training that failed is no finding about what it was compared with.
    better, *others = told
    claims = [{"says": "It is better.", "better": better, "than": than} for than in (first.row, *others)]
    written(
        file,
        grid=rates,
        cells={},
        seeds=2,
        claims=[*claims, {"says": "Or reaches it.", "cell": first.row, "value": 0.9}],
    )
    again = planned(file, "tiny")
    found = [judge(again, claim) for claim in again.study.claims]
    lost = f"1 of 2 seeds of {first.row} learnt next to nothing (Cohen's kappa below 0.1)"
    assert [one.why for one in (found[0], found[-1])] == [lost] * 2
    assert {found[0].verdict, found[-1].verdict} == {"cannot be told"}
    assert len(found) == 3
    assert "learnt next to nothing" not in found[1].why


def test_classes_that_no_run_has_learnt_are_named(file: Path, tmp_path: Path) -> None:
    assert study_run(file, out=tmp_path / "out", how=As(scale="tiny")) == 0
    plan = planned(file, "tiny")
    for lost in (False, True):
        for cell in plan.cells:
            path = cell.run.path / "record.json"
            record = json.loads(path.read_text())
            for i, each in enumerate(record["estimates"]["test"]["per_class"]):
                each["recall"]["value"] = 0.01 if lost and i < 2 else 0.5
            path.write_text(json.dumps(record))
        page = write_page(planned(file, "tiny"), tmp_path / f"page{lost}").read_text()
        names = [each["name"] for each in record["estimates"]["test"]["per_class"][:2]]
        assert (f"No run has learnt {names[0]} and {names[1]}: of faces annotated so" in page) is lost


def test_what_features_tell_of_a_group_is_a_column(file: Path, tmp_path: Path) -> None:
    claims = [{"says": "It hides the group.", "better": "0.05", "than": "0.001", "metric": "train.leakage@gender"}]
    asked = {
        "cells": {},
        "seeds": 3,
        "metrics": ["accuracy", "train.leakage@gender"],
        "claims": claims,
        "figures": [],
        "evaluate": ["test", "train"],
    }
    assert study_run(written(file, **asked), out=tmp_path / "out", how=As(scale="tiny")) == 0
    plan = planned(file, "tiny")
    said = [Predictions.load(cell.run.path / "predictions" / "train.parquet") for cell in plan.cells]
    rng = np.random.default_rng(0)
    for cell, each in zip(plan.cells, said, strict=True):
        place = cell.run.path / "features" / "train.npz"
        assert place.is_file()  # kept by the run, for the column asks for it
        # A known truth: one row's features are noise, the other's are the group and noise.
        features = rng.normal(size=(len(each), 4)).astype(np.float32)
        if cell.row == "0.001":
            features[:, 0] += 20 * (each.groups["gender"] == "female").to_numpy(dtype=np.float32, na_value=0)
        np.savez(place, sample_id=np.asarray(each.sample_id, dtype=str), features=features)
        # It has learnt something.
        for part in ("train", "test"):
            path = cell.run.path / "predictions" / f"{part}.parquet"
            run = Predictions.load(path)
            replace(run, predicted=run.labels, probs=np.eye(3)[run.labels]).save(path)
    hidden, told = (next(r for r in rows_of(plan) if r.name == name).values for name in ("0.05", "0.001"))
    assert told["train.leakage@gender"].mean.value == pytest.approx(
        0.5, abs=0.1
    )  # 1 for what chance alone reads as 1/2
    assert abs(hidden["train.leakage@gender"].mean.value) < 0.2
    claim = judge(plan, plan.study.claims[0])
    assert claim.verdict == "holds"  # less is better
    assert claim.why == ""
    (plan.cells[0].run.path / "features" / "train.npz").unlink()  # made again where it is missing
    assert features_of(plan.cells[0], "train", said[0].sample_id).shape[0] == len(said[0])


def test_what_fails_is_noted_and_the_rest_goes_on(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = {"wild": {"set": {"train.optimizer.lr": 1e30}}, "after": {"start": "wild"}}
    out = tmp_path / "out"
    written(file, cells=cells)
    assert study_run(file, out=out) == 1
    plan = planned(file)
    assert states(plan) == {"0.001-0": "done", "0.05-0": "done", "wild-0": "failed", "after-0": "absent"}
    wild = plan.of("wild")[0]
    assert "Traceback" in (wild.folder / TRACE).read_text()
    assert "RunError" in standing_of(wild).error
    assert "2 of 4 cells done, 1 failed" in capsys.readouterr().out
    said = (wild.folder / TRACE).stat().st_mtime_ns
    assert study_run(file, out=out) == 1
    assert (wild.folder / TRACE).stat().st_mtime_ns == said  # left alone
    assert retry(file, out=out) == 1
    assert (wild.folder / TRACE).stat().st_mtime_ns > said
    assert "failed" in markdown_of(plan, rows_of(plan))


def test_an_unfinished_run_is_no_result(file: Path, tmp_path: Path) -> None:
    assert study_run(written(file, set={"train.max_minutes": 1e-6}, cells={}), out=tmp_path / "out") == 1
    plan = planned(file)
    assert set(states(plan).values()) == {"failed"}
    assert all(not row.values for row in rows_of(plan))
    assert study_run(written(file, cells={}), out=tmp_path / "out") == 1  # failed cells are left until asked for
    assert retry(file, out=tmp_path / "out") == 0
    assert [epochs_of(cell) for cell in plan.cells] == [2, 2]


def test_killed_at_random_it_ends_with_the_same_table(file: Path, tmp_path: Path) -> None:
    written(file, set={"train.epochs": 20})
    assert study_run(file, out=tmp_path / "alone") == 0
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "mien.cli", "study", "run", str(file), "--out", str(out)]
    rng, kills = random.Random(3), 0

    def epochs() -> int:
        return sum(len(path.read_bytes().splitlines()) for path in out.glob("cells/*/run/history.csv"))

    while True:
        before = epochs()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
        # Five are killed somewhere in the epochs that follow their first one.
        while process.poll() is None and (kills == 5 or epochs() == before):
            time.sleep(0.01)
        if kills < 5:
            time.sleep(rng.uniform(0, 0.2))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    assert process.returncode == 0
    assert kills == 5
    assert numbers(file, out) == numbers(file, tmp_path / "alone")


def test_two_processes_share_the_work_and_do_nothing_twice(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert study_run(file, out=out, how=As(scale="small"), jobs=2, threads=1) == 0
    assert "6 of 6 cells done" in capsys.readouterr().out
    plan = planned(file, "small")
    assert all(cell.run.record.resumed == [] for cell in plan.cells)
    rows = {row.name: row for row in rows_of(plan)}
    value = rows["0.05"].values["accuracy"]
    assert rows["0.05"].seeds == 2
    assert len(value.seeds) == 2
    assert value.mean.method == "student over seeds and faces"
    # Both seeds are judged on the same faces, and learn from the same.
    splits = [cell.run.splits.set_index("sample_id")["split"] for cell in plan.of("0.05")]
    assert splits[0].equals(splits[1])
    assert [cell.config.seed for cell in plan.of("0.05")] == [0, 1]


def test_a_cell_that_another_takes_first_is_waited_for(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[Path] = []

    @contextmanager
    def taken_once(folder: Path) -> Iterator[bool]:
        if not refused:
            refused.append(folder)
            yield False
        else:
            with holding(folder) as held:
                yield held

    monkeypatch.setattr(execute, "holding", taken_once)
    plan = planned(file, "tiny")
    cell = plan.of("tuned")[0]
    assert execute.run_cells(lineage(cell), execute.Work(n_boot=100))
    assert refused == [plan.of("0.05")[0].folder]


def test_other_code_is_seen_and_made_anew_only_if_asked(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr("mien.runs._commit", lambda: "aaaaaaaaaaaa")
    monkeypatch.setattr("mien.studies.standing.here", lambda: (__version__, "aaaaaaaaaaaa"))
    monkeypatch.setattr("mien.studies.execute.here", lambda: (__version__, "bbbbbbbbbbbb"))
    written(file, cells={})
    assert study_run(file, out=out) == 0
    show(file, out=out, stale=True)
    assert len(capsys.readouterr().out.splitlines()) == 2  # the line above, and no cell
    monkeypatch.setattr("mien.runs._commit", lambda: "bbbbbbbbbbbb")
    monkeypatch.setattr("mien.studies.standing.here", lambda: (__version__, "bbbbbbbbbbbb"))
    show(file, out=out, stale=True)
    assert "made by other code" in capsys.readouterr().out
    assert study_run(file, out=out) == 0
    assert all(standing_of(cell).stale for cell in planned(file).cells)
    assert study_run(file, out=out, redo="stale") == 0
    assert not any(standing_of(cell).stale for cell in planned(file).cells)


def test_planning_leaves_the_study_as_it_is(file: Path, tmp_path: Path) -> None:
    scales = {"tiny": {"set": {"model.options.stem": 4}}}
    study = load_study(written(file, set={"model.options": {"widths": [8], "depths": [1], "stem": 8}}, scales=scales))
    tiny, full = (plan_study(study, tmp_path, tmp_path / "out", scale) for scale in ("tiny", "full"))  # type: ignore[arg-type]
    assert tiny.cells[0].config.model.options["stem"] == 4
    assert full.cells[0].config.model.options["stem"] == 8


def test_a_row_is_asked_for_by_its_name_alone(file: Path) -> None:
    written(file, cells={}, claims=[], figures=[], grid={"width": {"4": {}, "4_wide": {"train.batch_size": 7}}})
    plan = planned(file)
    assert {cell.row for cell in plan.only(["4"]).cells} == {"4"}
    assert {cell.row for cell in plan.only(["4_"]).cells} == {"4_wide"}
    assert {cell.id for cell in plan.only([plan.cells[0].id]).cells} == {plan.cells[0].id}
    with pytest.raises(UsageError, match="'--cell 5'|--cell 5: is no cell of the study, expected a row, or an id"):
        plan.only(["5"])


def test_a_study_of_mitigations_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is a study of mitigations.*mien mitigate .*mitigate_drawn.yaml"):
        load_study(Path(__file__).parents[2] / "studies" / "mitigate_drawn.yaml")


def test_what_the_caller_changed_is_never_the_full_scale(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("train.epochs=1", "train.threads=1")
    assert study_run(file, out=tmp_path / "out", how=As(set=asked)) == 0
    capsys.readouterr()
    study_table(file, out=tmp_path / "out", how=As(set=asked), format="csv")
    assert {row["scale"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))} == {"full, train.epochs=1"}
    plan = planned(file, **{"train.epochs": 1})
    text = markdown_of(plan, rows_of(plan))
    assert "the same?" not in text
    assert "**Scale: full, train.epochs=1**" in text
    assert "--set train.epochs=1" in write_page(plan, tmp_path / "page").read_text()


def test_a_store_may_lie_elsewhere_when_a_study_goes_on(file: Path, tmp_path: Path, easy_store: Path) -> None:
    written(file, set={"data.store": "stores/easy"}, evaluate=["stores/easy:test"], metrics=["accuracy"], cells={},
            figures=[])  # fmt: skip
    one, two = tmp_path / "one", tmp_path / "two"
    for place in (one, two):
        shutil.copytree(easy_store, place)
    assert study_run(file, out=tmp_path / "out", how=As(store=(f"easy={one}",)), cell=("0.05",)) == 0
    assert study_run(file, out=tmp_path / "out", how=As(store=(f"easy={two}",)), threads=1) == 0
    plan = plan_study(load_study(file), tmp_path, tmp_path / "out", stores={"easy": str(two)})
    assert set(states(plan).values()) == {"done"}
    assert all(0 <= row.values["accuracy"].mean.value <= 1 for row in rows_of(plan))
    with pytest.raises(UsageError, match="--store esay: is no store of the study, expected one of easy"):
        study_run(file, out=tmp_path / "out", how=As(store=(f"esay={two}", f"easy={one}")))


def test_a_file_of_weights_takes_the_place_of_what_a_library_publishes(file: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"small": True, "width": 0.125, "depth": 0.25}
    small = {"name": "efficientnet_lite0", "options": options}
    cells = {"none": {}, "imagenet": {"set": {"model.weights": "imagenet"}}, "after": {"start": "imagenet"}}
    written(file, grid={}, set={"model": small, "train.epochs": 1}, cells=cells, claims=[], figures=[])
    weights, other = tmp_path / "brought.safetensors", tmp_path / "other.safetensors"
    for i, place in enumerate((weights, other)):
        torch.manual_seed(i)
        net = MODELS.get("efficientnet_lite0")(1000, 3, **options)
        save_file(net.state_dict(), place)
    how, study = As(weights=(f"efficientnet_lite0={weights}",)), load_study(file)
    assert study_run(file, out=tmp_path / "out", how=how) == 0
    plan = plan_study(study, tmp_path, tmp_path / "out", published=how.published)
    assert states(plan) == {"none-0": "done", "imagenet-0": "done", "after-0": "done"}
    # Which file is a part of the key, and where it lies is none; what begins with no published weights is as it was.
    moved = Path(shutil.move(weights, tmp_path / "moved.safetensors"))
    again = plan_study(study, tmp_path, tmp_path / "out", published={"efficientnet_lite0": str(moved)})
    assert set(states(again).values()) == {"done"}
    brought: dict[str, str]
    for brought in ({}, {"efficientnet_lite0": str(other)}):
        found = states(plan_study(study, tmp_path, tmp_path / "out", published=brought))
        assert found == {"none-0": "done", "imagenet-0": "absent", "after-0": "absent"}
    page = write_page(again, tmp_path / "page").read_text()
    assert "--weights efficientnet_lite0=FILE" in page
    assert "Weights of others that they begin with: brought.safetensors (" in page
    assert str(tmp_path) not in page
    told = {row.name: "moved.safetensors in place of what a library publishes" in row.note for row in rows_of(again)}
    assert told == {"none": False, "imagenet": True, "after": True}
    with pytest.raises(UsageError, match="--weights efficientnet_lite: is no network of the study"):
        show(file, out=tmp_path / "out", how=As(weights=(f"efficientnet_lite={moved}",)))


def test_a_trunk_s_published_weights_are_of_the_trunk(file: Path, tmp_path: Path) -> None:
    def around(trunk: str) -> dict[str, Any]:
        small = {"small": True, "width": 0.125} | ({"depth": 0.25} if trunk == "efficientnet_lite0" else {})
        options = {"trunk": {"name": trunk, "options": small}, "attributes": {"gender": 2}}
        return {"set": {"model": {"name": "conditioned", "options": options, "weights": "imagenet"}}}

    cells = {"lite": around("efficientnet_lite0"), "mobile": around("mobilenet_v2")}
    keys = []
    for rows in (cells, dict(reversed(cells.items()))):
        plan = planned(written(file, grid={}, cells=rows, claims=[], figures=[]))
        keys.append({cell.row: cell.key for cell in plan.cells})
        assert plan.networks == ("efficientnet_lite0", "mobilenet_v2")
    assert keys[0] == keys[1]
    net = MODELS.get("efficientnet_lite0")(1000, 3, small=True, width=0.125, depth=0.25)
    save_file(net.state_dict(), tmp_path / "brought.safetensors")
    given = {"efficientnet_lite0": str(tmp_path / "brought.safetensors")}
    plan = plan_study(load_study(file), tmp_path, tmp_path / "out", published=given)
    assert {cell.row: cell.brought for cell in plan.cells} == {"lite": "brought.safetensors", "mobile": ""}
    found = {cell.row: cell.key for cell in plan.cells}
    assert found["mobile"] == keys[0]["mobile"]
    assert found["lite"] != keys[0]["lite"]


def test_no_path_is_told_of_what_was_changed(file: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "own weights.safetensors"
    save_file({"a": torch.zeros(1)}, weights)
    plan = planned(written(file, cells={}), **{"model.weights": str(weights), "train.schedule.name": "cosine"})
    assert plan.called == "full, model.weights=own weights.safetensors, train.schedule.name=cosine"


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("data.store", "stores/mine/", "mine"),
        ("model.weights", r"C:\faces\net.pt", "net.pt"),
        ("mitigation.options.style_network", "vgg16=/home/me/vgg.pth", "vgg16=vgg.pth"),
        ("mitigation.options", {"style_network": "/home/me/eyes"}, '{"style_network": "eyes"}'),
        ("labels.name", "a/b", "a/b"),
        ("x.y", "1", '"1"'),
        ("x.y", "yes", '"yes"'),
        ("x.y", [1, 2], "[1, 2]"),
        ("x.y", None, "null"),
    ],
)
def test_what_was_changed_reads_back(key: str, value: Any, told: str) -> None:
    assert _written(key, value) == told
    assert isinstance(overrides_of([f"{key}={told}"])[key], type(value))


def test_rows_of_one_experiment_are_done_together_whichever_is_judged(file: Path, tmp_path: Path) -> None:
    cells = {"faces": {"judged": False}, "none": {}, "from_faces": {"start": "faces", "set": {"train.epochs": 1}}}
    written(file, grid={}, cells=cells, claims=[], figures=[])
    assert study_run(file, out=tmp_path / "out") == 0
    assert set(states(planned(file)).values()) == {"done"}
    assert study_run(file, out=tmp_path / "out", cell=("none-s0",)) == 0


def test_a_cell_whose_start_was_made_anew_is_stale(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def code(commit: str) -> None:
        monkeypatch.setattr("mien.runs._commit", lambda: commit)
        for module in ("standing", "execute"):
            monkeypatch.setattr(f"mien.studies.{module}.here", lambda: (__version__, commit))

    written(file, grid={}, cells={"a": {}, "b": {"start": "a", "set": {"train.epochs": 1}}}, claims=[], figures=[])
    code("aaaaaaaaaaaa")
    assert study_run(file, out=tmp_path / "out", cell=("a",)) == 0
    code("bbbbbbbbbbbb")
    assert study_run(file, out=tmp_path / "out") == 0
    plan = planned(file)
    assert [standing_of(cell).stale for cell in plan.cells] == [True, False]
    # Other weights under the same folder: b began with what is no more.
    seeded = torch.manual_seed
    monkeypatch.setattr("torch.manual_seed", lambda seed: seeded(seed + 1))
    assert study_run(file, out=tmp_path / "out", cell=("a",), redo="stale") == 0
    assert [standing_of(cell).stale for cell in plan.cells] == [False, True]
    assert study_run(file, out=tmp_path / "out", redo="stale") == 0
    assert [standing_of(cell).stale for cell in plan.cells] == [False, False]
    code("cccccccccccc+")
    with pytest.raises(UsageError, match="not committed"):
        study_run(file, out=tmp_path / "out", redo="stale")


def test_of_some_metrics_less_is_better(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.studies.claims.n_unlearnt", lambda *asked: 0)  # two epochs at the lower rate are few
    two = [{"says": "x", "better": "0.05", "than": "0.001", "metric": m} for m in ("nll", "accuracy")]
    written(file, claims=two, seeds=3, cells={}, figures=[])
    assert study_run(file, out=tmp_path / "out") == 0
    plan = planned(file)
    less, more = (judge(plan, claim) for claim in plan.study.claims)
    assert less.ours is not None
    assert more.ours is not None
    assert less.ours.value < 0 < more.ours.value
    assert less.verdict in ("holds", "cannot be told")
    for size, said in (
        (more.ours.high + 0.01, "not by as much as theirs"),
        (more.ours.low - 0.01, "by more than theirs"),
    ):
        sized = judge(plan, ClaimConfig(says="x", better="0.05", than="0.001", metric="accuracy", by=size))
        assert said in sized.why
        assert sized.verdict == more.verdict  # a claim of an effect is not turned by its size
    assert more.why in ("", "the interval includes 0")
    turned = ClaimConfig(says="x", better="0.001", than="0.05", metric="nll")
    assert judge(plan, turned).verdict != "holds"
    assert less.ours.method == "student over seeds and faces, in pairs"
