"""A store's faces shared out among the cores of a cluster: what one machine would say, though a worker is killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from commands import mien
from mien.annotators.loading import load_annotator
from mien.annotators.mien import view_of
from mien.annotators.on_ray import RayAnnotator
from mien.data.images import Store, StoreWriter
from mien.errors import ConfigError, UsageError
from mien.samples import SampleTable

KILLED = """
import os, signal, sys, threading, time
from pathlib import Path
import numpy as np
import ray
from mien.annotators.loading import load_annotator
from mien.annotators.on_ray import RayAnnotator
from mien.data.images import Store
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
killed = []
def kill():
    while not killed:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if b"ray::MapWorker(MapBatches(_Looker)).submit" in (process / "cmdline").read_bytes():
                    time.sleep(0.3)
                    os.kill(int(process.name), signal.SIGKILL)
                    killed.append(process)
                    break
            except OSError:
                pass
        time.sleep(0.01)
threading.Thread(target=kill, daemon=True).start()
store = Store.open(sys.argv[1])
told = []
said = RayAnnotator(load_annotator("mien"), "mien", {}, store.path).annotate(store.images, lambda i, n: told.append(i))
np.savez(sys.argv[2], years=said.years, **said.probs)
print(len(killed), told[-1], flush=True)
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Pictures of which the first third is grey though the corpus is in colour, as a part may be."""
    pytest.importorskip("torch", reason="torch is not installed")
    rng, n = np.random.default_rng(0), 150
    images = rng.integers(0, 256, (n, 48, 48, 3)).astype(np.uint8)
    images[: n // 3] = images[: n // 3, ..., :1]
    frame = pd.DataFrame(
        {
            "sample_id": [f"f{i}" for i in range(n)],
            "image": np.arange(n),
            "split": "test",
            "identity": "",
            "cluster": np.arange(n),
            "votes_happy": 1,
            "votes_sad": 0,
        }
    )
    with StoreWriter(tmp_path_factory.mktemp("faces") / "store") as writer:
        writer.append(images)
        return writer.commit(SampleTable(frame, "toy", ("happy", "sad"), ()), {"corpus": "toy", "terms": "none"})


def test_a_killed_worker_loses_and_doubles_no_face(store: Store, tmp_path: Path) -> None:
    pytest.importorskip("ray.data", reason="Ray is not installed")
    script = tmp_path / "killed.py"
    script.write_text(KILLED, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, script, store.path, tmp_path / "said.npz"], capture_output=True, text=True, timeout=600
    )
    assert ended.returncode == 0, ended.stderr
    assert f"1 {len(store.images)}\n" in ended.stdout
    due, found = load_annotator("mien").annotate(store.images), np.load(tmp_path / "said.npz")
    for name, probs in due.probs.items():
        assert np.abs(found[name] - probs).max() < 1e-4, name
    assert np.abs(found["years"] - due.years).max() < 1e-2


def test_a_command_with_a_cluster_writes_what_one_without_writes(store: Store, tmp_path: Path) -> None:
    pytest.importorskip("ray.data", reason="Ray is not installed")
    mien("annotate", store.path, "--out", tmp_path / "plain")
    # In a process of its own: Ray warns of its own old settings, and here every warning is an error.
    command = ["annotate", store.path, "--out", tmp_path / "shared", "--ray", "local", "--workers", "1"]
    ended = subprocess.run([sys.executable, "-m", "mien.cli", *command], capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr
    plain, shared = (Store.open(tmp_path / name).table for name in ("plain", "shared"))
    assert plain.annotator_errors == shared.annotator_errors
    pd.testing.assert_frame_equal(plain.frame, shared.frame, atol=1e-3)


def test_what_pictures_are_like_may_be_said() -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    grey = np.random.default_rng(0).integers(0, 256, (4, 48, 48, 1)).repeat(3, axis=3).astype(np.uint8)
    assert view_of(grey) == "grey_48"
    told, said = load_annotator("mien").annotate(grey), load_annotator("mien", {"view": "colour_48"}).annotate(grey)
    assert np.abs(told.probs["race"] - said.probs["race"]).max() > 1e-3
    with pytest.raises(ConfigError, match="Did you mean 'grey_48'"):
        load_annotator("mien", {"view": "gray_48"})


def test_other_faces_than_those_of_the_store_are_refused(store: Store) -> None:
    pytest.importorskip("ray.data", reason="Ray is not installed")
    looking = RayAnnotator(load_annotator("mien"), "mien", {}, store.path)
    with pytest.raises(UsageError, match="Workers read them there"):
        looking.annotate(store.images[:3])


def test_workers_without_a_cluster_are_refused(tmp_path: Path) -> None:
    assert (
        "with --ray, at least 1" in mien("annotate", tmp_path, "--out", tmp_path / "x", "--workers", 2, code=2).stderr
    )
