"""What every loss must do."""

from __future__ import annotations

import pytest
import torch

from mien.losses import LOSSES

NAMES = LOSSES.names()
SMOOTH = [n for n in NAMES if n != "drawn_label"]


def batch(n: int = 6, k: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    logits = torch.randn(n, k, dtype=torch.float64, requires_grad=True)
    return logits, torch.rand(n, k, dtype=torch.float64).softmax(1)


@pytest.mark.parametrize("name", NAMES)
def test_scalar_and_weights(name: str) -> None:
    logits, targets = batch()
    loss = LOSSES.get(name)

    def value(weights: torch.Tensor | None) -> torch.Tensor:
        torch.manual_seed(3)
        return loss(logits, targets, weights)

    assert value(None).shape == ()
    torch.testing.assert_close(value(torch.ones(6)), value(None), check_dtype=False)
    torch.testing.assert_close(value(torch.full((6,), 2.0)), 2 * value(None), check_dtype=False)
    assert value(torch.zeros(6)).item() == 0


@pytest.mark.parametrize("name", NAMES)
def test_finite_at_extremes(name: str) -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]], requires_grad=True)
    loss = LOSSES.get(name)(logits, torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.5, 0.0]]), None)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", SMOOTH)
def test_gradient(name: str) -> None:
    logits, targets = batch()
    assert torch.autograd.gradcheck(lambda z: LOSSES.get(name)(z, targets, None), logits)


@pytest.mark.parametrize("name", SMOOTH)
def test_least_at_the_target(name: str) -> None:
    _, targets = batch()
    loss = LOSSES.get(name)
    at_target = loss(targets.log(), targets, None)
    for seed in range(5):
        torch.manual_seed(seed)
        assert loss(targets.log() + 0.3 * torch.randn_like(targets), targets, None) > at_target


def test_cross_entropy_by_hand() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25]]))
    targets = torch.tensor([[0.5, 0.5, 0.0]])
    expected = 0.5 * torch.log(torch.tensor(2.0)) + 0.5 * torch.log(torch.tensor(4.0))
    torch.testing.assert_close(LOSSES.get("cross_entropy")(logits, targets, None), expected)


def test_cross_entropy_is_torch_s_on_one_hot() -> None:
    logits, _ = batch()
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    ours = LOSSES.get("cross_entropy")(logits, torch.eye(4, dtype=torch.float64)[labels], None)
    torch.testing.assert_close(ours, torch.nn.functional.cross_entropy(logits, labels))


def test_mean_squared_error_by_hand() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.5]]))
    value = LOSSES.get("mean_squared_error")(logits, torch.tensor([[1.0, 0.0]]), None)
    assert value.item() == pytest.approx((0.25 + 0.25) / 2)


def test_drawn_label_is_cross_entropy_in_the_mean() -> None:
    logits, targets = batch()
    many = 4000
    torch.manual_seed(0)
    drawn = LOSSES.get("drawn_label")(logits.repeat(many, 1), targets.repeat(many, 1), None)
    exact = LOSSES.get("cross_entropy")(logits, targets, None)
    # 24,000 draws of losses that deviate by about 1: the mean deviates by about 0.007.
    assert drawn.item() == pytest.approx(exact.item(), abs=0.03)


def test_drawn_label_depends_on_the_seed_alone() -> None:
    logits, targets = batch(64)
    values = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        values.append(LOSSES.get("drawn_label")(logits, targets, None).item())
    assert values[0] == values[1] != values[2]
