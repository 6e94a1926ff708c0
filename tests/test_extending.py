"""The files that the architecture page shows to begin from are what the contracts want, and run as they stand."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from commands import mien
from mien.losses import LOSSES
from mien.losses.bound import RowLoss
from mien.models import MODELS

HERE = Path(__file__).resolve().parent
PAGE = (HERE.parent / "docs" / "architecture.md").read_text()
MODEL, LOSS = "three_convolutions", "generalised_cross_entropy"


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"shown_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The page's files, written and imported; what they register is forgotten after the test."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for registry in (MODELS, LOSSES):
        registry.names()  # all that is in the catalogue is registered before
        for kept in ("_entries", "_tiny"):
            # Without them, for who begins with the page's own files has them in the catalogue too.
            others = {n: v for n, v in getattr(registry, kept).items() if n not in (MODEL, LOSS)}
            monkeypatch.setattr(registry, kept, others)
    monkeypatch.setattr(LOSSES, "_elsewhere", set(LOSSES._elsewhere))
    files = {}
    for place, code in re.findall(r"```python\n(?=# src/mien/(\w+/\w+)\.py\n)(.*?)```", PAGE, re.DOTALL):
        files[place] = tmp_path / f"{Path(place).name}.py"
        files[place].write_text(code)
        loaded(files[place])
    return files


def test_the_page_shows_a_model_and_a_loss(shown: dict[str, Path]) -> None:
    assert set(shown) == {f"models/{MODEL}", f"losses/{LOSS}"}
    model = MODELS.get(MODEL)(3, 1, **MODELS.tiny(MODEL))
    assert model.feature_dim == 4 * MODELS.tiny(MODEL)["width"]
    assert model(torch.zeros(2, 1, 32, 32)).shape == (2, 3)
    # One face surely right, one of two classes: nothing, and (1 - 0.5^0.5) / 0.5.
    loss = RowLoss(LOSS, {"power": 0.5}, num_classes=2, feature_dim=1)
    values = loss(torch.tensor([[50.0, -50.0], [0.0, 0.0]]), torch.eye(2), {})
    torch.testing.assert_close(values, torch.tensor([0.0, (1 - 0.5**0.5) / 0.5]))


def test_they_keep_the_contracts(shown: dict[str, Path], tmp_path: Path) -> None:
    contracts = HERE / "contracts"
    models, losses, all_ = (loaded(contracts / f"test_{n}.py") for n in ("models", "losses", "registries"))
    models.test_shapes_and_gradients(MODEL, 1)
    models.test_shapes_and_gradients(MODEL, 3)
    models.test_evaluation_ignores_the_rest_of_the_batch(MODEL)
    models.test_parts_are_of_the_body_and_freeze(MODEL)
    models.test_seed_decides_the_weights(MODEL)
    models.test_weights_come_back(MODEL, tmp_path)
    losses.test_one_value_a_face_whatever_faces_stand_beside_it(LOSS)
    losses.test_finite_at_extremes(LOSS)
    losses.test_gradient(LOSS)
    losses.test_says_its_source_and_what_its_options_do(LOSS)
    losses.test_what_is_said_to_be_least_elsewhere_is(LOSS)
    for kind, name in (("models", MODEL), ("losses", LOSS)):
        all_.test_unknown_options_and_those_of_the_caller_are_refused(kind, name)
        all_.test_defaults_are_values_that_may_be_given(kind, name)
        all_.test_every_option_says_what_it_may_be(kind, name)
        all_.test_every_number_has_bounds(kind, name)


def test_a_loss_of_one_s_own_need_not_name_a_paper(shown: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    losses = loaded(HERE / "contracts" / "test_losses.py")
    doc = LOSSES.get(LOSS).__doc__ or ""
    monkeypatch.setattr(LOSSES.get(LOSS), "__doc__", re.sub(r"\(source: .*?\)\.", "\n\n    Source: own.", doc))
    losses.test_says_its_source_and_what_its_options_do(LOSS)
    monkeypatch.setattr(LOSSES.get(LOSS), "__doc__", re.sub(r"\(source: .*?\)\.", "", doc))
    with pytest.raises(AssertionError, match=r"or 'Source: own\.'"):
        losses.test_says_its_source_and_what_its_options_do(LOSS)


def test_the_commands_to_try_them_run(
    shown: dict[str, Path], undrawn: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = PAGE[PAGE.index("### To try it") :]
    block, content = re.findall(r"```sh\n(.*?)```\n\n```yaml\n(# mine.yaml.*?)```", section, re.DOTALL)[0]
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(content.replace("epochs: 3", "epochs: 1"))
    lines = [shlex.split(line, comments=True) for line in block.splitlines()]
    assert [words[0] for words in lines] == ["mien", "pytest", "mien", "mien"]
    assert "mien prepare synthetic --out stores/drawn --option n=600" in block
    assert "mien prepare synthetic --out stores/drawn --option n=600" in (HERE.parent / "README.md").read_text()
    for words in (words for words in lines if words[0] == "mien"):
        quick = ["--set", "audit.n_boot=200", "--set", "audit.n_perm=200"] if words[1] == "run" else []
        mien(*words[1:], *quick)
    assert Path("runs/mine/report.html").is_file()
