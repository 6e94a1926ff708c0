"""An experiment as its file says, with all that can be wrong about it said before a face is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from mien.audit import parse_gate
from mien.config import Component, ExperimentConfig, load_config, place_of
from mien.data.splits import SPLITS
from mien.errors import ConfigError
from mien.losses import LOSSES
from mien.models import MODELS
from mien.registry import nearest, read_options

ComponentT = TypeVar("ComponentT", bound=Component)
_SPLIT_GIVEN = ("table", "strata")
_MODEL_GIVEN = ("num_classes", "in_channels")
_LOSS_GIVEN = ("logits", "targets", "weights")


def load_experiment(path: Path | str, overrides: Iterable[str] = ()) -> ExperimentConfig:
    """Read a YAML configuration, and the options of its split, model and loss as these want them.

    Args:
        path: The file.
        overrides: ``dotted.key=value`` settings that replace the file's; values are YAML.

    Raises:
        ConfigError: If the file cannot be read, or on the first thing in it that is wrong.
    """
    overrides = tuple(overrides)
    return check_components(load_config(path, overrides), Path(path).name, overrides)


def check_components(
    config: ExperimentConfig, where: str = "config", overrides: Iterable[str] = ()
) -> ExperimentConfig:
    """Check names and options of split, model and loss, and the gates, before anything is read or written.

    Args:
        config: The experiment.
        where: Where it stands, for messages.
        overrides: ``dotted.key=value`` settings that are part of it, for messages.

    Returns:
        The experiment with options as read: numbers that were written as text are numbers.

    Raises:
        ConfigError: On an unknown name or option, or a value that cannot be used.
    """
    overrides = tuple(overrides)

    def at(key: str) -> str:
        return place_of(key, where, overrides)

    if config.split.name not in SPLITS:
        fix = nearest(config.split.name, list(SPLITS))
        raise ConfigError(at("split.name"), f"unknown split {config.split.name!r}", "", fix)
    split: Callable[..., Any] = SPLITS[config.split.name]  # type: ignore[assignment]
    model, loss = MODELS.get(config.model.name, at("model.name")), LOSSES.get(config.loss.name, at("loss.name"))
    read = config.model_copy(
        update={
            "split": _with_options("split", config.split, split, _SPLIT_GIVEN, at),
            "model": _with_options("model", config.model, model, _MODEL_GIVEN, at),
            "loss": _with_options("loss", config.loss, loss, _LOSS_GIVEN, at),
        }
    )
    _check_buildable(model, read.model.options, read.model.name, at("model.options"))
    for condition in config.audit.fail_if:
        parse_gate(condition)
    return read


def _with_options(
    kind: str, component: ComponentT, function: Callable[..., Any], given: tuple[str, ...], at: Callable[[str], str]
) -> ComponentT:
    """The component with its options as read."""
    read: dict[str, Any] = {}
    for option, value in component.options.items():
        section = at(f"{kind}.options.{option}").removesuffix(f".{option}")
        read |= read_options(function, {option: value}, f"{kind} {component.name!r}", section, given)
    return component.model_copy(update={"options": read})


def _check_buildable(model: Callable[..., Any], options: Mapping[str, Any], name: str, where: str) -> None:
    """Build the network without memory for its weights: options that do not go together show themselves."""
    try:
        with torch.device("meta"):
            model(2, 1, **options)
    except NotImplementedError:
        return  # it does what needs memory: whether it can be built is seen when it is
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(where, str(error), f"values that {name!r} can be built with") from error
