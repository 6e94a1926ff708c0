"""Several fits in one run, several optimisers in one step, and what a resumed run must give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from mien.config import parse_config
from mien.data.images import Store, StoreWriter
from mien.data.splits import VALIDATION
from mien.errors import ConfigError, DataError, RunError
from mien.evaluate import evaluate
from mien.mitigation import MITIGATIONS
from mien.mitigation.base import Batch, Mitigation, Stage, Step, Turn
from mien.mitigation.gradient_reversal import GradientReversal
from mien.models.blocks import ExpressionModel
from mien.train import train
from mien.train.network import TrainedNetwork


def same(a: Path, b: Path) -> bool:
    one, two = load_file(a / "model.safetensors"), load_file(b / "model.safetensors")
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


class Errors(Mitigation):
    """Two stages as JTT has them: faces that the first one gets wrong weigh five times as much in the second."""

    begins = "start"

    def __init__(self, faces: Any) -> None:
        super().__init__(faces)
        self.weights = np.ones(len(faces), np.float32)

    def stages(self) -> tuple[Stage, ...]:
        return (Stage(name="errors", epochs=2), Stage(name="again", begins=self.begins))  # type: ignore[arg-type]

    def begin(self, stage: int, logits: Callable[[], NDArray[np.float32]]) -> None:
        if stage == 1:
            wrong = logits().argmax(1) != self.faces.targets.argmax(1)
            self.weights = np.where(wrong, 5, 1).astype(np.float32)
            self.weights /= self.weights.mean()

    def sample_weights(self) -> NDArray[np.float32]:
        return self.weights

    def get_extra_state(self) -> Tensor:
        return torch.from_numpy(self.weights)

    def set_extra_state(self, state: Tensor) -> None:
        self.weights = state.numpy()


class GoesOn(Errors):
    begins = "best"


class Alternating(GradientReversal):
    """The adversary moves three times before the network moves once; each has an optimiser of its own."""

    def stages(self) -> tuple[Stage, ...]:
        adversary = Turn(name="adversary", moves="mitigation", times=3, lr=0.01)
        return (Stage(turns=(adversary, Turn(name="network", moves="model"))),)


class Drawing(Mitigation):
    """Mixes pictures by chance, and orders an epoch with repeats."""

    def order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng([seed, epoch, 1]).integers(0, len(self.faces), 120)

    def mix(self, batch: Batch) -> Batch:
        partner = torch.randperm(len(batch.rows)).to(batch.images.device)
        share = float(torch.rand(()))
        return batch._replace(
            images=share * batch.images + (1 - share) * batch.images[partner],
            targets=share * batch.targets + (1 - share) * batch.targets[partner],
        )


@pytest.fixture(autouse=True)
def methods(monkeypatch: pytest.MonkeyPatch) -> None:
    for entry in (Errors, GoesOn, Alternating, Drawing):
        monkeypatch.setitem(MITIGATIONS._entries, entry.__name__, entry)


def mitigated(settings: dict[str, Any], name: str) -> dict[str, Any]:
    options = {"by": ["gender"], "hidden": 4} if name == "Alternating" else {}
    return settings | {"mitigation": {"name": name, "options": options}}


@pytest.mark.parametrize("name", ["Errors", "GoesOn", "Alternating", "Drawing"])
@pytest.mark.parametrize("ema", [None, 0.9])
def test_many_sittings_make_one_run_through_stages_and_turns(
    settings: dict[str, Any], tmp_path: Path, name: str, ema: float | None
) -> None:
    settings["train"] |= {"ema": ema, "clip": 1.0, "epochs": 3}
    settings = mitigated(settings, name)
    whole = train(parse_config(settings), tmp_path / "whole")
    settings["train"]["max_minutes"] = 1e-9
    epochs = len(whole.history)
    assert epochs == (5 if name in ("Errors", "GoesOn") else 3)
    for sitting in range(epochs):
        parts = train(parse_config(settings), tmp_path / "parts")
        assert parts.record.status == ("finished" if sitting == epochs - 1 else "stopped")
    assert same(parts.path, whole.path)
    columns = ["epoch", "train_loss", "val_loss", "val_accuracy", "lr"]
    np.testing.assert_array_equal(parts.history[columns], whole.history[columns])


def test_the_kept_weights_are_the_best_of_the_last_stage(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["train"] |= {"epochs": 3, "monitor": "val_loss"}
    run = train(parse_config(mitigated(settings, "GoesOn")), tmp_path / "run")
    history = run.history
    assert list(history["stage"]) == [0, 0, 1, 1, 1]
    last = history[history["stage"] == 1]
    assert run.record.best["epoch"] == last["epoch"][last["val_loss"].idxmin()]


def test_a_stage_that_begins_anew_begins_with_the_first_weights(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["train"] |= {"epochs": 1, "ema": None, "monitor": "last", "optimizer": {"lr": 1e-12}}
    settings["augment"] = {"enabled": False}
    anew = train(parse_config(mitigated(settings, "Errors")), tmp_path / "anew")
    # Nothing moves but batch statistics, and those begin anew too: the first stage's first epoch and the second's
    # differ by the order of their faces alone.
    first, second, again = anew.history["val_loss"]
    assert abs(again - first) < abs(second - first) / 4
    # The second stage weighs its faces: five for a wrong one, one for a right one.
    saved = torch.load(anew.path / "checkpoints/last.ckpt", weights_only=True)["network"]
    weights = saved["mitigation._extra_state"]
    assert weights.max() / weights.min() == pytest.approx(5)
    assert weights.mean().item() == pytest.approx(1)


def test_each_turn_moves_its_own_side_alone(settings: dict[str, Any], tmp_path: Path) -> None:
    """With the network's rate at nothing, three steps of the adversary move the adversary and nothing else."""
    seen: list[dict[str, Tensor]] = []
    forward = TrainedNetwork.forward

    def spy(self: TrainedNetwork, batch: Batch, at: Any) -> Any:
        seen.append({k: p.detach().clone() for k, p in self.named_parameters()})
        return forward(self, batch, at)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainedNetwork, "forward", spy)
        settings["train"] |= {"epochs": 1, "ema": None}
        train(parse_config(mitigated(settings, "Alternating")), tmp_path / "run")
    moved = [
        {k.split(".")[0] for k in one if not torch.equal(one[k], two[k])}
        for one, two in zip(seen, seen[1:], strict=False)
    ]
    assert moved[:8] == [{"mitigation"}] * 3 + [{"model"}] + [{"mitigation"}] * 3 + [{"model"}]


def test_only_the_network_is_averaged_and_saved(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["train"]["epochs"] = 1
    plain = train(parse_config(settings), tmp_path / "plain")
    run = train(parse_config(mitigated(settings, "Alternating")), tmp_path / "run")
    names = [set(load_file(r.path / "model.safetensors")) for r in (plain, run)]
    assert names[0] == names[1]


def test_weights_of_nought_teach_nothing(settings: dict[str, Any], tmp_path: Path) -> None:
    """Faces of one class weigh nothing: the network never learns to name it."""

    class Deaf(Mitigation):
        def sample_weights(self) -> NDArray[np.float32]:
            heard = self.faces.targets[:, 0] == 0
            return (heard / heard.mean()).astype(np.float32)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MITIGATIONS._entries, "deaf", Deaf)
        settings["train"] |= {"epochs": 6, "watch": ["gender"], "monitor": "val_loss"}
        run = train(parse_config(settings | {"mitigation": "deaf"}), tmp_path / "run")
    assert run.history["val_worst_class"].iloc[-1] < 0.1
    assert 0.5 < run.history["val_accuracy"].iloc[-1] < 0.75


def test_each_epoch_tells_the_means_over_classes(settings: dict[str, Any], tmp_path: Path) -> None:
    """What validation counts in batches is what an evaluation of the kept epoch finds of the same faces."""
    settings["train"] |= {"epochs": 1, "monitor": "last", "ema": None, "optimizer": {"lr": 0.01}}
    run = train(parse_config(settings), tmp_path / "run")
    found = evaluate(run, f"{settings['data']['store']}:{VALIDATION}").all
    for name in ("accuracy", "balanced_accuracy", "macro_precision", "macro_f1"):
        assert run.history[f"val_{name}"].iloc[-1] == pytest.approx(found[name].value, abs=1e-6), name
    assert run.history["val_accuracy"].iloc[-1] != pytest.approx(run.history["val_macro_f1"].iloc[-1])


def test_a_run_can_be_chosen_by_its_worst_class_or_group(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["train"] |= {"epochs": 4, "watch": ["gender"], "monitor": "val_worst_group"}
    settings["audit"] = {"min_n": 10}
    run = train(parse_config(settings), tmp_path / "group")
    history = run.history
    groups = history[["val_accuracy_gender=female", "val_accuracy_gender=male"]]
    np.testing.assert_allclose(history["val_worst_group"], groups.min(axis=1))
    assert run.record.best["epoch"] == history["val_worst_group"].idxmax()
    settings["train"] |= {"monitor": "val_worst_class", "watch": []}
    run = train(parse_config(settings), tmp_path / "class")
    assert run.record.best["epoch"] == run.history["val_worst_class"].idxmax()
    settings["audit"] = {"min_class_n": 40}
    with pytest.raises(DataError, match=r"train\.monitor: val_worst_class with 15 faces in the largest class.*40 or"):
        train(parse_config(settings), tmp_path / "none")


def test_intersections_are_groups(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["train"] |= {"epochs": 1, "watch": ["gender", "gender*gender"]}
    history = train(parse_config(settings), tmp_path / "run").history
    assert "val_accuracy_gender*gender=female * female" in history
    settings["train"]["watch"] = ["gendre"]
    with pytest.raises(ConfigError, match=r"train.watch: the store has no attribute 'gendre'.*Did you mean 'gender'"):
        train(parse_config(settings), tmp_path / "other")


def test_drawn_labels_are_the_distribution_in_the_mean_and_never_what_has_no_share() -> None:
    network = TrainedNetwork.__new__(TrainedNetwork)
    nn.Module.__init__(network)
    network.heads = (_head("a", slice(0, 3)), _head("b", slice(3, 5)))  # type: ignore[assignment]
    targets = torch.tensor([[0.5, 0.5, 0.0, 0.0, 1.0]]).repeat(20_000, 1)
    torch.manual_seed(0)
    drawn = network._drawn(targets)
    assert torch.equal(drawn[:, :3].sum(1), torch.ones(20_000))
    assert drawn[:, 2].sum() == drawn[:, 3].sum() == 0
    assert drawn[:, 0].mean().item() == pytest.approx(0.5, abs=0.015)  # four deviations
    skewed = network._drawn(torch.tensor([[0.1, 0.2, 0.7, 0.3, 0.7]]).repeat(20_000, 1)).mean(0)
    torch.testing.assert_close(skewed, torch.tensor([0.1, 0.2, 0.7, 0.3, 0.7]), atol=0.015, rtol=0)


def _head(name: str, block: slice) -> Any:
    return type("Head", (), {"name": name, "block": block})()


def test_what_the_mitigation_froze_stays_frozen(settings: dict[str, Any], tmp_path: Path) -> None:
    class LastLayer(Alternating):
        def adapt(self, model: ExpressionModel) -> ExpressionModel:
            super().adapt(model)
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(name.startswith("head."))
            return model

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MITIGATIONS._entries, "Alternating", LastLayer)
        settings["train"] |= {"epochs": 1, "ema": None}
        run = train(parse_config(mitigated(settings, "Alternating")), tmp_path / "run")
    torch.manual_seed(0)
    config = parse_config(settings)
    from mien.train.build import build_model

    begun = dict(build_model(config, 3, 1).named_parameters())
    ended = load_file(run.path / "model.safetensors")
    moved = {k for k, p in begun.items() if not torch.equal(p, ended[k])}
    assert moved
    assert all(k.startswith("head.") for k in moved)


class Told(Errors):
    """Notes what it is told of the first stage, and makes a network when it is made."""

    said: list[float] = []  # noqa: RUF012
    made: list[float] = []  # noqa: RUF012

    def __init__(self, faces: Any) -> None:
        super().__init__(faces)
        self.own = nn.Linear(2, 2)
        self.made.append(float(self.own.weight.detach().sum()))

    def begin(self, stage: int, logits: Callable[[], NDArray[np.float32]]) -> None:
        if stage:
            self.said.append(float((logits().argmax(1) == self.faces.targets.argmax(1)).mean()))


def test_a_stage_that_begins_anew_is_told_of_the_one_before(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MITIGATIONS._entries, "told", Told)
        settings["train"] |= {"epochs": 1, "ema": None}
        Told.said.clear()
        Told.made.clear()
        for name in ("a", "b"):
            torch.rand(7)  # what was drawn before makes no difference
            train(parse_config(settings | {"mitigation": "told"}), tmp_path / name)
    assert Told.said[0] > 0.4  # a network that learnt nothing names one of three classes
    assert Told.made[0] == Told.made[1]


def test_what_a_turn_held_moves_again_in_the_next_stage(settings: dict[str, Any], tmp_path: Path) -> None:
    class Both(Alternating):
        def stages(self) -> tuple[Stage, ...]:
            turns = (Turn(moves="model"), Turn(moves="mitigation"))
            return (Stage(turns=turns, epochs=1), Stage(epochs=2))

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MITIGATIONS._entries, "Alternating", Both)
        settings["train"] |= {"ema": None, "monitor": "last"}
        whole = train(parse_config(mitigated(settings, "Alternating")), tmp_path / "whole")
        assert whole.history["train_loss"].iloc[-1] < whole.history["train_loss"].iloc[0]
        settings["train"]["max_minutes"] = 1e-9
        for _ in range(3):
            parts = train(parse_config(mitigated(settings, "Alternating")), tmp_path / "parts")
    assert parts.record.status == "finished"
    assert same(whole.path, parts.path)


def test_every_epoch_of_a_stage_has_as_many_faces(settings: dict[str, Any], tmp_path: Path) -> None:
    class Shrinking(Mitigation):
        def order(self, seed: int, epoch: int) -> NDArray[np.int64]:
            return np.arange(120 - 30 * epoch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MITIGATIONS._entries, "shrinking", Shrinking)
        with pytest.raises(ValueError, match="the order of epoch 1 has 90 faces, that of the first had 120"):
            train(parse_config(settings | {"mitigation": "shrinking"}), tmp_path / "run")


def _regendered(store: str, folder: Path, groups: list[str | None]) -> str:
    opened = Store.open(store)
    frame = opened.table.frame.assign(gender=[groups[i % len(groups)] for i in range(len(opened.table))])
    with StoreWriter(folder, force=True) as writer:
        writer.append(np.asarray(opened.images))
        writer.commit(opened.table.derive("regender", frame), opened.info)
    return str(folder)


def test_a_run_goes_on_with_the_groups_that_it_began_with(settings: dict[str, Any], tmp_path: Path) -> None:
    original = settings["data"]["store"]
    settings["data"] = {"store": _regendered(original, tmp_path / "store", ["female", "male"])}
    settings["mitigation"] = {"name": "reweighting", "options": {"by": ["gender"]}}
    settings["train"]["max_minutes"] = 1e-9
    train(parse_config(settings), tmp_path / "run")
    train(parse_config(settings), tmp_path / "run")
    _regendered(original, tmp_path / "store", ["male", "male", "female"])
    with pytest.raises(RunError, match="other faces or splits"):
        train(parse_config(settings), tmp_path / "run")


@pytest.mark.parametrize(
    ("groups", "message"),
    [(["female"], "has the groups"), ([None], "no face has a known 'gender'")],
)
def test_groups_that_cannot_be_told_apart_are_refused(
    settings: dict[str, Any], tmp_path: Path, groups: list[str | None], message: str
) -> None:
    settings["data"] = {"store": _regendered(settings["data"]["store"], tmp_path / "store", groups)}
    settings["mitigation"] = {"name": "reweighting", "options": {"by": ["gender"]}}
    with pytest.raises(DataError, match=message):
        train(parse_config(settings), tmp_path / "run")


def test_one_group_among_the_training_faces_is_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    store = Store.open(settings["data"]["store"])
    frame = store.table.frame.assign(gender=np.where(store.table.frame["split"] == "train", "female", "male"))
    with StoreWriter(tmp_path / "store") as writer:
        writer.append(np.asarray(store.images))
        writer.commit(store.table.derive("apart", frame), store.info)
    settings["data"] = {"store": str(tmp_path / "store")}
    settings["mitigation"] = {"name": "reweighting", "options": {"by": ["gender"]}}
    with pytest.raises(DataError, match="all faces of known 'gender' are female"):
        train(parse_config(settings), tmp_path / "run")


def test_the_audit_of_a_finished_run_may_ask_for_larger_groups(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["train"]["epochs"] = 1
    train(parse_config(settings), tmp_path / "run")
    settings["audit"] = {"min_n": 20}
    assert train(parse_config(settings), tmp_path / "run", finished_ok=True).config.audit.min_n == 20
    settings["train"] |= {"monitor": "val_worst_class"}
    train(parse_config(settings), tmp_path / "worst")
    settings["audit"] = {"min_n": 20, "min_class_n": 5}
    with pytest.raises(RunError, match="min_class_n"):
        train(parse_config(settings), tmp_path / "worst", finished_ok=True)


def test_targets_groups_and_weights_reach_a_loss_unrounded(settings: dict[str, Any], tmp_path: Path) -> None:
    """bf16 has three digits: where the network computes in it, what it is told keeps its own."""
    seen: list[Batch] = []

    class Looking(Mitigation):
        def sample_weights(self) -> NDArray[np.float32]:
            return np.linspace(0.5, 1.5, len(self.faces)).astype(np.float32)

        def loss(self, step: Step) -> Tensor:
            seen.append(step.batch)
            return step.mean()

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MITIGATIONS._entries, "looking", Looking)
        settings["train"] |= {"epochs": 1, "precision": "bf16"}
        settings["labels"] = {"train": "distribution"}
        settings["augment"] = {"enabled": False}
        train(parse_config(settings | {"mitigation": "looking"}), tmp_path / "run")
    weights = torch.from_numpy(np.linspace(0.5, 1.5, 150).astype(np.float32))
    for batch in seen:
        assert batch.weights is not None
        assert torch.equal(batch.weights, weights[batch.rows])
        assert batch.targets.dtype == batch.images.dtype == torch.float32
        assert not torch.equal(batch.images, batch.images.bfloat16().float())
