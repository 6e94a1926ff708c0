"""Studies through schedulers: submitit's executors, a stand-in for sbatch that runs the scripts, and Ray."""

from __future__ import annotations

import gc
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from mien.cli.studying import study_run
from mien.errors import UsageError
from mien.studies import Plan, load_study, plan_study, standing_of
from mien.studies.cells import lineage
from mien.studies.cluster import submit

SBATCH = """#!{python}
# Runs each task of an array at once, as a scheduler would in time, and says the number of the job.
import os, pathlib, re, subprocess, sys
script = pathlib.Path(sys.argv[-1])
text = script.read_text()
array = re.search(r"--array=0-(\\d+)", text)
folder = script.parent
number = len(list(folder.glob("ran-*"))) + 100
(folder / f"ran-{{number}}").touch()
log = open(folder / "sbatch.log", "a")
for task in range(int(array[1]) + 1) if array else [None]:
    environment = os.environ | {{"SLURM_JOB_ID": str(number), "SLURM_NTASKS": "1", "SLURM_JOB_NUM_NODES": "1",
                                 "SLURM_NODEID": "0", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}}
    if task is not None:
        environment |= {{"SLURM_ARRAY_JOB_ID": str(number), "SLURM_ARRAY_TASK_ID": str(task)}}
    subprocess.Popen(["bash", str(script)], env=environment, stdout=log, stderr=log, start_new_session=True)
print(f"Submitted batch job {{number}}")
"""
SRUN = """#!/bin/bash
while [[ "$1" == -* ]]; do
  case "$1" in --output|--error) shift 2;; *) shift;; esac
done
exec "$@"
"""


@pytest.fixture
def file(tmp_path: Path, settings: dict[str, Any]) -> Path:
    settings["train"]["epochs"] = 2
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(settings))
    study = {
        "name": "easy",
        "base": "base.yaml",
        "cells": {"a": {}, "b": {"set": {"train.optimizer.lr": 0.01}}, "c": {"start": "a", "set": {"train.epochs": 1}}},
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    return tmp_path / "study.yaml"


def planned(file: Path) -> Plan:
    return plan_study(load_study(file), file.parent, file.parent / "out")


def states(plan: Plan) -> list[str]:
    return [standing_of(cell).state for cell in plan.cells]


def executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_a_job_brings_what_its_cell_begins_with(file: Path) -> None:
    plan = planned(file)
    assert [cell.row for cell in lineage(plan.of("c")[0])] == ["a", "c"]


# The debug executor leaves its log open, as submitit has it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("cluster", ["debug", "local"])
def test_submitit_runs_the_cells(file: Path, cluster: Any) -> None:
    pytest.importorskip("submitit")
    assert study_run(file, out=file.parent / "out", cluster=cluster, threads=1) == 0
    assert states(planned(file)) == ["done"] * 3
    assert all(cell.run.record.resumed == [] for cell in planned(file).cells)  # the start was trained once
    assert submit(planned(file), cluster) == []
    gc.collect()


def test_slurm_gets_one_array_whose_scripts_run(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("submitit")
    tools = tmp_path / "tools"
    tools.mkdir()
    executable(tools / "sbatch", SBATCH.format(python=sys.executable))
    executable(tools / "srun", SRUN)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    asked = ("timeout_min=30", "slurm_partition=cpu", "slurm_array_parallelism=2")
    assert study_run(file, out=file.parent / "out", cluster="slurm", cluster_set=asked, threads=1) == 0
    told = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [number for number, _ in told] == ["100_0", "100_1", "100_2"]
    script = next((file.parent / "out" / "jobs").rglob("*.sh")).read_text()
    assert "#SBATCH --array=0-2%2" in script
    assert "#SBATCH --partition=cpu" in script
    deadline = time.monotonic() + 180
    while states(planned(file)) != ["done"] * 3 and time.monotonic() < deadline:
        time.sleep(0.5)
    assert states(planned(file)) == ["done"] * 3


def test_settings_that_are_none_are_refused(file: Path) -> None:
    pytest.importorskip("submitit")
    with pytest.raises(UsageError, match="--cluster debug"):
        study_run(file, out=file.parent / "out", cluster="debug", cluster_set=("memory=3",))


RAY = """
import os, signal, sys, threading, time
from pathlib import Path
from mien.studies import load_study, plan_study
from mien.studies.ray_tasks import run_on_ray
file = Path(sys.argv[1])
plan = plan_study(load_study(file), file.parent, file.parent / "out")
killed = []
def kill():
    while not killed:
        for path in plan.out.glob("cells/*/held.json"):
            try:
                import json
                os.kill(json.loads(path.read_text())["pid"], signal.SIGKILL)
                killed.append(path)
                return
            except (OSError, ValueError):
                pass
        time.sleep(0.02)
threading.Thread(target=kill, daemon=True).start()
print(run_on_ray(plan, cpus=1), len(killed))
"""


def test_ray_begins_anew_what_a_killed_worker_left(file: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    (tmp_path / "on_ray.py").write_text(RAY)
    done = subprocess.run([sys.executable, str(tmp_path / "on_ray.py"), str(file)], capture_output=True, text=True,
                          check=False, timeout=600)  # fmt: skip
    assert done.stdout.splitlines()[-1] == "True 1", done.stderr
    assert states(planned(file)) == ["done"] * 3
