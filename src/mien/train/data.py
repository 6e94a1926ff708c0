"""Faces, targets and splits of a run, as batches whose order depends on (seed, epoch) alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from mien.config import ExperimentConfig
from mien.data.class_notes import class_notes, present_classes
from mien.data.images import Store
from mien.data.splits import SPLITS, TEST, TRAIN, VALIDATION
from mien.demographics import HEADS, PREFIX
from mien.errors import ConfigError, DataError, LabelError, WeightsError
from mien.labels import label_scheme
from mien.models.weights import load_card
from mien.own_files import TEXT, read_parquet
from mien.registry import nearest
from mien.runs import COPY_COLUMN, read_splits
from mien.runs import SPLITS as RUN_SPLITS
from mien.samples import SampleTable

Batch = tuple[Tensor, Tensor]
EXPRESSION = "expression"  # the head of a model of expressions
_ANNOTATOR_HOLDOUT = "holdout.parquet"  # in an annotator's folder: the faces that it did not learn from


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """What a fit needs to know of its faces.

    Attributes:
        store: The images.
        table: Faces with their split in this run.
        heads: What the model tells: ``expression`` -> classes of the label scheme of evaluation, or
            each attribute -> its groups.
        train: ``(rows of the store, (n, K) targets)`` of the training faces; K over all heads.
        validation: The same of the validation faces.
        dropped: Faces without a target: part -> reason -> faces.
        mean: Mean of the training pixels, 0 to 1.
        std: Their standard deviation.
        notes: What must be known before training: classes without faces, or with few, in a part.
    """

    store: Store
    table: SampleTable
    heads: dict[str, tuple[str, ...]]
    train: tuple[NDArray[np.int64], NDArray[np.float32]]
    validation: tuple[NDArray[np.int64], NDArray[np.float32]]
    dropped: dict[str, dict[str, int]]
    mean: float
    std: float
    notes: tuple[str, ...] = ()


def load_training_data(config: ExperimentConfig) -> TrainingData:
    """Open the store, split it, and encode its votes.

    Raises:
        DataError, LabelError, ConfigError: Where store, labels or split do not fit each other.
    """
    store = Store.open(config.data.store)
    table = store.table
    _check_attributes(config, table)
    heads, encode, strata = (_attribute_targets if config.labels.attributes else _expression_targets)(config, table)
    table = _split(config, table, strata)
    parts = {}
    dropped = {}
    for part in (TRAIN, VALIDATION):
        faces = table.in_split(part)
        probs, keep, dropped[part] = encode(faces, part)
        if not keep.any():
            raise DataError(f"split {part!r}", "no face has a label", "faces with what is to be learnt")
        parts[part] = (faces.frame["image"].to_numpy(np.int64)[keep], probs[keep])
    notes = _class_notes(heads, parts[TRAIN][1], parts[VALIDATION][1])
    store.verify()  # the record vouches for these pictures and votes; last, for it reads every picture
    mean, std = _pixel_statistics(store.images, parts[TRAIN][0])
    return TrainingData(
        store=store,
        table=table,
        heads=heads,
        train=parts[TRAIN],
        validation=parts[VALIDATION],
        dropped=dropped,
        mean=mean,
        std=std,
        notes=notes,
    )


# Faces of a part -> (n, K) targets, (n,) whether there is one, and why not: reason -> faces.
Encode = Callable[[SampleTable, str], tuple[NDArray[np.float32], NDArray[np.bool_], dict[str, int]]]
Learnt = tuple[dict[str, tuple[str, ...]], Encode, NDArray[np.int64]]


def _expression_targets(config: ExperimentConfig, table: SampleTable) -> Learnt:
    """Expressions: the scheme of training for its part, that of evaluation for validation."""
    if not table.vocabulary:
        raise LabelError(
            f"store of {table.name}",
            "has no expressions",
            "votes or labels",
            "Or learn its attributes: labels.attributes.",
        )
    learn = label_scheme(config.labels.train, table.vocabulary)
    judge = label_scheme(config.labels.evaluate or config.labels.train, table.vocabulary)
    if learn.classes != judge.classes:
        raise LabelError(
            "labels", f"{learn.name} has {learn.classes}, {judge.name} has {judge.classes}", "the same classes"
        )
    if len(learn.classes) < 2:
        only = ", ".join(learn.classes)
        fix = "Prepare a corpus with other expressions too, or learn its attributes: labels.attributes."
        raise LabelError("labels", f"all faces are {only}", "two or more classes to tell apart", fix)
    judged = judge.targets(table.votes, table.vocabulary)
    strata = np.where(judged.keep, judged.probs.argmax(1), len(judge.classes))

    def encode(faces: SampleTable, part: str) -> tuple[NDArray[np.float32], NDArray[np.bool_], dict[str, int]]:
        targets = (learn if part == TRAIN else judge).targets(faces.votes, faces.vocabulary)
        return targets.probs, targets.keep, targets.dropped

    return {EXPRESSION: judge.classes}, encode, strata


def _class_notes(
    heads: Mapping[str, Sequence[str]], train: NDArray[np.float32], validation: NDArray[np.float32]
) -> tuple[str, ...]:
    """What must be known of classes in training and validation; refuses training faces of one class only."""
    notes = []
    for head, block in head_slices(heads).items():
        shares = dict(zip(heads[head], train[:, block].sum(0), strict=True))
        there = [c for c, share in shares.items() if share > 0]
        of = "" if head == EXPRESSION else f"{head}: "
        if len(there) == 1:
            fix = "Split in another way, or choose other labels."
            raise DataError(
                "split", f"{of}all {len(train):,} training faces are {there[0]}", "two or more classes to learn", fix
            )
        # A class may be no face's first and yet have a share of many: it is learnt, and not named.
        counts = {c: n for c, n in present_classes(train[:, block], heads[head]).items() if n or not shares[c]}
        told = class_notes(counts, "training face", "the model cannot learn to give that answer")
        judged = present_classes(validation[:, block], heads[head])
        told += class_notes(judged, "validation face", "how well it is found has no part in choosing the weights")
        notes += [of + note for note in told]
    return tuple(notes)


def _attribute_targets(config: ExperimentConfig, table: SampleTable) -> Learnt:
    """Attributes: one-hot rows side by side; groups in the vocabulary's order where it knows the attribute."""
    heads = {}
    for name in config.labels.attributes:
        if name not in table.attributes:
            raise ConfigError(
                "labels.attributes", f"the store has no attribute {name!r}", "", nearest(name, list(table.attributes))
            )
        _check_annotated(name, table)
        found = {str(g) for g in table.frame[name].dropna()}
        known = HEADS[name].groups if name in HEADS and found <= set(HEADS[name].groups) else tuple(sorted(found))
        if len(known) < 2:
            raise DataError(f"attribute {name!r}", f"has the groups {sorted(found)}", "two or more")
        heads[name] = known

    def encode(faces: SampleTable, part: str) -> tuple[NDArray[np.float32], NDArray[np.bool_], dict[str, int]]:
        blocks = [
            (faces.frame[name].to_numpy(dtype=object)[:, None] == np.array(groups, dtype=object)).astype(np.float32)
            for name, groups in heads.items()
        ]
        keep = np.all([block.sum(1) == 1 for block in blocks], axis=0)
        return np.concatenate(blocks, axis=1), keep, {"an attribute is missing": int((~keep).sum())}

    first = next(iter(heads))
    strata = pd.Categorical(table.frame[first], categories=list(heads[first])).codes.astype(np.int64) + 1
    return heads, encode, strata


def _check_annotated(name: str, table: SampleTable) -> None:
    """A network that learns what another perceived learns its mistakes, and its own errors would look small."""
    if name.startswith(PREFIX) or table.is_perceived(name):
        raise ConfigError(
            "labels.attributes", f"{name!r} is what a model perceived", "", "Learn from what people annotated."
        )


def check_start(config: ExperimentConfig, table: SampleTable) -> None:
    """Refuse to begin with weights that learnt faces which this run holds out.

    Args:
        config: The experiment.
        table: Its faces with their split.

    Raises:
        ConfigError: If ``model.weights`` holds no weights, or they come from a run or an annotator that
            learnt, or may have learnt, validation or test faces of this one.
    """
    if config.model.weights is None:
        return
    folder = Path(config.model.weights)
    try:
        load_card(folder)
    except WeightsError as error:
        found = f"{str(folder)!r} {error.found}" if folder.is_dir() else f"no such folder {str(folder)!r}"
        raise ConfigError("model.weights", found, "a run, weights or annotator folder") from error
    learnt, words = _learnt_before(folder, table)
    parts = [(part, (table.frame["split"] == part).to_numpy(dtype=bool)) for part in (VALIDATION, TEST)]
    counts = [f"{(learnt & held).sum():,} of {held.sum():,} {part}" for part, held in parts if (learnt & held).any()]
    if counts:
        raise ConfigError(
            "model.weights",
            f"{' and '.join(counts)} faces {words} {str(folder)!r}",
            "weights that never saw them",
            "Split as those weights did (the same split, options and seed), or begin with others.",
        )


def _learnt_before(folder: Path, table: SampleTable) -> tuple[NDArray[np.bool_], str]:
    """``(n,)`` faces that the weights of a folder learnt, and how the message says so."""
    ids = table.frame["sample_id"]
    if (folder / RUN_SPLITS).is_file():
        begun = read_splits(folder)
        learnt = ids.isin(set(begun.loc[begun["split"] == TRAIN, "sample_id"]))
        return learnt.to_numpy(dtype=bool), "were learnt by"
    held = np.zeros(len(table), dtype=bool)
    if (folder / _ANNOTATOR_HOLDOUT).is_file():
        path = folder / _ANNOTATOR_HOLDOUT
        known = set(read_parquet(path, {"sample_id": TEXT}, "an annotator's held-out faces").column(0).to_pylist())
        held = ids.isin(known).to_numpy(dtype=bool)
    # Other faces of the same corpus were learnt, as far as the annotator's folder tells.
    return ~held if held.any() else held, "are not among those held out from"


def _check_attributes(config: ExperimentConfig, table: SampleTable) -> None:
    """An hour of training should not end in a misspelt attribute of the audit."""
    known = [*table.attributes, COPY_COLUMN]
    for name in (part.strip() for spec in config.audit.by for part in spec.split("*")):
        if name not in known:
            raise ConfigError("audit.by", f"the store has no attribute {name!r}", "", nearest(name, known))


def _split(config: ExperimentConfig, table: SampleTable, strata: NDArray[np.int64]) -> SampleTable:
    options = {"seed": config.seed, **config.split.options}
    return SPLITS[config.split.name](table, strata, **options)  # type: ignore[no-any-return, operator]


def _pixel_statistics(images: NDArray[np.uint8], rows: NDArray[np.int64], most: int = 4000) -> tuple[float, float]:
    """Mean and deviation of the pixels (0 to 1), from at most ``most`` faces evenly picked."""
    picked = images[np.sort(rows[:: -(-len(rows) // most)])]
    pixels = picked.astype(np.float32) / 255
    return float(pixels.mean(dtype=np.float64)), max(float(pixels.std(dtype=np.float64)), 1e-3)


def class_names(heads: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Names of all logits: the classes of the one head of expressions, ``attribute=group`` of attributes."""
    if list(heads) == [EXPRESSION]:
        return tuple(heads[EXPRESSION])
    return tuple(f"{name}={group}" for name, groups in heads.items() for group in groups)


def head_slices(heads: Mapping[str, Sequence[str]]) -> dict[str, slice]:
    """Where each head's logits and targets stand among the K."""
    ends = np.cumsum([len(groups) for groups in heads.values()]).tolist()
    return {name: slice(end - len(groups), end) for (name, groups), end in zip(heads.items(), ends, strict=True)}


class FaceDataset(Dataset[Batch]):
    """Whole batches of uint8 faces and their targets.

    Args:
        images: ``(N, H, W, C)`` uint8, memory-mapped.
        rows: ``(n,)`` rows of the images.
        targets: ``(n, K)``.
        device: Where the faces are to lie. None leaves them in the memory map, from which each batch is
            copied; on a graphics card with room for them, no step moves a picture.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        rows: NDArray[np.int64],
        targets: NDArray[np.float32],
        device: torch.device | None = None,
    ) -> None:
        self.images, self.rows, self.targets, self.device = images, rows, targets, device
        self.held: Batch | None = None
        if device is not None:
            self.held = torch.from_numpy(images[rows]).to(device), torch.from_numpy(targets).to(device)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, indices: list[int]) -> Batch:
        """``(B, H, W, C)`` uint8 and ``(B, K)`` float32."""
        if self.held is not None:
            picked = torch.tensor(indices).to(self.device)
            return self.held[0][picked], self.held[1][picked]
        images = np.ascontiguousarray(self.images[self.rows[indices]])
        return torch.from_numpy(images), torch.from_numpy(self.targets[indices])

    def __getitem__(self, index: int) -> Batch:
        images, targets = self.__getitems__([index])
        return images[0], targets[0]


def device_for(images: NDArray[np.uint8], faces: int) -> torch.device | None:
    """The graphics card, if there is one that holds these faces in a quarter of its free memory."""
    if not torch.cuda.is_available():
        return None
    free, _ = torch.cuda.mem_get_info()
    return torch.device("cuda", torch.cuda.current_device()) if faces * images[0].nbytes <= free / 4 else None


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
    dataset = FaceDataset(data.store.images, *data.train, _device(data))
    size = min(config.train.batch_size, len(dataset))
    sampler = SeededSampler(len(dataset), config.seed)
    return DataLoader(dataset, size, sampler=sampler, drop_last=True, collate_fn=_as_is, **_ahead(dataset))


def validation_loader(data: TrainingData, config: ExperimentConfig) -> DataLoader[Batch]:
    """All validation faces in order."""
    dataset = FaceDataset(data.store.images, *data.validation, _device(data))
    return DataLoader(dataset, 2 * config.train.batch_size, collate_fn=_as_is, **_ahead(dataset))


def _device(data: TrainingData) -> torch.device | None:
    return device_for(data.store.images, len(data.train[0]) + len(data.validation[0]))


def _ahead(dataset: FaceDataset) -> dict[str, Any]:
    """Where a graphics card has no room for the faces: batches gathered ahead, in memory that it reads by itself."""
    if dataset.held is not None or not torch.cuda.is_available():
        return {}
    return {"num_workers": 2, "pin_memory": True, "persistent_workers": True}


def _as_is(batch: Any) -> Any:
    """The dataset gives whole batches already."""
    return batch
