"""Many pictures on a cluster of this machine: each once, though a worker is killed and the command is begun again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from commands import mien
from mien.errors import DataError, UsageError
from mien.predict import Predictor
from mien.predict.on_ray import _Looker, predict_on_ray
from photographs import HOPPER, group_photograph

KILLED = """
import os, signal, sys, threading, time
from pathlib import Path
import ray
from mien.predict.on_ray import predict_on_ray
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
album, out, load = Path(sys.argv[1]), Path(sys.argv[2]), {"options": {"threads": 1}}
names = [str(p) for p in sorted(album.iterdir())]
print(predict_on_ray(names, out, load).pictures, len(killed), flush=True)
input()
names = [str(p) for p in sorted(album.iterdir())]
again = predict_on_ray(names, out, load, resume=True)
print("again", again.pictures, again.before, again.unread, flush=True)
"""


def rows_of(folder: Path) -> pd.DataFrame:
    return pq.read_table(folder).to_pandas().sort_values(["image", "face"]).reset_index(drop=True)


def test_a_killed_worker_loses_and_doubles_nothing(tmp_path: Path) -> None:
    pytest.importorskip("ray.data", reason="Ray is not installed")
    album, out = tmp_path / "album", tmp_path / "rows"
    album.mkdir()
    group = Image.fromarray(group_photograph())
    for i in range(60):
        group.rotate(i / 10).save(album / f"{i:03}.png")
    (album / "broken.jpg").write_bytes(b"\xff\xd8\xff no more")
    script = tmp_path / "killed.py"
    script.write_text(KILLED, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, script, album, out],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        told: list[list[str]] = []
        for line in process.stdout:
            told.append(line.split())
            if len(told[-1]) == 2 and told[-1][0].isdigit():
                break
        assert told[-1] == ["61", "1"]  # all pictures, and one worker was killed
        found = rows_of(out)
        # What a command that was killed left behind, some of it lost: the rest is looked at, and nothing twice.
        sorted(out.glob("*.parquet"))[0].unlink()
        (out / ".torn.partial").write_bytes(b"PAR1")
        left = rows_of(out)["image"].nunique()
        Image.fromarray(group_photograph()).save(album / "new.png")
        answers, errors = process.communicate("\n", timeout=400)
    assert process.returncode == 0, errors
    assert f"again {62 - left} {left} 1\n" in answers  # among what Ray says of its own end
    predictor = Predictor.load(threads=1, options={"threads": 1})
    due = [row.as_flat() for row in predictor.predict(sorted(album.glob("[0-9b]*")))]
    assert list(zip(found["image"], found["face"].fillna(-1), strict=True)) == sorted(
        (row["image"], -1 if row["face"] is None else row["face"]) for row in due
    )
    assert found["p_neutral"].sum() == pytest.approx(sum(row.get("p_neutral", 0) for row in due), abs=1e-3)
    assert {path.suffix for path in out.iterdir()} == {".parquet"}
    pictures = rows_of(out)["image"]
    assert set(pictures) == {str(path) for path in album.iterdir()}
    assert pictures.value_counts().max() == 5


def test_a_block_that_is_done_again_takes_its_own_place(tmp_path: Path) -> None:
    looker = _Looker({}, tmp_path)
    asked = pa.table({"path": pa.array([os.fsencode(HOPPER), b"/nowhere.png"], pa.binary())})
    for _ in range(2):
        assert looker(asked).to_pydict() == {"pictures": [2]}
    (file,) = tmp_path.iterdir()
    assert sorted(set(pq.read_table(file)["image"].to_pylist())) == sorted(["/nowhere.png", str(HOPPER)])
    looker(asked.slice(1))
    assert len(list(tmp_path.iterdir())) == 2


DEADLY = """
import os, sys
from pathlib import Path
import ray
from mien import clusters
from mien.errors import OutputError
from mien.predict import on_ray
class Deadly(on_ray._Looker):
    def __call__(self, table):
        if any(b"bad" in path for path in table["path"].to_pylist()):
            os._exit(9)
        return super().__call__(table)
on_ray._Looker, clusters._AGAIN = Deadly, 1
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False)
out = Path(sys.argv[2])
try:
    on_ray.predict_on_ray([sys.argv[1], "/nowhere/bad.png"], out, {})
except OutputError as error:
    print("told", error, flush=True)
print("files", len(list(out.glob("*.parquet"))), flush=True)
"""


def test_a_picture_that_kills_whoever_looks_at_it_ends_the_work(tmp_path: Path) -> None:
    pytest.importorskip("ray.data", reason="Ray is not installed")
    script = tmp_path / "deadly.py"
    script.write_text(DEADLY, encoding="utf-8")
    found = subprocess.run(
        [sys.executable, script, HOPPER, tmp_path / "rows"], capture_output=True, text=True, timeout=300
    )
    assert "Ray gave up" in found.stdout, found.stderr
    # On a busy machine Ray may give up before the other picture's rows are written: then that one is the first left.
    written = "files 1" in found.stdout
    left = found.stdout.split("the first of them ")[1].split()[0]
    assert left.rstrip(".,;:") == ("/nowhere/bad.png" if written else str(HOPPER)), found.stdout


def test_what_cannot_go_on_is_refused_before_the_work(tmp_path: Path) -> None:
    pytest.importorskip("ray.data", reason="Ray is not installed")
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="holds something"):
        predict_on_ray([str(HOPPER)], full, {})
    other = pa.table({"image": ["a"], "model": ["another"], "model_sha256": ["1"]})
    pq.write_table(other, full / "1.parquet")
    with pytest.raises(DataError, match="is of the model another"):
        predict_on_ray([str(HOPPER)], full, {}, resume=True)
    (full / "1.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match="cannot be read"):
        predict_on_ray([str(HOPPER)], full, {}, resume=True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--out", "rows.csv"), "a folder for many Parquet files"),
        ((), "a folder for many Parquet files"),
        (("--out", "rows", "--draw", "drawn"), "--ray: does not go with --draw"),
        (("--out", "rows", "--json"), "--ray: does not go with --json"),
    ],
)
def test_options_that_do_not_go_with_a_cluster(given: tuple[str, ...], said: str) -> None:
    assert said in mien("predict", HOPPER, "--ray", "local", *given, code=2).stderr
