"""A training that cannot fit is refused before it begins, with the figure and the way out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mien.config import TrainConfig, parse_config
from mien.errors import ConfigError
from mien.models import MODELS
from mien.models.blocks import ExpressionModel
from mien.train import memory, train
from mien.train.memory import GB, Memory, check_memory, memory_of, reckon


class Two(ExpressionModel):
    """10 -> 6 -> 3 without bias; 60 + 18 weights."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(10, 6, bias=False), nn.Linear(6, 3, bias=False)

    def features(self, x: Tensor) -> Tensor:
        return self.hidden(x.flatten(1)).relu()  # type: ignore[no-any-return]


def test_each_part_by_hand() -> None:
    settings = TrainConfig.model_validate({"optimizer": {"name": "adam"}, "ema": None})
    found = reckon(Two(), (4, 1, 2, 5), settings, bf16=False, kept=0)
    weights = 78 * 4 / GB
    assert (found.weights, found.gradients) == pytest.approx((weights, weights))
    assert found.optimizer == pytest.approx(2 * weights)
    assert found.copies == pytest.approx(2 * weights)  # the best ones that are not written yet, and the passing one
    # The picture for the first layer, its rectified output for itself and for the second.
    assert found.activations == pytest.approx((4 * 10 + 4 * 6) * 4 / GB)
    assert found.total == pytest.approx(6 * weights + found.activations + memory.REST)


def test_what_stands_still_has_no_gradient_and_what_is_kept_is_counted() -> None:
    model = Two()
    model.hidden.weight.requires_grad_(False)
    found = reckon(model, (4, 1, 2, 5), TrainConfig(), bf16=True, kept=2)
    assert found.gradients == found.optimizer == pytest.approx(18 * 4 / GB)  # sgd with momentum: one number each
    assert found.copies == pytest.approx(5 * 78 * 4 / GB)  # averaged, kept twice, unwritten, and the passing one
    still = TrainConfig.model_validate({"optimizer": {"momentum": 0}})
    assert reckon(model, (4, 1, 2, 5), still, bf16=True, kept=0).optimizer == 0
    assert model.training


def test_the_largest_network_of_the_education_study_fits_into_12_gb_with_adam() -> None:
    settings = TrainConfig.model_validate({"optimizer": {"name": "adam", "lr": 1e-3}, "batch_size": 64})
    with torch.device("meta"):
        model = MODELS.get("b32_n8_fc2_k3_ap20")(4, 1)
    found = reckon(model, (64, 1, 48, 48), settings, bf16=False, kept=0)
    assert found.weights == pytest.approx(1.3116, abs=1e-4)
    assert 8 < found.total < 12
    check_memory(found, 327_896_868, 12 * GB, settings, ("fc_width",))
    with pytest.raises(ConfigError, match=r"327\.9 M parameters takes .*fc_width.*sgd.*ema=null"):
        check_memory(found, 327_896_868, 8 * GB, settings, ("fc_width",))


def test_a_batch_that_is_too_large_is_named() -> None:
    large = Memory(weights=0.1, gradients=0.1, optimizer=0.0, copies=0.1, activations=20.0)
    settings = TrainConfig.model_validate({"ema": None})
    with pytest.raises(ConfigError, match=r"20\.8 GB .* at most the 16\.0 GB .*Lower train\.batch_size"):
        check_memory(large, 25, 16 * GB, settings, ())


def test_the_containers_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:        8000000 kB\nMemFree: 5 kB\n")
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CGROUPS", (limit, tmp_path / "absent"))
    cpu = torch.device("cpu")
    for said, expected in (("max", 8_192_000_000), ("2000000000", 2e9), ("9000000000000", 8_192_000_000)):
        limit.write_text(f"{said}\n")
        assert memory_of(cpu) == expected
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "absent")
    limit.unlink()
    assert memory_of(cpu) == float("inf")


def test_nothing_is_written_for_a_training_that_does_not_fit(
    easy_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mien.train.build.memory_of", lambda device: 4 * GB)
    content = {"data": {"store": str(easy_store)}, "model": "b32_n8_fc2_k3_ap20"}
    with pytest.raises(ConfigError, match="fc_width"):
        train(parse_config(content), tmp_path / "run")
    assert not (tmp_path / "run").exists()
