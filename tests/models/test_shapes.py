"""Networks without memory: the shapes of the real ones, and what is said where there are none."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
import torch
from torch import nn

from mien.config import ExperimentConfig, parse_config
from mien.errors import ConfigError
from mien.models import MODELS
from mien.models.blocks import ExpressionModel
from mien.models.shapes import without_memory
from mien.train.build import build_model
from mien.train.components import check_components
from mien.train.start import _without_memory

HUGE = {"widths": [100_000, 100_000], "depths": [1, 1], "stem": 8}  # a trillion weights in one convolution


def refuse(error: Exception) -> NoReturn:
    raise AssertionError(error)


@pytest.fixture
def reads_a_value(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a network that looks at its weights while it is built."""

    class Reading(ExpressionModel):
        def __init__(self, num_classes: int, in_channels: int = 1, *, least: float = -1.0) -> None:
            super().__init__()
            self.head = nn.Linear(4, num_classes)
            if self.head.weight.max().item() < least:
                raise ValueError(f"no weight reaches {least}")

    monkeypatch.setitem(MODELS._entries, "reading", Reading)
    monkeypatch.setitem(MODELS._tiny, "reading", {})
    return "reading"


def test_shapes_are_those_of_the_real_network_and_take_no_memory() -> None:
    options = MODELS.tiny("mienet")
    model = without_memory("mienet", 5, 3, options, refuse)
    wanted = {name: tensor.shape for name, tensor in MODELS.get("mienet")(5, 3, **options).state_dict().items()}
    assert {name: tensor.shape for name, tensor in model.state_dict().items()} == wanted
    assert all(tensor.is_meta for tensor in model.state_dict().values())
    assert sum(p.numel() for p in without_memory("mienet", 2, 1, HUGE, refuse).parameters()) > 1e10
    assert torch.zeros(1).device.type == "cpu"  # what comes after it is built as ever


def test_what_the_caller_gives_stands_in_for_a_network_that_needs_memory(reads_a_value: str) -> None:
    seen: list[Exception] = []
    assert without_memory(reads_a_value, 2, 1, {}, lambda error: seen.append(error) or "instead") == "instead"
    assert isinstance(seen[0], RuntimeError)
    # Weights to begin with ask for the names of such a network all the same: it is built whole.
    config = parse_config({"data": {"store": "s"}, "model": reads_a_value})
    assert not _without_memory(config, 1).head.weight.is_meta  # type: ignore[union-attr]


@pytest.mark.parametrize("options", [{"widths": [8, 16], "depths": [1]}, {"no_such": 1}])
def test_options_that_make_no_network_are_told_by_the_caller(options: dict[str, Any]) -> None:
    def told(error: Exception) -> NoReturn:
        raise ConfigError("here", type(error).__name__) from error

    with pytest.raises(ConfigError, match=r"^here: (ValueError|TypeError)\.$"):
        without_memory("mienet", 2, 1, options, told)
    with pytest.raises(ConfigError, match=r"unknown model 'mienett'.*Did you mean 'mienet'"):
        without_memory("mienett", 2, 1, {}, refuse)


def test_a_mistake_of_the_network_itself_is_none_of_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS._entries, "broken", lambda k, c: {}["no such key"])
    with pytest.raises(KeyError):
        without_memory("broken", 2, 1, {}, refuse)


def test_configurations_are_refused_by_what_can_be_known_without_memory() -> None:
    content = {"data": {"store": "s"}, "model": {"name": "mienet", "options": {"widths": [8, 16], "depths": [1]}}}
    with pytest.raises(ConfigError, match=r"model\.options: widths has 2 stages .* values that 'mienet' can be built"):
        check_components(parse_config(content))


@pytest.mark.parametrize("without", [True, False])  # refused before the training, and wherever else it is built
def test_a_wrong_value_of_an_option_without_annotation_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, without: bool
) -> None:
    class Plain(ExpressionModel):
        def __init__(self, num_classes: int, in_channels: int = 1, *, width=32, bias: bool = True) -> None:  # type: ignore[no-untyped-def]
            super().__init__()
            self.feature_dim = width
            if width % 2:
                raise ValueError("width must be even")
            self.body = nn.Conv2d(in_channels, width, 3)
            self.head = nn.Linear(width, num_classes, bias)

    monkeypatch.setitem(MODELS._entries, "plain", Plain)
    build = check_components if without else lambda config: build_model(config, 2, 1)

    def config(**options: Any) -> ExperimentConfig:
        return parse_config({"data": {"store": "s"}, "model": {"name": "plain", "options": options}})

    for value, said in (("wide", "not all arguments converted during string formatting"), (3, "width must be even")):
        wanted = (
            f"model.options: 'plain' cannot be built with width: {value!r} ({said}), expected values like the "
            "defaults, width: 32. What width may be is not annotated in its file; with an annotation it is checked "
            "and told."
        )
        with pytest.raises(ConfigError) as told:
            build(config(width=value, bias=False))
        assert str(told.value).removeprefix("config: ") == wanted
    build(config(width=4))
