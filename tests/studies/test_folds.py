"""The mean over folds: by hand, under a known truth, and in a study of its own."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from mien.cli.studying import study_run
from mien.errors import ConfigError
from mien.records import Estimate, Predictions
from mien.stats.settings import Settings
from mien.studies import Plan, load_study, plan_study
from mien.studies.claims import judge
from mien.studies.columns import column_of
from mien.studies.definition import StudyConfig
from mien.studies.folds import interval_over_folds, mean_over_folds
from mien.studies.kept import judge_with
from mien.studies.page import write_page
from mien.studies.results import rows_of

GRID = {"fold": {"split.options.fold": [0, 1, 2]}}


def test_the_interval_by_hand() -> None:
    # t(3) = 3.1824; four folds, a ninth as many faces judged as learnt from.
    low, high = interval_over_folds(np.array([0.62, 0.6, 0.64, 0.6]), 1 / 9, 0.95)
    values = np.array([0.62, 0.6, 0.64, 0.6])
    half = 3.182446 * np.sqrt(values.var(ddof=1) * (1 / 4 + 1 / 9))
    assert (low, high) == pytest.approx((0.615 - half, 0.615 + half))
    assert np.isnan(interval_over_folds(values[:1], 1 / 9, 0.95)).all()


@pytest.mark.parametrize("k", [3, 5, 10])
def test_the_interval_holds_where_folds_are_alike(k: int) -> None:
    """Folds of one sample have noise in common that they do not show: Student's t alone would miss the truth."""
    rng = np.random.default_rng(k)
    share, n = 1 / (k - 1), 4000
    common = share / (1 + share)
    values = np.sqrt(common) * rng.standard_normal((n, 1)) + np.sqrt(1 - common) * rng.standard_normal((n, k))
    ends = np.array([interval_over_folds(each, share, 0.95) for each in values])
    alone = np.array([interval_over_folds(each, 0.0, 0.95) for each in values])
    assert 0.94 < ((ends[:, 0] < 0) & (ends[:, 1] > 0)).mean() < 0.96
    assert ((alone[:, 0] < 0) & (alone[:, 1] > 0)).mean() < 0.9


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"means": {"1": {}}}, "the mean '1' has the name of a cell"),
        ({"means": {"all": {"of": ["0", "9"]}}}, "names the cell '9', which the study does not have"),
        ({"means": {"all": {"of": ["0"]}}}, "is of 0, expected several different cells"),
        ({"means": {"all": {"of": ["0", "0"]}}}, "expected several different cells"),
        (
            {"means": {"all": {}}, "claims": [{"says": "x", "cell": "all", "value": 0.1, "metric": "accuracy@g:gap"}]},
            "a gap of a mean over folds",
        ),
        ({"cells": {"2": {"judged": False}}, "means": {"all": {"of": ["1", "2"]}}}, "which is not judged"),
        ({"means": {"all": {"theirs": {"macro_f1": 0.5}}}}, "the mean 'all' has a published macro_f1"),
        ({"means": {"all": {"theirs": {"accuracy": 62}}}}, "the mean 'all': accuracy of 62, expected a share"),
        (
            {"means": {"all": {}}, "claims": [{"says": "x", "better": "all", "than": "0"}]},
            "compares a mean over folds with another row",
        ),
    ],
)
def test_what_is_no_mean_over_folds_is_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        StudyConfig.model_validate({"name": "s", "base": "b.yaml", "grid": GRID} | more)


def test_a_mean_is_of_all_rows_of_the_table_unless_it_names_some() -> None:
    found = StudyConfig.model_validate(
        {"name": "s", "base": "b.yaml", "grid": GRID, "means": {"all": {}, "two": {"of": ["0", "2"]}}}
    )
    assert found.cells_of_mean("all") == ("0", "1", "2")
    assert found.cells_of_mean("two") == ("0", "2")


def test_unknown_keys_of_a_mean_are_refused(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        yaml.safe_dump({"name": "s", "base": "b.yaml", "grid": GRID, "means": {"all": {"off": []}}})
    )
    with pytest.raises(ConfigError, match=r"means\.all\.off: unknown key. Did you mean 'of'"):
        load_study(tmp_path / "s.yaml")


@pytest.mark.parametrize(
    ("more", "changed", "said"),
    [
        ({"cells": {"2": {"set": {"train.epochs": 3}}}}, {}, "2 differs from 0 in train, expected in split alone"),
        ({"scales": {"full": {"cells": {"2": {"train.batch_size": 8}}}}}, {}, "2 differs from 0 in train"),
        ({"scales": {"full": {"set": {"split.options.fold": 1}}}}, {}, "0 and 1 are one experiment"),
        ({}, {"split.options.fold": 1}, "0 and 1 are one experiment"),
    ],
)
def test_cells_that_are_no_folds_of_one_experiment_are_refused_before_anything_is_trained(
    tmp_path: Path, settings: dict[str, Any], more: dict[str, Any], changed: dict[str, Any], said: str
) -> None:
    settings["split"] = {"name": "fold", "options": {"k": 3}}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "study.yaml").write_text(
        yaml.safe_dump({"name": "s", "base": "base.yaml", "grid": GRID, "means": {"all": {}}} | more)
    )
    with pytest.raises(ConfigError, match=said):
        plan_study(load_study(tmp_path / "study.yaml"), tmp_path, tmp_path / "out", settings=changed)


def test_folds_judged_on_the_same_faces_and_figures_of_training_have_no_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What folds differ by says nothing of the luck with faces that all of them have."""
    data = {"training_faces": 90, "validation_faces": 18}
    folds = [
        [SimpleNamespace(seed=0, fold=i, run=SimpleNamespace(record=SimpleNamespace(data=data)))] for i in range(3)
    ]
    values = np.array([0.6, 0.62, 0.7])
    monkeypatch.setattr(
        "mien.studies.folds.estimates_of", lambda cells, column, settings: [Estimate(values[cells[0].fold], n=10)]
    )
    faces = {"others": lambda i: [f"{i}-{j}" for j in range(10)], "same": lambda i: [f"{j}" for j in range(i, 10 + i)]}
    for name, ids in faces.items():
        monkeypatch.setattr(
            "mien.studies.folds.predictions_of", lambda cell, column, ids=ids: SimpleNamespace(sample_id=ids(cell.fold))
        )
        told = mean_over_folds(folds, [column_of("accuracy", ["test"])], Settings())  # type: ignore[arg-type]
        assert told is not None
        assert told.value == pytest.approx(values.mean())
        if name == "same":
            assert np.isnan([told.low, told.high]).all()
        else:
            assert (told.low, told.high) == pytest.approx(interval_over_folds(values, 1 / 9, 0.95))
    for metric, share in (("run.val_accuracy", 0.2), ("run.epoch_minutes", 0.0), ("run.train_accuracy", np.nan)):
        told = mean_over_folds(folds, [column_of(metric, ["test"])], Settings())  # type: ignore[arg-type]
        assert told is not None
        low, high = interval_over_folds(values, share, 0.95)
        assert (told.low, told.high) == pytest.approx(
            (low, min(high, 1) if metric == "run.val_accuracy" else high), nan_ok=True
        )
    gap = column_of("accuracy@gender:gap", ["test"])
    assert mean_over_folds(folds, [gap], Settings()) is None  # type: ignore[arg-type]


def planned(file: Path) -> Plan:
    return plan_study(load_study(file), file.parent, file.parent / "out")


def test_folds_and_their_mean_in_a_study(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mien.studies.claims.n_unlearnt", lambda *asked: 0)  # one epoch teaches little
    settings["train"]["epochs"] = 1
    settings["split"] = {"name": "fold", "options": {"k": 3}}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(settings))
    file = tmp_path / "study.yaml"
    study = {
        "name": "folds", "base": "base.yaml", "grid": GRID, "evaluate": ["test", "validation"],
        "metrics": ["accuracy", "validation.accuracy", "run.epoch_minutes"], "tolerance": 1.0,
        "means": {"all": {"label": "mean of three folds", "theirs": {"accuracy": 0.5}}},
        "figures": [{"kind": "values"}, {"kind": "curves"}],
        "claims": [{"says": "It is above nothing.", "cell": "all", "value": 0.0001},
                   {"says": "Chosen is higher.", "better": "all", "than": "all",
                    "metric": "validation.accuracy", "than_metric": "accuracy"}],
    }  # fmt: skip
    file.write_text(yaml.safe_dump(study, sort_keys=False))
    plan = planned(file)
    assert all(judge(plan, claim).verdict == "not run" for claim in plan.study.claims)
    assert study_run(file, out=plan.out, cell=("0",)) == 0
    one = judge(plan, plan.study.claims[0])
    assert (one.verdict, one.why) == ("cannot be told", "one fold")
    assert study_run(file, out=plan.out) == 0

    *folds, mean = rows_of(plan)
    assert (mean.name, mean.seeds, mean.wanted, mean.folds) == ("all", 3, 3, True)
    values = np.array([row.values["accuracy"].mean.value for row in folds])
    found = mean.values["accuracy"].mean
    assert found.value == pytest.approx(values.mean())
    assert found.n == sum(row.values["accuracy"].mean.n for row in folds)
    records = [plan.of(row.name)[0].run.record for row in folds]
    share = np.mean(
        [row.values["accuracy"].mean.n / r.data["training_faces"] for row, r in zip(folds, records, strict=True)]
    )
    low, high = interval_over_folds(values, float(share), 0.95)
    assert (found.low, found.high) == pytest.approx((max(low, 0), min(high, 1)))

    above, higher = (judge(plan, claim) for claim in plan.study.claims)
    assert above.ours == found
    assert above.verdict == ("holds" if found.low > 0.0001 else "cannot be told")
    assert higher.ours is not None
    chosen = np.array([row.values["validation.accuracy"].mean.value for row in folds])
    assert higher.ours.value == pytest.approx((chosen - values).mean())
    assert higher.why.endswith("3 of 3 folds")

    page = write_page(plan, tmp_path / "page").read_text()
    line = next(line for line in page.splitlines() if line.startswith("| mean of three folds"))
    assert "| 3 folds |" in line
    assert "| 0.500 | yes |" in line
    assert "Nadeau and Bengio 2003" in page
    assert "3 runs, " in page

    # One fold that learnt nothing silences the claim, from its runs and from what the page keeps of them alike.
    monkeypatch.undo()
    for i, row in enumerate(folds):
        run = plan.of(row.name)[0].run
        path = run.path / "predictions" / "test.parquet"
        said = Predictions.load(path)
        replace(said, predicted=said.labels * (i > 0), probs=None).save(path)
    lost = judge(plan, plan.study.claims[0])
    assert (lost.verdict, lost.why) == (
        "cannot be told",
        "1 of 3 runs learnt next to nothing (Cohen's kappa below 0.1)",
    )
    kept, records = tmp_path / "page" / "claims.json", tmp_path / "page" / "records.json"
    content = json.loads(records.read_text())
    for i, row in enumerate(content):
        for cell in row["cells"]:
            for each in cell["estimates"]["test"]["per_class"]:
                each["n_predicted"], each["recall"]["value"] = each["n"], float(i > 0)
    records.write_text(json.dumps(content))
    kept.write_text(kept.read_text().replace('"cannot be told"', '"holds"'))
    shutil.rmtree(plan.out)
    again = judge_with(plan, kept)[0]
    assert (again.verdict, again.why) == (lost.verdict, lost.why)
