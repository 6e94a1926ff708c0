"""A head for each group: whose loss moves which, and one head again in the end."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from mien.config import parse_config
from mien.errors import ConfigError
from mien.mitigation.base import Batch, Step
from mien.mitigation.domain_independent import DomainIndependent, GroupHeads
from mien.mitigation.faces import Faces
from mien.models import MODELS
from mien.train import train

TINY = {"widths": [4], "depths": [1], "stem": 4}


def faces() -> Faces:
    return Faces(
        rows=np.arange(4),
        targets=np.eye(2, dtype=np.float32)[[0, 1, 0, 1]],
        classes={"expression": ("a", "b")},
        groups=np.array([[1, 0], [0, 1], [0.25, 0.75], [0, 0]], np.float32),
        attributes={"gender": ("f", "m")},
    )


def test_the_sum_over_groups_and_each_group_decide_as_reckoned() -> None:
    heads = GroupHeads(nn.Linear(1, 2), 2)
    for head, bias in zip(heads.heads, ([2.0, 0.0], [0.0, 1.0]), strict=True):
        nn.init.zeros_(head.weight)
        head.bias.data = torch.tensor(bias)
    x = torch.zeros(1, 1)
    assert heads(x).argmax().item() == 0
    assert heads.each(x)[0, 1].argmax().item() == 1
    torch.testing.assert_close(heads.merged()(x), heads(x))


def test_a_face_s_loss_is_that_of_its_group_s_head() -> None:
    told = faces()
    method = DomainIndependent(told, by=("gender",))
    model = method.adapt(MODELS.get("mienet")(2, 1, **TINY))
    for i, head in enumerate(model.head.heads):  # type: ignore[union-attr, arg-type]
        torch.manual_seed(i)
        nn.init.normal_(next(m for m in head.modules() if isinstance(m, nn.Linear)).weight)
    model.eval()
    features = torch.randn(4, model.feature_dim)
    targets, groups = torch.from_numpy(told.targets), torch.from_numpy(told.groups)

    def loss_of(logits: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(logits, targets, reduction="none")

    merged = model.head(features)
    own = torch.tensor([0.5, 0.0, 0.0, 0.0])  # a term of the network's own
    step = Step(
        batch=Batch(torch.zeros(4, 1, 8, 8), targets, groups, torch.arange(4)),
        logits=merged,
        features=features,
        extra={},
        losses=loss_of(merged) + own,
        epoch=0,
        step=0,
        n_steps=1,
        loss_of=loss_of,
    )
    each = model.head.each(features)  # type: ignore[operator]
    one, two = loss_of(each[:, 0]), loss_of(each[:, 1])
    wanted = torch.stack([one[0] + 0.5, two[1], 0.25 * one[2] + 0.75 * two[2], loss_of(merged)[3]]).mean()
    torch.testing.assert_close(method.loss(step), wanted)


def test_what_is_saved_is_one_head_that_says_the_same() -> None:
    method = DomainIndependent(faces(), by=("gender",))
    plain = MODELS.get("mienet")(2, 1, **TINY).eval()
    names = set(plain.state_dict())
    adapted = method.adapt(copy.deepcopy(plain)).eval()
    x = torch.rand(3, 1, 16, 16)
    torch.testing.assert_close(adapted(x), plain(x))  # it begins as the network
    for parameter in adapted.head.parameters():
        nn.init.normal_(parameter)
    back = method.plain(adapted)
    assert set(back.state_dict()) == names
    torch.testing.assert_close(back(x), adapted(x))
    assert isinstance(adapted.head, GroupHeads)  # the one in training is as it was


def test_a_head_of_more_than_a_linear_layer_is_refused(settings: dict[str, Any], tmp_path: Any) -> None:
    content = settings | {
        "model": {"name": "dan", "options": {"width": 8, "depths": [1, 1, 1, 1], "narrow": 4, "small": True}},
        "mitigation": {"name": "domain_independent", "options": {"by": ["gender"]}},
    }
    with pytest.raises(ConfigError, match=r"mitigation\.name: the head of DistractAttention is more than one linear"):
        train(parse_config(content), tmp_path / "run")
