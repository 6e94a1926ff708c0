"""An experiment as its file says, with all that can be wrong about it said before a face is read."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from mien.audit import parse_gate
from mien.config import Component, ExperimentConfig, load_config, place_of
from mien.data.splits import GIVEN as SPLIT_GIVEN
from mien.data.splits import SPLITS
from mien.errors import ConfigError
from mien.labels import GIVEN as LABELS_GIVEN
from mien.labels import SCHEMES
from mien.losses import GIVEN as LOSS_GIVEN
from mien.losses import LOSSES
from mien.metrics import METRICS
from mien.mitigation import MITIGATIONS
from mien.models import MODELS
from mien.registry import Registry, read_options

ComponentT = TypeVar("ComponentT", bound=Component)
_MODEL_GIVEN = ("num_classes", "in_channels")
# Section of the configuration -> catalogue, and what its entries are given and a user may not set.
CATALOGUES: dict[str, tuple[Registry, tuple[str, ...]]] = {
    "labels.train": (SCHEMES, LABELS_GIVEN),
    "labels.evaluate": (SCHEMES, LABELS_GIVEN),
    "split": (SPLITS, SPLIT_GIVEN),
    "model": (MODELS, _MODEL_GIVEN),
    "loss": (LOSSES, LOSS_GIVEN),
    "mitigation": (MITIGATIONS, ("faces",)),
}


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

    read = config
    for section, (catalogue, given) in CATALOGUES.items():
        *parents, last = section.split(".")
        holder = getattr(read, parents[0]) if parents else read
        component = getattr(holder, last)
        if component is None:
            continue
        function = catalogue.get(component.name, at(f"{section}.name"))
        told = _with_options(section, catalogue.kind, component, function, given, at)
        holder = holder.model_copy(update={last: told})
        read = read.model_copy(update={parents[0]: holder}) if parents else holder
    model = MODELS.get(read.model.name)
    _check_buildable(model, read.model.options, read.model.name, at("model.options"))
    for name in config.audit.metrics:
        METRICS.get(name, at("audit.metrics"))
    for condition in config.audit.fail_if:
        parse_gate(condition)
    return read


def _with_options(
    section: str,
    kind: str,
    component: ComponentT,
    function: Callable[..., Any],
    given: tuple[str, ...],
    at: Callable[[str], str],
) -> ComponentT:
    """The component with its options as read."""
    read: dict[str, Any] = {}
    for option, value in component.options.items():
        place = at(f"{section}.options.{option}").removesuffix(f".{option}")
        read |= read_options(function, {option: value}, f"{kind} {component.name!r}", place, given)
    for option, about in inspect.signature(function).parameters.items():
        needed = about.kind == about.KEYWORD_ONLY and about.default is about.empty
        if needed and option not in given and option not in read:
            raise ConfigError(at(f"{section}.options.{option}"), f"{kind} {component.name!r} needs it", "a value")
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
