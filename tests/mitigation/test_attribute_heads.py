"""Heads that learn groups: their loss by hand, when they fall silent, and whose heads are taught."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mien.config import parse_config
from mien.data.images import Store, StoreWriter
from mien.errors import ConfigError
from mien.mitigation import group_loss
from mien.mitigation.attribute_heads import AttributeHeads
from mien.mitigation.base import Batch, Step
from mien.mitigation.faces import Faces
from mien.mitigation.group_loss import group_cross_entropy
from mien.models import MODELS
from mien.models.blocks import ExpressionModel
from mien.models.conditioned import ATTRIBUTE, ConditionedModel
from mien.models.weights import load_card
from mien.train import train
from mien.train.build import Built, build, make_fabric
from mien.train.targets import load_training_data

GROUPS = np.array([[1, 0, 0, 0, 1], [0, 1, 0, 1, 0], [0, 0, 1, 0, 0], [0.25, 0.75, 0, 0, 0]], np.float32)
FACES = Faces(
    rows=np.arange(4),
    targets=np.eye(2, dtype=np.float32)[[0, 1, 0, 1]],
    classes={"expression": ("a", "b")},
    groups=GROUPS,
    attributes={"gender": ("f", "m"), "age": ("child", "adult", "old")},
)
TINY = {"name": "mienet", "options": {"widths": [4, 8], "depths": [1, 1], "stem": 4}}


def adapted(model: ExpressionModel | None = None, **options: Any) -> AttributeHeads:
    torch.manual_seed(0)
    found = AttributeHeads(FACES, **{"by": ("gender", "age"), **options})
    found.adapt(MODELS.get("mienet")(2, 1, **MODELS.tiny("mienet")) if model is None else model)
    return found


def built_from(settings: dict[str, Any]) -> Built:
    """What ``mien train`` makes before the first step."""
    config = parse_config(settings)
    return build(config, load_training_data(config), make_fabric(config), terms="")


def with_columns(settings: dict[str, Any], folder: Path, **columns: list[Any]) -> None:
    """Let a run learn from its store with further attributes, whose values go round."""
    store = Store.open(settings["data"]["store"])
    frame = store.table.frame.copy()
    for name, values in columns.items():
        frame[name] = [values[i % len(values)] for i in range(len(frame))]
    attributes = [*store.table.attributes, *columns]
    with StoreWriter(folder) as writer:
        writer.copy(store)
        writer.commit(store.table.derive("more", frame, attributes=attributes), store.info)
    settings["data"] = {"store": str(folder)}


def step(features: torch.Tensor, at: int = 0, extra: dict[str, torch.Tensor] | None = None) -> Step:
    n = len(features)
    groups = torch.from_numpy(GROUPS[:n])
    batch = Batch(torch.zeros(n, 1, 8, 8), torch.eye(2)[torch.zeros(n, dtype=torch.long)], groups, torch.arange(n))
    return Step(
        batch=batch, logits=torch.zeros(n, 2), features=features, extra=extra or {}, losses=torch.full((n,), 2.0),
        epoch=0, step=at, n_steps=40,
    )  # fmt: skip


def test_the_loss_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)], [5.0, -7.0]])
    groups = torch.tensor([[1.0, 0.0], [0.25, 0.75], [0.0, 0.0]])
    # q = (1/4, 3/4): -ln(1/4) for the first face, -(1/4 ln(1/4) + 3/4 ln(3/4)) for the second, none for the third.
    by_hand = (math.log(4) + 0.25 * math.log(4) + 0.75 * math.log(4 / 3)) / 2
    assert group_cross_entropy(logits, groups).item() == pytest.approx(by_hand)
    assert group_cross_entropy(logits[2:], groups[2:]).item() == 0


def test_a_face_mixed_with_one_of_unknown_group_counts_by_its_share() -> None:
    """Half of the faces have no group; even heads are ln 2 off for every known face, however faces are mixed."""
    groups = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    mixed = 0.7 * groups + 0.3 * groups[[2, 3, 0, 1]]
    assert group_cross_entropy(torch.zeros(4, 2), mixed).item() == pytest.approx(math.log(2))
    logits = torch.tensor([[0.0, math.log(3)]] * 4)  # -ln(1/4) and -ln(3/4), as much of the one as of the other
    assert group_cross_entropy(logits, mixed).item() == pytest.approx((math.log(4) + math.log(4 / 3)) / 2)
    assert group_cross_entropy(logits, groups).item() == pytest.approx((math.log(4) + math.log(4 / 3)) / 2)


def test_heads_add_their_cross_entropies_times_the_weight() -> None:
    mitigation = adapted(weight=0.5)
    for parameter in mitigation.parameters():
        torch.nn.init.zeros_(parameter)
    features = torch.randn(4, mitigation.heads[0].in_features)  # type: ignore[arg-type]
    # All-zero heads are even: ln 2 over the faces of known gender, ln 3 over those of known age.
    assert mitigation.loss(step(features)).item() == pytest.approx(2 + 0.5 * (math.log(2) + math.log(3)))


def test_a_face_of_unknown_group_moves_no_head_of_it() -> None:
    mitigation = adapted(by=("age",))
    features = torch.randn(4, mitigation.heads[0].in_features, requires_grad=True)  # type: ignore[arg-type]
    mitigation.loss(step(features)).backward()
    assert features.grad is not None
    moved = features.grad.abs().sum(1) > 0
    assert moved.tolist() == [True, True, True, False]  # the fourth face's age is not known


@pytest.mark.parametrize(("share", "last"), [(0.25, 9), (0.5, 19), (0.7, 27), (1.0, 39)])
def test_heads_are_silent_after_their_share_of_the_epochs(share: float, last: int) -> None:
    mitigation = adapted(epochs_share=share)
    features = torch.randn(4, mitigation.heads[0].in_features)  # type: ignore[arg-type]
    losses = [mitigation.loss(step(features, at)).item() for at in range(40)]
    assert [loss > 2 for loss in losses] == [True] * (last + 1) + [False] * (39 - last)
    assert set(losses[last + 1 :]) <= {2.0}


def test_silent_heads_do_not_move() -> None:
    mitigation = adapted(epochs_share=0.5)
    optimizer = torch.optim.AdamW(mitigation.parameters(), lr=0.1, weight_decay=0.1)
    features = torch.randn(4, mitigation.heads[0].in_features)  # type: ignore[arg-type]

    def moved(at: int) -> bool:
        before = [p.detach().clone() for p in mitigation.parameters()]
        optimizer.zero_grad(set_to_none=True)
        loss = mitigation.loss(step(features.clone().requires_grad_(), at))
        if loss.requires_grad:
            loss.backward()
        optimizer.step()
        return not all(torch.equal(a, b) for a, b in zip(before, mitigation.parameters(), strict=True))

    assert [moved(at) for at in (0, 19, 20, 39)] == [True, True, False, False]


def test_hidden_units_and_a_rate_of_their_own() -> None:
    mitigation = adapted(hidden=4, lr=0.25)
    d = mitigation.heads[0][0].in_features  # type: ignore[index]
    assert sum(p.numel() for p in mitigation.parameters()) == 2 * (4 * d + 4) + (4 * 2 + 2) + (4 * 3 + 3)
    assert [group["lr"] for group in mitigation.parameter_groups()] == [0.25]


def test_the_mean_is_that_of_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, groups = torch.randn(4, 2), torch.from_numpy(GROUPS[:, :2])
    whole = group_cross_entropy(logits, groups)  # three faces of known gender
    monkeypatch.setattr(group_loss, "mean_over_processes", lambda n: torch.tensor(3 / 2))
    # Shares of two known faces and of one, whose losses, and gradients, are averaged.
    shares = [group_cross_entropy(logits[part], groups[part]) for part in (slice(2), slice(2, 4))]
    torch.testing.assert_close(sum(shares) / 2, whole)


def test_a_network_s_own_heads_are_taught() -> None:
    model = ConditionedModel(2, 1, trunk=TINY, attributes={"gender": 2})
    mitigation = adapted(model)
    assert (mitigation.made, len(mitigation.heads)) == (("age",), 1)
    assert mitigation.heads[0].in_features == model.feature_dim
    outputs = model.forward_train(torch.rand(4, 1, 16, 16))
    told = step(outputs.features, extra=outputs.extra)
    assert mitigation.logits(told)["gender"] is outputs.extra[ATTRIBUTE + "gender"]
    mitigation.loss(told).backward()
    assert model.attribute_head.weight.grad is not None
    assert model.attribute_head.weight.grad.abs().sum() > 0
    only = adapted(model, by=("gender",))
    assert only.parameter_groups() == []


def test_counts_of_groups_must_agree() -> None:
    model = ConditionedModel(2, 1, trunk=TINY, attributes={"gender": 2, "age": 4})
    wanted = r"tells 4 groups of 'age', and the training faces have child, adult, old, expected model\.options\.attrib"
    with pytest.raises(ConfigError, match=wanted):
        adapted(model)


def test_a_run_learns_both(settings: dict[str, Any], tmp_path: Path) -> None:
    """From a configuration: expression and attributes, whose groups stand on the card in their order."""
    settings["model"] = {"name": "conditioned", "options": {"trunk": TINY, "attributes": {"gender": 2}}}
    settings["mitigation"] = {"name": "attribute_heads", "options": {"by": ["gender"]}}
    run = train(parse_config(settings), tmp_path / "run")
    assert run.record.status == "finished"
    card = load_card(run.path)
    assert card.data["attributes"] == {"gender": ["female", "male"]}
    assert card.data["mitigation"] == {"name": "attribute_heads", "groups": {"gender": "annotated"}}
    assert "nothing teaches" not in (run.path / "train.log").read_text()


@pytest.mark.parametrize(
    ("mitigation", "freeze", "every"),
    [
        ({"name": "none"}, [], None),
        ({"name": "reweighting", "options": {"by": ["gender"]}}, [], None),
        ({"name": "gradient_reversal", "options": {"by": ["gender"]}}, [], None),
        ({"name": "attribute_heads", "options": {"by": ["gender"], "weight": 0}}, [], None),
        ({"name": "attribute_heads", "options": {"by": ["gender"]}}, ["attributes"], None),
        # They move from the third epoch on, and are silent from the second.
        ({"name": "attribute_heads", "options": {"by": ["gender"], "epochs_share": 0.3}}, ["attributes"], 2),
    ],
)
def test_a_card_claims_no_attribute_that_nothing_taught(
    settings: dict[str, Any], tmp_path: Path, mitigation: dict[str, Any], freeze: list[str], every: int | None
) -> None:
    options = {"trunk": TINY, "attributes": {"gender": 2}}
    settings["model"] = {"name": "conditioned", "options": options, "freeze": freeze, "unfreeze_every": every}
    settings["mitigation"] = mitigation
    built = built_from(settings)
    assert "attributes" not in built.card.data
    assert any("nothing teaches the network what gender is" in note for note in built.notes)


def test_heads_that_begin_to_move_in_time_are_taught(settings: dict[str, Any]) -> None:
    options = {"trunk": TINY, "attributes": {"gender": 2}}
    settings["model"] = {"name": "conditioned", "options": options, "freeze": ["attributes"], "unfreeze_every": 2}
    settings["mitigation"] = {"name": "attribute_heads", "options": {"by": ["gender"], "epochs_share": 0.7}}
    built = built_from(settings)
    assert built.card.data["attributes"] == {"gender": ["female", "male"]}
    assert not [note for note in built.notes if "nothing teaches" in note]


def test_attributes_that_nothing_teaches_are_told(settings: dict[str, Any], tmp_path: Path) -> None:
    options = {"trunk": TINY, "attributes": {"skin": 2, "gender": 2}}
    with_columns(settings, tmp_path / "store", skin=["dark", "light"])
    settings["model"] = {"name": "conditioned", "options": options}
    settings["mitigation"] = {"name": "attribute_heads", "options": {"by": ["gender"]}}
    settings["train"] |= {"epochs": 1}
    run = train(parse_config(settings), tmp_path / "run")
    assert "nothing teaches the network what skin is" in (run.path / "train.log").read_text()
    assert load_card(run.path).data["attributes"] == {"gender": ["female", "male"]}


@pytest.mark.parametrize("mitigation", ["none", "reweighting", "attribute_heads"])
def test_attributes_that_the_store_has_otherwise_are_refused(settings: dict[str, Any], mitigation: str) -> None:
    by = {} if mitigation == "none" else {"options": {"by": ["gender"]}}
    settings["mitigation"] = {"name": mitigation, **by}
    for attributes, message in (
        ({"gender": 5}, r"model\.options\.attributes\.gender: 5, expected 2, for the store has female, male"),
        ({"gendre": 2}, r"model\.options\.attributes: the store has no attribute 'gendre'\. Did you mean 'gender'"),
    ):
        settings["model"] = {"name": "conditioned", "options": {"trunk": TINY, "attributes": attributes}}
        with pytest.raises(ConfigError, match=message):
            load_training_data(parse_config(settings))


@pytest.mark.parametrize(("by", "attribute"), [("gender * skin", "gender*skin"), ("gender*skin", "gender * skin")])
def test_blanks_around_the_stars_make_no_other_attribute(
    settings: dict[str, Any], tmp_path: Path, by: str, attribute: str
) -> None:
    with_columns(settings, tmp_path / "store", skin=["dark", "dark", "light", "light"])
    settings["model"] = {"name": "conditioned", "options": {"trunk": TINY, "attributes": {attribute: 4}}}
    settings["mitigation"] = {"name": "attribute_heads", "options": {"by": [by]}}
    built = built_from(settings)
    assert isinstance(built.mitigation, AttributeHeads)
    assert built.mitigation.made == ()
    assert list(built.card.data["attributes"]) == ["gender*skin"]
    assert not built.notes


@pytest.mark.parametrize(
    ("model", "share", "looks"),
    [("mienet", 1.0, False), ("mienet", 0.5, True), ("conditioned", 1.0, False), ("conditioned", None, True)],
)
def test_processes_look_for_heads_without_gradient_where_there_may_be_some(
    monkeypatch: pytest.MonkeyPatch, model: str, share: float | None, looks: bool
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    heads = {"name": "attribute_heads", "options": {"by": ["gender"], "epochs_share": share}}
    options = {"trunk": TINY, "attributes": {"gender": 2}} if model == "conditioned" else {}
    content = {"data": {"store": "s"}, "model": {"name": model, "options": options}}
    fabric = make_fabric(parse_config(content if share is None else content | {"mitigation": heads}))
    strategy: Any = fabric.strategy
    assert strategy._ddp_kwargs == {"find_unused_parameters": looks}
