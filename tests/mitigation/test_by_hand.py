"""Each method against what one reckons by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mien.errors import ConfigError
from mien.mitigation import MITIGATIONS
from mien.mitigation.attribute_aware import AttributeAware
from mien.mitigation.base import Batch, Mitigation, Step
from mien.mitigation.contrastive import Contrastive
from mien.mitigation.cvar import Cvar
from mien.mitigation.disentangled import Disentangled
from mien.mitigation.domain_discriminative import DomainDiscriminative
from mien.mitigation.faces import Faces
from mien.mitigation.feature_alignment import FeatureAlignment, hsic
from mien.mitigation.group_dro import GroupDro
from mien.mitigation.group_mixup import GroupMixup
from mien.mitigation.rate_gap import RateGap
from mien.mitigation.resampling import Resampling
from mien.mitigation.reweighting import Reweighting
from mien.mitigation.uniform_confusion import UniformConfusion, confused
from mien.mitigation.upweighted_errors import UpweightedErrors
from mien.models import MODELS
from mien.models.blocks import only_linear
from mien.models.joint_head import JointHead
from mien.registry import read_options


def faces(targets: Any, groups: Any = None) -> Faces:
    """Faces of two or more classes and groups; a group of None is not known."""
    targets = np.asarray(targets)
    if targets.ndim == 1:
        targets = np.eye(targets.max() + 1)[targets]
    shares = np.zeros((len(targets), 0))
    if groups is not None:
        shares = np.asarray(groups, dtype=object)
        if shares.ndim == 1:
            size = max(g for g in groups if g is not None) + 1
            shares = np.array([np.zeros(size) if g is None else np.eye(size)[g] for g in groups])
    return Faces(
        rows=np.arange(len(targets)),
        targets=targets.astype(np.float32),
        classes={"expression": tuple("abcdef"[: targets.shape[1]])},
        groups=shares.astype(np.float32),
        attributes={} if groups is None else {"gender": tuple("fmxyz"[: shares.shape[1]])},
    )


def step(told: Faces, losses: Any = None, *, logits: Any = None, features: Any = None) -> Step:
    n = len(told)
    batch = Batch(
        torch.zeros(n, 1, 2, 2), torch.from_numpy(told.targets), torch.from_numpy(told.groups), torch.arange(n)
    )
    losses = torch.zeros(n) if losses is None else torch.as_tensor(losses, dtype=torch.float32)
    return Step(
        batch=batch,
        logits=torch.zeros(n, told.targets.shape[1])
        if logits is None
        else torch.as_tensor(logits, dtype=torch.float32),
        features=torch.zeros(n, 2) if features is None else torch.as_tensor(features, dtype=torch.float32),
        extra={},
        losses=losses,
        epoch=0,
        step=0,
        n_steps=10,
    )


def test_named_groups_come_so_many_times() -> None:
    # Two of the first group four times, one of the second, one unknown, and one half of each.
    told = faces([0, 1, 0, 1, 0], [[1, 0], [1, 0], [0, 1], [0, 0], [0.5, 0.5]])
    method = Resampling(told, by=("gender",), times={"F": 4})
    np.testing.assert_allclose(method.times, [4, 4, 1, 1, 2.5])
    counts = np.bincount(method.order(0, 0), minlength=5)
    assert counts.tolist()[:4] == [4, 4, 1, 1]
    assert counts[4] in (2, 3)
    with pytest.raises(ConfigError, match=r"'child' is no group of 'gender', expected of f, m"):
        Resampling(told, by=("gender",), times={"child": 4})
    with pytest.raises(ConfigError, match="names 0 attributes"):
        Resampling(told, times={"f": 4})


def test_resampling_of_six_and_two() -> None:
    labels = [0] * 6 + [1] * 2
    times = {size: Resampling(faces(labels), size=size).times for size in ("up", "down", "same", "mixture")}
    np.testing.assert_allclose(times["up"][[0, -1]], [1, 3])
    np.testing.assert_allclose(times["down"][[0, -1]], [1 / 3, 1])
    np.testing.assert_allclose(times["same"][[0, -1]], [2 / 3, 2])
    np.testing.assert_allclose(times["mixture"][[0, -1]], [1 / math.sqrt(3), math.sqrt(3)])
    half = Resampling(faces(labels), size="up", exponent=0.5).times
    np.testing.assert_allclose(half[[0, -1]], [1, math.sqrt(3)], rtol=1e-6)


def test_down_takes_as_many_of_each_cell() -> None:
    told = faces([0] * 10 + [0] * 4 + [1] * 4 + [1] * 2, [0] * 10 + [1] * 4 + [0] * 4 + [1] * 2)
    method = Resampling(told, by=("gender",), size="down")
    drawn = np.array([np.bincount(method.order(0, epoch), minlength=20) for epoch in range(2000)])
    cells = np.repeat([0, 1, 2, 3], [10, 4, 4, 2])
    assert (drawn.sum(1) == 8).all()
    assert drawn.max() == 1  # none twice
    for c in range(4):
        assert (drawn[:, cells == c].sum(1) == 2).all()  # in every epoch, as SUBG
    np.testing.assert_allclose(drawn[:, :10].mean(0), 0.2, atol=0.04)  # every face of a cell alike


@pytest.mark.parametrize(
    "name", ["gradient_reversal", "group_dro", "rate_gap", "feature_alignment", "uniform_confusion", "disentangled",
             "latent_alignment", "attribute_heads", "domain_independent", "contrastive", "group_mixup"]
)  # fmt: skip
def test_methods_for_groups_are_refused_without_an_attribute(name: str) -> None:
    with pytest.raises(ConfigError, match="by"):
        read_options(MITIGATIONS.get(name), {"by": []}, name, "mitigation.options")


def test_an_exponent_does_nothing_beside_the_effective_number() -> None:
    Reweighting(faces([0, 0, 1]), effective=0.9)
    with pytest.raises(ConfigError, match="exponent: does nothing beside effective"):
        Reweighting(faces([0, 0, 1]), effective=0.9, exponent=0.5)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_cells_are_drawn_by_a_power_of_their_size(exponent: float) -> None:
    n = np.array([30, 7, 3])
    method = Resampling(faces(np.repeat([0, 1, 2], n).tolist()), size="same", exponent=exponent)
    drawn = np.concatenate([method.order(2, epoch) for epoch in range(2500)])
    assert len(drawn) == 100_000
    found = np.bincount(np.repeat([0, 1, 2], n)[drawn]) / len(drawn)
    wanted = n ** (1 - exponent) / (n ** (1 - exponent)).sum()
    assert (np.abs(found - wanted) < 3 * np.sqrt(wanted * (1 - wanted) / len(drawn))).all()


@pytest.mark.parametrize("size", ["up", "same", "mixture"])
def test_faces_come_as_often_as_they_should(size: Any) -> None:
    told = faces([0] * 30 + [1] * 7 + [2] * 3)
    method = Resampling(told, size=size)
    epochs = [method.order(1, epoch) for epoch in range(400)]
    assert len({len(epoch) for epoch in epochs}) == 1
    counts = np.array([np.bincount(epoch, minlength=40) for epoch in epochs])
    np.testing.assert_allclose(counts.mean(0), method.times, atol=0.09, rtol=0.03)
    assert np.abs(counts - method.times).max() < 1 + 1e-6  # as near as whole numbers allow
    assert not np.array_equal(epochs[0], epochs[1])
    np.testing.assert_array_equal(method.order(1, 3), epochs[3])  # the same when a run is taken up
    assert method.sample_weights() is None


def test_every_batch_of_balanced_ones_holds_each_cell() -> None:
    labels, groups = [0] * 60 + [1] * 24 + [2] * 12, ([0] * 3 + [1]) * 24
    told = faces(labels, groups)
    size = 24  # four of each of six cells
    cells = np.array(labels) * 2 + np.array(groups)
    random, balanced = (
        Resampling(told, by=("gender",), batches=batches)  # type: ignore[arg-type]
        for batches in ("random", "balanced")
    )
    np.testing.assert_array_equal(random.times, balanced.times)
    off = {}
    for name, method in (("random", random), ("balanced", balanced)):
        counts = []
        for epoch in range(20):
            order = method.order(3, epoch)
            assert len(order) == 6 * 45
            np.testing.assert_allclose(np.bincount(order, minlength=96), method.times, atol=1)  # as often as ever
            counts += [
                np.bincount(cells[batch], minlength=6) for batch in np.split(order, range(size, len(order), size))
            ]
        whole = np.array([c for c in counts if c.sum() == size])
        off[name] = np.abs(whole - 4).max()
    assert off["balanced"] <= 2 < off["random"]
    first, again, other = (balanced.order(3, epoch) for epoch in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    # Without cells there is nothing to balance, and a face of unknown group is none of the groups.
    whole_of = Resampling(told, classes=False, batches="balanced").order(0, 0)
    assert sorted(whole_of) == list(range(96))


def test_group_dro_moves_its_weights_and_weighs_by_them() -> None:
    method = GroupDro(faces([0, 0], [0, 1]), by=("gender",), classes=False, eta=1.0)
    found = method.loss(step(method.faces, [math.log(2), 0.0]))
    torch.testing.assert_close(method.log_q_0.exp(), torch.tensor([2 / 3, 1 / 3]))
    assert found.item() == pytest.approx(2 / 3 * math.log(2))


def test_a_group_that_was_best_for_long_comes_back_when_it_is_worst() -> None:
    method = GroupDro(faces([0, 0], [0, 1]), by=("gender",), classes=False, eta=1.0)
    for losses, n in (([0.0, 1.0], 110), ([1.0, 0.0], 400)):
        for _ in range(n):
            method.loss(step(method.faces, losses))
    torch.testing.assert_close(method.log_q_0.exp(), torch.tensor([1.0, 0.0]))


def test_faces_of_unknown_group_do_not_teach_the_prior_again() -> None:
    # Nine in ten are of the first class, and a face tells nothing: what is used afterwards must say half and half.
    # So too where groups of the first class, or of the second, are hardly known: neither is rarer for it.
    hardly = [g if i % 9 == 0 else None for i, g in enumerate([0, 1] * 45)]
    cases = (
        ([0] * 90 + [1] * 10, [0, 1] * 50),
        ([0] * 90 + [1] * 10, [0, 1, None, None, None] * 20),
        ([0] * 90 + [1] * 10, hardly + [0, 1] * 5),
        ([0] * 90 + [1] * 10, [0, 1] * 45 + [0, 1] + [None] * 8),
    )
    for labels, groups in cases:
        told = faces(labels, groups)
        targets, features = torch.from_numpy(told.targets), torch.ones(len(told), 2)
        head, method = JointHead(2, 2, 2), DomainDiscriminative(told, by=("gender",))
        method.heads = [head]

        def loss_of(logits: Tensor, targets: Tensor = targets) -> Tensor:
            return -(targets * logits.log_softmax(1)).sum(1)

        optimiser = torch.optim.Adam(head.parameters(), lr=0.05)
        for _ in range(300):
            optimiser.zero_grad()
            given = replace(step(told, features=features), logits=head(features), losses=loss_of(head(features)))
            method.loss(replace(given, loss_of=loss_of)).backward()
            optimiser.step()
        assert head(features[:1]).softmax(1)[0, 0].item() == pytest.approx(0.5, abs=0.02)


def test_group_dro_of_soft_groups() -> None:
    told = faces([0, 0, 0], [[1, 0], [0.5, 0.5], [0, 1]])
    method = GroupDro(told, by=("gender",), classes=False, eta=1e-6)
    found = method.loss(step(told, [1.0, 3.0, 2.0]))
    assert found.item() == pytest.approx((5 / 3 + 7 / 3) / 2, rel=1e-5)
    # Of groups by the likeliest it would be as even: a step shows that their losses are 5/3 and 7/3.
    method = GroupDro(told, by=("gender",), classes=False, eta=1.0)
    found = method.loss(step(told, [1.0, 3.0, 2.0]))
    q = np.exp([5 / 3, 7 / 3]) / np.exp([5 / 3, 7 / 3]).sum()
    np.testing.assert_allclose(method.log_q_0.exp(), q, rtol=1e-5)
    assert found.item() == pytest.approx(q @ [5 / 3, 7 / 3], rel=1e-5)


def test_group_dro_keeps_what_it_does_not_see() -> None:
    told = faces([0, 0, 1, 1], [0, 1, 0, 1])
    method = GroupDro(told, by=("gender",), eta=1.0)
    torch.testing.assert_close(method.log_q_0.exp(), torch.full((4,), 0.25))
    seen = faces([0, 0], [0, 1])
    seen = Faces(rows=seen.rows, targets=told.targets[:2], classes=told.classes, groups=told.groups[:2],
                 attributes=told.attributes)  # fmt: skip
    found = method.loss(step(seen, [math.log(2), 0.0]))
    torch.testing.assert_close(method.log_q_0.exp(), torch.tensor([2.0, 1.0, 1.0, 1.0]) / 5)  # class first, then group
    assert found.item() == pytest.approx(0.4 * math.log(2))


def test_group_dro_adjusts_small_groups_and_counts_faces_of_no_group() -> None:
    told = faces([0] * 20, [0] * 4 + [1] * 16)
    method = GroupDro(told, by=("gender",), classes=False, adjustment=2.0)
    torch.testing.assert_close(method.more_0, torch.tensor([1.0, 0.5]))
    nobody = faces([0, 0, 0], [None, 0, 1])
    method = GroupDro(nobody, by=("gender",), classes=False, eta=1e-6)
    assert method.loss(step(nobody, [6.0, 1.0, 3.0])).item() == pytest.approx(6 / 3 + 2 / 3 * 2, rel=1e-5)
    alone = faces([0, 0], [None, 0])
    losses = torch.tensor([1.0, 2.0], requires_grad=True)
    one = step(alone, losses)
    silent = Step(**{**one.__dict__, "batch": one.batch._replace(groups=torch.zeros(2, 1)), "losses": losses})
    found = GroupDro(alone, by=("gender",), classes=False).loss(silent)
    assert found.item() == pytest.approx(1.5)
    found.backward()
    torch.testing.assert_close(losses.grad, torch.tensor([0.5, 0.5]))


@pytest.mark.parametrize(("alpha", "mean"), [(0.5, 3.5), (1.0, 2.5), (0.25, 4.0), (0.375, (4 + 0.5 * 3) / 1.5)])
def test_cvar_is_the_mean_of_the_worst(alpha: float, mean: float) -> None:
    assert Cvar(faces([0] * 4), alpha=alpha).loss(step(faces([0] * 4), [2.0, 4.0, 1.0, 3.0])).item() == pytest.approx(
        mean
    )


def test_errors_of_the_first_fit_weigh_more() -> None:
    told = faces([0, 0, 1, 1])
    method = UpweightedErrors(told, factor=5.0)
    assert [s.begins for s in method.stages()] == ["best", "start"]
    np.testing.assert_array_equal(method.sample_weights(), 1)
    method.begin(0, lambda: pytest.fail("the first fit looks at nothing"))
    method.begin(1, lambda: np.array([[1, 0], [0, 1], [0, 1], [1, 0]], np.float32))
    weights = method.sample_weights()
    assert (weights * np.array([1, 2, 3, 4])).mean() == pytest.approx(34 / 12)
    again = UpweightedErrors(told)
    again.load_state_dict(method.state_dict())  # a run that is taken up in the second fit
    np.testing.assert_array_equal(again.sample_weights(), weights)


def test_partners_are_of_the_same_class_and_another_group() -> None:
    rng = np.random.default_rng(0)
    told = faces(rng.integers(0, 3, 60), [None if g == 2 else int(g) for g in rng.integers(0, 3, 60)])
    method = GroupMixup(told, by=("gender",))
    targets, groups = torch.from_numpy(told.targets), torch.from_numpy(told.groups)
    classes, group, known = targets.argmax(1), groups.argmax(1), groups.sum(1) > 0
    for within in (True, False):
        partner = method.partners(targets, groups, within)
        mixed = partner != torch.arange(60)
        assert (mixed == known).all()
        assert known[partner[mixed]].all()
        assert ((classes == classes[partner]) == within)[mixed].all()
        assert ((group == group[partner]) != within)[mixed].all()
    alone = faces([0, 0, 1], [0, 0, 1])
    stays = method.partners(torch.from_numpy(alone.targets), torch.from_numpy(alone.groups), True)
    torch.testing.assert_close(stays, torch.arange(3))


def test_what_is_mixed_is_a_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    told = faces([0, 0], [0, 1])
    monkeypatch.setattr(torch.distributions.Beta, "sample", lambda self: torch.tensor(0.25))
    batch = step(told).batch._replace(
        images=torch.tensor([1.0, 0.0]).view(2, 1, 1, 1), weights=torch.tensor([1.0, 3.0])
    )
    mixed = GroupMixup(told, by=("gender",), same_class=1.0).mix(batch)
    torch.testing.assert_close(mixed.images.flatten(), torch.tensor([0.25, 0.75]))
    torch.testing.assert_close(mixed.groups, torch.tensor([[0.25, 0.75], [0.75, 0.25]]))
    torch.testing.assert_close(mixed.targets, batch.targets)
    torch.testing.assert_close(mixed.weights, torch.tensor([2.5, 1.5]))


def penalty(x: Any, groups: Any, targets: Any = None, **options: Any) -> float:
    told = faces([0] * len(x) if targets is None else targets, groups)
    method = FeatureAlignment(told, by=("gender",), **options)
    features = torch.tensor(x, dtype=torch.float32).reshape(len(x), -1)
    return method.penalty(features, torch.from_numpy(told.targets), torch.from_numpy(told.groups)).item()


def test_distances_of_features() -> None:
    assert penalty([0, 2, 1, 3], [0, 0, 1, 1], distance="mean") == pytest.approx(1)
    assert penalty([0, 0, 1, 1], [0, 0, 1, 1], distance="rbf", bandwidth=1.0) == pytest.approx(2 - 2 / math.e)
    assert penalty([0, 2, 0, 2], [0, 0, 1, 1], distance="rbf") == pytest.approx(0, abs=1e-6)
    crossed = [[1, 0], [-1, 0], [0, 1], [0, -1]]
    assert penalty(crossed, [0, 0, 1, 1], distance="covariance") == pytest.approx(2)
    one = torch.ones(4)
    sides = torch.tensor([[1.0], [1], [-1], [-1]])
    assert hsic(sides, sides, one).item() == pytest.approx(16 / 9)
    assert hsic(sides, torch.tensor([[1.0], [-1], [1], [-1]]), one).item() == pytest.approx(0, abs=1e-9)


def test_within_a_class_a_class_that_differs_between_groups_costs_nothing() -> None:
    # All of one group's faces but two are of class 1, which has other features: between groups that is no distance.
    labels, groups = [0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 0, 0, 1, 1]
    x = [0.0, 0, 0, 0, 5, 5, 5, 5]
    for distance in ("mean", "rbf", "covariance", "dependence"):
        assert penalty(x, groups, labels, distance=distance) == pytest.approx(0, abs=1e-6)
    skewed = ([0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1], [0] * 8 + [1] * 8)
    y = [0.0] * 6 + [5.0] * 2 + [0.0] * 2 + [5.0] * 6
    assert penalty(y, skewed[1], skewed[0], distance="mean") == pytest.approx(0, abs=1e-6)
    assert penalty(y, skewed[1], skewed[0], distance="mean", classes=False) > 1


@pytest.mark.parametrize("distance", ["mean", "rbf", "covariance", "dependence"])
def test_a_batch_without_two_groups_costs_nothing_and_has_a_gradient(distance: Any) -> None:
    told = faces([0, 0, 1], [0, 0, 1])
    method = FeatureAlignment(told, by=("gender",), distance=distance)
    for groups in (told.groups, np.zeros_like(told.groups)):
        one = step(told, [1.0, 2.0, 3.0])
        x = torch.randn(3, 2, requires_grad=True)
        found = method.loss(
            Step(**{**one.__dict__, "features": x, "batch": one.batch._replace(groups=torch.from_numpy(groups))})
        )
        assert torch.isfinite(found)
        found.backward()
        assert torch.isfinite(x.grad).all()  # type: ignore[union-attr]


def test_the_gap_of_rates() -> None:
    told = faces([0] * 4, [0, 0, 1, 1])
    method = RateGap(told, by=("gender",))
    p = torch.tensor([0.9, 0.7, 0.6, 0.4])[:, None]
    targets = torch.ones(4, 1)
    assert method.penalty(p, targets, torch.from_numpy(told.groups)).item() == pytest.approx(0.3)
    soft = torch.tensor([[1, 0], [0.5, 0.5], [0, 1], [0, 1]])
    rates = (0.833333, 0.54)
    assert method.penalty(p, targets, soft).item() == pytest.approx(rates[0] - rates[1], abs=1e-5)
    # Class b is not in the first group: it takes no part, and there is no NaN.
    q = torch.tensor([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [0.2, 0.8]])
    t = torch.tensor([[1.0, 0], [1, 0], [1, 0], [0, 1]])
    assert method.penalty(q, t, torch.from_numpy(told.groups)).item() == pytest.approx(0.2)
    assert method.penalty(q, t, torch.zeros(4, 2)).item() == 0
    # False positives: nobody of the first group is of another class than a; of class b both groups have such.
    odds = RateGap(told, by=("gender",), rates="odds").penalty(q, t, torch.from_numpy(told.groups)).item()
    assert odds == pytest.approx((0.2 + abs(0.2 - 0.4)) / 2)


def test_confusion_is_least_where_all_groups_are_said_alike() -> None:
    assert confused(torch.zeros(3, 4)).item() == pytest.approx(math.log(4))
    said = torch.tensor([[0.7, 0.1, 0.1, 0.1]]).log()
    assert confused(said).item() == pytest.approx(1.816108, abs=1e-6)


def test_the_adversary_learns_on_features_that_stand_still() -> None:
    told = faces([0, 0, 1, 1], [0, 1, 0, None])
    method = UniformConfusion(told, by=("gender",), hidden=0, steps=3, lr=0.1, weight=2.0)

    class Body(torch.nn.Module):
        feature_dim = 2

    method.adapt(Body())  # type: ignore[arg-type]
    x = torch.randn(4, 2, requires_grad=True)
    one = step(told, [1.0, 1, 1, 1])
    one = Step(**{**one.__dict__, "features": x})
    adversary, network = method.stages()[0].turns
    assert (adversary.times, adversary.lr, adversary.moves, network.moves) == (3, 0.1, "mitigation", "model")
    assert adversary.loss is not None
    adversary.loss(one).backward()
    assert x.grad is None
    found = method.loss(one)
    assert found.item() == pytest.approx(1 + 2 * confused(method.adversaries[0](x)).item())
    found.backward()
    assert x.grad is not None


def test_methods_bear_bf16_features() -> None:
    told = faces([0, 0, 1, 1] * 2, [0, 1, 0, 1] * 2)
    x = torch.randn(8, 2, dtype=torch.bfloat16)
    one = Step(**{**step(told, [1.0] * 8).__dict__, "features": x})
    methods: list[Mitigation] = [FeatureAlignment(told, by=("gender",)), RateGap(told, by=("gender",))]
    for method in methods:
        found: Tensor = method.loss(one)
        assert found.dtype == torch.float32


def test_the_effective_number_of_six_and_two() -> None:
    weights = Reweighting(faces([0] * 6 + [1] * 2), effective=0.5).sample_weights()
    raw = np.array([0.507937] * 6 + [0.666667] * 2)
    np.testing.assert_allclose(weights, raw / raw.mean(), rtol=1e-5)
    np.testing.assert_allclose(Reweighting(faces([0] * 6 + [1] * 2), effective=0.0).sample_weights(), 1)
    near = Reweighting(faces([0] * 6 + [1] * 2), effective=0.999999).sample_weights()
    np.testing.assert_allclose(near[[0, -1]], [2 / 3, 2], rtol=1e-4)


def test_contrast_by_hand() -> None:
    # Two classes; features at right angles, t = 1: each face has one partner, itself apart.
    told = faces([0, 0, 1, 1], [0, 1, 0, 1])
    features = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    method = Contrastive(told, by=("gender",), partners="class", rivals="all", weight=2.0, temperature=1.0)
    expected = math.log(math.e + 2) - 1  # partner e^1, two rivals e^0
    assert method.loss(step(told, [1.0] * 4, features=features)).item() == pytest.approx(1 + 2 * expected)
    # Rivals of the same group alone: one in place of two.
    same = Contrastive(told, by=("gender",), partners="class", rivals="same", temperature=1.0)
    classes, groups = torch.from_numpy(told.targets).argmax(1), torch.from_numpy(told.groups)
    assert same.contrast(features, classes, groups).item() == pytest.approx(math.log(math.e + 1) - 1)
    # Across groups: faces of one group have no partner, and nothing is lost.
    across = Contrastive(told, by=("gender",), temperature=1.0)
    assert across.contrast(features, classes, torch.tensor([[1.0, 0]] * 4)).item() == 0
    # Partners of another group: a face of its own class and group is no rival, and is not pushed away.
    three = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    across = Contrastive(told, by=("gender",), partners="across", rivals="all", temperature=1.0)
    memberships = torch.tensor([[1.0, 0], [0, 1.0], [1.0, 0], [1.0, 0]])
    found = across.contrast(three, torch.tensor([0, 0, 1, 1]), memberships)
    assert found.item() == pytest.approx(math.log(math.e + 2) - 1)  # the last two have no partner, and are two rivals
    alike = across.contrast(three[[0, 1, 1]], torch.tensor([0, 0, 0]), torch.tensor([[1.0, 0], [0, 1.0], [0, 1.0]]))
    assert alike.item() == pytest.approx((math.log(2) + 0 + 0) / 3)
    # Unknown groups are partners of all of their class, and rivals of all others.
    unknown = across.contrast(features, classes, torch.zeros(4, 2)).item()
    assert unknown == pytest.approx(method.contrast(features, classes, torch.zeros(4, 2)).item())
    x = torch.randn(4, 3, requires_grad=True)
    across.contrast(x, classes, groups).backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_joint_probabilities_sum_over_groups() -> None:
    # Blocks (2, 0) and (0, 1): the joint softmax sums to (.69289, .30711).
    head = JointHead(1, 2, 2)
    with torch.no_grad():
        head.linear.weight.zero_()
        head.linear.bias.copy_(torch.tensor([2.0, 0, 0, 1]))
    logits = head(torch.zeros(1, 1))
    assert logits.softmax(1)[0].tolist() == pytest.approx([0.69289, 0.30711], abs=1e-5)


def asked(told: Faces, losses: Any = None, own: float = 0.0) -> Step:
    """A step that can tell the losses of its own logits; ``own`` are the network's terms."""
    known = torch.zeros(len(told)) if losses is None else torch.as_tensor(losses)
    return replace(step(told, known + own), loss_of=lambda logits: known)


def test_what_is_taken_out_of_joint_classes() -> None:
    # Three of four faces of the first class are of the first group: with even shares the prior is in the logits.
    told = faces([0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 0, 1, 1, 1])
    method = DomainDiscriminative(told, by=("gender",))
    np.testing.assert_allclose(method.log_prior.exp(), [[3 / 8, 1 / 8], [1 / 8, 3 / 8]])
    model = SimpleNamespace(head=JointHead(2, 2, 2))
    method.adapt(model)  # type: ignore[arg-type]
    with torch.no_grad():
        model.head.linear.weight.zero_()
        model.head.linear.bias.zero_()
    # All joint logits are alike: a face of (class 0, group 0) loses -ln 3/8.
    losses = [-math.log(p) for p in (3 / 8, 3 / 8, 3 / 8, 1 / 8, 1 / 8, 3 / 8, 3 / 8, 3 / 8)]
    assert method.loss(asked(told)).item() == pytest.approx(sum(losses) / 8, abs=1e-6)
    plain = DomainDiscriminative(told, by=("gender",), even=False)
    plain.adapt(model)  # type: ignore[arg-type]
    assert plain.loss(asked(told)).item() == pytest.approx(math.log(4), abs=1e-6)
    assert plain.loss(asked(told, own=2.0)).item() == pytest.approx(
        math.log(4) + 2, abs=1e-6
    )  # the network's own terms
    # A face of unknown group: the configured loss.
    lost = faces([0, 1], [None, 1])
    method = DomainDiscriminative(lost, by=("gender",), even=False)
    method.adapt(model)  # type: ignore[arg-type]
    assert method.loss(asked(lost, [5.0, 7.0])).item() == pytest.approx((5 + math.log(4)) / 2, abs=1e-6)
    with pytest.raises(ConfigError, match="joint_head"):
        method.adapt(SimpleNamespace(head=torch.nn.Linear(2, 2)))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="the network has 3 groups"):
        method.adapt(SimpleNamespace(head=JointHead(2, 2, 3)))  # type: ignore[arg-type]


def test_the_head_is_given_the_groups() -> None:
    told = faces([0, 1, 0, 0], [[1, 0], [0, 1], [0, 1], [0, 0]])
    trunk = {"name": "mienet", "options": {"widths": [4, 8], "depths": [1, 1], "stem": 4}}
    model = MODELS.get("conditioned")(2, 1, trunk=trunk, attributes={"gender": 2}).eval()
    method = AttributeAware(told, by=("gender",), weight=0.5)
    method.adapt(model)
    with torch.no_grad():
        head = only_linear(model.head)
        assert head is not None
        head.weight.zero_()
        head.bias.zero_()
        head.weight[:, -2:] = torch.tensor([[0.0, 0.0], [math.log(3), -math.log(3)]])  # an offset a group
        model.attribute_head.weight.zero_()
        model.attribute_head.bias.zero_()
    found = model.forward_train(torch.rand(4, 1, 48, 48))  # by its own word nobody is either: no offset
    assert torch.allclose(found.logits, torch.zeros(4, 2), atol=1e-6)
    loss_of = lambda logits: -(torch.from_numpy(told.targets) * logits.log_softmax(1)).sum(1)  # noqa: E731
    seen = replace(
        step(told, loss_of(found.logits) + 2.0, logits=found.logits, features=found.features.detach().numpy()),
        extra=found.extra, loss_of=loss_of,
    )  # fmt: skip
    # Group f: class 1 three times as likely. Group m: a third as likely. Nobody: alike, as its own word is.
    expression = [math.log(4), math.log(4), math.log(4 / 3), math.log(2)]
    # The network's own terms are 2, its heads are even for the three faces of known group.
    assert method.loss(seen).item() == pytest.approx(sum(expression) / 4 + 2 + 0.5 * math.log(2), abs=1e-5)
    given = torch.tensor([[1.0, 0.0]] * 4)
    x = torch.rand(4, 1, 48, 48)
    again = model.logits_given(model.features(x), {"gender": given})
    assert torch.allclose(again, model.conditioned_on(x, {"gender": given}))
    # A mixed face of which 0.6 is known: the network's own word for the rest, which is even.
    mixed = model.logits_given(model.features(x), {"gender": 0.6 * given})
    assert torch.allclose(mixed, model.conditioned_on(x, {"gender": torch.tensor([[0.8, 0.2]] * 4)}), atol=1e-6)
    with pytest.raises(ConfigError, match="groups of 'gender' are probabilities"):
        AttributeAware(faces([0, 1], [[0.5, 0.5], [0, 1]]), by=("gender",))
    for options in ({"how": "film"}, {"control": "shuffled"}):
        other = MODELS.get("conditioned")(2, 1, trunk=trunk, attributes={"gender": 2}, **options)
        with pytest.raises(ConfigError, match="is a control or is moved by film, expected model"):
            AttributeAware(told, by=("gender",)).adapt(other)
    with pytest.raises(ConfigError, match=r"sees no groups.*attributes: \{gender: 2\}"):
        AttributeAware(told, by=("gender",)).adapt(MODELS.get("mienet")(2, 1, **MODELS.tiny("mienet")))
    other = MODELS.get("conditioned")(2, 1, trunk=trunk, attributes={"age": 2})
    with pytest.raises(ConfigError, match="the network knows no 'gender', expected some of age"):
        AttributeAware(told, by=("gender",)).adapt(other)


def test_the_head_stays_closed_to_the_attributes_features() -> None:
    told = faces([0, 1, 0, 1], [0, 0, 1, 1])
    method = Disentangled(told, by=("gender",), share=0.25, hidden=0)
    model = SimpleNamespace(head=torch.nn.Linear(8, 2), feature_dim=8)
    method.adapt(model)  # type: ignore[arg-type]
    features = torch.randn(4, 8, requires_grad=True)
    given = replace(step(told, features=features), losses=model.head(features).sum(1))
    before = [p.clone() for p in method.adversaries.parameters()]
    optimizer = torch.optim.SGD([*model.head.parameters(), *method.parameters()], lr=0.5, weight_decay=0.1)
    method.loss(given).backward()
    assert all(p.grad is None for p in method.adversaries.parameters())  # asked, and not moved
    assert all(p.grad is not None for p in method.branches.parameters())
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, method.adversaries.parameters(), strict=True))
    assert (model.head.weight[:, :2] == 0).all()
    assert (model.head.weight[:, 2:] != 0).all()
    # Confusion of four equal shares is ln G; the adversary's own turn moves nothing else.
    method.adversarial(given).backward()
    assert all(p.grad is not None for p in method.adversaries.parameters())
