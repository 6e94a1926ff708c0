"""The education networks as their source counts them."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from mien.errors import ConfigError
from mien.models import MODELS
from mien.models.blocks import AdaptiveMean
from mien.models.education_cnn import EducationCNN, PlainResidual

# Table 2.2: name -> parameters with four classes and grey input; the layers are of 6,400 or 12,800 units.
MEMBERS = {
    "b16_n4_fc1_k3_ap20": 41_008_660,
    "b32_n4_fc1_k3_ap20": 163_969_572,
    "b16_n8_fc2_k3_ap20": 81_993_876,
    "b32_n8_fc2_k3_ap20": 327_896_868,
    "b16_n4_fc1_k5_ap20": 41_037_588,
    "b32_n4_fc1_k5_ap20": 164_084_772,
    "b16_n8_fc2_k5_ap20": 82_055_572,
    "b32_n8_fc2_k5_ap20": 328_143_140,
    "b16_n4_fc1_k7_ap20": 41_080_980,
    "b32_n4_fc1_k7_ap20": 164_257_572,
    "b16_n8_fc2_k7_ap20": 82_148_116,
    "b32_n8_fc2_k7_ap20": 328_512_548,
}


def test_the_catalogue_has_the_twelve_rows_of_the_table() -> None:
    assert {n for n in MODELS.names() if n.endswith("_ap20")} == set(MEMBERS)


@pytest.mark.parametrize("name", MEMBERS)
def test_members_have_the_parameters_of_the_source(name: str) -> None:
    with torch.device("meta"):
        model = MODELS.get(name)(4, 1)
    assert sum(p.numel() for p in model.parameters()) == MEMBERS[name]
    base, blocks, fc, kernel = (int(part.lstrip("bnfck")) for part in name.split("_")[:4])
    by_hand = 0
    for inputs in [1] + [base] * (blocks - 1):
        by_hand += (inputs + base) * base * kernel**2 + 2 * base + 4 * base  # weights, biases, two normalisations
    wide = 400 * base
    by_hand += fc * (wide * wide + wide) + 4 * wide + 4
    assert by_hand == MEMBERS[name]
    assert model.feature_dim == wide


def test_the_blocks_have_17_k_to_756_k() -> None:
    with torch.device("meta"):
        few, many = (
            sum(p.numel() for p in MODELS.get(name)(4, 1).blocks.parameters())
            for name in ("b16_n4_fc1_k3_ap20", "b32_n8_fc2_k7_ap20")
        )
    assert (few, many) == (16_656, 755_744)


def test_the_first_block_adds_its_one_channel_to_all() -> None:
    block = PlainResidual(1, 3, 3).eval()
    nn.init.zeros_(block.body[4].weight)  # what the convolutions say is nothing then
    x = torch.randn(2, 1, 5, 5)
    with torch.no_grad():
        torch.testing.assert_close(block(x), x.relu().expand(2, 3, 5, 5))


def test_grey_pictures_in_colour_add_the_same() -> None:
    block = PlainResidual(3, 4, 3).eval()
    nn.init.zeros_(block.body[4].weight)
    x = torch.randn(2, 1, 5, 5)
    with torch.no_grad():
        torch.testing.assert_close(block(x.expand(2, 3, 5, 5)), x.relu().expand(2, 4, 5, 5))


@pytest.mark.parametrize(("side", "pool"), [(48, 20), (32, 20), (12, 20), (20, 20), (48, 1)])
def test_the_pool_is_the_adaptive_one(side: int, pool: int) -> None:
    maps = torch.rand(2, 3, side, side, dtype=torch.float64)
    torch.testing.assert_close(AdaptiveMean(pool)(maps), functional.adaptive_avg_pool2d(maps, pool))


def test_narrower_layers_and_refused_kernels() -> None:
    model = MODELS.get("b32_n8_fc2_k5_ap20")(4, 1, fc_width=64)
    assert model.feature_dim == 64
    assert [m.out_features for m in model.hidden if isinstance(m, nn.Linear)] == [64, 64]
    with pytest.raises(ValueError, match="odd"):
        EducationCNN(4, kernel=4)
    with pytest.raises(ConfigError):
        MODELS.check_options("b32_n8_fc2_k5_ap20", {"fc_width": 0})
