"""Losses of numbers: values by hand, what is not known, batches that define nothing."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mien.losses.numbers import NumberHead, agreement, concordance_loss, masked_error, moments

NAN = math.nan


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def test_concordance_by_hand() -> None:
    # Moved by 1: variances and covariance 2/3 each, (4/3) / (4/3 + 1) = 4/7.
    moved = concordance_loss(column(2, 3, 4), column(1, 2, 3))
    assert moved.tolist() == pytest.approx([3 / 7] * 3)
    # Twice as far from the mean: 2 (4/3) / (8/3 + 2/3) = 4/5.
    assert concordance_loss(column(0, 2, 4), column(1, 2, 3))[0].item() == pytest.approx(1 / 5)
    assert concordance_loss(column(1, 2, 3), column(1, 2, 3)).tolist() == [0.0] * 3
    assert concordance_loss(column(3, 2, 1), column(1, 2, 3))[0].item() == pytest.approx(2)
    assert concordance_loss(column(2, 2, 2), column(1, 2, 3))[0].item() == pytest.approx(1)


def test_concordance_is_that_of_its_formula() -> None:
    torch.manual_seed(0)
    v, t = torch.randn(40, dtype=torch.float64), torch.randn(40, dtype=torch.float64)
    moments_of = torch.cov(torch.stack([v, t]), correction=0)
    ccc = 2 * moments_of[0, 1] / (moments_of[0, 0] + moments_of[1, 1] + (v.mean() - t.mean()) ** 2)
    assert concordance_loss(v[:, None], t[:, None])[0].item() == pytest.approx(1 - ccc.item())


def test_faces_without_numbers_take_no_part() -> None:
    values, targets = column(2, 3, 4, 100, -7), column(1, 2, 3, NAN, NAN)
    found = concordance_loss(values, targets)
    assert found.shape == (5,)
    assert found.tolist() == pytest.approx([3 / 7] * 5)  # the mean over the batch is the loss of the batch
    assert masked_error(values, targets).tolist() == [1, 1, 1, 0, 0]
    grown = values.clone().requires_grad_(True)
    (concordance_loss(grown, targets).mean() + masked_error(grown, targets).mean()).backward()
    assert (grown.grad[3:] == 0).all()
    assert (grown.grad[:3] != 0).all()


def test_the_mean_is_over_the_numbers() -> None:
    # Half of the sum over valence and arousal, as in Savchenko 2021; a number that defines nothing adds 0.
    values = torch.cat([column(2, 3, 4), column(0, 2, 4), column(1, 5, 9)], dim=1)
    targets = torch.cat([column(1, 2, 3), column(1, 2, 3), column(NAN, NAN, 2)], dim=1)
    assert concordance_loss(values[:, :2], targets[:, :2])[0].item() == pytest.approx((3 / 7 + 1 / 5) / 2)
    assert concordance_loss(values, targets)[0].item() == pytest.approx((3 / 7 + 1 / 5) / 3)
    # Of the numbers of a face those that are known.
    error = masked_error(torch.tensor([[3.0, 1.0], [2.0, 9.0]]), torch.tensor([[1.0, 1.0], [1.0, NAN]]))
    assert error.tolist() == [2.0, 1.0]


def test_huber_by_hand() -> None:
    found = masked_error(column(1.5, 4, 2), column(1, 1, NAN), delta=1.0)
    assert found.tolist() == [0.125, 2.5, 0.0]


@pytest.mark.parametrize(
    "targets", [column(NAN, NAN, NAN), column(1, NAN, NAN), column(0.3, 0.3, 0.3), column(0.1, 0.1, NAN)]
)
def test_what_is_not_defined_adds_nothing(targets: Tensor) -> None:
    values = column(1, 2, 3).requires_grad_(True)
    found = concordance_loss(values, targets)
    found.mean().backward()
    assert found.tolist() == [0.0] * 3
    assert (values.grad == 0).all()
    single = concordance_loss(values.detach().float(), targets.float())
    assert single.tolist() == [0.0] * 3


@pytest.mark.parametrize("loss", ["squared_error", "huber", "concordance"])
@pytest.mark.parametrize("scale", ["any", "positive"])
def test_gradient_and_extremes(loss: str, scale: str) -> None:
    head = NumberHead(columns=("a", "b"), block=slice(1, 3), scale=scale, loss=loss, delta=0.7, weight=2.0)  # type: ignore[arg-type]
    torch.manual_seed(0)
    outputs = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    targets = torch.rand(5, 4, dtype=torch.float64)
    targets[0], targets[1, 1] = NAN, NAN
    assert torch.autograd.gradcheck(lambda z: head(z, targets), outputs)
    far = torch.tensor([[0.0, 1e4, -1e4, 0.0], [0.0, -1e4, 1e4, 0.0]], requires_grad=True)
    found = head(far, torch.tensor([[0.0, 1.0, 2.0, 0.0], [0.0, 0.0, 5.0, 0.0]]))
    found.sum().backward()
    assert torch.isfinite(found).all()
    assert torch.isfinite(far.grad).all()
    assert (far.grad[:, [0, 3]] == 0).all()


def test_an_intensity_is_never_below_nothing() -> None:
    head = NumberHead(columns=("i",), block=slice(0, 1), scale="positive", loss="squared_error", delta=1.0, weight=3.0)
    outputs = torch.tensor([[0.0], [-50.0], [50.0]])
    assert head.values(outputs)[:, 0].tolist() == pytest.approx([math.log(2), 0, 50], abs=1e-6)
    assert head(outputs, torch.tensor([[0.0], [0.0], [49.0]])).tolist() == pytest.approx([3 * math.log(2) ** 2, 0, 3])


def test_sums_of_batches_give_error_and_agreement_of_all() -> None:
    torch.manual_seed(0)
    v = torch.randn(50, 2)
    t = v + 0.5 * torch.randn(50, 2)
    t[::7, 0] = NAN
    sums = sum(moments(v[part], t[part]).double() for part in (slice(0, 20), slice(20, 21), slice(21, 50)))
    assert isinstance(sums, Tensor)
    for i in range(2):
        known = t[:, i].isfinite()
        a, b = v[known, i : i + 1].double(), t[known, i : i + 1].double()
        error, ccc = agreement(sums[6 * i : 6 * i + 6])
        assert error == pytest.approx(math.sqrt(float((a - b).square().mean())), rel=1e-5)
        assert ccc == pytest.approx(1 - float(concordance_loss(a, b)[0]), rel=1e-5)


def test_agreement_is_undefined_where_nothing_varies() -> None:
    assert all(map(math.isnan, agreement(moments(column(1, 2), column(NAN, NAN)))))
    error, ccc = agreement(moments(column(3), column(1)))
    assert (error, math.isnan(ccc)) == (2.0, True)
    error, ccc = agreement(moments(column(1, 2, 3).float(), column(0.3, 0.3, 0.3).float()).double())
    assert error == pytest.approx(math.sqrt((0.49 + 2.89 + 7.29) / 3))
    assert math.isnan(ccc)
