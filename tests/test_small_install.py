"""The small install: verbs that need no PyTorch run where there is none, quickly and in little memory."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mien.prepare import prepare

# Whatever the 'train' extra brings is not there for this process, as on an install without it.
BLOCKED = """
    import sys

    class Block:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in ("torch", "torchvision", "lightning_fabric", "tensorboard", "filelock"):
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Block())
    from mien.cli import main
    """


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 200 predictions and its neighbours, ratings, a store, and a model that is a function."""
    folder = tmp_path_factory.mktemp("small")
    rng = np.random.default_rng(0)
    label, team = rng.choice(["happy", "sad"], 200), rng.choice(["a", "b"], 200)
    pred = np.where(rng.random(200) < 0.8, label, "happy")
    frame = pd.DataFrame({"sample_id": np.arange(200), "label": label, "pred": pred, "team": team})
    for name in ("p.csv", "q.csv", "r.csv"):
        frame.to_csv(folder / name, index=False)
    frame.to_parquet(folder / "p.parquet")
    rows = [(f"f{i}", f"r{j}", rng.choice(["happy", "sad"])) for i in range(30) for j in range(3)]
    pd.DataFrame(rows, columns=["sample_id", "annotator", "label"]).to_csv(folder / "ratings.csv", index=False)
    prepare("synthetic", folder / "store", n=60, size=32)
    (folder / "guess.py").write_text(
        "import numpy as np\n"
        "CLASSES = ('neutral', 'happiness', 'surprise', 'sadness', 'anger', 'disgust', 'fear')\n"
        "def model(images):\n    return np.full((len(images), 7), 1 / 7)\nmodel.classes = CLASSES\n"
    )
    return folder


def run(folder: Path, words: str, code: str = BLOCKED) -> subprocess.CompletedProcess[str]:
    script = textwrap.dedent(code) + f"sys.argv = {['mien', *words.split()]!r}\nmain()\n"
    return subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


COMMANDS = (
    "audit p.csv --by team --n-boot 100 --n-perm 100 --out A",
    "audit p.parquet --by team --n-boot 100 --n-perm 100",
    "compare p.csv q.csv --by team --n-boot 100 --out C",
    "compare p.csv q.csv r.csv --seeds --by team --n-boot 100 --out S",
    "agreement ratings.csv --out G",
    "prepare synthetic --option n=30 --size 32 --out new",
    "report store --out store.html",
    "evaluate guess.py:model --on store --out guessed.csv",
    "list all",
)


def test_the_commands_run_without_torch(folder: Path) -> None:
    """One after the other in one process, which is quicker; what each returned is told at the end."""
    code = (
        BLOCKED
        + f"""
    import json
    codes = {{}}
    for words in {COMMANDS!r}:
        sys.argv = ["mien", *words.split()]
        try:
            main()
        except SystemExit as end:
            codes[words] = end.code
    print(json.dumps(codes), file=sys.stderr)
    """
    )
    done = run(folder, "--version", code)
    assert json.loads(done.stderr.splitlines()[-1]) == dict.fromkeys(COMMANDS, 0), done.stderr[-3000:]


def test_an_onnx_file_is_evaluated_without_torch(folder: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    faces = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 32, 32])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 7])
    weights = helper.make_tensor("w", TensorProto.FLOAT, [1024, 7], np.zeros(7168, dtype=np.float32))
    steps = (("Flatten", ["x"], "f"), ("MatMul", ["f", "w"], "z"), ("Softmax", ["z"], "y"))
    nodes = [helper.make_node(kind, given, [made]) for kind, given, made in steps]
    graph = helper.make_graph(nodes, "m", [faces], [out], [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), folder / "m.onnx")
    classes = "classes=neutral,happiness,surprise,sadness,anger,disgust,fear"
    done = run(folder, f"evaluate m.onnx --on store --out onnx.csv --option {classes}")
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.skipif(importlib.util.find_spec("sqlalchemy") is None, reason="needs the 'label' extra")
def test_labelling_runs_without_torch(folder: Path) -> None:
    done = run(folder, "label --help")
    assert done.returncode == 0, done.stderr[-2000:]
    code = textwrap.dedent(BLOCKED) + "import mien.labelling.app, mien.labelling.server, mien.labelling.exports\n"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("words", ["train c.yaml", "predict a.png --model store"])
def test_what_needs_torch_says_how_to_get_it(folder: Path, words: str) -> None:
    done = run(folder, words)
    assert done.returncode == 1
    assert "pip install 'mien[train]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn", "prometheus_client", "python_multipart"])
def test_serving_names_its_own_extra(missing: str) -> None:
    blocked = textwrap.dedent(BLOCKED).replace('("torch",', f'("{missing}", "torch",')
    code = blocked + "import sys\nsys.argv = ['mien', 'serve', '--port', '0']\nmain()\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "pip install 'mien[serve]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_small_audit_is_light(folder: Path) -> None:
    """Memory of the whole process, and nothing loaded that a table does not need (what takes the time)."""
    code = (
        BLOCKED
        + """
    import atexit, json, re

    def told():
        heavy = [m for m in ("torch", "matplotlib", "sklearn", "scipy.stats", "jinja2", "PIL") if m in sys.modules]
        # Not ru_maxrss, which counts the process that this one was forked from.
        peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024
        print(json.dumps({"heavy": heavy, "megabytes": peak}), file=sys.stderr)

    atexit.register(told)
    """
    )
    if not Path("/proc/self/status").exists():
        pytest.skip("how much memory a process took is read as Linux tells it")
    found = json.loads(run(folder, "audit p.csv --by team", code).stderr.splitlines()[-1])
    assert found["heavy"] == []
    assert found["megabytes"] < 250


def test_models_that_need_a_package_are_listed_with_it(folder: Path) -> None:
    done = run(folder, "list models")
    assert done.returncode == 0
    assert (
        "  mienet                   needs the package 'torch'. Install it with: pip install 'mien[train]'"
        in done.stdout
    )
    done = run(folder, "list models mienet")
    assert (done.returncode, "the package 'torch' is not installed" in done.stderr) == (1, True)
