"""A search: best settings found, killed trials gone on with, several objectives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from mien.cli.studying import tune as tune_command
from mien.errors import ConfigError, UsageError

pytest.importorskip("optuna")
pytest.importorskip("torch")

from mien.studies.hold import me  # noqa: E402
from mien.tune import TRIALS, _alive, load_tuning, tune  # noqa: E402


@pytest.fixture
def file(tmp_path: Path, settings: dict[str, Any]) -> Path:
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(settings))
    return written(tmp_path / "search.yaml")


def written(path: Path, **more: Any) -> Path:
    search = {
        "name": "rates",
        "base": "base.yaml",
        "space": {
            "train.optimizer.lr": {"low": 1e-5, "high": 0.1, "log": True},
            "train.batch_size": {"values": [20, 30]},
        },
        "trials": 4,
    }
    path.write_text(yaml.safe_dump(search | more))
    return path


def test_a_search_finds_what_learns_and_goes_on(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = tune(load_tuning(file), tmp_path, tmp_path / "out")
    assert [t.number for t in found] == [0, 1, 2, 3]
    best = [t for t in found if t.best]
    assert {t.values["accuracy"] for t in best} == {max(t.values["accuracy"] for t in found)}
    assert all((t.path / "model.safetensors").is_file() for t in found)
    again = tune(load_tuning(file), tmp_path, tmp_path / "out")
    assert again == found
    tune_command(file, out=tmp_path / "out", trials=5)
    assert len(capsys.readouterr().out.splitlines()) == 6
    assert len(list((tmp_path / "out" / TRIALS).iterdir())) == 5


def test_several_objectives_give_all_that_no_other_beats(file: Path, tmp_path: Path) -> None:
    written(file, objectives=["accuracy", "worst_group"], set={"train.watch": ["gender"], "audit.min_n": 5})
    found = tune(load_tuning(file), tmp_path, tmp_path / "out")
    for one in found:
        beaten = any(
            other.values["accuracy"] >= one.values["accuracy"]
            and other.values["worst_group"] >= one.values["worst_group"]
            and other.values != one.values
            for other in found
        )
        assert one.best is not beaten


def test_an_objective_that_was_not_measured_fails_and_the_search_ends(file: Path, tmp_path: Path) -> None:
    said: list[str] = []
    written(file, objectives=["worst_group"], trials=2)
    assert tune(load_tuning(file), tmp_path, tmp_path / "out", say=said.append) == []
    assert len(said) == 2
    assert "Name attributes in train.watch" in said[0]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"space": {"train.epochs": {"low": 3, "high": 1}}}, "low must be below high"),
        ({"space": {"train.epochs": {"low": 3}}}, "values, or both low and high"),
        ({"space": {}}, "space"),
        ({"objectives": ["test_accuracy"]}, "objectives"),
    ],
)
def test_mistakes_are_told(file: Path, more: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_tuning(written(file, **more))
    assert said in str(error.value)


def test_settings_that_are_none_are_told_before_anything_is_trained(file: Path, tmp_path: Path) -> None:
    written(file, space={"train.optimizer.rate": {"low": 0.1, "high": 1}})
    with pytest.raises(ConfigError, match="unknown key"):
        tune(load_tuning(file), tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_space_is_another_search(file: Path, tmp_path: Path) -> None:
    tune(load_tuning(file), tmp_path, tmp_path / "out", trials=1)
    written(file, space={"train.optimizer.lr": {"low": 0.1, "high": 1.0}})
    with pytest.raises(UsageError, match="holds another search"):
        tune(load_tuning(file), tmp_path, tmp_path / "out", trials=1)


def test_a_stopped_search_goes_on_in_the_same_process(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mien import tune as module

    search, run = load_tuning(written(file, trials=2)), module._run

    def stopped(*given: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_run", stopped)
    with pytest.raises(KeyboardInterrupt):
        tune(search, tmp_path, tmp_path / "out")
    monkeypatch.setattr(module, "_run", run)
    assert len(tune(search, tmp_path, tmp_path / "out")) == 2


def test_whether_a_trial_of_another_machine_is_worked_on_shows_in_its_folder(tmp_path: Path) -> None:
    other = {"host": "box/0a1b2c3d/pid:[1]", "pid": 77, "born": "1", "token": ""}
    trial = SimpleNamespace(user_attrs={"held": other, "folder": "f"}, datetime_start=datetime.now())
    assert _alive(trial, tmp_path)  # it has only just begun
    folder = tmp_path / TRIALS / "f"
    folder.mkdir(parents=True)
    (folder / "held.json").write_text(json.dumps(other))
    assert _alive(trial, tmp_path)
    os.utime(folder / "held.json", (0, 0))  # its last sign of life is long gone: the machine was started again
    assert not _alive(trial, tmp_path)
    (folder / "held.json").unlink()
    trial.datetime_start -= timedelta(hours=1)
    assert not _alive(trial, tmp_path)
    assert _alive(SimpleNamespace(user_attrs={"held": me()}), tmp_path)
    assert not _alive(SimpleNamespace(user_attrs={"held": None}), tmp_path)


def test_a_killed_trial_goes_on_in_its_folder(file: Path, tmp_path: Path) -> None:
    written(file, set={"train.epochs": 200}, trials=1)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "mien.cli", "tune", str(file), "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
    deadline = time.monotonic() + 60
    while not list(out.glob(f"{TRIALS}/*/run/history.csv")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    begun = [p.name for p in (out / TRIALS).iterdir()]
    found = tune(load_tuning(file), tmp_path, out)
    assert [t.path.parent.name for t in found] == begun
    assert (found[0].path / "record.json").read_text().count("after_epoch") == 1


def test_any_seed_will_do(file: Path, tmp_path: Path) -> None:
    written(file, seed=20_261_128, trials=1)
    assert [t.number for t in tune(load_tuning(file), tmp_path, tmp_path / "out")] == [0]
