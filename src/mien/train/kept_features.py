"""What frozen leading parts make of each face, computed once and kept: every epoch goes on from there."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mien.mitigation.base import Mitigation
from mien.models.backbones import Backbone
from mien.models.blocks import ExpressionModel
from mien.outputs import writing
from mien.train.freezing import Freezing
from mien.train.network import TrainedNetwork

GIB = 1 << 30
_IN_MEMORY = 1.0  # GiB; more lies in a file of the run folder, which the system holds in memory as far as there is room
_LARGEST_HALF = 65504.0  # largest number of 16 bits


@dataclass(frozen=True)
class KeptMaps:
    """Maps of faces by the rows of their store, in place of its pictures.

    Attributes:
        maps: ``(n, ...)`` float32 or float16.
        places: ``(N,)`` of each row of the store, where its maps lie; -1 where none were kept.
    """

    maps: NDArray[Any]
    places: NDArray[np.int64]

    def __getitem__(self, rows: NDArray[np.int64] | int) -> NDArray[Any]:
        """The maps of these rows."""
        found: NDArray[Any] = self.maps[self.places[rows]]
        return found


def leading(network: TrainedNetwork, base: ExpressionModel, freezing: Freezing, epochs: int) -> tuple[int, str]:
    """How many leading parts are a fixed function of the picture for a whole run.

    Args:
        network: What is trained.
        base: The network as it was before the mitigation adapted it.
        freezing: What stands still.
        epochs: Of the run.

    Returns:
        Their number, and where it is 0 though parts stand still, why.
    """
    still = freezing.at(epochs - 1)
    if not still:
        return 0, "parts begin to move"
    if network.pictures.augment is not None:
        return 0, "pictures are augmented anew in every epoch"
    if not isinstance(base, Backbone) or type(base).forward_train is not ExpressionModel.forward_train:
        return 0, "nobody says in which order this network uses its parts"
    if network.model is not base or type(network.mitigation).mix is not Mitigation.mix:
        return 0, "the mitigation changes pictures or the network"
    n = next((i for i, name in enumerate(base.parts()) if name not in still), len(base.parts()))
    return n, "" if n else "the first part moves"


@dataclass(frozen=True, kw_only=True)
class Keeper:
    """Computes what leading parts make of faces.

    Attributes:
        network: What is trained, whose first parts stand still.
        n: How many; see :func:`leading`.
        device: Where it is.
        batch_size: Faces at a time.
        most_gib: Most GiB that may be kept.
        folder: Where a file may lie that vanishes with the process.
        say: Receives a line: what is kept where, or that it is too large.
        check: Called after each batch; may raise.
    """

    network: TrainedNetwork
    n: int
    device: torch.device
    batch_size: int
    most_gib: float
    folder: Path
    say: Callable[[str], None]
    check: Callable[[], None]

    def keep(self, images: NDArray[np.uint8], rows: NDArray[np.int64]) -> KeptMaps | None:
        """Compute and keep, unless it is too large.

        Args:
            images: ``(N, H, W, C)`` uint8, all faces of the store.
            rows: Rows of the faces that are needed.

        Returns:
            The maps, of 32 bits, or of 16 where the network computes in bf16, whose numbers these hold but for the
            smallest.
        """
        kind = np.float32 if self.network.pictures.dtype is None else np.float16
        shape = next(self._batches(images, rows[:1])).shape[1:]
        size = len(rows) * math.prod(shape) * np.dtype(kind).itemsize / GIB
        names = list(self.network.model.parts())  # type: ignore[operator]
        through = f"{names[0]} to {names[self.n - 1]} make" if self.n > 1 else f"{names[0]} makes"
        what = f"what {through} of {len(rows):,} faces"
        if size > self.most_gib:
            bound = f"it would take {size:.2g} GiB, and model.cache_gib is {self.most_gib:g}"
            self.say(f"note: {what} is computed anew in every epoch: {bound}")
            return None
        in_memory = size <= _IN_MEMORY
        self.say(f"{what} is computed once and kept {'in memory' if in_memory else 'in a file'}: {size:.2g} GiB")
        maps = self._in_memory(images, rows, shape, kind) if in_memory else self._in_file(images, rows, shape, kind)
        places = np.full(len(images), -1, np.int64)
        places[rows] = np.arange(len(rows))
        return KeptMaps(maps, places)

    def _in_memory(
        self, images: NDArray[np.uint8], rows: NDArray[np.int64], shape: tuple[int, ...], kind: Any
    ) -> NDArray[Any]:
        maps, done = np.empty((len(rows), *shape), kind), 0
        for batch in self._batches(images, rows):
            maps[done : done + len(batch)] = batch
            done += len(batch)
        return maps

    def _in_file(
        self, images: NDArray[np.uint8], rows: NDArray[np.int64], shape: tuple[int, ...], kind: Any
    ) -> NDArray[Any]:
        """Written in turn and mapped afterwards: a map written to a full disk would end the process without a word."""
        with writing(self.folder, mixed=True), tempfile.TemporaryFile(dir=self.folder) as file:
            for batch in self._batches(images, rows):
                file.write(batch.astype(kind).tobytes())
            file.flush()
            return np.memmap(file, kind, "r", shape=(len(rows), *shape))

    @torch.inference_mode()
    def _batches(self, images: NDArray[np.uint8], rows: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
        """``(B, ...)`` float32 of the faces in their order; the parts stand still, so that they are in evaluation."""
        base, pictures = self.network.model, self.network.pictures
        for begin in range(0, len(rows), self.batch_size):
            batch = torch.from_numpy(np.ascontiguousarray(images[rows[begin : begin + self.batch_size]]))
            x = pictures.judged(batch.to(self.device))
            with pictures.computing(self.device):
                maps = base.lower(x, self.n)  # type: ignore[operator]
            # Nothing in bf16 is that large but by accident; without the bound it would be infinite in 16 bits.
            maps = maps.float() if pictures.dtype is None else maps.float().clamp(-_LARGEST_HALF, _LARGEST_HALF)
            yield maps.cpu().numpy()
            self.check()
