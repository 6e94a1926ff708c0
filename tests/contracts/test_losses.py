"""What every loss must do: one value a face, finite, with the gradient of its formula."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mien.docstrings import prose
from mien.errors import ConfigError
from mien.labels import FER2013_CLASSES, FERPLUS_VOCABULARY, SCHEMES, label_scheme
from mien.losses import LOSSES, LossRegistry
from mien.losses.bound import RowLoss
from mien.registry import options_of

NAMES = LOSSES.names()


def bound(name: str, k: int = 4) -> Callable[[Tensor, Tensor], Tensor]:
    """A loss with its tiny options, and plausible answers to whatever it asks for."""
    loss = RowLoss(name, LOSSES.tiny(name), num_classes=k, feature_dim=5)

    def call(logits: Tensor, targets: Tensor) -> Tensor:
        n = len(logits)
        features = torch.linspace(-1, 1, n * 5, dtype=logits.dtype).view(n, 5)
        counts = torch.arange(10.0, 10.0 + k, dtype=logits.dtype)
        maps = torch.linspace(-1, 1, n * k * 6, dtype=logits.dtype).view(n, k, 2, 3)
        about = {"class_counts": counts, "features": features, "rows": torch.arange(n), "epoch": 1}
        return loss(logits, targets, about | {"maps": maps, "mirrored_maps": maps.flip(3)})

    return call


def batch(n: int = 6, k: int = 4) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    logits = torch.randn(n, k, dtype=torch.float64, requires_grad=True)
    return logits, torch.rand(n, k, dtype=torch.float64).softmax(1)


@pytest.mark.parametrize("name", NAMES)
def test_one_value_a_face_whatever_faces_stand_beside_it(name: str) -> None:
    logits, targets = batch()
    loss = bound(name)
    together = loss(logits, targets)
    assert together.shape == (6,)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    assert loss(logits[order], targets[order]).shape == (6,)
    assert loss(logits[:1], targets[:1]).shape == (1,)


@pytest.mark.parametrize("name", NAMES)
def test_finite_at_extremes(name: str) -> None:
    extreme = [[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0], [1e4, -1e4, 0.0], [1e4, 1e4, 1e4], [-1e4, -1e4, -1e4]]
    logits = torch.tensor(extreme, requires_grad=True)
    one_hot = [[0.0, 1.0, 0.0], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.2, 0.0, 0.8]]
    loss = bound(name, 3)(logits, torch.tensor(one_hot))
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", NAMES)
def test_gradient(name: str) -> None:
    logits, targets = batch()
    assert torch.autograd.gradcheck(lambda z: bound(name)(z, targets).sum(), logits)


VOTES = np.array(
    [
        [10, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 2, 8, 0, 0, 0, 0, 0],
        [5, 0, 0, 5, 0, 0, 0, 0, 0, 0],
        [4, 0, 0, 4, 0, 0, 1, 0, 1, 0],
        [0, 3, 3, 0, 0, 2, 2, 0, 0, 0],
        [2, 0, 0, 7, 0, 0, 0, 1, 0, 0],
    ],
    dtype=np.float64,
)


@pytest.mark.parametrize("scheme", SCHEMES.names())
@pytest.mark.parametrize("name", NAMES)
def test_drop_in_with_every_label_scheme(name: str, scheme: str) -> None:
    vocabulary = FER2013_CLASSES if scheme == "fer2013" else FERPLUS_VOCABULARY
    votes = np.eye(len(vocabulary))[[0, 3, 6, 6]] if scheme == "fer2013" else VOTES
    found = label_scheme(scheme, vocabulary, SCHEMES.tiny(scheme)).targets(votes, vocabulary)
    targets = torch.from_numpy(found.probs[found.keep]).float()
    assert len(targets) > 0
    logits = torch.zeros(targets.shape, requires_grad=True)
    loss = bound(name, targets.shape[1])(logits, targets)
    loss.sum().backward()
    assert loss.shape == (len(targets),)
    assert torch.isfinite(loss).all()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", NAMES)
def test_says_its_source_and_what_its_options_do(name: str) -> None:
    told = prose(LOSSES.get(name))
    wanted = "say where the loss comes from: 'Source: ' with paper and equation, or the year; or 'Source: own.'"
    assert re.search(r"[Ss]ource|\b(19|20)\d\d\b", told), f"{wanted}\n{told}"
    assert all(o.about for o in options_of(LOSSES.get(name), LOSSES.given))


@pytest.mark.parametrize("name", [n for n in NAMES if LOSSES.least_at_target(n)])
def test_least_at_the_target(name: str) -> None:
    _, targets = batch()
    loss = bound(name)
    at_target = loss(targets.log(), targets)
    for seed in range(5):
        torch.manual_seed(seed)
        beside = loss(targets.log() + 0.3 * torch.randn_like(targets), targets)
        assert (beside > at_target).all(), "if on purpose, say least_at_target=False where it is registered"


# Those of the catalogue: a loss of one's own says it where it is registered, and stands in no list.
ELSEWHERE = ("balanced_softmax", "categorical_hinge", "class_balanced", "ferplus_multi_label", "focal", "hinge",
             "logit_adjusted", "symmetric_cross_entropy")  # fmt: skip


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_is_said_to_be_least_elsewhere_is(name: str) -> None:
    assert not LOSSES.least_at_target(name)
    _, targets = batch()
    logits = targets.log().requires_grad_()
    slope = torch.autograd.grad(bound(name)(logits, targets).sum(), logits)[0]
    assert slope.abs().max() > 1e-3


def test_cross_entropy_by_hand() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25]]))
    targets = torch.tensor([[0.5, 0.5, 0.0]])
    expected = 0.5 * torch.log(torch.tensor([2.0])) + 0.5 * torch.log(torch.tensor([4.0]))
    torch.testing.assert_close(LOSSES.get("cross_entropy")(logits, targets), expected)


def test_cross_entropy_is_torch_s_on_one_hot() -> None:
    logits, _ = batch()
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    ours = LOSSES.get("cross_entropy")(logits, torch.eye(4, dtype=torch.float64)[labels])
    torch.testing.assert_close(ours, torch.nn.functional.cross_entropy(logits, labels, reduction="none"))


def test_mean_squared_error_by_hand() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.5]]))
    value = LOSSES.get("mean_squared_error")(logits, torch.tensor([[1.0, 0.0]]))
    assert value.item() == pytest.approx((0.25 + 0.25) / 2)


def test_a_wrong_value_of_an_option_without_annotation_is_told_before_the_first_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def plain(logits: Tensor, targets: Tensor, *, q=0.7) -> Tensor:  # type: ignore[no-untyped-def]
        return (targets * (1 - logits.softmax(1) ** q) / q).sum(1)

    monkeypatch.setitem(LOSSES._entries, "plain", plain)
    wanted = (
        r"^loss\.options: 'plain' cannot be built with q: 'high' \(.*\), expected values like the defaults, q: 0.7\. "
    )
    with pytest.raises(ConfigError, match=wanted):
        RowLoss("plain", {"q": "high"}, num_classes=2, feature_dim=1)


class _Centred(nn.Module):
    """A loss with a parameter and a wish for everything."""

    def __init__(self, *, scale: float = 1.0, num_classes: int, feature_dim: int) -> None:
        super().__init__()
        self.scale, self.centres = scale, nn.Parameter(torch.zeros(num_classes, feature_dim))

    def forward(self, logits: Tensor, targets: Tensor, *, features: Tensor, class_counts: Tensor) -> Tensor:
        return self.scale * ((features - targets @ self.centres) ** 2).sum(1) / (targets @ class_counts)


def test_where_a_loss_is_least_is_said_at_its_registration() -> None:
    registry = LossRegistry()
    registry._loaded = True  # nothing but these two
    registry.register("proper")(len)
    registry.register("bounded", tiny={"q": 0.7}, least_at_target=False)(len)
    assert (registry.least_at_target("proper"), registry.least_at_target("bounded")) == (True, False)
    assert (registry.tiny("proper"), registry.tiny("bounded")) == ({}, {"q": 0.7})
    with pytest.raises(ConfigError, match="unknown loss 'boundet'"):
        registry.least_at_target("boundet")


def test_a_loss_may_have_parameters_and_ask_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOSSES._entries, "centred", _Centred)
    loss = RowLoss("centred", {"scale": 2.0}, num_classes=2, feature_dim=1)
    assert [tuple(p.shape) for p in loss.parameters()] == [(2, 1)]
    assert set(loss.asks) == {"features", "class_counts"}
    about = {"features": torch.tensor([[3.0], [1.0]]), "class_counts": torch.tensor([4.0, 2.0]), "rows": 0, "epoch": 0}
    values = loss(torch.zeros(2, 2), torch.eye(2), about)
    assert values.tolist() == [2 * 9 / 4, 2 * 1 / 2]
