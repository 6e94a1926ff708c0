"""An experiment as its file says, with all that can be wrong about it said before a face is read."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from mien.audit import parse_gate
from mien.config import Component, ExperimentConfig, ModelConfig, load_config, place_of
from mien.data.splits import SPLITS
from mien.errors import ConfigError, MienError, noted
from mien.labels import SCHEMES
from mien.losses import LOSSES
from mien.metrics import METRICS
from mien.mitigation import MITIGATIONS
from mien.models import MODELS
from mien.models.shapes import MOST_OPTIONS, too_large, without_memory
from mien.registry import Registry, read_options, unfit_options
from mien.train.freezing import freezing_of

ComponentT = TypeVar("ComponentT", bound=Component)
# Section of the configuration -> catalogue.
CATALOGUES: dict[str, Registry] = {
    "labels.train": SCHEMES,
    "labels.evaluate": SCHEMES,
    "split": SPLITS,
    "model": MODELS,
    "loss": LOSSES,
    "mitigation": MITIGATIONS,
}


def load_experiment(path: Path | str, overrides: Iterable[str] = ()) -> ExperimentConfig:
    """Read a YAML configuration, and the options of its split, model and loss as these want them.

    Args:
        path: The file.
        overrides: ``dotted.key=value`` settings that replace the file's; values are YAML.

    Raises:
        ConfigError: If the file cannot be read; with everything in it that is wrong.
    """
    overrides = tuple(overrides)
    return load_config(path, overrides, lambda config: check_components(config, Path(path).name, overrides))


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
        ConfigError: With every unknown name and option, and every value that cannot be used.
    """
    overrides = tuple(overrides)
    mistakes: list[MienError] = []

    def at(key: str) -> str:
        return place_of(key, where, overrides)

    read = config
    for section, catalogue in CATALOGUES.items():
        *parents, last = section.split(".")
        holder = getattr(read, parents[0]) if parents else read
        component = getattr(holder, last)
        if component is None:
            continue
        with noted(mistakes):
            told = _with_options(section, catalogue, component, at)
            holder = holder.model_copy(update={last: told})
            read = read.model_copy(update={parents[0]: holder}) if parents else holder
            if section == "model":
                _check_buildable(told, at)  # type: ignore[arg-type]
    for name in config.audit.metrics:
        with noted(mistakes):
            METRICS.get(name, at("audit.metrics"))
    for condition in config.audit.fail_if:
        with noted(mistakes):
            parse_gate(condition)
    if mistakes:
        raise ConfigError.joined(where, mistakes)
    return read


def _with_options(section: str, catalogue: Registry, component: ComponentT, at: Callable[[str], str]) -> ComponentT:
    """The component with its options as read."""
    function, called = catalogue.get(component.name, at(f"{section}.name")), f"{catalogue.kind} {component.name!r}"
    read: dict[str, Any] = {}
    mistakes: list[MienError] = []
    for option, value in component.options.items():
        place = at(f"{section}.options.{option}").removesuffix(f".{option}")
        with noted(mistakes):
            read |= read_options(function, {option: value}, called, place, catalogue.given)
    for option, about in inspect.signature(function).parameters.items():
        needed = about.kind == about.KEYWORD_ONLY and about.default is about.empty
        if needed and option not in catalogue.given and option not in component.options:
            mistakes.append(ConfigError(at(f"{section}.options.{option}"), f"{called} needs it", "a value"))
    if mistakes:
        raise ConfigError.joined(at(f"{section}.options"), mistakes)
    return component.model_copy(update={"options": read})


def _check_buildable(config: ModelConfig, at: Callable[[str], str]) -> None:
    """Build the network without memory for its weights: options that do not go together show themselves.

    So do parts to be frozen that it has not.
    """
    if found := too_large(config.options):  # what is trained must be readable afterwards
        raise ConfigError(at("model.options"), found, MOST_OPTIONS)

    def refuse(error: Exception) -> None:
        if not isinstance(error, NotImplementedError):  # for which it is seen when it is built for use
            entry, called = MODELS.get(config.name), repr(config.name)
            raise unfit_options(entry, config.options, error, called, at("model.options")) from error

    model = without_memory(config.name, 2, 1, config.options, refuse)
    if model is not None:
        freezing_of(model, config.freeze, config.unfreeze_every, at("model.freeze"))
