"""The adversary's gradient reaches the features times minus the strength, and itself unchanged."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mien.mitigation import group_loss
from mien.mitigation.base import Batch, Step
from mien.mitigation.faces import Faces
from mien.mitigation.gradient_reversal import GradientReversal, reverse_gradient
from mien.models import MODELS

FACES = Faces(
    rows=np.arange(4),
    targets=np.eye(2, dtype=np.float32)[[0, 1, 0, 1]],
    classes={"expression": ("a", "b")},
    groups=np.array([[1, 0], [0, 1], [0, 0], [0.25, 0.75]], np.float32),
    attributes={"gender": ("f", "m")},
)


def method(**options: object) -> GradientReversal:
    torch.manual_seed(0)
    found = GradientReversal(FACES, by=("gender",), hidden=4, dropout=0.0, **options)  # type: ignore[arg-type]
    found.adapt(MODELS.get("mienet")(2, 1, **MODELS.tiny("mienet")))
    return found


def step(features: torch.Tensor, groups: torch.Tensor, at: int = 50) -> Step:
    n = len(features)
    batch = Batch(torch.zeros(n, 1, 8, 8), torch.eye(2)[torch.zeros(n, dtype=torch.long)], groups, torch.arange(n))
    logits = torch.zeros(n, 2)
    return Step(
        batch=batch, logits=logits, features=features, extra={}, losses=torch.ones(n), epoch=0, step=at, n_steps=100
    )


def test_by_hand() -> None:
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    (reverse_gradient(x, 0.5) ** 2 / 2).sum().backward()
    assert torch.equal(reverse_gradient(x, 0.5), x)
    assert x.grad is not None
    assert x.grad.tolist() == [-0.5, 1.0]  # minus one half of (1, -2)


@pytest.mark.parametrize("strength", [0.0, 0.3, 2.0])
def test_features_get_minus_lambda_times_the_adversary_s_gradient(strength: float) -> None:
    mitigation = method(strength=strength, schedule="constant")
    groups = torch.from_numpy(FACES.groups)
    features = torch.randn(4, mitigation.adversaries[0][0].in_features, requires_grad=True)
    mitigation.loss(step(features, groups)).backward()
    theirs = [p.grad.clone() for p in mitigation.parameters()]
    mitigation.zero_grad()
    plain = features.detach().clone().requires_grad_()
    shares = groups[[0, 1, 3]]  # the third face has no known group
    loss = torch.nn.functional.cross_entropy(mitigation.adversaries[0](plain[[0, 1, 3]]), shares)
    loss.backward()
    torch.testing.assert_close(features.grad, -strength * plain.grad)
    for one, two in zip(theirs, (p.grad for p in mitigation.parameters()), strict=True):
        torch.testing.assert_close(one, two)  # the adversary itself learns at full strength


def test_the_loss_is_the_expression_s_plus_the_adversary_s() -> None:
    mitigation = method()
    features = torch.zeros(4, mitigation.adversaries[0][0].in_features)
    for parameter in mitigation.parameters():
        torch.nn.init.zeros_(parameter)
    assert mitigation.loss(step(features, torch.from_numpy(FACES.groups))).item() == pytest.approx(1 + np.log(2))


def test_a_batch_without_known_groups_is_no_nan() -> None:
    mitigation = method()
    features = torch.randn(3, mitigation.adversaries[0][0].in_features, requires_grad=True)
    loss = mitigation.loss(step(features, torch.zeros(3, 2)))
    loss.backward()
    assert loss.item() == 1
    assert features.grad is None or not features.grad.any()


def test_the_strength_rises_as_in_the_source() -> None:
    mitigation = method(strength=2.0)
    assert mitigation.strength_at(0) == 0
    assert mitigation.strength_at(0.1) == pytest.approx(2 * (2 / (1 + np.exp(-1)) - 1))
    assert mitigation.strength_at(1) == pytest.approx(2, rel=1e-3)
    assert method(strength=2.0, schedule="constant").strength_at(0) == 2


def test_the_adversary_s_gradient_is_that_of_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    mitigation = method(strength=1.0, schedule="constant")
    torch.manual_seed(1)
    features, groups = torch.randn(4, mitigation.adversaries[0][0].in_features), torch.from_numpy(FACES.groups)

    def gradient(rows: list[int]) -> torch.Tensor:
        x = features.clone().requires_grad_()
        mitigation.loss(step(x[rows], groups[rows])).backward()
        assert x.grad is not None
        return x.grad

    whole = gradient([0, 1, 2, 3])  # three faces of known group
    monkeypatch.setattr(group_loss, "mean_over_processes", lambda n: torch.tensor(3 / 2))
    # Shares of two and of one known face; processes average their gradients.
    torch.testing.assert_close((gradient([0, 1]) + gradient([2, 3])) / 2, whole)


def test_the_gradient_by_finite_differences() -> None:
    mitigation = method(strength=0.7, schedule="constant")
    groups = torch.from_numpy(FACES.groups)
    features = torch.randn(4, mitigation.adversaries[0][0].in_features, requires_grad=True)
    mitigation.loss(step(features, groups)).backward()
    assert features.grad is not None
    for row, column in ((0, 0), (1, 3), (3, 2)):
        values = []
        for shift in (1e-2, -1e-2):
            moved = features.detach().clone()
            moved[row, column] += shift
            values.append(mitigation.loss(step(moved, groups)).item())
        slope = (values[0] - values[1]) / 2e-2  # of the adversary's loss: the expression's does not move here
        assert features.grad[row, column].item() == pytest.approx(-0.7 * slope, abs=2e-4)


def test_attributes_of_several_groups_do_not_run_into_each_other() -> None:
    rng = np.random.default_rng(0)
    age, race = rng.integers(0, 3, 6), rng.integers(0, 4, 6)
    told = Faces(
        rows=np.arange(6), targets=np.eye(2, dtype=np.float32)[[0, 1] * 3], classes={"expression": ("a", "b")},
        groups=np.concatenate([np.eye(3, dtype=np.float32)[age], np.eye(4, dtype=np.float32)[race]], 1),
        attributes={"age": ("x", "y", "z"), "race": ("p", "q", "r", "s")},
    )  # fmt: skip
    torch.manual_seed(0)
    found = GradientReversal(told, by=("age", "race"), hidden=4, dropout=0.0, strength=1.0, schedule="constant")
    found.adapt(MODELS.get("mienet")(2, 1, **MODELS.tiny("mienet")))
    features = torch.randn(6, found.adversaries[0][0].in_features)
    due = 1.0  # the expression's loss
    for adversary, codes in zip(found.adversaries, (age, race), strict=True):
        due += torch.nn.functional.cross_entropy(adversary(features), torch.from_numpy(codes)).item()
    assert found.loss(step(features, torch.from_numpy(told.groups))).item() == pytest.approx(due, abs=1e-5)
