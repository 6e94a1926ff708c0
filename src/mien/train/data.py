"""Faces, targets and splits of a run, as batches whose order depends on (seed, epoch) alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from mien.config import ExperimentConfig
from mien.data.images import Store
from mien.data.splits import SPLITS, TRAIN, VALIDATION
from mien.errors import ConfigError, DataError, LabelError
from mien.labels import LabelScheme, label_scheme
from mien.registry import nearest
from mien.runs import COPY_COLUMN
from mien.samples import SampleTable

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class TrainingData:
    """What a fit needs to know of its faces.

    Attributes:
        store: The images.
        table: Faces with their split in this run.
        scheme: Label scheme of evaluation; its classes are the model's.
        train: ``(rows of the store, (n, K) targets)`` of the training faces.
        validation: The same of the validation faces.
        dropped: What the label schemes dropped: part -> reason -> faces.
        mean: Mean of the training pixels, 0 to 1.
        std: Their standard deviation.
    """

    store: Store
    table: SampleTable
    scheme: LabelScheme
    train: tuple[NDArray[np.int64], NDArray[np.float32]]
    validation: tuple[NDArray[np.int64], NDArray[np.float32]]
    dropped: dict[str, dict[str, int]]
    mean: float
    std: float


def load_training_data(config: ExperimentConfig) -> TrainingData:
    """Open the store, split it, and encode its votes.

    Raises:
        DataError, LabelError, ConfigError: Where store, labels or split do not fit each other.
    """
    store = Store.open(config.data.store)
    store.verify()  # the record vouches for these pictures and votes
    table = store.table
    _check_attributes(config, table)
    learn = label_scheme(config.labels.train, table.vocabulary)
    judge = label_scheme(config.labels.evaluate or config.labels.train, table.vocabulary)
    if learn.classes != judge.classes:
        raise LabelError(
            "labels", f"{learn.name} has {learn.classes}, {judge.name} has {judge.classes}", "the same classes"
        )
    judged = judge.targets(table.votes, table.vocabulary)
    strata = np.where(judged.keep, judged.probs.argmax(1), len(judge.classes))
    table = _split(config, table, strata)
    parts = {}
    dropped = {}
    for part, scheme in ((TRAIN, learn), (VALIDATION, judge)):
        faces = table.in_split(part)
        targets = scheme.targets(faces.votes, faces.vocabulary)
        if not targets.keep.any():
            raise DataError(f"split {part!r}", "no face has a label", f"faces that {scheme.name!r} can label")
        parts[part] = (faces.frame["image"].to_numpy(np.int64)[targets.keep], targets.probs[targets.keep])
        dropped[part] = targets.dropped
    mean, std = _pixel_statistics(store.images, parts[TRAIN][0])
    return TrainingData(store, table, judge, parts[TRAIN], parts[VALIDATION], dropped, mean, std)


def _check_attributes(config: ExperimentConfig, table: SampleTable) -> None:
    """An hour of training should not end in a misspelt attribute of the audit."""
    known = [*table.attributes, COPY_COLUMN]
    for name in (part.strip() for spec in config.audit.by for part in spec.split("*")):
        if name not in known:
            raise ConfigError("audit.by", f"the store has no attribute {name!r}", "", nearest(name, known))


def _split(config: ExperimentConfig, table: SampleTable, strata: NDArray[np.int64]) -> SampleTable:
    name, options = config.split.name, dict(config.split.options)
    if name not in SPLITS:
        raise ConfigError("split.name", f"unknown split {name!r}", "", nearest(name, list(SPLITS)))
    function = SPLITS[name]
    known = list(function.__kwdefaults__ or {})
    for option in options:
        if option not in known:
            raise ConfigError(
                f"split.options.{option}", f"split {name!r} has no such option", "", nearest(option, known)
            )
    options.setdefault("seed", config.seed)
    try:
        return function(table, strata, **options)  # type: ignore[no-any-return, operator]
    except TypeError as error:
        raise ConfigError("split.options", str(error), f"values that the split {name!r} can use") from error


def _pixel_statistics(images: NDArray[np.uint8], rows: NDArray[np.int64], most: int = 4000) -> tuple[float, float]:
    """Mean and deviation of the pixels (0 to 1), from at most ``most`` faces evenly picked."""
    picked = images[np.sort(rows[:: -(-len(rows) // most)])]
    pixels = picked.astype(np.float32) / 255
    return float(pixels.mean(dtype=np.float64)), max(float(pixels.std(dtype=np.float64)), 1e-3)


class FaceDataset(Dataset[Batch]):
    """Whole batches of uint8 faces and their targets, straight from the memory map."""

    def __init__(self, images: NDArray[np.uint8], rows: NDArray[np.int64], targets: NDArray[np.float32]) -> None:
        self.images, self.rows, self.targets = images, rows, targets

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, indices: list[int]) -> Batch:
        """``(B, H, W, C)`` uint8 and ``(B, K)`` float32."""
        images = np.ascontiguousarray(self.images[self.rows[indices]])
        return torch.from_numpy(images), torch.from_numpy(self.targets[indices])

    def __getitem__(self, index: int) -> Batch:
        images, targets = self.__getitems__([index])
        return images[0], targets[0]


class SeededSampler(Sampler[int]):
    """A shuffle that depends on (seed, epoch) and on nothing that happened before."""

    def __init__(self, n: int, seed: int) -> None:
        self.n, self.seed, self.epoch = n, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer when an epoch begins."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[int]:
        return iter(np.random.default_rng([self.seed, self.epoch]).permutation(self.n).tolist())


def train_loader(data: TrainingData, config: ExperimentConfig) -> DataLoader[Batch]:
    """Shuffled full batches; the last, short one is left out (batch statistics of few faces are noise)."""
    dataset = FaceDataset(data.store.images, *data.train)
    size = min(config.train.batch_size, len(dataset))
    sampler = SeededSampler(len(dataset), config.seed)
    return DataLoader(dataset, size, sampler=sampler, drop_last=True, collate_fn=_as_is)


def validation_loader(data: TrainingData, config: ExperimentConfig) -> DataLoader[Batch]:
    """All validation faces in order."""
    dataset = FaceDataset(data.store.images, *data.validation)
    return DataLoader(dataset, 2 * config.train.batch_size, collate_fn=_as_is)


def _as_is(batch: Any) -> Any:
    """The dataset gives whole batches already."""
    return batch
