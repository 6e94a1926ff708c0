"""`mien audit`, `mien compare` and `mien evaluate` on tables and on models that Mien did not train."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mien.audit import Audit
from mien.cli import app
from mien.errors import ConfigError, UsageError
from mien.records import Predictions

pytestmark = pytest.mark.usefixtures("undrawn")

Capture = pytest.CaptureFixture[str]
QUICK = ["--n-boot", "100", "--n-perm", "400"]


def run(*words: object) -> int:
    """The command in this process; its exit code."""
    try:
        app([str(w) for w in words], exit_on_error=False, print_error=False)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def table(seed: int = 0, recall: float = 0.6, n: int = 1200) -> pd.DataFrame:
    """Women are served worse; pictures of theirs are darker, by chance alone."""
    rng = np.random.default_rng(seed)
    faces = np.random.default_rng(9)  # the same faces for every seed
    classes = np.array(["anger", "fear", "joy"])
    label = classes[faces.integers(0, 3, n)]
    gender = faces.choice(["female", "male"], n)
    right = rng.random(n) < np.where(gender == "female", recall, 0.85)
    pred = np.where(right, label, np.roll(classes, 1)[np.searchsorted(classes, label)])
    probs = np.full((n, 3), 0.15)
    probs[np.arange(n), np.searchsorted(classes, pred)] = 0.7
    frame = pd.DataFrame({"sample_id": [f"f{i}" for i in range(n)], "label": label, "gender": gender})
    frame["gender_source"] = "perceived"
    frame["brightness"] = faces.random(n)
    for i, c in enumerate(classes):
        frame[f"prob_{c}"] = probs[:, i]
        frame[f"votes_{c}"] = 8 * (label == c) + 1
    return frame


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "one.csv"
    table().to_csv(path, index=False)
    return path


def test_a_gate_fails_passes_and_cannot_be_decided(faces: Path, tmp_path: Path, capsys: Capture) -> None:
    junit = tmp_path / "deep" / "gates.xml"
    options = ["--by", "gender", *QUICK, "--force", "--junit", junit]
    assert run("audit", faces, *options, "--fail-if", "worst(accuracy, by=gender) < 0.7", "--fail-if", "n() < 10") == 3
    said = capsys.readouterr()
    assert "GATE FAILED: worst(accuracy, by=gender) < 0.7" in said.err
    assert "gate passed: n() < 10" in said.err
    assert said.out.startswith("# Audit")
    assert "## Method" not in said.out
    assert run("audit", faces, *options[:-1], tmp_path / "other.xml", "--full") == 0
    assert "## Method" in capsys.readouterr().out
    suite = ElementTree.parse(junit).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert run("audit", faces, *options, "--fail-if", "worst(accuracy, by=gender) < 0.4") == 0
    few = ["--fail-if", "gap(accuracy, by=gender) > 0.1", "--min-n", "5000"]
    assert run("audit", faces, *options, *few) == 3
    assert "UNDECIDED" in capsys.readouterr().err
    assert run("audit", faces, *options, *few, "--allow-undecided") == 0


def test_slips_are_told_before_the_work(faces: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="character"):
        run("audit", faces, "--by", "gender", "--fail-if", "worst(recall, by=gender < 1")
    with pytest.raises(ConfigError, match="name=value"):
        run("audit", faces, "--by", "gender", "--annotator-error", "errors.csv")
    errors = tmp_path / "e.csv"
    errors.write_text("true,female,male\nfemale,80,20\nmale,10,90\n")
    with pytest.raises(UsageError, match="not audited"):
        run("audit", faces, "--by", "brightness:2", *QUICK, "--annotator-error", f"gender={errors}")
    with pytest.raises(UsageError, match="Did you mean 'brightness'"):
        run("audit", faces, "--by", "gender", *QUICK, "--confounders", "brightnes")


@pytest.mark.drawn
def test_everything_that_a_table_allows(faces: Path, tmp_path: Path) -> None:
    errors = tmp_path / "e.csv"
    errors.write_text("true,female,male\nfemale,80,20\nmale,10,90\n")
    out = tmp_path / "audit"
    words = ["--by", "gender,brightness:3", "--out", out, *QUICK, "--annotator-error", f"gender={errors}"]
    assert run("audit", faces, *words, "--leakage") == 0
    assert {p.name for p in out.iterdir()} == {
        *("audit.html", "audit.json", "audit.md"),
        *("groups.csv", "gaps.csv", "groups.parquet", "gaps.parquet"),
    }
    found = Audit.load(out)
    gender = found.attribute("gender")
    naive = gender.inferred.method("thresholded").gaps[0].value
    corrected = gender.inferred.method("corrected").gaps[0].value
    assert corrected.value > 1.2 * naive.value > 0.2
    assert gender.disagreement.groups[0].agreement.value == pytest.approx(9 / 11)
    assert gender.confounders.confounders[0].columns == ["brightness"]
    assert gender.leakage.probe("probabilities", "linear").n_perm > 0
    assert found.attribute("brightness:3").confounders is None  # it is what the groups are made of
    assert found.attribute("brightness:3").source == "measured"
    page = (out / "audit.html").read_text()
    for heading in ("In short", "What was not tested", "Is it the pictures?", "Can the attribute be read"):
        assert heading in page
    assert len(page) < 3_000_000
    assert Audit.from_dict(json.loads((out / "audit.json").read_text())).verdict in (out / "audit.md").read_text()


def test_two_models_and_three_seeds(faces: Path, tmp_path: Path, capsys: Capture) -> None:
    paths = [faces]
    for seed in (1, 2):
        paths.append(tmp_path / f"run{seed}.csv")
        table(seed, recall=0.8 if seed == 1 else 0.6).to_csv(paths[-1], index=False)
    assert (
        run("compare", *paths[:2], "--by", "gender", "--names", "old,new", "--out", tmp_path / "c", "--n-boot", 200)
        == 0
    )
    said = capsys.readouterr().out
    assert "new against old" in said
    assert "gained" in said
    assert len(said.splitlines()) < 40
    assert "## Method" not in said
    assert run("compare", *paths[:2], "--by", "gender", "--names", "old,new", "--n-boot", 200, "--full") == 0
    assert capsys.readouterr().out.strip() == (tmp_path / "c" / "comparison.md").read_text().strip()
    assert {p.name for p in (tmp_path / "c").iterdir()} == {"comparison.html", "comparison.json", "comparison.md"}
    assert run("compare", *paths, "--seeds", "--by", "gender", "--out", tmp_path / "s", "--n-boot", 200, "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["kind"] == "mien seed audit"
    assert len(content["attributes"][0]["gaps"][0]["gaps"]) == 3
    assert (tmp_path / "s" / "seeds.html").is_file()
    with pytest.raises(UsageError, match="two or more"):
        run("compare", faces)
    with pytest.raises(UsageError, match="one for each"):
        run("compare", *paths, "--names", "a,b")


def test_a_function_on_the_faces_of_a_store(easy_store: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "tool.py").write_text(
        "import numpy as np\n"
        "classes = ('bright', 'dark')\n"
        "def model(images):\n"
        "    bright = images.reshape(len(images), -1).mean(1) / 255\n"
        "    return np.stack([bright, 1 - bright], 1)\n"
        "model.classes = classes\n"
    )
    out = tmp_path / "tool.parquet"
    words = [
        "evaluate",
        f"{tmp_path / 'tool.py'}:model",
        "--on",
        f"{easy_store}:test",
        "--option",
        "classes=[bright, dark]",
    ]
    assert run(*words, "--out", out) == 0
    assert "audit it with" in capsys.readouterr().out
    pred = Predictions.load(out)
    assert set(pred.classes) == {"bright", "dark"}
    assert {"gender", "brightness", "contrast", "sharpness"} <= set(pred.groups)
    assert pred.notes
    with pytest.raises(UsageError, match="are needed"):
        run(*words)
    with pytest.raises(UsageError, match=r"\.csv or \.parquet"):
        run(*words, "--out", tmp_path / "tool.txt")


def test_a_further_metric_is_asked_for_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    table = Path(__file__).resolve().parent.parent / "examples" / "predictions.csv"
    quick = ["--by", "gender", "--n-boot", "100", "--n-perm", "100", "--json"]
    app(["audit", str(table), *quick, "--metric", "macro_precision,nll"], result_action="return_value")
    gaps = json.loads(capsys.readouterr().out)["attributes"][0]["gaps"]
    assert {"macro_precision", "nll"} <= {gap["metric"] for gap in gaps}
