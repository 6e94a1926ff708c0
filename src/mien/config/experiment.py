"""ExperimentConfig: one strict YAML for a whole experiment; its sections, and how a file becomes one."""

from __future__ import annotations

import copy
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from mien.config.augment import AugmentConfig
from mien.config.mistakes import mistake_of
from mien.config.section import Component, Section
from mien.config.settled import settled
from mien.errors import ConfigError, MienError, noted
from mien.pictures.preprocessing import Preprocess
from mien.stats.settings import MOST, Settings
from mien.yaml_files import parse_yaml, read_yaml

_EXPECTED = "a YAML configuration"


class ModelConfig(Component):
    """The network, where its body's weights begin, and which of its parts stand still."""

    weights: str | None = Field(
        None,
        description="What the body starts from: imagenet (what its library publishes), a file of weights, or a run, "
        "weights or annotator folder.",
    )
    keep_head: bool = Field(
        False,
        description="Whether the head begins with the weights' too: a run or folder of the same network and classes.",
    )
    size: int | None = Field(None, ge=16, le=1024, description="Side of its input in pixels; the store's if absent.")
    freeze: Annotated[int, Field(ge=0)] | tuple[str, ...] = Field(
        0, description="Leading parts that stand still: how many, or how their names begin (mien list models NAME)."
    )
    unfreeze_every: int | None = Field(
        None, ge=1, description="Epochs after which the last part that still stands begins to move, again and again."
    )
    cache_gib: float = Field(
        8.0, ge=0, description="Most GiB for what frozen leading parts make of faces without augmentation; 0 for none."
    )

    @model_validator(mode="after")
    def _freezes(self) -> ModelConfig:
        if self.unfreeze_every is not None and not self.freeze:
            raise ValueError("unfreeze_every needs freeze: the parts that stand still at first")
        if self.keep_head and self.weights in (None, "imagenet"):
            raise ValueError("keep_head needs weights: a run or folder of the same network")
        return self


class DataConfig(Section):
    """Where the faces are."""

    store: str = Field(min_length=1, description="Folder of a prepared store.")


class IntensityConfig(Section):
    """How strong each expression is, columns ``intensity_<class>`` of the store, learnt beside the expression."""

    loss: Literal["squared_error", "huber"] = "squared_error"
    delta: float = Field(1.0, gt=0, description="Huber: the difference from which on the loss is a line.")
    weight: float = Field(1.0, gt=0, description="Factor of its loss.")


class NumbersConfig(Section):
    """Numbers, valence and arousal say, learnt beside the expression."""

    columns: tuple[str, ...] = Field(min_length=1, description="Columns of the store that hold numbers.")
    loss: Literal["concordance", "squared_error", "huber"] = "concordance"
    delta: float = Field(1.0, gt=0, description="Huber: the difference from which on the loss is a line.")
    weight: float = Field(1.0, gt=0, description="Factor of their loss.")


class LabelsConfig(Section):
    """Label schemes of training and of evaluation; they must have the same classes. Or attributes in their place."""

    attributes: tuple[str, ...] = Field((), description="Attributes to learn instead of expressions, one head each.")
    weights: dict[str, float] = Field({}, description="Attribute -> factor of its loss; 1 for those not named.")
    train: Component = Field(Component(name="majority"), description="Scheme whose targets the model learns.")
    evaluate: Component | None = Field(
        None, description="Scheme of validation and test; the training scheme if absent."
    )
    draw: bool = Field(False, description="Learn one label of each face's distribution, drawn anew in every epoch.")
    numbers: NumbersConfig | None = Field(
        None, description="Columns to learn beside the expression; or a section with columns, loss, delta, weight."
    )
    intensity: IntensityConfig | None = Field(
        None, description="true learns intensities beside it; or a section with loss, delta, weight."
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, content: Any) -> Any:
        """Columns alone stand for numbers without further settings, and so does true for intensity."""
        if not isinstance(content, dict):
            return content
        numbers, intensity = content.get("numbers"), content.get("intensity")
        if isinstance(numbers, str | list | tuple):
            content = content | {"numbers": {"columns": numbers}}
        if isinstance(intensity, bool):
            content = content | {"intensity": {} if intensity else None}
        return content

    @property
    def judged(self) -> Component:
        """The scheme of validation and test."""
        return self.evaluate or self.train

    @field_validator("attributes")
    @classmethod
    def _once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("each attribute can be learnt once")
        return names

    @model_validator(mode="after")
    def _weighted(self) -> LabelsConfig:
        if self.attributes and (self.numbers or self.intensity):
            raise ValueError("numbers and intensity are learnt beside expressions, not beside attributes")
        if strange := sorted(set(self.weights) - set(self.attributes)):
            raise ValueError(f"weights are of the attributes that are learnt, found {', '.join(strange)}")
        if any(not 0 < weight < math.inf for weight in self.weights.values()):
            raise ValueError("weights of attributes must be numbers above 0")
        return self


class OptimizerConfig(Section):
    """How weights move."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0, description="Not applied to biases and normalisation.")


class ScheduleConfig(Section):
    """How the learning rate moves."""

    name: Literal["cosine", "plateau", "constant", "steps"] = "cosine"
    warmup_epochs: float = Field(1.0, ge=0, description="Linear rise at the start; not with plateau.")
    milestones: tuple[int, ...] = Field((), description="Steps: epochs of a stage from which the rate is another.")
    factors: tuple[float, ...] = Field((), description="Steps: what the first rate is multiplied by from each on.")
    factor: float = Field(0.2, gt=0, lt=1, description="Plateau: what the rate is multiplied by.")
    patience: int = Field(3, ge=0, description="Plateau: epochs without progress before that.")

    @model_validator(mode="after")
    def _stepped(self) -> ScheduleConfig:
        rising = all(a < b for a, b in zip((0, *self.milestones), self.milestones, strict=False))
        if len(self.milestones) != len(self.factors) or not rising or any(f <= 0 for f in self.factors):
            raise ValueError("steps are rising milestones above 0, each with a factor above 0")
        if bool(self.milestones) != (self.name == "steps"):
            raise ValueError("milestones and factors go with the name steps, and steps with these")
        return self


Monitor = Literal["val_loss", "val_accuracy", "val_worst_class", "val_worst_group", "last"]


class TrainConfig(Section):
    """The fit itself."""

    epochs: int = Field(30, ge=1)
    batch_size: int = Field(128, ge=2)
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    ema: float | None = Field(0.999, gt=0, lt=1, description="Decay of the averaged weights; null for none.")
    early_stopping: int | None = Field(None, ge=1, description="Epochs without progress after which to stop.")
    monitor: Monitor = Field(
        "val_accuracy", description="What chooses the epoch whose weights are kept; last chooses nothing."
    )
    watch: tuple[str, ...] = Field((), description="Attributes whose groups validation tells apart.")
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    clip: float | None = Field(None, gt=0, description="Largest gradient norm.")
    max_minutes: float | None = Field(None, gt=0, description="Stop after so many minutes of one sitting.")
    threads: int | None = Field(None, ge=1, description="Processor threads; all if absent.")

    @model_validator(mode="after")
    def _watched(self) -> TrainConfig:
        if self.monitor == "last" and (self.early_stopping is not None or self.schedule.name == "plateau"):
            raise ValueError("early stopping and plateau need a monitor other than last")
        if self.monitor == "val_worst_group" and not self.watch:
            raise ValueError("a monitor of val_worst_group needs train.watch: the attributes of its groups")
        return self


class AuditConfig(Section):
    """The audit that follows."""

    by: tuple[str, ...] = Field((), description="Attributes; gender*age is an intersection, brightness:3 three parts.")
    confounders: tuple[str, ...] | None = Field(
        None, description="Columns of numbers to hold common; those with well-known names if absent."
    )
    annotator_error: dict[str, str] = Field({}, description="Attribute -> file with the annotator's known confusion.")
    leakage: bool = Field(False, description="Probe the features for the attributes.")
    metrics: tuple[str, ...] = Field((), description="Further registered metrics to compare; see mien list metrics.")
    fail_if: tuple[str, ...] = Field((), description="Gates; see docs/audit.md.")
    n_boot: int = Field(2000, ge=100, le=MOST)
    n_perm: int = Field(2000, ge=100, le=MOST)
    level: float = Field(0.95, gt=0.5, lt=1)
    min_n: int = Field(30, ge=1)
    min_class_n: int = Field(10, ge=1)

    def settings(self, seed: int) -> Settings:
        """What every analysis of the audit shares."""
        shared = self.model_dump(include={"level", "n_boot", "n_perm", "min_n", "min_class_n"})
        return Settings(**shared, seed=seed)


class SplitConfig(Component):
    """How faces are split, and what is set aside of the validation faces."""

    fit: float = Field(
        0.0, ge=0, lt=1, description="Share of the validation faces set aside for what is fitted after training."
    )


class MitigationConfig(Component):
    """A mitigation, and how it sees perceived groups."""

    soft: bool = Field(
        False,
        description="Perceived groups as the annotator's probabilities (columns ATTRIBUTE_prob_GROUP), not named.",
    )


class ExperimentConfig(Section):
    """A whole experiment; unknown keys are refused."""

    data: DataConfig
    name: str = Field("run", min_length=1)
    seed: int = Field(0, ge=0, le=2**63 - 1)
    labels: LabelsConfig = LabelsConfig()
    split: SplitConfig = SplitConfig(name="corpus")
    augment: AugmentConfig = AugmentConfig()
    preprocess: tuple[Preprocess, ...] = Field(
        (), description="Steps on each picture, also where the weights serve: median, equalise, plane, standardise."
    )
    model: ModelConfig = ModelConfig(name="mienet")
    loss: Component = Component(name="cross_entropy")
    mitigation: MitigationConfig = MitigationConfig(name="none")
    train: TrainConfig = TrainConfig()
    audit: AuditConfig = AuditConfig()

    @model_validator(mode="before")
    @classmethod
    def _drawn(cls, content: Any) -> Any:
        """The loss ``drawn_label`` of older versions is any loss on drawn labels, of which it was cross-entropy."""
        if isinstance(content, dict):
            loss, labels = content.get("loss"), content.get("labels") or {}
            loss = loss if isinstance(loss, dict) else {"name": loss}
            if loss.get("name") == "drawn_label" and isinstance(labels, dict):
                return content | {"loss": loss | {"name": "cross_entropy"}, "labels": labels | {"draw": True}}
        return content


Check = Callable[[ExperimentConfig], ExperimentConfig]


def parse_config(
    content: dict[str, Any], where: str = "config", overrides: Iterable[str] = (), check: Check | None = None
) -> ExperimentConfig:
    """Check a configuration.

    Args:
        content: Its sections.
        where: Where it stands, for messages.
        overrides: ``dotted.key=value`` settings that are part of it, for messages.
        check: What else to hold it to; its errors are told with the others. Where the sections themselves have
            mistakes it gets the configuration without these.

    Raises:
        ConfigError: With every mistake, each with its dotted key and the nearest known one.
    """
    mistakes: list[MienError] = []
    config: ExperimentConfig | None
    try:
        config = ExperimentConfig.model_validate(content)
    except ValidationError as error:
        mistakes += [_mistake(e, where, overrides) for e in error.errors()]
        config = _without(content, [e["loc"] for e in error.errors()])
    if check is not None and config is not None:
        with noted(mistakes):
            config = check(config)
    if mistakes:
        raise ConfigError.joined(where, mistakes)
    assert config is not None  # it is none after a mistake only
    return config


def _without(content: dict[str, Any], places: Iterable[tuple[int | str, ...]]) -> ExperimentConfig | None:
    """The configuration without what is wrong in it, for what can be said of the rest; None if nothing can."""
    rest: Any = copy.deepcopy(content)
    for place in places:
        # Options mean nothing without the name of what they are for.
        *parents, last = place[:-1] if len(place) > 1 and place[-1] == "name" else place or ("",)
        section: Any = rest
        for parent in parents:
            section = section.get(parent) if isinstance(section, dict) else None
        if isinstance(section, dict):
            section.pop(last, None)
    rest["data"] = {"store": "unknown"}
    try:
        return ExperimentConfig.model_validate(rest)
    except ValidationError:
        return None


def _mistake(error: Mapping[str, Any], where: str, overrides: Iterable[str]) -> ConfigError:
    """What is wrong, in words."""
    key = ".".join(str(p) for p in error["loc"])
    return mistake_of(error, place_of(key, where, overrides), _keys(error["loc"][:-1]))


def place_of(key: str, where: str, overrides: Iterable[str] = ()) -> str:
    """Where a dotted key got its value: the file, or an override."""
    for override in overrides:
        set_key = override.partition("=")[0]
        if f"{key}.".startswith(f"{set_key}.") or f"{set_key}.".startswith(f"{key}."):
            return f"--set {key}"
    return ": ".join(filter(None, (where, key)))


def _keys(path: Iterable[int | str]) -> list[str]:
    """Known keys of the section at ``path``."""
    section: Any = ExperimentConfig
    for part in path:
        field = section.model_fields.get(str(part)) if hasattr(section, "model_fields") else None
        if field is None:
            return []
        annotation = field.annotation
        if typing.get_origin(annotation) in (typing.Union, types.UnionType):
            annotation = next(a for a in typing.get_args(annotation) if a is not type(None))
        section = annotation
    return list(section.model_fields)


def load_config(path: Path | str, overrides: Iterable[str] = (), check: Check | None = None) -> ExperimentConfig:
    """Read a YAML configuration.

    Args:
        path: The file.
        overrides: ``dotted.key=value`` settings that replace the file's; values are YAML. Options of a component
            whose name is set go with the old one.
        check: See :func:`parse_config`.

    Raises:
        ConfigError: If the file cannot be read; with everything in it that is wrong.
    """
    path, overrides = Path(path), tuple(overrides)
    content = read_yaml(path, _EXPECTED)
    if not isinstance(content, dict):
        found = "is empty" if content is None else f"holds {'a list' if isinstance(content, list) else 'one value'}"
        raise ConfigError(str(path), found, "keys in sections, with at least data.store")
    content = settled(content, [overrides_of(overrides)], path.name)
    return parse_config(content, path.name, overrides, check)


def overrides_of(texts: Iterable[str]) -> dict[str, Any]:
    """``dotted.key=value`` of the command line.

    Raises:
        ConfigError: If one has no ``=``, or a value that is no YAML.
    """
    found: dict[str, Any] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator:
            raise ConfigError(text, "has no '='", "dotted.key=value")
        found[key.strip()] = parse_value(text, value)
    return found


def parse_value(where: str, text: str) -> Any:
    """Read one value of the command line as YAML.

    Raises:
        ConfigError: If it is none.
    """
    return parse_yaml(text, where, "a value")


def audit_settings(base: AuditConfig, **given: Any) -> AuditConfig:
    """Settings of an audit with some replaced; None leaves one as it is.

    Raises:
        ConfigError: If values are out of range; the message names them.
    """
    try:
        return AuditConfig(**base.model_dump() | {k: v for k, v in given.items() if v is not None})
    except ValidationError as error:
        told = [{**e, "loc": (f"--{e['loc'][0]}".replace("_", "-"), *e["loc"][1:])} for e in error.errors()]
        raise ConfigError.joined("options", [_mistake(e, "", ()) for e in told]) from None
