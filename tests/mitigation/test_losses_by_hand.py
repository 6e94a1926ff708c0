"""What a network minimises, by hand: with two attributes at once, unknown groups and weights of faces."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mien.errors import ConfigError
from mien.mitigation.base import Batch, Step
from mien.mitigation.cvar import Cvar
from mien.mitigation.disentangled import Disentangled
from mien.mitigation.faces import Faces
from mien.mitigation.feature_alignment import FeatureAlignment
from mien.mitigation.group_dro import GroupDro
from mien.mitigation.group_mixup import GroupMixup
from mien.mitigation.rate_gap import RateGap
from mien.mitigation.resampling import Resampling

BOTH = ("gender", "age")


def faces(labels: list[int], gender: list[int | None], age: list[int | None] | None = None) -> Faces:
    """Of two attributes with two groups each; None is not known."""
    told = [gender, gender if age is None else age]
    groups = np.zeros((len(labels), 4), dtype=np.float32)
    for i, codes in enumerate(told):
        for row, code in enumerate(codes):
            if code is not None:
                groups[row, 2 * i + code] = 1
    return Faces(
        rows=np.arange(len(labels)),
        targets=np.eye(max(labels) + 1, dtype=np.float32)[labels],
        classes={"expression": tuple("abc"[: max(labels) + 1])},
        groups=groups,
        attributes={"gender": ("f", "m"), "age": ("old", "young")},
    )


def step(told: Faces, *, losses: Any = 0.5, probabilities: Any = None, features: Any = None) -> Step:
    n = len(told)
    logits = torch.zeros(told.targets.shape)
    if probabilities is not None:  # of a scale that only a softmax over classes undoes
        logits = torch.as_tensor(probabilities, dtype=torch.float32).log() + torch.arange(float(n))[:, None]
    return Step(
        batch=Batch(torch.zeros(n, 1, 2, 2), torch.from_numpy(told.targets), torch.from_numpy(told.groups),
                    torch.arange(n)),
        logits=logits,
        features=torch.as_tensor(np.zeros((n, 2)) if features is None else features, dtype=torch.float32),
        extra={},
        losses=torch.as_tensor(np.broadcast_to(losses, n).copy(), dtype=torch.float32),
        epoch=0,
        step=0,
        n_steps=10,
    )  # fmt: skip


def test_the_gaps_of_two_attributes_are_added_to_the_loss() -> None:
    told = faces([0, 0, 0, 0, 1], [0, 0, 1, 1, None], [0, 1, 0, 1, None])
    p = [[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [0.4, 0.6], [0.5, 0.5]]
    # Women .8, men .5; old .75, young .55: gaps of .3 and .2.
    assert RateGap(told, by=BOTH, weight=2.0).loss(step(told, probabilities=p)).item() == pytest.approx(0.5 + 2 * 0.5)
    assert RateGap(told, by=("age",)).loss(step(told, probabilities=p)).item() == pytest.approx(0.5 + 0.2)


def test_odds_are_the_mean_of_recalls_and_false_alarms() -> None:
    told = faces([0, 1, 0, 1, 2], [0, 0, 1, 1, None])
    p = torch.tensor([[0.8, 0.2, 0.0], [0.1, 0.6, 0.3], [0.6, 0.1, 0.3], [0.3, 0.5, 0.2], [0.2, 0.2, 0.6]])
    groups = torch.from_numpy(told.groups[:, :2])
    targets = torch.from_numpy(told.targets)
    # Recall of a .8 and .6, of b .6 and .5. False alarms of a .1 and .3, of b .2 and .1, of c .15 and .25.
    recall = RateGap(told, by=("gender",)).penalty(p, targets, groups).item()
    odds = RateGap(told, by=("gender",), rates="odds").penalty(p, targets, groups).item()
    assert recall == pytest.approx((0.2 + 0.1) / 2)
    assert odds == pytest.approx((0.15 + (0.2 + 0.1 + 0.1) / 3) / 2)


def test_distances_are_added_to_the_loss_of_features_of_one_scale() -> None:
    told = faces([0] * 4, [0, 0, 1, 1], [0, 1, 0, 1])
    x = np.array([[1.0, 0.0], [1, 0], [-1, 0], [-1, 0]])
    for factor in (1.0, 100.0):  # the network cannot shrink out of it: means are 2 apart, their mean square is 1/2
        of = FeatureAlignment(told, by=BOTH, distance="mean", weight=0.1)
        assert of.loss(step(told, features=factor * x)).item() == pytest.approx(0.5 + 0.1 * 4 / 0.5)
    plain = FeatureAlignment(told, by=("gender",), distance="mean", weight=0.1, scaled=False)
    assert plain.loss(step(told, features=x)).item() == pytest.approx(0.5 + 0.1 * 4)
    assert FeatureAlignment(told, by=("age",), distance="mean").loss(step(told, features=x)).item() == 0.5


def test_faces_of_unknown_group_are_no_part_of_a_dependence() -> None:
    rng = np.random.default_rng(0)
    gender: list[int | None] = [0, 1] * 6
    x = rng.normal(size=(12, 2)) + np.tile([[1.0, 0], [-1, 0]], (6, 1))
    few, more = faces([0] * 12, gender), faces([0] * 14, [*gender, None, None])
    far = np.concatenate([x, [[40.0, -40], [30, 9]]])
    for distance in ("dependence", "rbf", "covariance", "mean"):
        options: dict[str, Any] = {"bandwidth": 2.0} if distance == "rbf" else {}
        method = FeatureAlignment(few, by=("gender",), distance=distance, scaled=False, **options)  # type: ignore[arg-type]
        one, other = (
            method.penalty(
                torch.as_tensor(v, dtype=torch.float32), torch.from_numpy(t.targets), torch.from_numpy(t.groups[:, :2])
            ).item()
            for v, t in ((x, few), (far, more))
        )
        assert one > 0.05
        assert other == pytest.approx(one, rel=1e-4), distance


def test_a_bandwidth_is_of_one_distance() -> None:
    told = faces([0, 0], [0, 1])
    FeatureAlignment(told, by=("gender",), bandwidth=2.0)
    with pytest.raises(ConfigError, match="bandwidth: is given for the distance 'mean'"):
        FeatureAlignment(told, by=("gender",), distance="mean", bandwidth=2.0)


def test_disentangled_parts_are_told_apart() -> None:
    """The first of three features is the attribute's; the network confuses the adversary and learns the attribute."""
    told = faces([0, 0], [0, 1])
    method = Disentangled(told, by=("gender",), weight=0.5, attribute_weight=2.0)
    branch, adversary = nn.Linear(1, 2), nn.Linear(2, 2)
    for layer in (branch, adversary):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    method.own = 1
    method.branches.append(branch)
    method.adversaries.append(adversary)
    features = np.array([[0.0, math.log(3), 0.0], [math.log(4), 0.0, 0.0]])
    asked = step(told, features=features)
    ln2 = math.log(2)
    assert method.loss(asked).item() == pytest.approx(0.5 + 0.5 * ln2 + 2 * ln2)
    # The head of the attribute reads the first feature alone: (.5, .5) for the woman, (.2, .8) for the man.
    branch.weight.data[:] = torch.tensor([[0.0], [1.0]])
    right = (ln2 - math.log(0.8)) / 2
    assert method.loss(asked).item() == pytest.approx(0.5 + 0.5 * ln2 + 2 * right)
    # The adversary reads the others: (.75, .25) for the woman, (.5, .5) for the man.
    adversary.weight.data[:] = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    sure = (-(math.log(0.75) + math.log(0.25)) / 2 + ln2) / 2  # how far it is from saying both alike
    assert method.loss(asked).item() == pytest.approx(0.5 + 0.5 * sure + 2 * right, rel=1e-5)
    assert method.adversarial(asked).item() == pytest.approx((-math.log(0.75) + ln2) / 2)


def test_each_attribute_has_weights_of_its_own_groups() -> None:
    told = faces([0] * 4, [0, 0, 1, 1], [0, 1, 0, 1])
    method = GroupDro(told, by=BOTH, classes=False, eta=1.0)
    found = method.loss(step(told, losses=[1, 1, 3, 3])).item()
    men = math.e**2 / (1 + math.e**2)
    assert found == pytest.approx(((1 - men) * 1 + men * 3 + 2) / 2)
    torch.testing.assert_close(method.log_q_0.exp(), torch.tensor([1 - men, men]))
    torch.testing.assert_close(method.log_q_1.exp(), torch.tensor([0.5, 0.5]))


def test_an_adjustment_moves_small_groups_up() -> None:
    told = faces([0] * 4, [0, 0, 0, 1])
    method = GroupDro(told, by=("gender",), classes=False, eta=1.0, adjustment=2.0)
    method.loss(step(told, losses=[1, 1, 1, 1]))
    ahead = math.exp(2 - 2 / math.sqrt(3))  # the losses are alike
    assert method.log_q_0.exp()[1].item() == pytest.approx(ahead / (1 + ahead))


def test_targets_of_two_classes_are_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    told = faces([0, 1, 1], [0, 0, 1])
    method = GroupMixup(told, by=("gender",), same_class=0.0)
    monkeypatch.setattr(torch.distributions.Beta, "sample", lambda self: torch.tensor(0.25))
    batch = step(told).batch._replace(images=torch.tensor([1.0, 3.0, 9.0])[:, None, None, None])
    mixed = method.mix(batch)
    torch.testing.assert_close(mixed.targets, torch.tensor([[0.25, 0.75], [0.75, 0.25], [0.0, 1.0]]))
    assert mixed.images.flatten().tolist() == [2.5, 1.5, 9.0]
    assert mixed.groups[:, :2].tolist() == [[1, 0], [1, 0], [0, 1]]


def test_the_worst_share_counts_faces_by_their_weights() -> None:
    told = faces([0] * 4, [0] * 4)
    asked = step(told, losses=[1, 2, 3, 4])
    weighed = replace(asked, batch=asked.batch._replace(weights=torch.tensor([2.0, 1.0, 1.0, 0.0])))
    assert Cvar(told, alpha=0.5).loss(asked).item() == pytest.approx(3.5)
    assert Cvar(told, alpha=0.5).loss(weighed).item() == pytest.approx((3 + 2) / 2)


def test_faces_of_unknown_group_are_a_cell_of_their_own() -> None:
    told = faces([0] * 7, [0, 0, 0, 0, 1, None, None])
    method = Resampling(told, by=("gender",), size="up")
    assert len(set(method.cells.tolist())) == 3
    assert len(set(method.cells[:4].tolist())) == 1
    assert method.cells[5] == method.cells[6]
