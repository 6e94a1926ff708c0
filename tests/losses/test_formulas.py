"""The formulas of the losses: values by hand, identities, and what torch gives for the same."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mien.errors import ConfigError
from mien.losses import LOSSES
from mien.losses.bound import RowLoss
from mien.losses.class_balanced import effective_weights
from mien.losses.class_weights import weights_of
from mien.mitigation.faces import Faces
from mien.mitigation.reweighting import Reweighting

F64 = torch.float64


def value(name: str, q: Any, p: Any, **options: Any) -> Tensor:
    """The loss of ``(B, K)`` predicted probabilities, against ``(B, K)`` targets."""
    found: Tensor = LOSSES.get(name)(torch.tensor(q, dtype=F64).log(), torch.tensor(p, dtype=F64), **options)
    return found


def random(n: int = 50, k: int = 8) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(n, k, dtype=F64, requires_grad=True), torch.rand(n, k, dtype=F64).pow(4).softmax(1)


def one_hot(n: int = 50, k: int = 8) -> tuple[Tensor, Tensor]:
    return random(n, k)[0], torch.eye(k, dtype=F64)[torch.arange(n) % k]


def gradient(name: str, logits: Tensor, targets: Tensor, **options: Any) -> Tensor:
    (found,) = torch.autograd.grad(LOSSES.get(name)(logits, targets, **options).sum(), logits)
    return found


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # q = (1/2, 1/4, 1/4) against p = (3/4, 1/4, 0): differences of 1/4, 0 and 1/4.
        ("mean_squared_error", 2 / 16 / 3),
        ("log_cosh", 2 * math.log(math.cosh(0.25)) / 3),
        ("mean_absolute_error", 2 / 4 / 3),
        ("huber", 2 / 32 / 3),
        ("cosine", -(3 / 8 + 1 / 16) / math.sqrt(10 / 16 * 6 / 16)),
        ("cross_entropy", 0.75 * math.log(2) + 0.25 * math.log(4)),
        ("kl_divergence", 0.75 * math.log(1.5)),
        ("poisson", (1 + 0.75 * math.log(2) + 0.25 * math.log(4)) / 3),
        ("categorical_hinge", 1 + 1 / 4 - (3 / 8 + 1 / 16)),  # max of 1/8, 3/16 and 1/4
        ("hinge", ((1 - 1 / 4) + (1 + 1 / 8) + (1 + 1 / 4)) / 3),  # t = (1/2, -1/2, -1)
        ("focal", 0.75 * 0.25 * math.log(2) + 0.25 * 0.5625 * math.log(4)),
        # log p = (log 3/4, log 1/4, A = -4)
        (
            "symmetric_cross_entropy",
            0.1 * 1.25 * math.log(2) - (0.5 * math.log(0.75) + 0.25 * math.log(0.25) - 4 * 0.25),
        ),
        ("ferplus_multi_label", math.log(2)),
    ],
)
def test_by_hand(name: str, expected: float) -> None:
    assert value(name, [[0.5, 0.25, 0.25]], [[0.75, 0.25, 0.0]]).item() == pytest.approx(expected, abs=1e-12)


def test_the_eleven_losses_of_the_source_are_there() -> None:
    # Duan 2022, figure 26, and the two readings of what it does not abbreviate; drawn labels are labels.draw.
    eleven = "mean_squared_error log_cosh cosine cross_entropy mean_absolute_error kl_divergence categorical_hinge"
    assert {*eleven.split(), "huber", "poisson", "hinge"} <= set(LOSSES.names())


def test_kl_is_cross_entropy_without_the_entropy_of_the_target() -> None:
    logits, targets = random()
    entropy = -(targets * targets.log()).sum(1)
    torch.testing.assert_close(
        LOSSES.get("kl_divergence")(logits, targets), LOSSES.get("cross_entropy")(logits, targets) - entropy
    )
    torch.testing.assert_close(gradient("kl_divergence", logits, targets), gradient("cross_entropy", logits, targets))
    assert LOSSES.get("kl_divergence")(targets.log(), targets).abs().max() < 1e-12
    expected = functional.kl_div(logits.log_softmax(1), targets, reduction="none").sum(1)
    torch.testing.assert_close(LOSSES.get("kl_divergence")(logits, targets), expected)


def test_huber_is_half_of_squared_error_and_log_cosh_near_it() -> None:
    logits, targets = random()
    squared = LOSSES.get("mean_squared_error")(logits, targets)
    torch.testing.assert_close(LOSSES.get("huber")(logits, targets), squared / 2)
    near = LOSSES.get("log_cosh")(logits, targets)
    assert ((near < squared / 2) & (near > 0.86 * squared / 2)).all()  # log cosh 1 = .434 of .5 at the most
    # A small difference e: log cosh e = e^2/2 - e^4/12.
    assert value("log_cosh", [[0.51, 0.49]], [[0.5, 0.5]]).item() == pytest.approx(0.01**2 / 2, rel=1e-4)


def test_huber_beyond_delta_is_a_line() -> None:
    # Differences of 3/4: .25 (.75 - .125).
    assert value("huber", [[0.25, 0.75]], [[1.0, 0.0]], delta=0.25).item() == pytest.approx(0.25 * 0.625)


def test_poisson_is_cross_entropy_over_the_classes_until_the_clip() -> None:
    logits, targets = random()
    expected = (1 + LOSSES.get("cross_entropy")(logits, targets)) / 8
    torch.testing.assert_close(LOSSES.get("poisson")(logits, targets), expected)
    wrong = LOSSES.get("poisson")(torch.tensor([[1e4, -1e4]]), torch.tensor([[0.0, 1.0]]))
    assert wrong.item() == pytest.approx((1 + math.log(1e7)) / 2)


def test_hinges_on_one_label() -> None:
    logits, targets = one_hot()
    q_y = (logits.softmax(1) * targets).sum(1)
    absolute = LOSSES.get("mean_absolute_error")(logits, targets)
    torch.testing.assert_close(absolute, 2 * (1 - q_y) / 8)
    torch.testing.assert_close(LOSSES.get("hinge")(logits, targets), absolute + 1 - 1 / 8)
    others = (logits.softmax(1) * (1 - targets)).amax(1)
    torch.testing.assert_close(LOSSES.get("categorical_hinge")(logits, targets), 1 + others - q_y)


def test_hinge_is_never_cut() -> None:
    logits, targets = random()
    expected = 1 + 1 / 8 - 2 / 8 * (targets * logits.softmax(1)).sum(1)
    torch.testing.assert_close(LOSSES.get("hinge")(logits, targets), expected)


def test_cosine_is_least_at_the_direction_of_the_target() -> None:
    _, targets = random()
    torch.testing.assert_close(LOSSES.get("cosine")(targets.log(), targets), -torch.ones(50, dtype=F64))
    assert value("cosine", [[1.0 - 1e-12, 1e-12]], [[0.0, 1.0]]).item() == pytest.approx(0, abs=1e-11)


def test_focal_by_hand_and_without_gamma() -> None:
    assert value("focal", [[0.5, 0.5]], [[1.0, 0.0]]).item() == pytest.approx(0.25 * math.log(2))
    logits, targets = random()
    torch.testing.assert_close(
        LOSSES.get("focal")(logits, targets, gamma=0.0), LOSSES.get("cross_entropy")(logits, targets)
    )
    logits, targets = one_hot()
    q = (logits.softmax(1) * targets).sum(1)
    torch.testing.assert_close(LOSSES.get("focal")(logits, targets, gamma=3.0), -((1 - q) ** 3) * q.log())


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_has_a_gradient_where_a_face_is_learnt_to_the_last_bit(gamma: float) -> None:
    logits = torch.tensor([[1e4, -1e4], [40.0, 0.0]], requires_grad=True)
    found = LOSSES.get("focal")(logits, torch.tensor([[1.0, 0.0], [1.0, 0.0]]), gamma=gamma)
    found.sum().backward()
    assert torch.isfinite(logits.grad).all()
    assert found.abs().max() < 1e-6


def test_symmetric_cross_entropy_on_one_label() -> None:
    logits, targets = one_hot()
    q_y = (logits.softmax(1) * targets).sum(1)
    for cap in (4.0, -math.log(1e-4)):
        found = LOSSES.get("symmetric_cross_entropy")(logits, targets, alpha=0.0, beta=1.0, cap=cap)
        torch.testing.assert_close(found, cap * (1 - q_y))
    torch.testing.assert_close(
        LOSSES.get("symmetric_cross_entropy")(logits, targets, alpha=1.0, beta=0.0),
        LOSSES.get("cross_entropy")(logits, targets),
    )


def test_a_small_share_costs_no_more_than_none() -> None:
    none = value("symmetric_cross_entropy", [[0.5, 0.5]], [[1.0, 0.0]], alpha=0.0)
    some = value("symmetric_cross_entropy", [[0.5, 0.5]], [[0.99, 0.01]], alpha=0.0)
    assert some.item() == pytest.approx(none.item() - 0.5 * math.log(0.99))


def test_one_of_several_labels_suffices() -> None:
    sure = [[0.01, 0.98, 0.01]]
    assert value("ferplus_multi_label", sure, [[0.7, 0.3, 0.0]]).item() == pytest.approx(-math.log(0.98))
    # Another class at .98 is 1/1000 of it: less than the label at .01.
    assert value("ferplus_multi_label", sure, [[1.0, 0.0, 0.0]]).item() == pytest.approx(-math.log(0.01))
    worst = LOSSES.get("ferplus_multi_label")(torch.tensor([[1e4, -1e4]]), torch.tensor([[0.0, 1.0]]))
    assert worst.item() == pytest.approx(-math.log(0.001), rel=1e-6)


def test_balanced_softmax_by_hand() -> None:
    counts = torch.tensor([90.0, 10.0], dtype=F64)
    found = value("balanced_softmax", [[0.5, 0.5]], [[0.0, 1.0]], class_counts=counts)
    assert found.item() == pytest.approx(math.log(10))


def test_logit_adjustment_is_between_and_beyond() -> None:
    logits, targets = random()
    counts = torch.arange(1.0, 9.0, dtype=F64) * 10
    adjusted, plain = LOSSES.get("logit_adjusted"), LOSSES.get("cross_entropy")(logits, targets)
    torch.testing.assert_close(adjusted(logits, targets, class_counts=counts, tau=0.0), plain)
    torch.testing.assert_close(
        adjusted(logits, targets, class_counts=counts),
        LOSSES.get("balanced_softmax")(logits, targets, class_counts=counts),
    )
    expected = LOSSES.get("cross_entropy")(logits + 1.5 * (counts / counts.sum()).log(), targets)
    torch.testing.assert_close(adjusted(logits, targets, class_counts=counts, tau=1.5), expected)


def test_equal_counts_change_nothing() -> None:
    logits, targets = random()
    counts, plain = torch.full((8,), 20.0, dtype=F64), LOSSES.get("cross_entropy")(logits, targets)
    for name, options in (
        ("balanced_softmax", {}),
        ("logit_adjusted", {"tau": 2.0}),
        ("class_balanced", {}),
        ("cross_entropy", {"exponent": 1.0}),
        ("focal", {"exponent": 0.5, "gamma": 0.0}),
    ):
        torch.testing.assert_close(LOSSES.get(name)(logits, targets, class_counts=counts, **options), plain)


@pytest.mark.parametrize("name", ["balanced_softmax", "logit_adjusted", "class_balanced", "focal", "cross_entropy"])
def test_a_class_without_faces_leaves_the_others_finite(name: str) -> None:
    options = {"exponent": 1.0} if name in ("focal", "cross_entropy") else {}
    logits = torch.zeros(1, 3, requires_grad=True)
    found = LOSSES.get(name)(
        logits, torch.tensor([[1.0, 0.0, 0.0]]), class_counts=torch.tensor([5.0, 3.0, 0.0]), **options
    )
    found.sum().backward()
    assert torch.isfinite(found).all()
    assert torch.isfinite(logits.grad).all()


def test_effective_number_by_hand() -> None:
    raw = np.array([0.5 / (1 - 1 / 64), 0.5 / (1 - 1 / 4)])
    assert raw.round(6).tolist() == [0.507937, 0.666667]
    found = effective_weights(torch.tensor([6.0, 2.0], dtype=F64), 0.5).numpy()
    np.testing.assert_allclose(found, 2 * raw / raw.sum())
    np.testing.assert_allclose(effective_weights(torch.tensor([6.0, 2.0]), 0.0), [1, 1])
    # Towards 1: 1 / n.
    close = effective_weights(torch.tensor([6000.0, 2000.0]), 1 - 1e-9)
    np.testing.assert_allclose(close, [0.5, 1.5], rtol=1e-4)


def test_class_balanced_wraps_either() -> None:
    logits, targets = one_hot(6, 2)
    counts = torch.tensor([6.0, 2.0], dtype=F64)
    w = targets @ effective_weights(counts, 0.5)
    for of, plain in (("cross_entropy", {"gamma": 0.0}), ("focal", {"gamma": 2.0})):
        found = LOSSES.get("class_balanced")(logits, targets, class_counts=counts, beta=0.5, of=of)
        torch.testing.assert_close(found, w * LOSSES.get("focal")(logits, targets, **plain))


COUNTS = torch.tensor([6.0, 2.0], dtype=F64)


@pytest.mark.parametrize(("exponent", "expected"), [(1.0, [2 / 3, 2.0]), (0.5, [0.845299, 1.464102])])
def test_weights_by_the_counts_are_those_of_reweighting(exponent: float, expected: list[float]) -> None:
    found = weights_of(torch.zeros(1, 2, dtype=F64), COUNTS, None, exponent)
    assert found is not None
    np.testing.assert_allclose(found, expected, atol=1e-6)
    faces = Faces(
        rows=np.arange(8),
        targets=np.eye(2, dtype=np.float32)[[0] * 6 + [1] * 2],
        classes={"expression": ("a", "b")},
        groups=np.zeros((8, 0), np.float32),
    )
    np.testing.assert_allclose(Reweighting(faces, exponent=exponent).sample_weights()[[0, -1]], expected, atol=1e-6)


def test_given_weights_have_a_mean_of_one_over_the_faces() -> None:
    # Angioni and Cani: 1 for happy, 1.5 for sad; with three times as many happy faces the mean is 1.125.
    found = weights_of(torch.zeros(1, 2, dtype=F64), COUNTS, [1.0, 1.5], 0.0)
    assert found is not None
    np.testing.assert_allclose(found, [1 / 1.125, 1.5 / 1.125])
    four = weights_of(torch.zeros(1, 4, dtype=F64), None, [2.0, 1.5, 1.0, 1.3], 0.0)
    assert four is not None
    np.testing.assert_allclose(four, np.array([2.0, 1.5, 1.0, 1.3]) / 1.45)


def test_no_class_weighs_more_than_ten_or_less_than_a_tenth() -> None:
    counts = torch.tensor([10_000.0, 1.0, 99.0])
    found = weights_of(torch.zeros(1, 3), counts, None, 1.0)
    assert found is not None
    # N / (K n) = 10100 / 3 / (10000, 1, 99).
    np.testing.assert_allclose(found, [0.336667, 10.0, 10.0], rtol=1e-5)
    light = weights_of(torch.zeros(1, 2), torch.tensor([1.0, 999.0]), [0.01, 1.0], 0.0)
    assert light is not None
    assert light[0].item() == pytest.approx(0.1)


def test_weights_for_cross_entropy_are_torch_s() -> None:
    logits, targets = one_hot(12, 4)
    counts = targets.sum(0)
    given = [2.0, 1.5, 1.0, 1.3]
    ours = LOSSES.get("cross_entropy")(logits, targets, class_counts=counts, class_weights=given, smoothing=0.1)
    w = torch.tensor(given, dtype=F64)
    w = w * 12 / (w @ counts)
    theirs = functional.cross_entropy(logits, targets, weight=w, label_smoothing=0.1, reduction="none")
    torch.testing.assert_close(ours, theirs)
    # The faces of a whole part: torch divides by the weights there, which is what the mean of 1 does.
    plain = LOSSES.get("cross_entropy")(logits, targets, class_counts=counts, class_weights=given).mean()
    torch.testing.assert_close(plain, functional.cross_entropy(logits, targets, weight=w))


def test_the_weights_of_olate_are_a_product_with_a_mean_of_one() -> None:
    # Two classes (6, 2) and two groups (4, 4), class and group independent: each class half in each group.
    labels, group = np.array([0] * 6 + [1] * 2), np.array([0, 0, 0, 1, 1, 1, 0, 1])
    targets = np.eye(2, dtype=np.float32)[labels]
    faces = Faces(
        rows=np.arange(8),
        targets=targets,
        classes={"expression": ("a", "b")},
        groups=np.eye(2, dtype=np.float32)[group],
        attributes={"race": ("x", "y")},
    )
    of_group = torch.from_numpy(Reweighting(faces, by=("race",), classes=False).sample_weights()).double()
    logits, t = torch.zeros(8, 2, dtype=F64), torch.from_numpy(targets).double()
    found = of_group * LOSSES.get("focal")(logits, t, class_counts=COUNTS, exponent=1.0)
    w_class, w_group = 8 / (2 * np.bincount(labels)), 8 / (2 * np.bincount(group))
    expected = w_class[labels] * w_group[group] * 0.25 * math.log(2)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert (w_class[labels] * w_group[group]).mean() == pytest.approx(1)


def test_weights_that_do_not_fit_are_told_before_the_first_step() -> None:
    with pytest.raises(ConfigError, match=r"class_weights: 2 weights, expected 3, one for each class"):
        RowLoss("focal", {"class_weights": [1.0, 2.0]}, num_classes=3, feature_dim=1)
    with pytest.raises(ConfigError, match=r"class_weights and exponent, expected one of them"):
        RowLoss("cross_entropy", {"class_weights": [1.0, 2.0], "exponent": 0.5}, num_classes=2, feature_dim=1)


def test_eac_by_hand() -> None:
    logits, targets = torch.zeros(2, 2, dtype=F64), torch.eye(2, dtype=F64)
    maps, mirrored = torch.zeros(2, 2, 1, 2, dtype=F64), torch.zeros(2, 2, 1, 2, dtype=F64)
    mirrored[1, 0, 0] = torch.tensor([1.0, 3.0])
    found = LOSSES.get("eac")(logits, targets, maps=maps, mirrored_maps=mirrored)
    # The second face's maps are 1 and 3 apart in two of four places: 5 (1 + 9) / 4.
    np.testing.assert_allclose(found, [math.log(2), math.log(2) + 12.5])
    lighter = LOSSES.get("eac")(logits, targets, maps=maps, mirrored_maps=mirrored, weight=0.0)
    np.testing.assert_allclose(lighter, [math.log(2)] * 2)


def test_a_class_without_faces_does_not_switch_the_others_off():
    counts = torch.tensor([5000.0, 500.0, 50.0])
    for beta in (0.9, 0.999, 0.9999):
        alone = effective_weights(counts, beta)
        for absent in (0.0, 0.3):
            beside = effective_weights(torch.tensor([5000.0, 500.0, 50.0, absent]), beta)
            torch.testing.assert_close(beside[:3], alone)
            assert beside[3] > beside[2]
    torch.testing.assert_close(effective_weights(torch.zeros(3), 0.9), torch.ones(3))
