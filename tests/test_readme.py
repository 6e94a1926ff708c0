"""The README's first commands do what it says, on the table that is shipped."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from commands import mien
from mien.audit import DISPARITY, Audit
from mien.cli.app import app
from mien.config import ExperimentConfig, parse_config

pytestmark = pytest.mark.usefixtures("undrawn")

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "examples" / "predictions.csv"
QUICK = ["--n-boot", "200", "--n-perm", "999"]


def commands(text: str) -> list[list[str]]:
    """The words of each audit in a page's shell blocks; what a shell would take for names of files is refused."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("mien audit examples/")]
    for line in lines:
        assert "*" not in re.sub(r"""(".*?"|'.*?')""", "", line), f"zsh would refuse the star in: {line}"
    return [shlex.split(line, comments=True) for line in lines]


@pytest.mark.parametrize("page", ["README.md", "examples/README.md"])
def test_the_commands_run_as_they_stand(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = commands((ROOT / page).read_text())
    assert found
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    for words in found:
        code = app([*words[1:], *QUICK], exit_on_error=False, result_action="return_value")
        gated = "--fail-if" in words
        assert code == (3 if gated else 0)
        said = capsys.readouterr().out
        assert said.startswith("# Audit")
        assert len(said.splitlines()) <= 40


def test_no_page_shows_a_bare_star() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for line in page.read_text().splitlines():
            if line.startswith("mien "):
                assert "*" not in re.sub(r"""(".*?"|'.*?')""", "", line.partition("#")[0]), f"{page.name}: {line}"


def settings_in(text: str) -> list[dict[str, Any]]:
    """The configurations that a page shows: YAML blocks, and whole sections or keys (``train.epochs: 3``) in a line."""
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    found = [block for block in blocks if set(block) <= set(ExperimentConfig.model_fields)]
    for path, value in re.findall(rf"`((?:{'|'.join(ExperimentConfig.model_fields)})(?:\.\w+)*): ([^`]+)`", text):
        content = yaml.safe_load(value)
        for key in reversed(path.split(".")):
            content = {key: content}
        if path.startswith("model."):  # a key alone, of a section that must have a name too
            content["model"]["name"] = "mienet"
        found.append(content)
    return found


@pytest.mark.parametrize("page", ["README.md", "docs/training.md", "docs/corpora.md", "docs/perceived.md"])
def test_the_settings_that_pages_show_are_settings(page: str) -> None:
    from mien.train.components import check_components

    found = settings_in((ROOT / page).read_text())
    assert found
    for settings in found:
        check_components(parse_config({"data": {"store": "s"}} | settings, page))


def test_the_first_try_on_drawn_faces_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    text = (ROOT / "docs" / "training.md").read_text()
    shown = r"```sh\n(mien prepare synthetic.*?)```\n\n```yaml\n(# first.yaml.*?)```"
    block, content = re.findall(shown, text, re.DOTALL)[0]
    monkeypatch.chdir(tmp_path)
    Path("first.yaml").write_text(content.replace("epochs: 3", "epochs: 1"))
    for line in block.splitlines():
        words = shlex.split(line.replace("n=1000", "n=600"), comments=True)[1:]
        quick = ["--set", "audit.n_boot=200", "--set", "audit.n_perm=200"] if words[0] == "run" else []
        mien(*words, *quick)
    assert Path("runs/first/report.html").is_file()
    assert Path("runs/first/predictions/valid.parquet").is_file()


def test_the_table_is_small_and_holds_what_its_page_says(tmp_path: Path) -> None:
    assert TABLE.stat().st_size < 150_000
    table = pd.read_csv(TABLE)
    assert len(table) == 500
    votes = table.filter(like="votes_")
    assert (votes.sum(axis=1) == 10).all()
    assert (votes.columns[votes.to_numpy().argmax(1)].str.removeprefix("votes_") == table["label"]).all()
    assert np.allclose(table.filter(like="prob_").sum(axis=1), 1, atol=1e-3)
    app(["audit", str(TABLE), "--by", "gender,age,skin", "--out", str(tmp_path / "a"), *QUICK], exit_on_error=False,
        result_action="return_value")  # fmt: skip
    found = {a.name: a.gap("accuracy") for a in Audit.load(tmp_path / "a").attributes}
    assert (found["skin"].worst, found["skin"].verdict, found["gender"].worst) == ("dark", DISPARITY, "female")
    assert found["age"].verdict != DISPARITY
