"""Biases of known size: what is done to the faces of one group, and how it is written in a configuration."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.data.rendering.parameters import GROUPS
from mien.errors import ConfigError
from mien.labels import FER2013_CLASSES
from mien.registry import nearest
from mien.spellings import canonical

DEFAULT_SPLITS: Mapping[str, float] = {"train": 0.7, "valid": 0.15, "test": 0.15}

_CLASSES = {canonical(c): c for c in FER2013_CLASSES}
_RANGES: Mapping[str, tuple[float, float]] = {
    "share": (0.0, 1.0),
    "label_noise": (0.0, 1.0),
    "contrast": (0.0, 2.0),
    "cues": (0.0, 1.5),
    "blur": (0.0, 10.0),
    "noise": (0.0, 100.0),
}


@dataclass(frozen=True)
class Bias:
    """What is done to the faces of one group; every strength defaults to nothing.

    Attributes:
        attribute: ``gender``, ``age``, ``skin`` or ``glasses``.
        group: One of its groups, e.g. ``female``.
        share: Share of the faces that belong to the group, 0 to 1 (imbalance); the others keep
            their proportions among themselves.
        class_tilt: Class -> factor on its probability within the group (1 leaves it; the seven
            probabilities are scaled to sum to 1). ``{"happy": 3}`` triples the odds of happy.
        label_noise: Probability that a label in the group is replaced by another class.
        label_noise_to: The class that replaces it; None draws one of the six others. Faces that
            already have this label keep it.
        contrast: Factor on the contrast of the pictures.
        cues: Factor on the intensity of the expression: below 1 the faces show less.
        blur: Further blur, a standard deviation in hundredths of the picture's width.
        noise: Further sensor noise, a standard deviation in grey levels (0 to 255).
        splits: The splits in which all this happens; empty means everywhere.
    """

    attribute: str
    group: str
    _: KW_ONLY
    share: float | None = None
    class_tilt: Mapping[str, float] = field(default_factory=dict)
    label_noise: float = 0.0
    label_noise_to: str | None = None
    contrast: float = 1.0
    cues: float = 1.0
    blur: float = 0.0
    noise: float = 0.0
    splits: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The bias as plain data, without the strengths that do nothing."""
        plain = asdict(self) | {"class_tilt": dict(self.class_tilt), "splits": list(self.splits)}
        defaults = asdict(Bias(attribute=self.attribute, group=self.group)) | {"splits": []}
        return {k: v for k, v in plain.items() if k in ("attribute", "group") or v != defaults[k]}

    def in_splits(self, split: NDArray[np.str_]) -> NDArray[np.bool_]:
        """Where ``split`` is one that the bias acts on: ``(n,)``."""
        return np.isin(split, self.splits) if self.splits else np.ones(len(split), dtype=bool)


def read_splits(splits: Mapping[str, float] | None) -> dict[str, float]:
    """Check the shares of the splits.

    Raises:
        ConfigError: If there is none, a share is not positive, or they do not sum to 1.
    """
    chosen = DEFAULT_SPLITS if splits is None else splits
    if not isinstance(chosen, Mapping) or not chosen:
        raise ConfigError("splits", f"{chosen!r}", "a mapping from split to share, e.g. {train: 0.8, test: 0.2}")
    for name, share in chosen.items():
        if not _is_number(share) or not 0 < share <= 1:
            raise ConfigError(f"splits.{name}", f"{share!r}", "a share above 0, at most 1")
    if abs(sum(chosen.values()) - 1) > 1e-6:
        raise ConfigError("splits", f"the shares sum to {sum(chosen.values()):g}", "a sum of 1")
    return {str(k): float(v) for k, v in chosen.items()}


def read_biases(
    bias: Bias | Mapping[str, Any] | Sequence[Bias | Mapping[str, Any]] | None, splits: Mapping[str, float]
) -> tuple[Bias, ...]:
    """Check biases as a user wrote them.

    Args:
        bias: None, one, or a list; each a :class:`Bias` or a mapping with its attributes as keys.
        splits: The corpus's splits.

    Raises:
        ConfigError: On an unknown key, attribute, group, class or split, or a value out of range.
    """
    if bias is None:
        return ()
    single = isinstance(bias, (Bias, Mapping))
    entries: Sequence[Any] = [bias] if single else bias  # type: ignore[list-item,assignment]
    if isinstance(entries, str) or not isinstance(entries, Sequence):
        raise ConfigError("bias", f"{bias!r}", "a mapping or a list of mappings")
    read = tuple(_read_one(entry, "bias" if single else f"bias[{i}]", splits) for i, entry in enumerate(entries))
    _check_together(read)
    return read


def _check_together(biases: Sequence[Bias]) -> None:
    """Refuse biases that contradict each other on the same faces."""
    for one, other in itertools.combinations([b for b in biases if b.share is not None], 2):
        apart = one.splits and other.splits and not set(one.splits) & set(other.splits)
        if one.attribute == other.attribute and not apart:
            raise ConfigError(
                "bias",
                f"two biases give the attribute {one.attribute!r} a share",
                "one share an attribute in a split",
            )
    for groups in itertools.product(*GROUPS.values()):
        face = dict(zip(GROUPS, groups, strict=True))
        zero = {c for b in biases if face[b.attribute] == b.group for c, f in b.class_tilt.items() if f == 0}
        if len(zero) == len(FER2013_CLASSES):
            raise ConfigError("bias", f"the class tilts leave no class to {', '.join(groups)}", "one class above 0")


def _read_one(entry: Any, where: str, splits: Mapping[str, float]) -> Bias:
    if isinstance(entry, Bias):
        entry = {f.name: getattr(entry, f.name) for f in fields(Bias)}
    if not isinstance(entry, Mapping):
        raise ConfigError(where, f"{entry!r}", "a mapping, e.g. {attribute: skin, group: dark, contrast: 0.6}")
    known = [f.name for f in fields(Bias)]
    for key in entry:
        if key not in known:
            raise ConfigError(f"{where}.{key}", "a bias has no such key", "", nearest(str(key), known))
    for key in ("attribute", "group"):
        if key not in entry:
            raise ConfigError(f"{where}.{key}", "is missing", "an attribute and one of its groups")
    attribute = _choice(entry["attribute"], list(GROUPS), f"{where}.attribute", "attribute")
    group = _choice(entry["group"], list(GROUPS[attribute]), f"{where}.group", f"group of {attribute!r}")
    options = {k: _number(entry[k], f"{where}.{k}", *r) for k, r in _RANGES.items() if entry.get(k) is not None}
    target = entry.get("label_noise_to")
    return Bias(
        attribute=attribute,
        group=group,
        class_tilt=_read_tilt(entry.get("class_tilt") or {}, f"{where}.class_tilt"),
        label_noise_to=None if target is None else _class(target, f"{where}.label_noise_to"),
        splits=_read_where(entry.get("splits") or (), f"{where}.splits", splits),
        **options,  # type: ignore[arg-type]
    )


def _read_tilt(tilt: Any, where: str) -> dict[str, float]:
    if not isinstance(tilt, Mapping):
        raise ConfigError(where, f"{tilt!r}", "a mapping from class to factor, e.g. {happy: 3}")
    read = {_class(k, f"{where}.{k}"): _number(v, f"{where}.{k}", 0.0, 1000.0) for k, v in tilt.items()}
    if len(read) == len(FER2013_CLASSES) and not any(read.values()):
        raise ConfigError(where, "every factor is 0", "at least one class above 0")
    return read


def _read_where(names: Any, where: str, splits: Mapping[str, float]) -> tuple[str, ...]:
    names = [names] if isinstance(names, str) else names
    return tuple(_choice(name, list(splits), where, "split") for name in names)


def _choice(value: Any, known: list[str], where: str, kind: str) -> str:
    if value not in known:
        raise ConfigError(where, f"unknown {kind} {value!r}", "", nearest(str(value), known))
    return str(value)


def _class(name: Any, where: str) -> str:
    key = canonical(str(name))
    if key not in _CLASSES:
        raise ConfigError(where, f"unknown class {name!r}", "", nearest(str(name), list(FER2013_CLASSES)))
    return _CLASSES[key]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(value: Any, where: str, low: float, high: float) -> float:
    if not _is_number(value) or not low <= value <= high:
        raise ConfigError(where, f"{value!r}", f"a number from {low:g} to {high:g}")
    return float(value)
