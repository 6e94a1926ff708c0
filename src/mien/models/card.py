"""The card of weights: what must be known to use them. Reading it needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from mien.errors import WeightsError
from mien.own_files import SUMS, as_record, checksums_of, read_json, sha256_of
from mien.pictures.pixels import ON_BATCHES, SEEN, STORED, Filter
from mien.pictures.preprocessing import Preprocess
from mien.values import shown

WEIGHTS, CARD = "model.safetensors", "model.json"
_LARGEST_SIDE = 4096  # pixels


@dataclass(frozen=True, kw_only=True)
class WeightCard:
    """What must be known to use weights, and to judge whether one should.

    Attributes:
        model: Name in the model registry.
        options: Its options.
        classes: The K classes in the order of the logits.
        size: Side of the input in pixels.
        in_channels: 1 or 3.
        mean: What is subtracted from pixels of 0 to 1, a number a channel.
        std: What they are then divided by, a number a channel.
        labels: Label scheme that the model was trained on.
        data: Training corpus and fingerprint of its store.
        terms: Terms of that corpus, which bind the weights too.
        sha256: Checksum of the weights file.
        results: Measured results, as dictionaries of estimates.
        heads: For a model of attributes: attribute -> its groups, in the order of the logits; then
            :attr:`classes` are all of them, ``attribute=group``. Empty for a model of expressions.
        store_size: Side in pixels of the stored faces that it learnt from: pictures come to it before they come
            to :attr:`size`. 0 where that is not known, as on cards of older versions: they come to :attr:`size`
            at once.
        resampling: The filters by which they come to the one and to the other.
        numbers: What the network tells after its classes, in the order of its further outputs: number -> its scale,
            ``any`` (the output itself) or ``positive`` (softplus of it).
        alignment: How the faces were cropped and aligned, in words; empty where that is not known.
        preprocess: Steps that are taken on each picture at :attr:`size`, before mean and deviation: see
            :mod:`mien.pictures.preprocessing`. None on cards of older versions.
    """

    model: str
    options: dict[str, Any]
    classes: tuple[str, ...]
    size: int
    in_channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    labels: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    terms: str = ""
    sha256: str = ""
    results: dict[str, Any] = field(default_factory=dict)
    heads: dict[str, list[str]] = field(default_factory=dict)
    store_size: int = 0
    resampling: tuple[Filter, Filter] = (STORED, SEEN)
    alignment: str = ""
    numbers: dict[str, str] = field(default_factory=dict)
    preprocess: tuple[Preprocess, ...] = ()

    @property
    def outputs(self) -> int:
        """Outputs of the network: classes, then numbers."""
        return len(self.classes) + len(self.numbers)


def _card_of_weights(folder: Path) -> Path:
    """The file of the card: the new one, if the writer was killed after the weights took their place and before it."""
    path, new = folder / CARD, folder / f"{CARD}.partial"
    with suppress(OSError, WeightsError):
        if new.is_file() and read_json(new, "a weight card", error=WeightsError).get("sha256") == sha256_of(
            folder / WEIGHTS
        ):
            return new
    return path


def load_card(folder: Path) -> WeightCard:
    """Read the card of a run or weights folder.

    Raises:
        WeightsError: If there is none, or with the key that is not what it should be.
    """
    path = _card_of_weights(Path(folder))
    content = read_json(path, "a weight card", error=WeightsError)
    checksums_of(content, Path(folder) / CARD, (), error=WeightsError)  # cards of older versions have none of their own
    card = as_record(WeightCard, _a_channel(content), str(path), error=WeightsError)

    def refuse(key: str, value: object, expected: str) -> NoReturn:
        raise WeightsError(f"{path}: {key}", shown(value), expected)

    if not card.classes or len(set(card.classes)) < len(card.classes):
        refuse("classes", list(card.classes), "each class once, and at least one")
    if not 1 <= card.size <= _LARGEST_SIDE:
        refuse("size", card.size, f"1 to {_LARGEST_SIDE} pixels")
    if card.in_channels not in (1, 3):
        refuse("in_channels", card.in_channels, "1 or 3")
    if len(card.mean) != card.in_channels or not all(map(math.isfinite, card.mean)):
        refuse("mean", list(card.mean), "a number a channel")
    if len(card.std) != card.in_channels or not all(0 < s < math.inf for s in card.std):
        refuse("std", list(card.std), "a number above 0 a channel")
    if not 0 <= card.store_size <= _LARGEST_SIDE:
        refuse("store_size", card.store_size, f"1 to {_LARGEST_SIDE} pixels, or 0 where it is not known")
    if card.resampling[1] not in ON_BATCHES:
        refuse("resampling", list(card.resampling), f"any filter, then {' or '.join(ON_BATCHES)}")
    for number, scale in card.numbers.items():
        if scale not in ("any", "positive"):
            refuse(f"numbers.{number}", scale, "any or positive")
    if card.heads and card.classes != tuple(f"{name}={g}" for name, groups in card.heads.items() for g in groups):
        refuse("heads", card.heads, "the groups that the classes name, in their order")
    return card


def _a_channel(content: Mapping[str, Any]) -> dict[str, Any]:
    """What a card says; those of older versions have one mean and deviation for all channels."""
    said = {k: v for k, v in content.items() if k != SUMS}
    channels = said.get("in_channels")
    for key in ("mean", "std"):
        if isinstance(said.get(key), int | float):
            said[key] = [said[key]] * (channels if channels in (1, 3) else 1)
    return said
