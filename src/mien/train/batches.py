"""Batches of a part's faces, whose order depends on (seed, epoch) alone."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from mien.mitigation.base import Batch
from mien.mitigation.faces import Faces
from mien.train.kept_features import KeptMaps
from mien.train.variants import Variants

Order = Callable[[int], NDArray[np.int64]]  # epoch -> numbers of the faces, in order


@dataclass(frozen=True)
class Share:
    """Which of several processes this is, each of which takes its share of every batch.

    Attributes:
        rank: Its number, from 0.
        world: How many there are.
    """

    rank: int = 0
    world: int = 1


class FaceBatches(Dataset[Batch]):
    """Whole batches of uint8 faces with their targets and groups, by the numbers of the faces.

    Args:
        images: ``(N, H, W, C)`` uint8, memory-mapped; or what frozen parts made of them.
        faces: The faces.
        device: Where the faces are to lie. None leaves them in the memory map, from which each batch is
            copied; on a graphics card with room for them, no step moves a picture.
        variants: Copies of the faces to learn; batches are then asked for by the numbers of these.
    """

    def __init__(
        self,
        images: NDArray[np.uint8] | KeptMaps,
        faces: Faces,
        device: torch.device | None = None,
        variants: Variants | None = None,
    ) -> None:
        self.images, self.faces, self.device = images, faces, device
        self.held = None if device is None else torch.from_numpy(images[faces.rows]).to(device)
        self.targets, self.groups = self._place(faces.targets), self._place(faces.groups)
        self.numbers = None if faces.numbers is None else self._place(faces.numbers)
        self.weights: Tensor | None = None
        self.variants = variants

    def as_they_are(self) -> FaceBatches:
        """The same faces without copies, by their own numbers; nothing is placed anew."""
        plain = copy.copy(self)
        plain.variants = None
        return plain

    def weigh(self, weights: NDArray[np.float32] | None) -> None:
        """Give the faces weights, ``(n,)``; None for equal ones."""
        self.weights = None if weights is None else self._place(weights)

    def _place(self, array: NDArray[np.float32]) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor if self.device is None else tensor.to(self.device)

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, numbers: NDArray[np.int64]) -> Batch:
        """The faces of these numbers."""
        changes = None
        if self.variants is not None:
            changes = torch.from_numpy(self.variants.changes[numbers])
            numbers = self.variants.faces[numbers]
        rows = torch.from_numpy(numbers)
        if self.held is None:
            images = torch.from_numpy(np.ascontiguousarray(self.images[self.faces.rows[numbers]]))
        else:
            rows = rows.to(self.device)
            images = self.held[rows]
        weights = None if self.weights is None else self.weights[rows]
        learnt = None if self.numbers is None else self.numbers[rows]
        return Batch(images, self.targets[rows], self.groups[rows], rows, weights, learnt, changes)


class BatchNumbers(Sampler[NDArray[np.int64]]):
    """Numbers of the faces of each batch of an epoch, this process's share of them.

    Args:
        order: Epoch -> numbers of its faces, in order.
        n: How many numbers that gives.
        size: Faces of a batch, over all processes.
        share: Which process this is.
        whole: Leave out the last, short batch: batch statistics of few faces are noise.
    """

    def __init__(self, order: Order, n: int, size: int, share: Share = Share(), whole: bool = False) -> None:
        self.order, self.n, self.size, self.share, self.whole = order, n, size, share, whole
        self.epoch = 0

    def __len__(self) -> int:
        return self.n // self.size if self.whole else -(-self.n // self.size)

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        order = self.order(self.epoch)
        if len(order) != self.n:
            raise ValueError(f"the order of epoch {self.epoch} has {len(order)} faces, that of the first had {self.n}")
        for step in range(len(self)):
            batch = order[step * self.size : (step + 1) * self.size]
            yield batch[self.share.rank :: self.share.world]


def shuffled(n: int, seed: int) -> Order:
    """A shuffle that depends on (seed, epoch) and on nothing that happened before."""
    return lambda epoch: np.random.default_rng([seed, epoch]).permutation(n)


def in_order(n: int) -> Order:
    """The faces as they stand."""
    return lambda epoch: np.arange(n)


def device_for(images: NDArray[np.uint8] | KeptMaps, faces: int) -> torch.device | None:
    """The graphics card, if there is one that holds these faces in a quarter of its free memory."""
    if not torch.cuda.is_available():
        return None
    free, _ = torch.cuda.mem_get_info()
    return torch.device("cuda", torch.cuda.current_device()) if faces * images[0].nbytes <= free / 4 else None


def loader(faces: FaceBatches, numbers: BatchNumbers) -> DataLoader[Batch]:
    """Batches in the order of the numbers.

    Where a graphics card has no room for the faces they are gathered ahead, in memory that it reads by itself.
    """
    if faces.held is not None or not torch.cuda.is_available():
        return DataLoader(faces, batch_size=None, sampler=numbers)
    return DataLoader(faces, batch_size=None, sampler=numbers, num_workers=2, pin_memory=True)
