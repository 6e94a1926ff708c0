"""RAN and DAN: what their attention and their own loss terms are, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from mien.errors import UsageError
from mien.models.blocks import Outputs
from mien.models.dan import DistractAttention, partition
from mien.models.ran import LARGEST, PARTS, SMALLEST, RegionAttention, cut, drawn_boxes

TINY = {"width": 8, "depths": (1, 1, 1, 1), "small": True}
ONE_HOT = torch.eye(3)


def told(alpha: list[list[float]]) -> Outputs:
    return Outputs(torch.zeros(len(alpha), 3), torch.zeros(len(alpha), 8), {"alpha": torch.tensor(alpha)})


def test_the_whole_face_is_the_last_of_six() -> None:
    model, x = RegionAttention(3, **TINY), torch.rand(2, 1, 16, 16)
    parts = model.pieces(x)
    assert parts.shape == (2, 6, 1, 16, 16)
    assert RegionAttention.WHOLE == 5
    assert torch.equal(parts[:, RegionAttention.WHOLE], x)
    assert all(not torch.allclose(parts[:, i], x) for i in range(5))


def test_parts_are_the_boxes_of_the_source() -> None:
    # On 40 px every border is a whole pixel but those of the second centre: 3 to 37.
    sides = [(round(40 * b[0]), round(40 * b[1]), round(40 * b[2]), round(40 * b[3])) for b in PARTS]
    assert sides == [(5, 10, 35, 40), (0, 0, 30, 30), (10, 0, 40, 30), (2, 2, 38, 38), (3, 3, 37, 37)]
    x = torch.zeros(1, 1, 40, 40)
    x[:, :, :30, :30] = 1
    assert torch.equal(cut(x, PARTS[1]), torch.ones(1, 1, 40, 40))
    ramp = torch.arange(40.0).expand(1, 1, 40, 40)
    assert cut(ramp, PARTS[2]).min() == 10  # top right begins at column 10


def test_equal_parts_give_what_the_whole_face_gives() -> None:
    torch.manual_seed(0)
    model = RegionAttention(3, **TINY).eval()
    x = torch.rand(2, 1, 16, 16)
    with torch.no_grad():
        one = model.trunk(x).mean((2, 3))
        feature, alpha = model.attend(x[:, None].expand(2, 6, 1, 16, 16))
        torch.testing.assert_close(feature, torch.cat([one, one], dim=1))
        torch.testing.assert_close(alpha, model.alpha(one).sigmoid().expand(2, 6))
        flat = model(torch.full((2, 1, 16, 16), 0.3))  # all parts of an even picture are the picture
        whole = model.trunk(torch.full((2, 1, 16, 16), 0.3)).mean((2, 3))
        torch.testing.assert_close(flat, model.head(torch.cat([whole, whole], dim=1)))


def test_attention_by_hand() -> None:
    """Two features that only one number tells apart, with weights set so that all can be reckoned."""
    model = RegionAttention(3, **TINY)
    model.trunk = nn.Identity()  # type: ignore[assignment]
    model.alpha, model.beta = nn.Linear(1, 1, bias=False), nn.Linear(2, 1, bias=False)
    nn.init.ones_(model.alpha.weight)
    model.beta.weight.data = torch.tensor([[1.0, -1.0]])
    values = [2.0, 0.0, 0.0, 0.0, 0.0, -1.0]
    feature, alpha = model.attend(torch.tensor(values).view(1, 6, 1, 1, 1))
    weights = [1 / (1 + math.exp(-v)) for v in values]
    whole = sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
    both = [w / (1 + math.exp(whole - v)) for w, v in zip(weights, values, strict=True)]
    expected = sum(b * v for b, v in zip(both, values, strict=True)) / sum(both)
    torch.testing.assert_close(alpha, torch.tensor([weights]))
    torch.testing.assert_close(feature, torch.tensor([[expected, whole]]))


def test_the_rank_loss_is_reckoned_from_the_whole_face() -> None:
    model = RegionAttention(3, **TINY)
    found = model.auxiliary(told([[0.5, 0.2, 0.1, 0.3, 0.4, 0.45], [0.9, 0.1, 0.1, 0.1, 0.1, 0.2], [0.2] * 6]), ONE_HOT)
    # 0.1 - (0.5 - 0.45); a lead of 0.7; no lead at all.
    torch.testing.assert_close(found, torch.tensor([0.05, 0.0, 0.1]))
    wide = RegionAttention(3, **TINY, margin=0.5, rank_weight=2.0)
    torch.testing.assert_close(wide.auxiliary(told([[0.9, 0, 0, 0, 0, 0.8]]), ONE_HOT[:1]), torch.tensor([0.8]))


def test_softmax_weights_sum_to_one_and_lead_by_022_at_most() -> None:
    model = RegionAttention(3, **TINY, softmax=True)
    weights = model._weights(torch.tensor([100.0, -100, -100, -100, -100, -100]).view(1, 6, 1))
    assert weights.sum().item() == pytest.approx(1)
    assert (weights[0, 0] - weights[0, 5]).item() == pytest.approx((math.e - 1) / (math.e + 5))


def test_random_parts_are_drawn_in_training_only() -> None:
    torch.manual_seed(0)
    model, x = RegionAttention(3, **TINY, crops="random"), torch.rand(2, 1, 24, 24)
    assert not torch.equal(model.pieces(x), model.pieces(x))
    fixed = RegionAttention(3, **TINY).pieces(x)
    assert torch.equal(model.eval().pieces(x), fixed)
    for left, top, right, bottom in drawn_boxes(200):
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1
        assert right - left == pytest.approx(bottom - top)
        assert SMALLEST <= right - left <= LARGEST


def test_dan_has_the_parameters_of_its_source_and_its_centres() -> None:
    with torch.device("meta"):
        model = DistractAttention(7, 3)
    assert sum(p.numel() for n, p in model.named_parameters() if n != "centres") == 19_723_733
    assert model.centres.shape == (7, 512)


def test_affinity_by_hand() -> None:
    model = DistractAttention(3, **{**TINY, "narrow": 4})
    model.centres.data = torch.tensor([[0.0, 0.0], [2.0, 0.0], [4.0, 3.0]])
    # Variances over the classes: 4 and 3, summed 7.
    pooled = torch.tensor([[0.0, 1.0], [2.0, 2.0]])
    found = model.affinity(pooled, torch.tensor([[1.0, 0, 0], [0, 0.5, 0.5]]))
    torch.testing.assert_close(found, torch.tensor([1 / 7, (0.5 * 4 + 0.5 * 5) / 7]))
    model.centres.data.zero_()  # centres that have fallen together divide by a small number, not by nothing
    assert torch.isfinite(model.affinity(pooled, ONE_HOT[:2])).all()


def test_partition_by_hand() -> None:
    heads = torch.tensor([[[0.0], [2.0]], [[1.0], [1.0]]])  # variances 2 and 0, of mean 1
    assert partition(heads).item() == pytest.approx(math.log(3))
    assert torch.isfinite(partition(torch.zeros(2, 4, 3)))


def test_log_softmax_is_over_the_heads() -> None:
    torch.manual_seed(0)
    model = DistractAttention(3, **{**TINY, "narrow": 4}).eval()
    with torch.no_grad():
        outputs = model.forward_train(torch.rand(2, 1, 16, 16))
    heads = outputs.extra["heads"]
    assert heads.shape == (2, 4, 64)
    torch.testing.assert_close(heads.exp().sum(1), torch.ones(2, 64))
    torch.testing.assert_close(heads.sum(1), outputs.features)
    own = model.auxiliary(outputs, ONE_HOT[:2])
    assert own is not None
    by_hand = model.affinity(outputs.extra["pooled"], ONE_HOT[:2]) + partition(heads)
    torch.testing.assert_close(own, by_hand)


def test_one_head_has_no_partition_loss() -> None:
    model = DistractAttention(3, **{**TINY, "narrow": 4}, heads=1, affinity_weight=0.5).eval()
    with torch.no_grad():
        outputs = model.forward_train(torch.rand(2, 1, 16, 16))
    own = model.auxiliary(outputs, ONE_HOT[:2])
    assert own is not None
    torch.testing.assert_close(own, 0.5 * model.affinity(outputs.extra["pooled"], ONE_HOT[:2]))


def test_a_training_batch_of_one_is_refused_and_one_face_is_judged() -> None:
    model = DistractAttention(3, **{**TINY, "narrow": 4})
    with pytest.raises(UsageError, match=r"Raise train\.batch_size"):
        model.forward_train(torch.rand(1, 1, 16, 16))
    assert torch.isfinite(model.eval()(torch.rand(1, 1, 16, 16))).all()
