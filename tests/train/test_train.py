from __future__ import annotations

import dataclasses
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file

from mien.config import parse_config
from mien.data.images import Store, StoreWriter
from mien.demographics import AGE
from mien.errors import ConfigError, DataError, LabelError, RunError, UsageError, WeightsError
from mien.evaluate import evaluate
from mien.mitigation.faces import Faces
from mien.models import MODELS
from mien.models.weights import Classifier, WeightCard, load_body, load_card, save_weights
from mien.prepare import prepare
from mien.runs import Run
from mien.stats.settings import Settings
from mien.train import train
from mien.train.averaging import AveragedWeights
from mien.train.batches import BatchNumbers, FaceBatches, Share, device_for, shuffled
from mien.train.network import seed_generators


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


def same_weights(a: Path, b: Path) -> bool:
    one, two = weights(a), weights(b)
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def test_a_run_learns_and_records_itself(settings: dict[str, Any], tmp_path: Path) -> None:
    lines: list[str] = []
    steps: list[tuple[int, int | None]] = []
    settings["train"]["epochs"] = 8
    run = train(
        parse_config(settings), tmp_path / "run", say=lines.append, progress=lambda done, n: steps.append((done, n))
    )
    record = run.record
    assert record.status == "finished"
    assert record.best["val_accuracy"] > 0.9
    assert record.data["splits"] == {"train": 150, "validation": 45, "test": 45}
    assert record.data["training_classes"] == {"bright": 50, "dark": 50, "split": 50}
    assert record.versions["torch"] == torch.__version__.split("+")[0]
    assert steps[-1] == (40, 40)
    history = run.history
    assert list(history["epoch"]) == list(range(8))
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[0]
    assert sum("epoch" in line for line in lines) == 8
    assert (run.path / "train.log").read_text().count("\n") == len(lines)
    assert list((run.path / "tensorboard").rglob("events.out*"))
    assert set(run.splits["split"]) == {"train", "validation", "test"}


def test_same_seed_same_weights_and_another_seed_others(settings: dict[str, Any], tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        train(parse_config(settings | {"seed": seed}), tmp_path / name)
    assert same_weights(tmp_path / "a", tmp_path / "b")
    assert not same_weights(tmp_path / "a", tmp_path / "c")


def test_drawn_labels_and_plateau_are_repeatable(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["loss"] = {"name": "drawn_label"}
    settings["train"] |= {"schedule": {"name": "plateau", "patience": 0}, "optimizer": {"name": "adamw", "lr": 0.01}}
    for name in ("a", "b"):
        train(parse_config(settings), tmp_path / name)
    assert same_weights(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize(
    "change",
    [
        {"ema": None},
        {"schedule": {"name": "plateau", "patience": 0, "factor": 0.5}, "monitor": "val_loss"},
        {"optimizer": {"name": "adam", "lr": 0.003}, "clip": 1.0},
    ],
)
def test_many_sittings_make_one_run(settings: dict[str, Any], tmp_path: Path, change: dict[str, Any]) -> None:
    settings["train"] |= change
    settings["loss"] = {"name": "drawn_label"}
    whole = train(parse_config(settings), tmp_path / "whole")
    settings["train"]["max_minutes"] = 1e-9
    for sitting in range(4):
        assert (tmp_path / "parts").exists() == (sitting > 0)
        parts = train(parse_config(settings), tmp_path / "parts")
        assert parts.record.status == ("finished" if sitting == 3 else "stopped")
    assert same_weights(parts.path, whole.path)
    columns = ["epoch", "train_loss", "val_loss", "val_accuracy", "lr"]
    np.testing.assert_array_equal(parts.history[columns], whole.history[columns])


def test_a_stop_before_the_first_epoch_ends_keeps_weights(settings: dict[str, Any], tmp_path: Path) -> None:
    def stop(done: int, total: int | None) -> None:
        if done == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(BaseException, match="SIGINT"):
        train(parse_config(settings), tmp_path / "run", progress=stop)
    assert Run.open(tmp_path / "run").record.status == "stopped"
    Classifier.load(tmp_path / "run")
    run = train(parse_config(settings), tmp_path / "run")
    whole = train(parse_config(settings), tmp_path / "whole")
    assert same_weights(run.path, whole.path)


def test_another_configuration_or_a_finished_run_is_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["train"]["epochs"] = 1
    train(parse_config(settings), tmp_path / "run")
    with pytest.raises(UsageError, match="finished"):
        train(parse_config(settings), tmp_path / "run")
    with pytest.raises(RunError, match=r"seed \(0, now 1\)"):
        train(parse_config(settings | {"seed": 1}), tmp_path / "run")
    train(parse_config(settings | {"seed": 1}), tmp_path / "run", force=True)
    assert Run.open(tmp_path / "run").record.seed == 1
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.docx").touch()
    with pytest.raises(UsageError, match="not a run folder"):
        train(parse_config(settings), tmp_path / "other")


def test_other_faces_or_splits_are_refused_on_resuming(
    settings: dict[str, Any], easy_store: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    shutil.copytree(easy_store, store)
    settings["data"]["store"] = str(store)
    settings["train"]["max_minutes"] = 1e-9
    train(parse_config(settings), tmp_path / "run")
    with StoreWriter(store, force=True) as writer:
        opened = Store.open(store)
        frame = opened.table.frame
        moved = frame.assign(split=np.where(frame.index == 0, "test", frame["split"]))
        writer.copy(opened)
        writer.commit(opened.table.derive("move", moved), opened.description)
    with pytest.raises(RunError, match="other faces or splits"):
        train(parse_config(settings), tmp_path / "run")
    shutil.copytree(easy_store.parent, tmp_path / "corpus")
    shutil.copy(tmp_path / "corpus" / "1.png", tmp_path / "corpus" / "0.png")
    prepare(tmp_path / "corpus" / "faces.csv", store, size=24, force=True)
    with pytest.raises(RunError, match="other faces or splits"):
        train(parse_config(settings), tmp_path / "run")


def test_a_finished_run_is_not_done_for_labels_that_came_later(
    settings: dict[str, Any], easy_store: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    shutil.copytree(easy_store, store)
    settings |= {"data": {"store": str(store)}, "split": {"name": "hash", "options": {"validation": 60, "test": 60}}}
    settings["train"]["epochs"] = 1
    run = train(parse_config(settings), tmp_path / "run")
    assert train(parse_config(settings), run.path, finished_ok=True).record.status == "finished"
    with StoreWriter(store, force=True) as writer:
        opened = Store.open(store)
        votes = [f"votes_{c}" for c in opened.table.vocabulary]
        turned = opened.table.frame.assign(**dict(zip(votes, opened.table.votes.T[::-1], strict=True)))
        writer.copy(opened)
        writer.commit(opened.table.derive("turn", turned), opened.description)
    with pytest.raises(RunError, match=r"was trained on other faces or labels.*--force"):
        train(parse_config(settings), run.path, finished_ok=True)
    with pytest.raises(DataError, match=r"holds other faces or labels than the run was trained on.*--on STORE:split"):
        evaluate(run)
    assert len(evaluate(run, f"{store}:test").predictions) == 45  # asked for by name: the corpus's own part
    shutil.rmtree(store)
    assert train(parse_config(settings), run.path, finished_ok=True).record.status == "finished"


def test_a_network_that_could_not_be_read_again_is_not_trained(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["model"]["options"] = {"widths": [8, 16], "depths": [1, 1], "stem": 10_001}
    with pytest.raises(ConfigError, match=r"model.options: add up to 10,?027, expected 10,000 channels"):
        train(parse_config(settings), tmp_path / "run")


def test_a_loss_that_is_no_number_is_told_with_clipping_too(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["train"] |= {"optimizer": {"lr": 1e30}, "clip": 1.0}
    with pytest.raises(RunError, match=r"epoch \d.*nan"):
        train(parse_config(settings), tmp_path / "run")


def test_other_attributes_are_refused_on_resuming(shaded: dict[str, Any], tmp_path: Path) -> None:
    shaded["train"]["max_minutes"] = 1e-9
    run = train(parse_config(shaded), tmp_path / "run")
    begun = run.splits
    train(parse_config(shaded), tmp_path / "run")
    store = shaded["data"]["store"]
    with StoreWriter(Path(store), force=True) as writer:
        opened = Store.open(store)
        frame = opened.table.frame
        turned = frame.assign(shade=frame["shade"].to_numpy()[::-1])
        writer.copy(opened)
        writer.commit(opened.table.derive("turn", turned), opened.description)
    assert Store.open(store).fingerprint == run.record.data["fingerprint"]
    with pytest.raises(RunError, match="other faces or splits"):
        train(parse_config(shaded), tmp_path / "run")
    begun.drop(columns=["shade", "gender"]).to_parquet(
        run.path / "splits.parquet", index=False
    )  # as an older version wrote them
    train(parse_config(shaded), tmp_path / "run")


def test_damaged_pictures_are_found_before_training(settings: dict[str, Any], easy_store: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(easy_store, store)
    content = bytearray((store / "images.u8").read_bytes())
    content[1000] ^= 1
    (store / "images.u8").write_bytes(content)
    settings["data"]["store"] = str(store)
    with pytest.raises(DataError, match=r"images\.u8: is not what was written"):
        train(parse_config(settings), tmp_path / "run")


def test_results_do_not_outlive_their_weights(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["train"]["max_minutes"] = 1e-9
    run = train(parse_config(settings), tmp_path / "run")
    evaluate(run, settings=Settings(n_boot=100))
    assert run.predictions
    train(parse_config(settings), tmp_path / "run")
    assert not run.predictions
    assert not run.record.estimates


def test_force_keeps_the_old_run_until_the_new_one_can_begin(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["train"]["epochs"] = 1
    train(parse_config(settings), tmp_path / "run")
    before = weights(tmp_path / "run")
    with pytest.raises(DataError):
        train(parse_config(settings | {"data": {"store": "nowhere"}}), tmp_path / "run", force=True)
    broken = {"name": "mienet", "options": {"widths": "abc"}}
    with pytest.raises(ConfigError, match=r"model\.options"):
        train(parse_config(settings | {"model": broken}), tmp_path / "run", force=True)
    assert weights(tmp_path / "run").keys() == before.keys()


def _notes(run: Path) -> list[str]:
    """Leave what a user may leave in a run's folder."""
    found = ["notes.txt", "audit/valid/remarks.md", "figures/confusion.png"]
    for name in found:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("mine")
    return found


def test_what_is_the_user_s_in_a_run_s_folder_stays(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["train"] |= {"epochs": 2, "max_minutes": 1e-9}
    run = train(parse_config(settings), tmp_path / "run")
    evaluate(run, settings=Settings(n_boot=100))
    notes = _notes(run.path)
    settings["train"].pop("max_minutes")
    train(parse_config(settings), run.path)  # resumed
    assert [(run.path / name).read_text() for name in notes] == ["mine"] * 3
    assert not run.predictions
    other = settings | {"seed": 1}
    train(parse_config(other), run.path, force=True)
    assert [(run.path / name).read_text() for name in notes] == ["mine"] * 3
    assert run.record.seed == 1
    assert run.record.status == "finished"
    assert len(run.history) == 2
    assert not [p for p in tmp_path.iterdir() if p.name != "run"]
    # Its own first epoch apart, a forced run is one that was never interrupted.
    assert same_weights(run.path, train(parse_config(other), tmp_path / "alone").path)
    assert not run.record.resumed


def test_the_older_run_stays_until_the_new_one_has_an_epoch(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["train"]["epochs"] = 2
    train(parse_config(settings), tmp_path / "run")
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file() and p.name != ".lock"}

    def stop(done: int, of: int | None) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(BaseException, match="SIGINT"):
        train(parse_config(settings | {"seed": 1}), tmp_path / "run", force=True, progress=stop)
    assert {p: p.read_bytes() for p in before} == before
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("left", [[".lock"], [".lock", "train.log"], [".lock", "record.json.partial"]])
def test_a_run_that_was_killed_before_its_record_begins_anew(
    settings: dict[str, Any], tmp_path: Path, left: list[str]
) -> None:
    settings["train"]["epochs"] = 1
    (tmp_path / "run").mkdir()
    for name in left:
        (tmp_path / "run" / name).touch()
    assert train(parse_config(settings), tmp_path / "run").record.status == "finished"
    assert not (tmp_path / "run" / "record.json.partial").exists()


def test_two_processes_never_share_a_folder(settings: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run" / ".lock"), pytest.raises((RunError, UsageError)):
        train(parse_config(settings), tmp_path / "run")
    settings["train"]["max_minutes"] = 1e-9
    train(parse_config(settings), tmp_path / "other")
    with FileLock(tmp_path / "other" / ".lock"), pytest.raises(RunError, match="another process"):
        train(parse_config(settings), tmp_path / "other")


def test_a_broken_checkpoint_is_named(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["train"]["max_minutes"] = 1e-9
    train(parse_config(settings), tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "last.ckpt").write_bytes(b"half a")
    with pytest.raises(RunError, match="--force"):
        train(parse_config(settings), tmp_path / "run")


def test_a_loss_that_is_no_number_ends_the_run_with_advice(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["train"]["optimizer"] = {"lr": 1e30}
    with pytest.raises(RunError, match="Lower train.optimizer.lr"):
        train(parse_config(settings), tmp_path / "run")
    assert Run.open(tmp_path / "run").record.status == "failed"


def test_a_network_of_another_size_gets_its_size(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["model"] = {"name": "ferplus_vgg13", "options": {"size": 32, "width": 4, "hidden": 8}}
    settings["train"]["epochs"] = 1
    run = train(parse_config(settings), tmp_path / "run")
    assert run.record.model["input"] == [1, 32, 32]
    assert Classifier.load(run.path).face_model().probabilities(np.zeros((1, 24, 24, 1), np.uint8)).shape == (1, 3)


def test_early_stopping_and_the_clock_end_a_run(settings: dict[str, Any], tmp_path: Path) -> None:
    frozen = {"optimizer": {"lr": 1e-12}, "ema": None, "early_stopping": 2, "monitor": "val_loss", "epochs": 50}
    settings["train"] |= frozen
    assert len(train(parse_config(settings), tmp_path / "early").history) < 50
    settings["train"] |= {"early_stopping": None, "max_minutes": 1e-6}
    assert len(train(parse_config(settings), tmp_path / "clock").history) == 1


def test_the_weights_kept_are_the_best_ones(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["train"] |= {"epochs": 6, "monitor": "val_loss"}
    run = train(parse_config(settings), tmp_path / "run")
    history = run.history
    assert run.record.best["epoch"] == history["val_loss"].idxmin()
    assert run.record.best["val_loss"] == pytest.approx(history["val_loss"].min())


class _Climbing(torch.nn.Module):
    """One weight that every step raises by 1, one statistic that lags behind it, and a count."""

    statistic: torch.Tensor
    count: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.register_buffer("statistic", torch.zeros(1))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))


def test_averaged_weights_follow_the_formula() -> None:
    module = _Climbing()
    average = AveragedWeights(module, 0.9)
    for _ in range(30):
        module.statistic.copy_(module.weight.detach())
        module.count += 1
        with torch.no_grad():
            module.weight += 1
        average.update()
    expected, statistic = 1.0, 0.0  # after its first step the average is the weights
    for n in range(1, 30):
        decay = min(0.9, (1 + n) / (10 + n))
        expected, statistic = decay * expected + (1 - decay) * (n + 1), decay * statistic + (1 - decay) * n
    found = average.model
    assert isinstance(found, _Climbing)
    assert found.weight.item() == pytest.approx(expected)
    assert found.statistic.item() == pytest.approx(statistic)
    assert found.count.item() == 30
    assert not found.weight.requires_grad


def test_a_step_seeds_what_torch_would_and_queues_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "manual_seed", lambda seed: pytest.fail("keeps a call stack for every device"))
    seed_generators(5, torch.device("cpu"))
    drawn = torch.rand(3)
    assert torch.equal(drawn, torch.rand(3, generator=torch.Generator().manual_seed(5)))


def test_faces_held_on_a_device_are_those_of_the_map() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (9, 4, 4, 1), dtype=np.uint8)
    faces = Faces(
        rows=np.array([7, 0, 3, 3, 8]),
        targets=rng.random((5, 2)).astype(np.float32),
        classes={"expression": ("a", "b")},
        groups=rng.random((5, 3)).astype(np.float32),
        numbers=rng.random((5, 2)).astype(np.float32),
    )
    weights = rng.random(5).astype(np.float32)
    mapped, held = (FaceBatches(images, faces, device) for device in (None, torch.device("cpu")))
    for some in (mapped, held):
        some.weigh(weights)
    assert held.held is not None
    numbers = np.array([4, 1, 1])
    for a, b in zip(mapped[numbers], held[numbers], strict=True):
        assert (a is None and b is None) or torch.equal(a, b)  # there are no copies here
    assert torch.equal(mapped[numbers].images, torch.from_numpy(images[[8, 0, 0]]))
    assert mapped[numbers].rows.tolist() == [4, 1, 1]
    assert mapped[numbers].weights.tolist() == weights[[4, 1, 1]].tolist()


def test_faces_go_to_a_card_that_has_room_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.zeros((1, 10, 10, 1), np.uint8)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_for(images, 1) is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (4000, 9000))
    assert device_for(images, 10) == torch.device("cuda", 0)
    assert device_for(images, 11) is None


def test_the_order_depends_on_seed_and_epoch() -> None:
    order = shuffled(50, 1)
    assert sorted(order(0)) == list(range(50))
    assert list(order(0)) == list(order(0)) != list(order(1))
    assert list(shuffled(50, 2)(0)) != list(order(0))


@pytest.mark.parametrize("world", [1, 2, 5])
def test_processes_share_every_batch_and_no_face_is_seen_twice(world: int) -> None:
    shares = [list(BatchNumbers(shuffled(57, 1), 57, 10, Share(r, world), whole=True)) for r in range(world)]
    assert all(len(own) == 5 and all(len(b) == 10 // world for b in own) for own in shares)
    seen = np.concatenate([b for own in shares for b in own])
    assert len(set(seen.tolist())) == len(seen) == 50
    alone = list(BatchNumbers(shuffled(57, 1), 57, 10, whole=True))
    for step, batch in enumerate(alone):
        assert sorted(batch) == sorted(np.concatenate([own[step] for own in shares]))
    assert sum(len(b) for b in BatchNumbers(shuffled(57, 1), 57, 10)) == 57  # validation leaves none out


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model": {"name": "mienet", "options": {"widht": 3}}}, ConfigError, "widht"),
        ({"model": {"name": "resnet"}}, ConfigError, "unknown model"),
        ({"loss": {"name": "crossentropy"}}, ConfigError, "Did you mean 'cross_entropy'"),
        ({"loss": {"name": "cross_entropy", "options": {"gamma": 2}}}, ConfigError, "gamma"),
        ({"split": {"name": "corpus", "options": {"trian": "x"}}}, ConfigError, "Did you mean 'train'"),
        ({"split": {"name": "random"}}, ConfigError, "unknown split"),
        ({"labels": {"train": "ferplus_majority"}}, LabelError, "no column 'neutral'"),
        ({"labels": {"train": "majorty"}}, ConfigError, "labels.train.name: .*Did you mean 'majority'"),
        ({"mitigation": {"name": "reweighing"}}, ConfigError, "Did you mean 'reweighting'"),
        ({"mitigation": {"name": "reweighting", "options": {"by": ["gendre"]}}}, ConfigError, "Did you mean 'gender'"),
        ({"mitigation": "gradient_reversal"}, ConfigError, "mitigation.options.by: .*needs it"),
        ({"data": {"store": "nowhere"}}, DataError, "is not a store"),
    ],
)
def test_mistakes_are_named(
    settings: dict[str, Any], tmp_path: Path, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        train(parse_config(settings | change), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def _attributes(settings: dict[str, Any]) -> dict[str, Any]:
    settings["labels"] = {"attributes": ["shade", "gender"]}
    settings["augment"] |= {"small_grey": 0.3}
    settings["train"] |= {"monitor": "last"}
    return settings


@pytest.fixture
def shaded(easy_store: Path, settings: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """A configuration whose store has an attribute that can be seen: which of the three patterns a face is."""
    store = Store.open(easy_store)
    shade = np.array(["bright", "dark", "split"], dtype=object)[store.table.votes.argmax(1)]
    frame = store.table.frame.assign(shade=shade)
    frame.loc[3, "gender"] = None
    with StoreWriter(tmp_path / "shaded") as writer:
        writer.append(np.asarray(store.images))
        writer.commit(store.table.derive("shade", frame, attributes=(*store.table.attributes, "shade")), store.info)
    return _attributes(settings | {"data": {"store": str(tmp_path / "shaded")}})


def test_attributes_are_learnt_one_head_each(shaded: dict[str, Any], tmp_path: Path) -> None:
    shaded["train"]["epochs"] = 8
    run = train(parse_config(shaded), tmp_path / "run")
    history, record = run.history, run.record
    assert history["val_accuracy_shade"].iloc[-1] > 0.9
    assert history["val_accuracy_shade_small_grey"].iloc[-1] > 0.9
    assert history["val_accuracy_gender"].iloc[-1] < 0.8  # nothing in the picture tells it
    heads = history[[c for c in history if c.startswith("val_accuracy_")]].iloc[-1]
    assert len(heads) == 4
    assert history["val_accuracy"].iloc[-1] == pytest.approx(heads.mean())
    assert record.best["epoch"] == 7  # the last one, chosen by nothing
    assert record.data["dropped_by_labels"]["train"] == {"an attribute is missing": 1}
    assert record.data["training_classes"]["shade=bright"] == 49
    assert sum(v for k, v in record.data["training_classes"].items() if k.startswith("gender=")) == 149
    card = load_card(run.path)
    assert card.heads == {"shade": ["bright", "dark", "split"], "gender": ["female", "male"]}
    assert card.classes[:2] == ("shade=bright", "shade=dark")


def test_an_attribute_of_hardly_any_weight_is_hardly_learnt(shaded: dict[str, Any], tmp_path: Path) -> None:
    shaded["train"]["epochs"] = 8
    shaded["labels"]["weights"] = {"shade": 1e-4}
    history = train(parse_config(shaded), tmp_path / "run").history
    assert history["val_accuracy_shade"].iloc[-1] < 0.8  # above 0.9 with its usual weight, see above


def test_the_groups_of_a_known_attribute_stand_in_its_own_order(shaded: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "renamed"
    store = Store.open(shaded["data"]["store"])
    frame = store.table.frame.assign(age=np.where(np.arange(len(store.table)) % 2, "10-19", "3-9"))
    with StoreWriter(path) as writer:
        writer.append(np.asarray(store.images))
        writer.commit(store.table.derive("age", frame, attributes=("age",)), store.info)
    shaded |= {"data": {"store": str(path)}, "labels": {"attributes": ["age"]}}
    shaded["train"]["epochs"] = 1
    assert load_card(train(parse_config(shaded), tmp_path / "run").path).heads == {"age": list(AGE.groups)}


def test_weights_of_classes_are_of_one_head(shaded: dict[str, Any], tmp_path: Path) -> None:
    store, path = Store.open(shaded["data"]["store"]), tmp_path / "two"
    frame = store.table.frame.assign(age=np.where(np.arange(len(store.table)) % 2, "10-19", "3-9"))
    with StoreWriter(path) as writer:
        writer.append(np.asarray(store.images))
        writer.commit(store.table.derive("age", frame, attributes=("shade", "age")), store.info)
    shaded |= {"data": {"store": str(path)}, "labels": {"attributes": ["shade", "age"]}}
    shaded["loss"] = {"name": "cross_entropy", "options": {"class_weights": [1.0, 2.0]}}
    with pytest.raises(ConfigError, match=r"class_weights: weights of one head's classes.*expected exponent"):
        train(parse_config(shaded), tmp_path / "run")


def test_a_misspelt_attribute_is_named(shaded: dict[str, Any], tmp_path: Path) -> None:
    shaded["labels"]["attributes"] = ["shad"]
    with pytest.raises(
        ConfigError, match=r"labels.attributes: the store has no attribute 'shad'.*Did you mean 'shade'"
    ):
        train(parse_config(shaded), tmp_path / "run")


def test_nothing_can_watch_a_run_that_keeps_its_last_epoch(settings: dict[str, Any]) -> None:
    settings["train"] |= {"monitor": "last", "early_stopping": 2}
    with pytest.raises(ConfigError, match="early stopping and plateau need a monitor"):
        parse_config(settings)


def test_a_body_starts_from_other_weights(shaded: dict[str, Any], settings: dict[str, Any], tmp_path: Path) -> None:
    shaded["train"]["epochs"] = 2
    source = train(parse_config(shaded), tmp_path / "attributes")
    frozen = settings["train"] | {"epochs": 1, "ema": None, "monitor": "val_loss"}
    frozen["optimizer"] = {"lr": 1e-12}
    model = settings["model"] | {"weights": str(source.path)}
    plain = settings | {"labels": {}, "train": frozen, "data": shaded["data"], "model": model}
    plain["augment"] = {"enabled": False}
    started = train(parse_config(plain), tmp_path / "expressions")
    one, two = weights(source.path), weights(started.path)
    learnt = [k for k in one if not k.startswith("head.") and k.endswith("weight")]
    assert learnt
    for name in learnt:
        torch.testing.assert_close(one[name], two[name])
    assert one["head.1.weight"].shape != two["head.1.weight"].shape
    model["options"] = model["options"] | {"stem": 16}
    with pytest.raises(WeightsError, match=r"stem.0.0.weight is of shape \(8, 1, 3, 3\), expected \(16, 1, 3, 3\)"):
        train(parse_config(plain | {"model": model}), tmp_path / "other")


def test_a_grey_stem_made_of_a_colour_one_gives_the_same_features(tmp_path: Path) -> None:
    options = {"widths": [8, 16], "depths": [1, 1], "stem": 8}
    colour, grey = MODELS.get("mienet")(4, 3, **options).eval(), MODELS.get("mienet")(2, 1, **options).eval()
    save_weights(
        colour,
        WeightCard(
            model="mienet",
            options=options,
            classes=("a", "b", "c", "d"),
            size=24,
            in_channels=3,
            mean=(0.5,) * 3,
            std=(0.25,) * 3,
        ),
        tmp_path,
    )
    assert load_body(grey, tmp_path) == len([k for k in grey.state_dict() if not k.startswith("head.")])
    x = torch.rand(2, 1, 24, 24)
    torch.testing.assert_close(grey.features(x), colour.features(x.repeat(1, 3, 1, 1)), atol=1e-5, rtol=1e-5)
    save_weights(colour, dataclasses.replace(load_card(tmp_path), mean=(0.4, 0.5, 0.6)), tmp_path)
    with pytest.raises(WeightsError, match=r"model.json: the channels have the means \[0.4, 0.5, 0.6\]"):
        load_body(grey, tmp_path)


def test_pictures_are_brought_to_the_configured_size(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["train"]["epochs"] = 1
    settings["model"]["size"] = 40
    run = train(parse_config(settings), tmp_path / "run")
    assert load_card(run.path).size == 40
    assert run.record.model["input"] == [1, 40, 40]
    settings["model"] = {"name": "olate_cnn", "options": {"size": 32}, "size": 40}
    with pytest.raises(ConfigError, match=r"model.size: is 40, but the network is built for 32"):
        train(parse_config(settings), tmp_path / "other")
